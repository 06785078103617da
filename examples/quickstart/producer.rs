//! Writes numbered records with sixteen partition keys, and reshards the stream meanwhile.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use kinesis_shards::testing::FakeStream;
use tokio::time::sleep;

use crate::common::error::with_cause;
use crate::ledger::Ledger;

const KEYS: usize = 16;
const ROUNDS: usize = 60;

pub(crate) async fn write_and_reshard(client: &Client, stream: &FakeStream, ledger: &Ledger) {
    for round in 0..ROUNDS {
        for key in (0..KEYS).map(|n| format!("customer-{n:02}")) {
            let number = ledger.next_number(&key);
            let record = client.put_record().stream_name(stream.name()).partition_key(key);
            let record = record.data(Blob::new(number.to_string()));
            if let Err(error) = record.send().await {
                return ledger.note(&format!("-- the producer failed: {}", with_cause(&error)));
            }
        }
        match round {
            20 => {
                let parent = "shardId-000000000000";
                let (low, high) = stream.split(parent);
                ledger.note(&format!("-- Kinesis splits {parent} into {low} and {high}"));
            }
            40 => {
                let (high, other) = ("shardId-000000000003", "shardId-000000000001");
                let merged = stream.merge(high, other);
                ledger.note(&format!("-- Kinesis merges {high} and {other} into {merged}"));
            }
            _ => {}
        }
        sleep(Duration::from_millis(100)).await;
    }
    ledger.note("-- the last record is written");
}
