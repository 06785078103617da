//! Checkpoints, through the real SDK.
#![cfg(feature = "testing")]

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use futures::{Stream, StreamExt, poll};
use kinesis_shards::checkpoint::{
    Checkpoint, CheckpointEventKind, CheckpointOptions, CheckpointedShards, UnackedRecord,
};
use kinesis_shards::records::AllRecords;
use kinesis_shards::shard::StartPosition;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};
use kinesis_shards::{
    AllShards, Checkpoints, MemoryStore, ReadError, ReadOptions, Record, ShardStreamExt, StartAt,
    all_shards,
};
use tokio::time::{Instant, sleep, timeout};

use self::store::{Call, Scripted};

mod acknowledging;
mod batches;
mod by_key;
mod chunks;
mod ends;
mod in_order;
mod namesakes;
mod numbers;
mod permits;
mod refusals;
mod restarted;
mod retention;
mod rules;
mod runtimes;
mod saving;
mod several_streams;
mod shutdown;
mod starting;
mod status;
mod store;
mod stored;
mod until;

const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";

/// One stream with a consumer, and the consumer's store and events.
struct World {
    kinesis: FakeKinesis,
    orders: FakeStream,
    client: Client,
    store: Scripted,
    events: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(shards: u32) -> Self {
        Self::on(FakeKinesis::new(), shards)
    }

    fn on(kinesis: FakeKinesis, shards: u32) -> Self {
        kinesis.set_limits(Limits::none());
        let orders = kinesis.create_stream("orders", shards);
        let client =
            Client::from_conf(kinesis.config().retry_config(RetryConfig::disabled()).build());
        Self { kinesis, orders, client, store: Scripted::default(), events: Arc::default() }
    }

    /// Loads the checkpoints, as a new process does.
    async fn load(&self) -> Checkpoints {
        self.load_with(CheckpointOptions::new()).await
    }

    async fn load_with(&self, options: CheckpointOptions) -> Checkpoints {
        let events = Arc::clone(&self.events);
        let options = options.on_event(move |event| {
            let line = match &event.kind {
                CheckpointEventKind::Saved { checkpoint, .. } => format!("saved {checkpoint}"),
                CheckpointEventKind::SaveFailed { failures, .. } => format!("failed {failures}"),
                CheckpointEventKind::Gap { after, first, .. } => format!("gap {after} {first:?}"),
                kind => format!("{kind:?}"),
            };
            events.lock().unwrap().push(format!("{}: {line}", event.shard_id));
        });
        Checkpoints::load_with(self.store.clone(), "orders", options).await.unwrap()
    }

    fn shards(&self) -> AllShards {
        all_shards(&self.client, "orders")
    }

    fn records(&self, checkpoints: &Checkpoints) -> AllRecords<CheckpointedShards> {
        self.shards().checkpoints(checkpoints).records(&self.client)
    }

    fn put(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.orders.put_to(FIRST, number.to_string());
        }
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

fn number(record: &Record) -> u32 {
    std::str::from_utf8(record.data()).unwrap().parse().unwrap()
}

fn numbers(records: &[UnackedRecord]) -> Vec<u32> {
    records.iter().map(|record| number(record)).collect()
}

/// Returns the next item, within an hour.
async fn next<T>(records: &mut (impl Stream<Item = Result<T, ReadError>> + Unpin)) -> T {
    let next = timeout(Duration::from_hours(1), records.next());
    next.await.expect("a record").expect("not the end").expect("no error")
}

async fn take<T>(
    records: &mut (impl Stream<Item = Result<T, ReadError>> + Unpin),
    n: usize,
) -> Vec<T> {
    let mut taken = Vec::new();
    for _ in 0..n {
        taken.push(next(records).await);
    }
    taken
}

/// Polls the stream for this time, in which no record comes.
async fn nothing_for<T: std::fmt::Debug>(
    records: &mut (impl Stream<Item = Result<T, ReadError>> + Unpin),
    time: Duration,
) {
    assert!(timeout(time, records.next()).await.is_err(), "an item came");
}

/// Counts the reports of lost records.
fn gaps(world: &World) -> usize {
    world.events().iter().filter(|event| event.contains("gap")).count()
}

fn after(record: &Record) -> Checkpoint {
    Checkpoint::After {
        sequence_number: record.sequence_number().to_owned(),
        sub_sequence_number: None,
    }
}
