//! A copy of an in-process Kinesis, which is interrupted and resumed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, StartAt, StopAt};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::copy::{Job, Result};
use crate::progress::Progress;

pub(crate) const RECORDS: usize = 60_000;
const STREAM: &str = "orders";

/// Runs the demonstration. Returns whether each record was copied once.
pub(crate) async fn run() -> Result<bool> {
    let dir = std::env::temp_dir().join(format!("backfill-{}", std::process::id()));
    let kinesis = stream_with_records();
    println!("An in-process Kinesis has {RECORDS} records, in 32 shards and the children of some.");
    println!("Each shard is copied into a file of its own in {}.\n", dir.display());

    let interrupted = timeout(Duration::from_millis(700), job(&kinesis, &dir).run()).await;
    println!("The first run is {}.", if interrupted.is_ok() { "complete" } else { "interrupted" });
    let copied = job(&kinesis, &dir).run().await?;
    println!("The second run continues: {copied}, and it ends by itself.\n");

    let Counts { lost, twice } = count(&dir)?;
    std::fs::remove_dir_all(dir)?;
    println!("records {RECORDS}   lost {lost}   twice {twice}");
    Ok(lost == 0 && twice == 0)
}

/// Creates a stream with 32 shards, of which some were split and merged while it was written.
///
/// The stream is the same each time, so that another process can continue to copy it.
pub(crate) fn stream_with_records() -> FakeKinesis {
    let kinesis = FakeKinesis::builder().time_in_sequence_numbers(false).build();
    let orders = kinesis.create_stream(STREAM, 32);
    for number in 0..RECORDS {
        orders.put(&format!("customer {}", number % 2_000), number.to_string());
        if number % 10_000 == 5_000 {
            let open = orders.open_shards();
            let (low, high) = orders.split(&open[number / 2_000]);
            if number % 20_000 == 5_000 {
                orders.merge(&low, &high);
            }
        }
    }
    kinesis
}

/// Copies the stream, in small pages, so that there is something to see.
pub(crate) fn job(kinesis: &FakeKinesis, dir: &Path) -> Job {
    Job {
        client: kinesis.client(),
        stream: STREAM.into(),
        dir: dir.to_owned(),
        start_at: StartAt::TrimHorizon,
        stop_at: StopAt::Tip,
        options: ReadOptions::new().max_records(250).spawn_on(Handle::current()),
        progress: Progress::new(),
    }
}

/// How many records are in no file, and how many are there twice.
#[derive(Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) lost: usize,
    pub(crate) twice: usize,
}

pub(crate) fn count(dir: &Path) -> Result<Counts> {
    let mut times = BTreeMap::<usize, usize>::new();
    for entry in std::fs::read_dir(dir)? {
        for line in std::fs::read_to_string(entry?.path())?.lines() {
            let line: Value = serde_json::from_str(line)?;
            if let Some(data) = line["data"].as_str() {
                *times.entry(data.parse()?).or_default() += 1;
            }
        }
    }
    let lost = (0..RECORDS).filter(|number| !times.contains_key(number)).count();
    Ok(Counts { lost, twice: times.values().filter(|times| **times > 1).count() })
}
