//! The consumer process. It prints a line for each event, so that the process that kills it knows
//! as much as possible.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures::TryStreamExt;
use kinesis_shards::checkpoint::{CheckpointEventKind, CheckpointOptions, StoreError};
use kinesis_shards::{Checkpoints, ReadOptions, ShardStreamExt, all_shards};

use crate::backend::Backend;
use crate::client::local_client;
use crate::consumer_process::ConsumerProcess;

/// Longer than any request takes on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(10);

/// The orders of a consumer, which an environment variable holds.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kinesis: u16,
    pub(crate) stream: String,
    pub(crate) backend: Backend,
    pub(crate) address: String,
    /// The number of records in flight. Zero takes records one by one, each acknowledged by the
    /// next.
    pub(crate) concurrency: usize,
}

impl Order {
    const VARIABLE: &str = "CRASHES_CONSUMER";

    pub(crate) fn from_env() -> Option<Self> {
        let order = std::env::var(Self::VARIABLE).ok()?;
        let mut words = order.split('\t');
        let mut word = || words.next().expect("a word of the order").to_owned();
        Some(Self {
            kinesis: word().parse().expect("a port"),
            stream: word(),
            backend: Backend::from_name(&word()).expect("a store"),
            address: word(),
            concurrency: word().parse().expect("a number"),
        })
    }

    /// Starts this program as the consumer of this order.
    pub(crate) fn start(&self) -> Result<ConsumerProcess, String> {
        let Self { kinesis, stream, backend, address, concurrency } = self;
        let order = format!("{kinesis}\t{stream}\t{backend}\t{address}\t{concurrency}");
        ConsumerProcess::start(|this| this.env(Self::VARIABLE, order))
    }
}

/// Prints a line. The pipe keeps it even if the process is killed right after.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

pub(crate) fn main(order: &Order) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(consume(order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print(&format!("error {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn consume(order: &Order) -> Result<(), StoreError> {
    let options = CheckpointOptions::new()
        .save_interval(Duration::from_millis(40))
        .save_records(25)
        // A store on a busy machine may be slow.
        .save_timeout(TIMEOUT)
        .on_event(|event| match &event.kind {
            CheckpointEventKind::Saved { checkpoint, .. } => {
                print(&format!("saved {} {checkpoint}", event.shard_id));
            }
            CheckpointEventKind::SaveFailed { error, .. } => print(&format!("failed {error}")),
            CheckpointEventKind::Gap { .. } => print(&format!("gap {:?}", event.kind)),
            _ => {}
        });
    let store = order.backend.open(&order.address).await?;
    let checkpoints = Checkpoints::load_with(store, order.stream.as_str(), options).await?;
    for (shard, _) in checkpoints.progress() {
        if let Some(checkpoint) = checkpoints.get(&shard) {
            print(&format!("loaded {shard} {checkpoint}"));
        }
    }
    print("started");
    // The parent process closes stdin to stop the consumer.
    let stop = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move {
            let _ =
                tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
            checkpoints.shutdown(TIMEOUT).await
        }
    });
    let client = local_client(order.kinesis);
    let options = ReadOptions::new()
        .idle_interval(Duration::from_millis(60))
        .min_read_interval(Duration::from_millis(10))
        .max_records(50);
    let records = all_shards(&client, order.stream.as_str())
        .poll_interval(Duration::from_secs(2))
        .checkpoints(&checkpoints)
        .records(&client)
        .with_options(options);
    if order.concurrency == 0 {
        let mut records = records.auto_ack();
        while let Some(record) = records.try_next().await? {
            print_record("delivered", &record);
            work().await;
            // Asking for the next record acknowledges this one.
            print_record("done", &record);
        }
    } else {
        let work = records.map_ok(|record| async {
            print_record("delivered", &record);
            work().await;
            print_record("done", &record);
            record.ack();
            Ok(())
        });
        work.try_buffer_unordered(order.concurrency).try_collect::<()>().await?;
    }
    let report = stop.await?;
    print(&format!("stopped {} {report}", report.is_complete()));
    Ok(())
}

fn print_record(what: &str, record: &kinesis_shards::Record) {
    let data = String::from_utf8_lossy(record.data());
    print(&format!("{what} {} {} {data}", record.shard_id(), record.sequence_number()));
}

/// Processes a record, which takes no time in most cases.
async fn work() {
    if fastrand::u32(..20) == 0 {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..40))).await;
    }
}
