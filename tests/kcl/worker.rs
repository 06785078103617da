//! The Rust worker process. It writes the same lines as the Java worker.

use std::fs::File;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use kinesis_shards::checkpoint::CheckpointOptions;
use kinesis_shards::lease::{LeaseEventKind, LeaseOptions, Leases};
use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};

use crate::client::local_client;
use crate::dynamodb::dynamodb;
use crate::worker_process::{self, Terminate, write_line};

/// Longer than any shutdown takes on a busy machine.
const SHUTDOWN_LIMIT: Duration = Duration::from_mins(1);

/// The orders of a worker, which an environment variable holds.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kinesis: u16,
    pub(crate) dynamodb: u16,
    pub(crate) application: String,
    pub(crate) stream: String,
    pub(crate) worker: String,
    /// The file of its lines.
    pub(crate) file: String,
    /// In milliseconds.
    pub(crate) failover: u64,
    pub(crate) beside_kcl: bool,
}

impl Order {
    const VARIABLE: &str = "KCL_RUST_WORKER";

    pub(crate) fn from_env() -> Option<Self> {
        let order = std::env::var(Self::VARIABLE).ok()?;
        let mut words = order.split('\t');
        let mut word = || words.next().expect("a word of the order");
        Some(Self {
            kinesis: word().parse().expect("a port"),
            dynamodb: word().parse().expect("a port"),
            application: word().to_owned(),
            stream: word().to_owned(),
            worker: word().to_owned(),
            file: word().to_owned(),
            failover: word().parse().expect("a time"),
            beside_kcl: word().parse().expect("true or false"),
        })
    }

    /// Returns the command that runs this program as the worker of this order.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let Self { kinesis, dynamodb, application, stream, worker, file, failover, beside_kcl } =
            self;
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(this);
        let order = format!(
            "{kinesis}\t{dynamodb}\t{application}\t{stream}\t{worker}\t{file}\t{failover}\t\
             {beside_kcl}"
        );
        command.env(Self::VARIABLE, order);
        Ok(command)
    }
}

pub(crate) fn main(order: &Order) -> ExitCode {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    worker_process::run(&order.file, note, async |file| work(order, file).await)
}

/// Writes a line with the time in milliseconds, as the Java worker does.
fn note(file: &File, text: &str) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis());
    write_line(file, &format!("{now} {text}"));
}

async fn work(order: &Order, file: &Arc<File>) -> Result<bool, Box<dyn std::error::Error>> {
    let events = Arc::clone(file);
    let checkpoints = CheckpointOptions::new().save_interval(Duration::from_secs(2));
    let options = LeaseOptions::new()
        .worker(&order.worker)
        .failover_time(Duration::from_millis(order.failover))
        .settle(Duration::from_secs(5))
        .rest(Duration::from_secs(10))
        .checkpoints(checkpoints.save_records(u32::MAX))
        .on_event(move |event| match &event.kind {
            LeaseEventKind::Granted { shard_id, .. } => {
                note(&events, &format!("granted {shard_id}"));
            }
            LeaseEventKind::Ended { shard_id, end } => {
                note(&events, &format!("ended {shard_id} {end}"));
            }
            kind => note(&events, &format!("event {kind:?}")),
        });
    let options = if order.beside_kcl { options.beside_kcl() } else { options };
    let terminate = Terminate::listen()?;
    let dynamodb = dynamodb(&order.dynamodb.to_string());
    let stream = order.stream.as_str();
    let leases = Leases::join_with(&dynamodb, &order.application, stream, options).await?;
    note(file, "started");
    let stop = terminate.shut_down(&leases, SHUTDOWN_LIMIT);
    let client = local_client(order.kinesis);
    let mut records = all_shards(&client, stream)
        .poll_interval(Duration::from_secs(1))
        .leased(&leases)
        .records(&client)
        .with_options(ReadOptions::new().idle_interval(Duration::from_millis(250)));
    while let Some(record) = records.next().await {
        let record = record?;
        let (shard, sequence_number) = (record.shard_id(), record.sequence_number());
        let data = String::from_utf8_lossy(record.data());
        note(file, &format!("record {shard} {sequence_number} {data}"));
        record.ack();
    }
    Ok(stop.await?.is_complete())
}
