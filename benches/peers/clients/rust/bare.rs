//! The SDK alone: a loop over `GetRecords` for each shard.

use std::cell::RefCell;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::STREAM;
use crate::meter::Meter;

/// Reads all shards concurrently.
pub(crate) async fn read(client: &Client, meter: Meter) {
    let meter = RefCell::new(meter);
    let list = client.list_shards().stream_name(STREAM).send().await.expect("a list");
    let shards = list.shards().iter().map(|shard| read_shard(client, shard.shard_id(), &meter));
    let shards: FuturesUnordered<_> = shards.collect();
    shards.collect::<()>().await;
}

async fn read_shard(client: &Client, shard_id: &str, meter: &RefCell<Meter>) {
    let start = client
        .get_shard_iterator()
        .stream_name(STREAM)
        .shard_id(shard_id)
        .shard_iterator_type(ShardIteratorType::TrimHorizon);
    let mut iterator = start.send().await.expect("an iterator").shard_iterator;
    while let Some(current) = iterator {
        let request = client.get_records().shard_iterator(current).limit(10_000);
        let page = request.send().await.expect("a page");
        let mut meter = meter.borrow_mut();
        for record in page.records() {
            meter.count(record.data().as_ref());
        }
        iterator = page.next_shard_iterator;
    }
}
