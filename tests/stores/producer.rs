//! A producer that writes, splits and merges until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Shard, StreamStatus};
use fastrand::Rng;
use tokio::task::JoinHandle;

use crate::client::unthrottled;

/// The pause between two descriptions of a stream that is changing.
const PAUSE: Duration = Duration::from_millis(10);

/// What a producer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) keys: usize,
    /// The longest pause after some 10 records.
    pub(crate) max_pause: Duration,
    /// The number of pauses for each split or merge. Zero: the shards stay.
    pub(crate) pauses_per_reshard: u32,
    /// The maximum number of open shards.
    pub(crate) max_open: usize,
}

impl Default for Load {
    fn default() -> Self {
        let max_pause = Duration::from_millis(60);
        Self { seed: 0, keys: 12, max_pause, pauses_per_reshard: 12, max_open: 6 }
    }
}

pub(crate) struct Producer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Written, String>>,
}

/// The records, splits and merges of a producer.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The number of records of each key: `key:0`, `key:1` and so on.
    pub(crate) by_key: Vec<usize>,
    pub(crate) splits: usize,
    pub(crate) merges: usize,
}

impl Producer {
    pub(crate) fn start(client: &Client, stream: &str, load: Load) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (client, stream, stopped) = (client.clone(), stream.to_owned(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut writer = Writer { client, stream, load, rng: Rng::with_seed(load.seed) };
            let mut written = Written { by_key: vec![0; load.keys], ..Written::default() };
            while !stopped.load(Ordering::SeqCst) {
                for _ in 0..writer.rng.usize(1..20) {
                    let key = writer.rng.usize(..load.keys);
                    writer.put(key, written.by_key[key]).await?;
                    written.by_key[key] += 1;
                }
                tokio::time::sleep(load.max_pause.mul_f64(writer.rng.f64())).await;
                if load.pauses_per_reshard > 0 && writer.rng.u32(..load.pauses_per_reshard) == 0 {
                    writer.reshard(&mut written).await?;
                }
            }
            Ok(written)
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Result<Written, String> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.map_err(|error| error.to_string())?
    }
}

/// Creates a stream and waits until it is `ACTIVE`.
pub(crate) async fn create(client: &Client, stream: &str, shards: i32) -> Result<(), String> {
    let create = client.create_stream().stream_name(stream).shard_count(shards);
    let created = unthrottled(|| create.clone().send()).await;
    created.map_err(|error| format!("CreateStream: {}", DisplayErrorContext(error)))?;
    active(client, stream).await
}

/// Waits until the stream is `ACTIVE`.
async fn active(client: &Client, stream: &str) -> Result<(), String> {
    loop {
        let describe = client.describe_stream_summary().stream_name(stream);
        let described = unthrottled(|| describe.clone().send()).await;
        let described = described
            .map_err(|error| format!("DescribeStreamSummary: {}", DisplayErrorContext(error)))?;
        let status = described.stream_description_summary.map(|summary| summary.stream_status);
        if status == Some(StreamStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes a record with a key of its own to each open shard, and returns the data. The keys follow
/// those of the producer.
pub(crate) async fn one_to_each(
    client: &Client,
    stream: &str,
    keys: usize,
) -> Result<Vec<String>, String> {
    let listed = listed(client, stream).await?;
    let mut records = Vec::new();
    for shard in listed.iter().filter(|shard| is_open(shard)) {
        let record = format!("{}:0", keys + records.len());
        let put = client.put_record().stream_name(stream).partition_key("last");
        let put = put.explicit_hash_key(range(shard).0.to_string()).data(Blob::new(record.clone()));
        unthrottled(|| put.clone().send())
            .await
            .map_err(|error| format!("PutRecord: {}", DisplayErrorContext(error)))?;
        records.push(record);
    }
    Ok(records)
}

struct Writer {
    client: Client,
    stream: String,
    load: Load,
    rng: Rng,
}

impl Writer {
    async fn put(&self, key: usize, number: usize) -> Result<(), String> {
        let put =
            self.client.put_record().stream_name(&self.stream).partition_key(format!("key-{key}"));
        let put = put.data(Blob::new(format!("{key}:{number}")));
        unthrottled(|| put.clone().send())
            .await
            .map(drop)
            .map_err(|error| format!("PutRecord: {}", DisplayErrorContext(error)))
    }

    async fn reshard(&mut self, written: &mut Written) -> Result<(), String> {
        let listed = listed(&self.client, &self.stream).await?;
        let mut open: Vec<_> = listed.iter().filter(|shard| is_open(shard)).collect();
        open.sort_by_key(|shard| range(shard));
        if open.len() >= self.load.max_open || open.len() > 2 && self.rng.bool() {
            let at = self.rng.usize(..open.len() - 1);
            let merge = self.client.merge_shards().stream_name(&self.stream);
            let merge = merge.shard_to_merge(open[at].shard_id());
            let merge = merge.adjacent_shard_to_merge(open[at + 1].shard_id());
            let merged = unthrottled(|| merge.clone().send()).await;
            merged.map_err(|error| format!("MergeShards: {}", DisplayErrorContext(error)))?;
            written.merges += 1;
        } else {
            let shard = open[self.rng.usize(..open.len())];
            let (first, last) = range(shard);
            let split = self
                .client
                .split_shard()
                .stream_name(&self.stream)
                .shard_to_split(shard.shard_id());
            let middle = first + (last - first) / 2 + 1;
            let split = split.new_starting_hash_key(middle.to_string());
            unthrottled(|| split.clone().send())
                .await
                .map_err(|error| format!("SplitShard: {}", DisplayErrorContext(error)))?;
            written.splits += 1;
        }
        active(&self.client, &self.stream).await
    }
}

async fn listed(client: &Client, stream: &str) -> Result<Vec<Shard>, String> {
    let mut shards = Vec::new();
    let mut list = client.list_shards().stream_name(stream);
    loop {
        let page = unthrottled(|| list.clone().send())
            .await
            .map_err(|error| format!("ListShards: {}", DisplayErrorContext(error)))?;
        shards.extend(page.shards.unwrap_or_default());
        let Some(token) = page.next_token else { return Ok(shards) };
        list = client.list_shards().next_token(token);
    }
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
}

fn range(shard: &Shard) -> (u128, u128) {
    let key = |key: &str| key.parse().unwrap_or_default();
    let range = shard.hash_key_range();
    range
        .map(|range| (key(range.starting_hash_key()), key(range.ending_hash_key())))
        .unwrap_or_default()
}
