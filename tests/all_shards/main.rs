//! The streams of shards through the real SDK, on the in-process Kinesis and on servers that
//! misbehave. The clock is paused.

mod expired;
mod failures;
mod filtering;
mod limits;
mod listings;
mod order;
mod ready;
mod reasons;
mod starts;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::primitives::DateTime;
use futures::{FutureExt, StreamExt, stream};
use kinesis_shards::lineage::parents_first;
use kinesis_shards::listing::{ShardList, shard_lists};
use kinesis_shards::shard::{ParentOutcome, Progress, StartPosition};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Request};
use kinesis_shards::{
    ListError, OnDrop, ShardHandle, ShardStreamExt, StartAt, all_shards, try_all_shards,
};
use serde_json::Value;
use tokio::time::{Duration, Instant, advance, timeout};

use support::{Canned, Logged, Reply, within};

const SECOND: Duration = Duration::from_secs(1);
const ZERO: &str = "shardId-000000000000";
const ONE: &str = "shardId-000000000001";
const TABLE_STREAM: &str =
    "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000";

fn setup(shards: u32) -> (FakeKinesis, FakeStream) {
    let kinesis = FakeKinesis::new();
    let stream = kinesis.create_stream("orders", shards);
    (kinesis, stream)
}

fn ids(handles: &[ShardHandle]) -> Vec<&str> {
    handles.iter().map(ShardHandle::id).collect()
}

fn listings(kinesis: &FakeKinesis) -> Vec<Value> {
    kinesis.requests().iter().map(|request| request.body().clone()).collect()
}
