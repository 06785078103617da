//! The worker process. It writes a line to its file for each record that it is delivered, and for
//! each event of its leases.

use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{Stream, StreamExt};
use kinesis_shards::checkpoint::CheckpointOptions;
use kinesis_shards::lease::{LeaseEventKind, LeaseOptions, Leases};
use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};

use crate::client::local_client;
use crate::consumer_process::ConsumerProcess;
use crate::dynamodb::dynamodb;
use crate::worker_process::{self, Terminate, write_line};

/// Longer than any shutdown takes on a busy machine.
const SHUTDOWN_LIMIT: Duration = Duration::from_mins(5);

/// The orders of a worker, which an environment variable holds.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kinesis: u16,
    pub(crate) dynamodb: u16,
    pub(crate) stream: String,
    pub(crate) application: String,
    pub(crate) worker: String,
    /// The file of its lines.
    pub(crate) file: String,
    pub(crate) times: Times,
}

/// The times of the leases, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) failover: u64,
    pub(crate) settle: u64,
    pub(crate) rest: u64,
    pub(crate) save_interval: u64,
}

impl Times {
    /// The defaults of the crate.
    pub(crate) const DEFAULT: Self =
        Self { failover: 10_000, settle: 30_000, rest: 60_000, save_interval: 30_000 };
}

impl Order {
    const VARIABLE: &str = "LEASE_WORKER";

    pub(crate) fn from_env() -> Option<Self> {
        let order = std::env::var(Self::VARIABLE).ok()?;
        let mut words = order.split('\t');
        let mut word = || words.next().expect("a word of the order");
        Some(Self {
            stream: word().to_owned(),
            application: word().to_owned(),
            worker: word().to_owned(),
            file: word().to_owned(),
            kinesis: word().parse().expect("a port"),
            dynamodb: word().parse().expect("a port"),
            times: Times {
                failover: word().parse().expect("a time"),
                settle: word().parse().expect("a time"),
                rest: word().parse().expect("a time"),
                save_interval: word().parse().expect("a time"),
            },
        })
    }

    /// Starts this program as the worker of this order.
    pub(crate) fn start(&self) -> Result<ConsumerProcess, String> {
        let Self { kinesis, dynamodb, stream, application, worker, file, times } = self;
        let Times { failover, settle, rest, save_interval } = times;
        let order = format!(
            "{stream}\t{application}\t{worker}\t{file}\t{kinesis}\t{dynamodb}\t{failover}\t\
             {settle}\t{rest}\t{save_interval}"
        );
        ConsumerProcess::start(|this| this.env(Self::VARIABLE, order))
    }
}

/// Returns the wall time, which all processes of the machine share, in microseconds.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

pub(crate) fn main(order: &Order) -> ExitCode {
    worker_process::run(&order.file, note, async |file| work(order, file).await)
}

/// Writes a line with the time.
fn note(file: &File, text: &str) {
    write_line(file, &format!("{} {text}", now()));
}

async fn work(order: &Order, file: &Arc<File>) -> Result<bool, Box<dyn std::error::Error>> {
    let Times { failover, settle, rest, save_interval } = order.times;
    let events = Arc::clone(file);
    let options = LeaseOptions::new()
        .worker(&order.worker)
        .failover_time(Duration::from_millis(failover))
        .settle(Duration::from_millis(settle))
        .rest(Duration::from_millis(rest))
        .checkpoints(
            CheckpointOptions::new()
                .save_interval(Duration::from_millis(save_interval))
                .save_records(u32::MAX),
        )
        .on_event(move |event| match &event.kind {
            LeaseEventKind::Granted { shard_id, token } => {
                note(&events, &format!("granted {shard_id} {token}"));
            }
            LeaseEventKind::Ended { shard_id, end } => {
                note(&events, &format!("ended {shard_id} {end:?}"));
            }
            kind => note(&events, &format!("event {kind:?}")),
        });
    let terminate = Terminate::listen()?;
    let dynamodb = dynamodb(&order.dynamodb.to_string());
    let stream = order.stream.as_str();
    let leases = Leases::join_with(&dynamodb, &order.application, stream, options).await?;
    note(file, "joined");
    let stop = terminate.shut_down(&leases, SHUTDOWN_LIMIT);
    let client = local_client(order.kinesis);
    let options = ReadOptions::new()
        .idle_interval(Duration::from_millis(60))
        .min_read_interval(Duration::from_millis(10))
        .max_records(50);
    let records = all_shards(&client, stream)
        .poll_interval(Duration::from_secs(1))
        .leased(&leases)
        .records(&client)
        .with_options(options);
    let mut records = timed(records);
    while let Some((before, after, record)) = records.next().await {
        let record = record?;
        let token = record.lease().map_or(0, kinesis_shards::lease::Lease::token);
        let (shard, sequence_number) = (record.shard_id(), record.sequence_number());
        let data = String::from_utf8_lossy(record.data());
        write_line(file, &format!("{before} {after} {data} {sequence_number} {shard} {token}"));
        process().await;
        record.ack();
    }
    Ok(stop.await?.is_complete())
}

/// Yields each item with the times just before and just after the poll that has yielded it. The
/// record was delivered between the two, even if the process was stopped in between.
fn timed<S: Stream + Unpin>(mut stream: S) -> impl Stream<Item = (u64, u64, S::Item)> + Unpin {
    futures::stream::poll_fn(move |cx| {
        let before = now();
        stream.poll_next_unpin(cx).map(|item| item.map(|item| (before, now(), item)))
    })
}

/// Processes a record, which takes no time in most cases.
async fn process() {
    if fastrand::u32(..100) == 0 {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
}
