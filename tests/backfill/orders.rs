//! The stream that is copied, and what its copies hold.

use std::collections::BTreeMap;
use std::path::Path;

use aws_smithy_types::base64;
use kinesis_shards::ReadOptions;
use kinesis_shards::testing::FakeKinesis;
use serde_json::Value;

use crate::backfill::{Args, backfill};

const RECORDS: usize = 60_000;
const STREAM: &str = "orders";

pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

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

/// Copies the stream, in small pages, so that it takes long enough to be killed.
pub(crate) async fn copy(dir: &Path) -> anyhow::Result<()> {
    let args = Args { stream: STREAM.into(), dir: dir.to_owned() };
    let options = ReadOptions::new().max_records(250);
    backfill(&stream_with_records().client(), args, options).await
}

/// Checks that each record is in the files once, in the file of its shard and in order.
pub(crate) fn check(dir: &Path) -> Result<()> {
    let kinesis = stream_with_records();
    let stream = kinesis.stream(STREAM);
    let mut times = BTreeMap::<usize, usize>::new();
    for shard in stream.shards() {
        let id = shard.shard_id();
        let text = std::fs::read_to_string(dir.join(id).with_extension("jsonl"))?;
        let lines = text.lines().map(serde_json::from_str::<Value>);
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        let expected = stream.records(id);
        let expected = expected.iter().map(|record| record.sequence_number.as_str());
        let copied = lines.iter().map(|line| line["SequenceNumber"].as_str().unwrap_or_default());
        assert!(copied.eq(expected), "{id}");
        for line in lines {
            let data = base64::decode(line["Data"].as_str().ok_or("a line without data")?)?;
            *times.entry(String::from_utf8(data)?.parse()?).or_default() += 1;
        }
    }
    let lost = (0..RECORDS).filter(|number| !times.contains_key(number)).count();
    let twice = times.values().filter(|times| **times > 1).count();
    assert_eq!((lost, twice), (0, 0), "records lost, and records twice");
    Ok(())
}
