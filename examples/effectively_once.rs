//! Sums of records in PostgreSQL, each record counted once: the sums and the position in the stream
//! change in one transaction.
//!
//! `cargo run --example effectively_once -- orders --database postgres://postgres@localhost/shop`
//! follows a stream of yours until Ctrl-C or SIGTERM. Start it again, and it continues. The
//! environment says which AWS account and region, or with `AWS_ENDPOINT_URL` which other server.
//!
//! The section "Effectively once" of `kinesis_shards::checkpoint` says why it is built so.

#[path = "common/log_lag.rs"]
mod log_lag;
#[path = "common/stop_signal.rs"]
mod stop_signal;
#[path = "common/write_pages.rs"]
mod write_pages;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use aws_config::BehaviorVersion;
use clap::Parser;
use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, Save, StoreError};
use kinesis_shards::{Checkpoints, ReadOptions, Record, ShardStreamExt, StreamId, all_shards};
use tokio_postgres::{Client, GenericClient, NoTls};

use log_lag::log_lag;
use write_pages::write_pages;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS sums (
    customer text PRIMARY KEY, orders bigint NOT NULL, amount bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS positions (
    stream text, shard_id text, checkpoint text NOT NULL, PRIMARY KEY (stream, shard_id)
)";

const ADD: &str = "
INSERT INTO sums SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (customer) DO UPDATE
SET orders = sums.orders + excluded.orders, amount = sums.amount + excluded.amount";

const FIRST_POSITION: &str = "INSERT INTO positions VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const NEXT_POSITION: &str = "
UPDATE positions SET checkpoint = $3 WHERE stream = $1 AND shard_id = $2 AND checkpoint = $4";
const POSITION: &str = "SELECT checkpoint FROM positions WHERE stream = $1 AND shard_id = $2";

/// Adds up the orders of each customer in PostgreSQL: stop it, start it, and it continues. The
/// partition key of a record is the customer, and its data the amount.
///
/// The tables `sums` and `positions` are created if they do not exist.
#[derive(Parser)]
#[command(name = "effectively_once")]
struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN")]
    stream: StreamId,

    /// The database; the example connects without TLS
    #[arg(long, value_name = "URL", default_value = "postgres://postgres@localhost/postgres")]
    database: String,
}

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt::init();
    let Args { stream, database } = Args::parse();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_kinesis::Client::new(&config);
    // No retry mends a wrong password, so the first failure to connect ends the program.
    let database = Arc::new(Database::open(&database).await.context("cannot use PostgreSQL")?);
    let checkpoints = Checkpoints::load(Arc::clone(&database), stream.clone()).await?;

    let batches = all_shards(&client, stream.clone())
        .checkpoints(&checkpoints) // each shard continues at its position
        .ready() // no such stream, no permission: the program ends
        .await?
        .batches(&client)
        .with_options(log_lag(ReadOptions::new()));
    tracing::info!("adding up {stream} in PostgreSQL");
    write_pages(batches, &checkpoints, async |page| database.write(page).await).await
}

/// The sums, and the positions up to which records are in them. It is the store of the checkpoints.
struct Database {
    url: String,
    /// Connections that are not in use. One that failed is not used again: it may be closed, or in
    /// the middle of a transaction.
    idle: Mutex<Vec<Client>>,
    /// The positions that this process has loaded or committed last, by the stream and the shard.
    positions: Mutex<HashMap<(String, String), String>>,
}

impl Database {
    async fn open(url: &str) -> anyhow::Result<Self> {
        let database =
            Self { url: url.to_owned(), idle: Mutex::default(), positions: Mutex::default() };
        let client = database.client().await?;
        client.batch_execute(TABLES).await?;
        database.release(client);
        Ok(database)
    }

