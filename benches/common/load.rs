//! Reading all records of all shards, by the crate and by the SDK's bare loop.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use kinesis_shards::{Error, ReadOptions, ShardHandle, ShardList, ShardStreamExt, parents_first};

/// What one run reads.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) shards: usize,
    pub(crate) pages: usize,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl Load {
    pub(crate) fn total(self) -> usize {
        self.shards * self.pages * self.records
    }

    pub(crate) fn client(self) -> Client {
        super::canned_records::CannedRecords::new(self.pages, self.records, self.bytes).client()
    }
}

/// It ends once all of them have: to collect them, take so many.
pub(crate) fn handles(shards: usize) -> impl Stream<Item = ShardHandle> {
    let shard = |n| aws_sdk_kinesis::types::Shard::builder().shard_id(format!("shardId-{n:012}")).build();
    let list = ShardList::full("orders", (0..shards).map(|n| shard(n).expect("a shard")).collect());
    parents_first(stream::iter([list])).map(|shard: Result<_, Error>| shard.expect("a shard"))
}

/// Without pauses: the canned Kinesis has no limits.
pub(crate) async fn ours(client: &Client, load: Load, options: ReadOptions) {
    let options = options.min_read_interval(Duration::ZERO).max_bytes_per_second(None);
    let shards = handles(load.shards);
    let mut records = Box::pin(shards.records(client).with(options));
    let (mut seen, mut bytes) = (0, 0);
    while let Some(record) = records.next().await {
        seen += 1;
        bytes += record.expect("a record").data().len();
    }
    assert_eq!(seen, load.total());
    assert!(bytes >= seen * load.bytes);
}

/// The same by the page.
pub(crate) async fn by_the_page(client: &Client, load: Load) {
    let options = ReadOptions::new().min_read_interval(Duration::ZERO).max_bytes_per_second(None);
    let shards = handles(load.shards);
    let mut batches = Box::pin(shards.batches(client).with(options));
    let (mut seen, mut bytes) = (0, 0);
    while let Some(batch) = batches.next().await {
        for record in batch.expect("a batch") {
            seen += 1;
            bytes += record.data().len();
        }
    }
    assert_eq!(seen, load.total());
    assert!(bytes >= seen * load.bytes);
}

pub(crate) async fn bare(client: &Client, load: Load) {
    let shards: FuturesUnordered<_> = (0..load.shards).map(|_| bare_shard(client).boxed()).collect();
    let seen: usize = shards.fold(0, |sum, seen| future::ready(sum + seen)).await;
    assert_eq!(seen, load.total());
}

async fn bare_shard(client: &Client) -> usize {
    let (mut iterator, mut seen, mut bytes) = (Some("0".to_owned()), 0, 0);
    while let Some(current) = iterator {
        let page =
            client.get_records().shard_iterator(current).limit(10_000).send().await.expect("an answer");
        for record in page.records {
            seen += 1;
            bytes += record.data.as_ref().len();
        }
        iterator = page.next_shard_iterator;
    }
    assert!(bytes > 0);
    seen
}
