//! All records of all shards, read by the crate and by a bare loop over `GetRecords`.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use kinesis_shards::checkpoint::CheckpointedShard;
use kinesis_shards::lineage::parents_first;
use kinesis_shards::listing::ShardList;
use kinesis_shards::{
    Checkpoints, ListError, MemoryStore, ReadOptions, ShardHandle, ShardStreamExt,
};

use super::canned::Format;
use super::canned_records::CannedRecords;

/// What one run reads.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) shards: usize,
    /// The pages of each shard.
    pub(crate) pages: usize,
    /// The records of each page.
    pub(crate) records: usize,
    /// The bytes of each record.
    pub(crate) bytes: usize,
}

impl Workload {
    pub(crate) fn total_records(self) -> usize {
        self.shards * self.pages * self.records
    }

    /// Creates a client in JSON.
    pub(crate) fn client(self) -> Client {
        self.client_in(Format::Json)
    }

    pub(crate) fn client_in(self, format: Format) -> Client {
        self.canned(format).client()
    }

    /// Creates a client in JSON that lists the shards, too.
    pub(crate) fn client_with_list(self) -> Client {
        self.canned(Format::Json).client_with_list(self.shards)
    }

    fn canned(self, format: Format) -> CannedRecords {
        CannedRecords::new(format, self.pages, self.records, self.bytes)
    }

    fn assert_was_read(self, records: usize, bytes: usize) {
        assert_eq!(records, self.total_records());
        assert!(bytes >= records * self.bytes);
    }
}

/// Offers `shards` root shards. The stream ends when all of them are complete.
pub(crate) fn handles(shards: usize) -> impl Stream<Item = ShardHandle> {
    let shard = |n| Shard::builder().shard_id(format!("shardId-{n:012}")).build();
    let shards = (0..shards).map(|n| shard(n).expect("a shard"));
    let lists = stream::iter([ShardList::full("orders", shards.collect())]);
    parents_first(lists).map(|shard: Result<_, ListError>| shard.expect("a shard"))
}

/// Removes the pauses between reads: the canned Kinesis has no limits.
fn without_pauses(options: ReadOptions) -> ReadOptions {
    options.min_read_interval(Duration::ZERO).max_bytes_per_second(None)
}

/// Reads the workload with the crate, record by record.
pub(crate) async fn read_records(client: &Client, workload: Workload, options: ReadOptions) {
    let shards = handles(workload.shards);
    let mut all = Box::pin(shards.records(client).with_options(without_pauses(options)));
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = all.next().await {
        records += 1;
        bytes += record.expect("a record").data().len();
    }
    workload.assert_was_read(records, bytes);
}

/// Reads the workload with the crate, page by page.
pub(crate) async fn read_batches(client: &Client, workload: Workload) {
    let shards = handles(workload.shards);
    let mut all = Box::pin(shards.batches(client).with_options(without_pauses(ReadOptions::new())));
    let (mut records, mut bytes) = (0, 0);
    while let Some(batch) = all.next().await {
        for record in batch.expect("a batch") {
            records += 1;
            bytes += record.data().len();
        }
    }
    workload.assert_was_read(records, bytes);
}

/// Reads the workload with acknowledgements, from shards with checkpoints.
pub(crate) async fn read_acknowledged<S>(client: &Client, workload: Workload, shards: S)
where
    S: Stream<Item = CheckpointedShard>,
{
    let options = without_pauses(ReadOptions::new());
    let all = shards.records(client).with_options(options).auto_ack();
    let mut all = Box::pin(all.take(workload.total_records()));
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = all.next().await {
        records += 1;
        bytes += record.expect("a record").data().len();
    }
    workload.assert_was_read(records, bytes);
}

/// Returns the shards of the workload with new checkpoints, which are saved as by default.
async fn with_checkpoints(
    client: &Client,
    workload: Workload,
) -> impl Stream<Item = CheckpointedShard> {
    let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await.expect("none");
    let client = client.clone();
    handles(workload.shards).map(move |shard| checkpoints.open(shard, &client))
}

/// Reads the workload with checkpoints and `auto_ack`.
pub(crate) async fn read_auto_ack(client: &Client, workload: Workload) {
    let shards = with_checkpoints(client, workload).await;
    let options = without_pauses(ReadOptions::new());
    let mut all = Box::pin(shards.records(client).with_options(options).auto_ack());
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = all.next().await {
        records += 1;
        bytes += record.expect("a record").data().len();
    }
    workload.assert_was_read(records, bytes);
}

/// Reads the workload with checkpoints, and acknowledges each record.
pub(crate) async fn read_and_ack(client: &Client, workload: Workload) {
    let shards = with_checkpoints(client, workload).await;
    let options = without_pauses(ReadOptions::new());
    let mut all = Box::pin(shards.records(client).with_options(options));
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = all.next().await {
        records += 1;
        bytes += record.expect("a record").ack().data().len();
    }
    workload.assert_was_read(records, bytes);
}

/// Reads the workload with checkpoints, and acknowledges each page.
pub(crate) async fn read_and_ack_batches(client: &Client, workload: Workload) {
    let shards = with_checkpoints(client, workload).await;
    let mut all = Box::pin(shards.batches(client).with_options(without_pauses(ReadOptions::new())));
    let (mut records, mut bytes) = (0, 0);
    while let Some(batch) = all.next().await {
        for record in batch.expect("a batch").ack() {
            records += 1;
            bytes += record.data().len();
        }
    }
    workload.assert_was_read(records, bytes);
}

/// Reads the workload with a bare loop for each shard, all of them concurrently.
pub(crate) async fn read_bare(client: &Client, workload: Workload) {
    let shards = (0..workload.shards).map(|_| read_shard_bare(client).boxed());
    let shards: FuturesUnordered<_> = shards.collect();
    let records: usize = shards.fold(0, |sum, records| future::ready(sum + records)).await;
    assert_eq!(records, workload.total_records());
}

async fn read_shard_bare(client: &Client) -> usize {
    let (mut iterator, mut records, mut bytes) = (Some("0".to_owned()), 0, 0);
    while let Some(current) = iterator {
        let request = client.get_records().shard_iterator(current).limit(10_000);
        let page = request.send().await.expect("a response");
        for record in page.records {
            records += 1;
            bytes += record.data.as_ref().len();
        }
        iterator = page.next_shard_iterator;
    }
    assert!(bytes > 0);
    records
}