    async fn client(&self) -> Result<Client, tokio_postgres::Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(client) = idle.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        tokio::spawn(connection); // it ends with the client, whose requests report its errors
        Ok(client)
    }

    fn release(&self, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    fn position(&self, key: &(String, String)) -> Option<String> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn set_position(&self, key: (String, String), position: impl Into<Option<String>>) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        match position.into() {
            Some(position) => positions.insert(key, position),
            None => positions.remove(&key),
        };
    }

    /// Moves the position of a shard on from the last one. Returns whether it moved: if not, an
    /// earlier try was committed.
    async fn advance(
        &self,
        client: &(impl GenericClient + Sync),
        key: &(String, String),
        position: &str,
    ) -> anyhow::Result<bool> {
        let (stream, shard) = key;
        let moved = match self.position(key) {
            None => client.execute(FIRST_POSITION, &[stream, shard, &position]).await?,
            Some(last) => client.execute(NEXT_POSITION, &[stream, shard, &position, &last]).await?,
        };
        if moved == 1 {
            return Ok(true);
        }
        let row = client.query_opt(POSITION, &[stream, shard]).await?;
        let actual: Option<&str> = row.as_ref().map(|row| row.get(0));
        if actual == Some(position) {
            return Ok(false);
        }
        anyhow::bail!("the position of {shard} is {actual:?}: another consumer has moved it");
    }

    /// Adds the records of a page and moves the position of its shard past them, in one
    /// transaction.
    async fn write(&self, page: &[Record]) -> anyhow::Result<()> {
        let Some(last) = page.last() else { return Ok(()) };
        let key = (last.stream().as_str().to_owned(), last.shard_id().to_owned());
        let position = last.sequence_number();
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        if self.advance(&transaction, &key, position).await? {
            let sums = sums(page);
            let customers: Vec<_> = sums.keys().collect();
            let (orders, amounts): (Vec<_>, Vec<_>) = sums.values().copied().unzip();
            transaction.execute(ADD, &[&customers, &orders, &amounts]).await?;
        }
        transaction.commit().await?;
        self.set_position(key, position.to_owned());
        self.release(client);
        Ok(())
    }
}

/// Adds up the orders of each customer of a page, and their amounts. A record that holds no amount
/// is skipped.
fn sums(page: &[Record]) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::<_, (i64, i64)>::new();
    for record in page {
        let amount = std::str::from_utf8(record.data()).ok().and_then(|text| text.parse().ok());
        let (Some(customer), Some(amount)) = (record.partition_key(), amount) else {
            tracing::warn!("{} {}: no amount", record.shard_id(), record.sequence_number());
            continue;
        };
        let (orders, sum) = sums.entry(customer.to_owned()).or_default();
        *orders += 1;
        *sum = sum.saturating_add(amount);
    }
    sums
}

impl CheckpointStore for Database {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move {
            let client = self.client().await?;
            let rows = client.query("SELECT DISTINCT stream FROM positions", &[]).await?;
            stream.check_unambiguous(rows.iter().map(|row| row.get::<_, &str>(0)))?;
            let query = "SELECT shard_id, checkpoint FROM positions WHERE stream = $1";
            let mut loaded = Vec::new();
            for row in client.query(query, &[&stream.as_str()]).await? {
                let (shard, position): (String, String) = (row.get(0), row.get(1));
                loaded.push((shard.clone(), position.parse()?));
                self.set_position((stream.as_str().to_owned(), shard), position);
            }
            self.release(client);
            Ok(loaded)
        }
        .boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            if let Checkpoint::After { .. } = save.checkpoint {
                return Ok(()); // the transaction of the page has saved it
            }
            save.checkpoint.validate()?;
            let key = (save.stream.as_str().to_owned(), save.shard_id().to_owned());
            let position = save.checkpoint.to_string();
            let client = self.client().await?;
            self.advance(&client, &key, &position).await?;
            self.set_position(key, position);
            self.release(client);
            Ok(())
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let client = self.client().await?;
            let delete = "DELETE FROM positions WHERE stream = $1 AND shard_id = $2";
            client.execute(delete, &[&stream.as_str(), &shard_id]).await?;
            self.set_position((stream.as_str().to_owned(), shard_id.to_owned()), None);
            self.release(client);
            Ok(())
        }
        .boxed()
    }
}
