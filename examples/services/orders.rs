//! A service that writes the records of a stream, which are JSON, to PostgreSQL: each page is one
//! transaction with one acknowledgement.
//!
//! `cargo run --example orders -- orders --database postgres://postgres@localhost/shop` follows a
//! stream of yours until Ctrl-C or SIGTERM. Start it again, and it continues. The environment says
//! which AWS account and region, or with `AWS_ENDPOINT_URL` which other server.
//!
//! The section "Batches into a database" of `kinesis_shards::checkpoint` says why it is built so.

#[path = "../common/log_lag.rs"]
mod log_lag;
#[path = "../common/stop_signal.rs"]
mod stop_signal;
#[path = "../common/write_pages.rs"]
mod write_pages;

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::Context;
use aws_config::BehaviorVersion;
use clap::Parser;
use kinesis_shards::{
    Checkpoints, FileStore, ReadOptions, Record, ShardStreamExt, StreamId, all_shards,
};
use tokio_postgres::{Client, Error, NoTls};

use log_lag::log_lag;
use write_pages::write_pages;

/// The key of a record is its place in the stream. An insert of
/// a record that is delivered again does nothing.
///
/// A record that PostgreSQL cannot hold as JSON is a dead letter: it must not stop its shard.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS records (
    stream text, shard_id text, sequence_number text, sub_sequence_number bigint,
    data bytea NOT NULL, json jsonb,
    PRIMARY KEY (stream, shard_id, sequence_number, sub_sequence_number)
);
CREATE OR REPLACE VIEW dead_letters AS SELECT * FROM records WHERE json IS NULL;
CREATE OR REPLACE FUNCTION json_or_null(data bytea) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN RETURN convert_from(data, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN RETURN NULL;
END $$";

/// Inserts the records of a shard in one round trip, and in one transaction.
const INSERT: &str = "
INSERT INTO records SELECT $1, $2, number, sub_number, data, json_or_null(data)
FROM unnest($3::text[], $4::bigint[], $5::bytea[]) AS page (number, sub_number, data)
ON CONFLICT DO NOTHING";

/// Writes the records of a Kinesis stream, which are JSON, to a table of PostgreSQL: stop it, start
/// it, and it continues.
///
/// The table `records` and its view `dead_letters` are created if they do not exist. Ctrl-C and
/// SIGTERM save how far each shard was written.
#[derive(Parser)]
struct Args {
    /// The stream's name or ARN
    stream: StreamId,
    /// The database; the example connects without TLS
    #[arg(long, value_name = "URL", default_value = "postgres://postgres@localhost/postgres")]
    database: String,
    /// The file of the checkpoints
    #[arg(long, value_name = "PATH", default_value = "orders.checkpoints")]
    checkpoints: PathBuf,
}

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt::init();
    let Args { stream, database, checkpoints } = Args::parse();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_kinesis::Client::new(&config);
    let checkpoints = Checkpoints::load(FileStore::open(checkpoints)?, stream.clone()).await?;
    // No retry mends a wrong password, so the first failure to connect ends the program.
    let idle = connect(&database).await.context("cannot connect to PostgreSQL")?;
    idle.batch_execute(TABLES).await.context("cannot create the tables")?;
    let idle = Cell::new(Some(idle));

    let batches = all_shards(&client, stream.clone())
        .checkpoints(&checkpoints)
        .ready() // no such stream, no permission: the program ends
        .await?
        .batches(&client)
        .with_options(log_lag(ReadOptions::new().deaggregate()));
    tracing::info!("writing {stream} to PostgreSQL");
    write_pages(batches, &checkpoints, async |page| {
        // A try that fails or times out drops the connection, which may be closed or in use.
        let client = match idle.take() {
            Some(client) => client,
            None => connect(&database).await?,
        };
        insert(&client, page).await?;
        idle.set(Some(client));
        Ok(())
    })
    .await
}

async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection); // it ends with the client, whose requests report its errors
    Ok(client)
}

/// Inserts a page: at least one record of one shard.
async fn insert(client: &Client, page: &[Record]) -> Result<(), Error> {
    let (stream, shard) = (page[0].stream().as_str(), page[0].shard_id());
    let numbers: Vec<_> = page.iter().map(Record::sequence_number).collect();
    // The place of a record among those that the Kinesis Producer Library packed into one.
    let sub_numbers = page.iter().map(|record| record.sub_sequence_number().unwrap_or(0));
    let sub_numbers: Vec<_> = sub_numbers.map(u64::cast_signed).collect();
    let data: Vec<_> = page.iter().map(Record::data).collect();
    client.execute(INSERT, &[&stream, &shard, &numbers, &sub_numbers, &data]).await?;
    Ok(())
}
