//! The consumer: a process of its own. It writes a line for all that it does, before it does it or
//! once it is done, so that who kills it knows the most that can be known.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures::TryStreamExt;
use kinesis_shards::checkpoint::{CheckpointEventKind, CheckpointOptions, StoreError};
use kinesis_shards::{Checkpoints, ReadOptions, ShardStreamExt, all_shards};

use crate::client::local_client;
use crate::stores::Kept;

/// Longer than any request takes, on whatever machine.
const SLOW: Duration = Duration::from_mins(10);

/// What it is told, by one variable of its environment.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) kinesis: u16,
    pub(crate) stream: String,
    pub(crate) kept: Kept,
    pub(crate) place: String,
    /// Zero: one record after the other, each acknowledged by taking the next.
    pub(crate) concurrency: usize,
}

impl Order {
    pub(crate) const VARIABLE: &str = "CRASHES_CONSUMER";

    pub(crate) fn from_env() -> Option<Self> {
        let order = std::env::var(Self::VARIABLE).ok()?;
        let mut words = order.split('\t');
        let mut word = || words.next().expect("a word of the order").to_owned();
        Some(Self {
            kinesis: word().parse().expect("a port"),
            stream: word(),
            kept: Kept::from_name(&word()).expect("a store"),
            place: word(),
            concurrency: word().parse().expect("a number"),
        })
    }

    pub(crate) fn to_env(&self) -> String {
        let Self { kinesis, stream, kept, place, concurrency } = self;
        format!("{kinesis}\t{stream}\t{kept}\t{place}\t{concurrency}")
    }
}

/// A line is out once this returns: a pipe outlives who wrote into it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

pub(crate) fn main(order: &Order) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(consume(order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn consume(order: &Order) -> Result<(), StoreError> {
    let options = CheckpointOptions::new()
        .save_interval(Duration::from_millis(40))
        .save_records(25)
        // A store of a busy machine is slow: it does not fail.
        .save_timeout(SLOW)
        .on_event(|event| match &event.kind {
            CheckpointEventKind::Saved { checkpoint, .. } => {
                say(&format!("saved {} {checkpoint}", event.shard_id));
            }
            CheckpointEventKind::SaveFailed { error, .. } => say(&format!("failed {error}")),
            CheckpointEventKind::Gap { .. } => say(&format!("gap {:?}", event.kind)),
            _ => {}
        });
    let store = order.kept.open(&order.place).await?;
    let checkpoints = Checkpoints::load_with(store, order.stream.as_str(), options).await?;
    for (shard, _) in checkpoints.progress() {
        if let Some(checkpoint) = checkpoints.get(&shard) {
            say(&format!("loaded {shard} {checkpoint}"));
        }
    }
    say("started");
    // Its parent closes its input: that is the order to stop.
    let stop = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move {
            let _ =
                tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
            checkpoints.shutdown(SLOW).await
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
            tell("delivered", &record);
            work().await;
            // Taking the next acknowledges it.
            tell("done", &record);
        }
    } else {
        let work = records.map_ok(|record| async {
            tell("delivered", &record);
            work().await;
            tell("done", &record);
            record.ack();
            Ok(())
        });
        work.try_buffer_unordered(order.concurrency).try_collect::<()>().await?;
    }
    let stopped = stop.await?;
    say(&format!("stopped {} {stopped}", stopped.is_complete()));
    Ok(())
}

fn tell(what: &str, record: &kinesis_shards::Record) {
    let data = String::from_utf8_lossy(record.data());
    say(&format!("{what} {} {} {data}", record.shard_id(), record.sequence_number()));
}

/// What a record costs: mostly nothing.
async fn work() {
    if fastrand::u32(..20) == 0 {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..40))).await;
    }
}
