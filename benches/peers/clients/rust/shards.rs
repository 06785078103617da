//! This crate, with the default options except for the pauses between reads.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::{Checkpoints, MemoryStore, ReadOptions, ShardStreamExt, all_shards};

use crate::STREAM;
use crate::meter::Meter;

/// Returns options without the limits of Kinesis, which this server does not have.
fn unlimited() -> ReadOptions {
    ReadOptions::new().min_read_interval(Duration::ZERO).max_bytes_per_second(None)
}

/// Reads page by page.
pub(crate) async fn read_batches(client: &Client, mut meter: Meter) {
    let shards = all_shards(client, STREAM);
    let mut batches = shards.batches(client).with_options(unlimited());
    while let Some(batch) = batches.next().await {
        for record in batch.expect("a page") {
            meter.count(record.data());
        }
    }
}

/// Reads record by record.
pub(crate) async fn read_records(client: &Client, mut meter: Meter) {
    let shards = all_shards(client, STREAM);
    let mut records = shards.records(client).with_options(unlimited());
    while let Some(record) = records.next().await {
        meter.count(record.expect("a record").data());
    }
}

/// Reads record by record, with checkpoints in memory.
pub(crate) async fn read_auto_ack(client: &Client, mut meter: Meter) {
    let checkpoints = Checkpoints::load(MemoryStore::new(), STREAM).await.expect("no checkpoints");
    let shards = all_shards(client, STREAM).checkpoints(&checkpoints);
    let mut records = shards.records(client).with_options(unlimited()).auto_ack();
    while let Some(record) = records.next().await {
        meter.count(record.expect("a record").data());
    }
}
