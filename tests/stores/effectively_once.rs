//! The example `effectively_once` on a real PostgreSQL: it is killed again and again, and loses its
//! connections, while the stream is split. Each record is in the sums once.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::primitives::Blob;
use fastrand::Rng;
use tokio_postgres::Client;

use crate::client::unthrottled;
use crate::database_example::{DatabaseExample, PAGE, exit_code, stop};

#[path = "../../examples/effectively_once.rs"]
#[allow(unused, clippy::duplicate_mod, reason = "the example has a `main` and modules of its own")]
mod example;

const VARIABLE: &str = "EFFECTIVELY_ONCE_CONSUMER";
/// The number of processes that are killed.
const KILLS: usize = 10;
const RECORDS_PER_LIFE: usize = 40;
const CUSTOMERS: usize = 12;
/// How often the last process loses its connections.
const CUTS: usize = 3;

const SUMS: &str = "SELECT customer, orders, amount FROM sums";

/// The orders of each customer, and their amounts.
type Sums = BTreeMap<String, (i64, i64)>;

/// Runs the example if this is its process.
pub(crate) fn consumer() -> Option<ExitCode> {
    std::env::var_os(VARIABLE).map(|_| exit_code(example::main()))
}

/// The stream, and the sums of what was written to it.
struct Orders {
    client: aws_sdk_kinesis::Client,
    rng: Rng,
    sums: Sums,
}

impl Orders {
    /// Writes some records to all shards.
    async fn write(&mut self) -> Result<(), String> {
        for _ in 0..RECORDS_PER_LIFE {
            let customer = format!("customer {}", self.rng.usize(..CUSTOMERS));
            let amount = self.rng.i64(1..1_000_000);
            let put = self.client.put_record().stream_name("orders").partition_key(&customer);
            let put = put.data(Blob::new(amount.to_string()));
            let written = unthrottled(|| put.clone().send()).await;
            written.map_err(|error| format!("PutRecord: {}", DisplayErrorContext(error)))?;
            let (orders, sum) = self.sums.entry(customer).or_default();
            *orders += 1;
            *sum += amount;
        }
        Ok(())
    }

    /// Splits the first of two shards in the middle.
    async fn split(&self) -> Result<(), String> {
        let split = self.client.split_shard().stream_name("orders");
        let split = split.shard_to_split("shardId-000000000000");
        let split = split.new_starting_hash_key((1_u128 << 126).to_string());
        let split = unthrottled(|| split.clone().send()).await;
        split.map(drop).map_err(|error| format!("SplitShard: {}", DisplayErrorContext(error)))
    }
}

async fn sums(database: &Client) -> Result<Sums, String> {
    let rows = database.query(SUMS, &[]).await.map_err(|error| error.to_string())?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}

pub(crate) async fn run() -> Result<(), String> {
    let example = DatabaseExample::new(VARIABLE, "adding up").await?;
    let (client, database) = (example.client.clone(), &example.database);
    let mut rng = Rng::with_seed(0);
    let mut orders = Orders { client, rng: Rng::with_seed(1), sums: Sums::new() };
    // The first process creates the tables.
    example.start(&[])?;
    for kill in 0..KILLS {
        orders.write().await?;
        if kill == KILLS / 2 {
            orders.split().await?;
        }
        let consumer = example.start_to_kill(&[], &mut rng)?;
        // Half of them are killed right after the last line, such as that of a commit.
        tokio::time::sleep(Duration::from_millis([0, rng.u64(..100)][rng.usize(..2)])).await;
        consumer.kill();
    }

    let consumer = example.start(&[])?;
    for _ in 0..CUTS {
        orders.write().await?;
        example.cut(&mut rng).await?;
    }
    let count = |sums: &Sums| sums.values().map(|(orders, _)| orders).sum::<i64>();
    while count(&sums(database).await?) < count(&orders.sums) {
        consumer.until(PAGE)?;
    }
    stop(consumer)?;
    let sums = sums(database).await?;
    if sums != orders.sums {
        return Err(format!("the sums are {sums:?} instead of {:?}", orders.sums));
    }
    Ok(())
}
