//! Tests of the readers, through the real SDK.
#![cfg(feature = "testing")]

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use futures::future::{self, ready};
use futures::stream::FusedStream;
use futures::{FutureExt, Stream, StreamExt, poll, stream};
use kinesis_shards::records::{EndReason, ReadEventKind};
use kinesis_shards::shard::{ParentOutcome, StartPosition};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};
use kinesis_shards::{
    OnDrop, ReadError, ReadOptions, Record, ShardHandle, ShardStreamExt, StartAt, all_shards,
};
use tokio::time::{Instant, sleep, timeout};

mod all;
mod by_key;
mod clock;
mod ends;
mod errors;
mod examples;
mod fan_out;
mod hostile;
#[cfg(feature = "kpl")]
mod kpl;
mod merge;
mod monitor;
mod pace;
mod permits;
mod recreated;
mod restarted;
mod retries;
mod rules;
mod slow;
mod streams;
#[cfg(feature = "kpl")]
mod tail;
mod tasks;
mod unconfirmed;
mod until;

/// Part of the example `tail`, which the module `tail` tests.
#[cfg(feature = "kpl")]
#[path = "../../examples/common/units.rs"]
#[expect(dead_code, reason = "only the progress line uses the rest")]
mod units;

const FIRST: &str = "shardId-000000000000";

fn fake(shards: u32) -> (FakeKinesis, FakeStream, Client) {
    fake_with(FakeKinesis::new(), shards)
}

fn fake_with(kinesis: FakeKinesis, shards: u32) -> (FakeKinesis, FakeStream, Client) {
    let orders = kinesis.create_stream("orders", shards);
    // The SDK's own retries would hide which request belongs to which attempt.
    let client = Client::from_conf(kinesis.config().retry_config(RetryConfig::disabled()).build());
    (kinesis, orders, client)
}

fn put(stream: &FakeStream, numbers: std::ops::Range<u32>) {
    for number in numbers {
        stream.put_to(FIRST, number.to_string());
    }
}

fn number(record: &Record) -> u32 {
    std::str::from_utf8(record.data()).unwrap().parse().unwrap()
}

/// Takes `n` records, and returns their numbers.
async fn take(records: impl Stream<Item = Result<Record, ReadError>>, n: usize) -> Vec<u32> {
    let mut records = pin!(records.take(n));
    let mut taken = Vec::new();
    while let Some(record) =
        timeout(Duration::from_hours(1), records.next()).await.expect("a record")
    {
        taken.push(number(&record.unwrap()));
    }
    taken
}

async fn first(shards: impl Stream<Item = ShardHandle>) -> ShardHandle {
    pin!(shards).next().await.unwrap()
}
