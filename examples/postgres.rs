//! Pages of records into PostgreSQL: each page is one transaction with one acknowledgement.
//!
//! `cargo run --example postgres -- orders --database postgres://postgres@localhost/shop` follows a
//! stream of yours until Ctrl-C or SIGTERM. Start it again, and it continues.
//!
//! The section "Batches into a database" of `kinesis_shards::checkpoint` says why it is built so.

#[path = "common/mod.rs"]
mod common;
#[path = "common/stop_signal.rs"]
mod stop_signal;
#[path = "common/write_pages.rs"]
mod write_pages;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use kinesis_shards::checkpoint::StoreError;
use kinesis_shards::{
    Checkpoints, FileStore, ReadOptions, Record, ShardStreamExt, StreamId, try_all_shards,
};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, Transaction};

use common::error::with_cause;
use common::logs;
use common::source::Source;
use write_pages::{WritePage, write_pages};

/// The key of a record is its place in the stream. A record that is delivered again is found by it.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS records (
    stream text, shard_id text, sequence_number text, sub_sequence_number bigint,
    data jsonb NOT NULL,
    PRIMARY KEY (stream, shard_id, sequence_number, sub_sequence_number)
);
CREATE TABLE IF NOT EXISTS dead_letters (
    stream text, shard_id text, sequence_number text, sub_sequence_number bigint,
    data bytea NOT NULL, error text NOT NULL, rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, shard_id, sequence_number, sub_sequence_number)
)";

/// Inserts a page in one round trip. PostgreSQL checks that the data is JSON.
const INSERT: &str = "
INSERT INTO records
SELECT $1, shard_id, sequence_number, sub_sequence_number, convert_from(data, 'UTF8')::jsonb
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bytea[])
    AS page (shard_id, sequence_number, sub_sequence_number, data)
ON CONFLICT DO NOTHING";

const INSERT_DEAD_LETTER: &str = "
INSERT INTO dead_letters (stream, shard_id, sequence_number, sub_sequence_number, data, error)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING";

/// Writes the records of a Kinesis stream, which are JSON, to a table of PostgreSQL: stop it, start
/// it, and it continues.
///
/// The tables `records` and `dead_letters` are created if they do not exist. Ctrl-C and SIGTERM
/// save how far each shard was written.
#[derive(Parser)]
#[command(name = "postgres")]
struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN")]
    stream: StreamId,

    /// The database; the example connects without TLS
    #[arg(long, value_name = "URL", default_value = "postgres://postgres@localhost/postgres")]
    database: String,

    /// The file of the checkpoints
    #[arg(long, value_name = "PATH", default_value = "postgres.checkpoints")]
    file: PathBuf,

    #[command(flatten)]
    source: Source,
}

#[tokio::main]
pub(crate) async fn main() -> ExitCode {
    match follow(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes every page until Ctrl-C or SIGTERM. Returns whether everything was saved.
async fn follow(args: &Args) -> Result<bool, String> {
    logs::print_warnings("kinesis_shards"); // failed saves
    let Args { stream, source, .. } = args;
    let client = source.client(stream).await?;
    let store = FileStore::open(&args.file).map_err(|error| with_cause(&error))?;
    let checkpoints = Checkpoints::load(store, stream).await.map_err(|error| with_cause(&error))?;
    // No retry mends a wrong password, so the first failure to connect ends the program.
    let database = Database::connect(&args.database).await;
    let database = database
        .map_err(|error| format!("cannot connect to PostgreSQL: {}", with_cause(&error)))?;
    let database = Arc::new(database);

    let batches = try_all_shards(&client, stream)
        .start_at(source.from) // shards without a checkpoint
        .checkpoints(&checkpoints) // the others continue at theirs
        .batches(&client)
        .with_options(ReadOptions::new().deaggregate());
    println!("Writing {stream} to PostgreSQL. Ctrl-C or SIGTERM saves and exits.\n");
    write_pages(batches, database, &checkpoints).await
}

struct Database {
    url: String,
    /// The connection, unless the last try failed. The next try opens a new one: the old one may be
    /// closed, or in the middle of a transaction.
    client: Mutex<Option<Client>>,
}

impl Database {
    async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let client = connect(url).await?;
        client.batch_execute(TABLES).await?;
        Ok(Self { url: url.to_owned(), client: Mutex::new(Some(client)) })
    }
}

impl WritePage for Database {
    async fn write(&self, page: &[Record]) -> Result<(), StoreError> {
        let mut idle = self.client.lock().await;
        let mut client = match idle.take() {
            Some(client) => client,
            None => connect(&self.url).await?,
        };
        write_page(&mut client, page).await?;
        *idle = Some(client);
        Ok(())
    }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection); // it ends with the client, whose requests report its errors
    Ok(client)
}

/// Inserts a page. A part that PostgreSQL rejects is halved until the poison records are found.
async fn write_page(client: &mut Client, page: &[Record]) -> Result<(), tokio_postgres::Error> {
    let mut transaction = client.transaction().await?;
    let mut parts = vec![page];
    while let Some(part) = parts.pop() {
        let savepoint = transaction.transaction().await?;
        match insert(&savepoint, part).await {
            Ok(()) => savepoint.commit().await?,
            Err(error) if is_poison(&error) => {
                savepoint.rollback().await?;
                if let [record] = part {
                    insert_dead_letter(&transaction, record, &error).await?;
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    transaction.commit().await
}

/// Returns whether the same record would be rejected again: its data is invalid, violates a
/// constraint, or exceeds a limit.
fn is_poison(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| matches!(&code.code()[..2], "22" | "23" | "54"))
}

async fn insert(
    transaction: &Transaction<'_>,
    page: &[Record],
) -> Result<(), tokio_postgres::Error> {
    let Some(stream) = page.first().map(|record| record.stream().to_string()) else {
        return Ok(());
    };
    let shards: Vec<_> = page.iter().map(Record::shard_id).collect();
    let numbers: Vec<_> = page.iter().map(Record::sequence_number).collect();
    let sub_numbers: Vec<_> = page.iter().map(sub_sequence_number).collect();
    let data: Vec<_> = page.iter().map(Record::data).collect();
    transaction.execute(INSERT, &[&stream, &shards, &numbers, &sub_numbers, &data]).await?;
    Ok(())
}

async fn insert_dead_letter(
    transaction: &Transaction<'_>,
    record: &Record,
    error: &tokio_postgres::Error,
) -> Result<(), tokio_postgres::Error> {
    let (stream, shard, number) =
        (record.stream().to_string(), record.shard_id(), record.sequence_number());
    let (sub_number, data, error) = (sub_sequence_number(record), record.data(), with_cause(error));
    eprintln!("{shard} {number}: dead letter: {error}");
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&stream, &shard, &number, &sub_number, &data, &error];
    transaction.execute(INSERT_DEAD_LETTER, &row).await?;
    Ok(())
}

/// Returns the place of a record among those that the Kinesis Producer Library packed into one.
fn sub_sequence_number(record: &Record) -> i64 {
    record.sub_sequence_number().map_or(0, |number| number.try_into().unwrap_or(i64::MAX))
}
