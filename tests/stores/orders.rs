//! The example `orders` on a real PostgreSQL: it is killed again and again, and loses its
//! connections. Each record is in the table once, and each poison record among the dead letters.

use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::primitives::Blob;
use fastrand::Rng;
use tokio_postgres::Client;

use crate::client::unthrottled;
use crate::database_example::{DatabaseExample, PAGE, exit_code, stop};

#[path = "../../examples/services/orders.rs"]
#[allow(unused, clippy::duplicate_mod, reason = "the example has a `main` and modules of its own")]
mod example;

const VARIABLE: &str = "ORDERS_CONSUMER";
/// The number of processes that are killed.
const KILLS: usize = 8;
const RECORDS_PER_LIFE: usize = 40;
/// How often the last process loses its connections.
const CUTS: usize = 3;

/// The default of `CheckpointOptions`.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// The number of requests that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted";
const COUNT: &str = "SELECT count(*) FROM records";

/// Runs the example if this is its process.
pub(crate) fn consumer() -> Option<ExitCode> {
    std::env::var_os(VARIABLE).map(|_| exit_code(example::main()))
}

/// Returns data that PostgreSQL rejects: it is not JSON, is not UTF-8, has a character that text
/// cannot hold, or is nested too deeply.
fn poison(n: usize) -> Vec<u8> {
    match n % 4 {
        0 => format!("order {n}").into_bytes(),
        1 => [b"\xFF", n.to_string().as_bytes()].concat(),
        2 => format!("\"\\u0000 {n}\"").into_bytes(),
        _ => format!("{}{n}", "[".repeat(100_000)).into_bytes(),
    }
}

/// The stream, and what was written to it.
struct Orders {
    client: aws_sdk_kinesis::Client,
    valid: Vec<String>,
    poison: Vec<Vec<u8>>,
}

impl Orders {
    /// Writes some records to all shards, with a poison record among them.
    async fn write(&mut self, rng: &mut Rng) -> Result<(), String> {
        let poisoned = rng.usize(..RECORDS_PER_LIFE);
        for n in 0..RECORDS_PER_LIFE {
            let data = if n == poisoned {
                self.poison.push(poison(self.poison.len()));
                self.poison.last().cloned().unwrap_or_default()
            } else {
                let number = self.valid.len();
                self.valid.push(format!("{{\"order\": {number}}}"));
                self.valid[number].clone().into_bytes()
            };
            let put = self.client.put_record().stream_name("orders");
            let put = put.partition_key(format!("customer {n}")).data(Blob::new(data));
            let written = unthrottled(|| put.clone().send()).await;
            written.map_err(|error| format!("PutRecord: {}", DisplayErrorContext(error)))?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.valid.len() + self.poison.len()
    }

    /// Checks that the table holds each record once, and the view each poison record.
    async fn check(mut self, database: &Client) -> Result<(), String> {
        let query = async |sql| database.query(sql, &[]).await.map_err(text);
        let rows = query("SELECT json::text FROM records WHERE json IS NOT NULL").await?;
        let mut records: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let rows = query("SELECT data FROM dead_letters").await?;
        let mut dead_letters: Vec<Vec<u8>> = rows.iter().map(|row| row.get(0)).collect();
        for list in [&mut records, &mut self.valid] {
            list.sort();
        }
        for list in [&mut dead_letters, &mut self.poison] {
            list.sort();
        }
        if records != self.valid {
            return Err(format!("{} of {} records: {records:?}", records.len(), self.valid.len()));
        }
        if dead_letters != self.poison {
            let (left, right) = (dead_letters.len(), self.poison.len());
            return Err(format!("{left} dead letters instead of {right}, or others"));
        }
        Ok(())
    }
}

/// Kills the example while a lock keeps it from writing a page, after the time in which it saves
/// what it has acknowledged.
async fn kill_before_commit(
    example: &DatabaseExample,
    args: &[&str],
    rng: &mut Rng,
) -> Result<(), String> {
    let database = &example.database;
    database.batch_execute("BEGIN; LOCK TABLE records IN SHARE MODE").await.map_err(text)?;
    let mut consumer = example.start(args)?;
    while database.query_one(WAITING, &[]).await.map_err(text)?.get::<_, i64>(0) == 0 {
        if consumer.has_ended() {
            return Err("the consumer has ended before it wrote a page".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(SAVE_INTERVAL * 2).await;
    consumer.kill();
    // Its connection would otherwise write the page after the lock.
    example.cut(rng).await?;
    database.batch_execute("COMMIT").await.map_err(text)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn text(error: tokio_postgres::Error) -> String {
    error.to_string()
}

pub(crate) async fn run() -> Result<(), String> {
    let example = DatabaseExample::new(VARIABLE, "writing").await?;
    let (client, database) = (example.client.clone(), &example.database);
    let file = std::env::temp_dir().join(format!("orders-{}.checkpoints", std::process::id()));
    let args = ["--checkpoints", file.to_str().ok_or("the temporary directory is not UTF-8")?];
    let mut rng = Rng::with_seed(0);
    let mut orders = Orders { client, valid: Vec::new(), poison: Vec::new() };
    // The first process creates the tables.
    example.start(&args)?;
    for _ in 0..KILLS {
        orders.write(&mut rng).await?;
        let consumer = example.start_to_kill(&args, &mut rng)?;
        // One that has committed a page has perhaps not saved its checkpoint yet.
        tokio::time::sleep(Duration::from_millis(rng.u64(..100))).await;
        consumer.kill();
    }

    orders.write(&mut rng).await?;
    kill_before_commit(&example, &args, &mut rng).await?;

    let consumer = example.start(&args)?;
    for _ in 0..CUTS {
        orders.write(&mut rng).await?;
        example.cut(&mut rng).await?;
    }
    loop {
        let count = database.query_one(COUNT, &[]).await.map_err(text)?;
        if usize::try_from(count.get::<_, i64>(0)).is_ok_and(|count| count >= orders.count()) {
            break;
        }
        consumer.until(PAGE)?;
    }
    stop(consumer)?;
    std::fs::remove_file(file).map_err(|error| error.to_string())?;
    orders.check(database).await
}
