//! The in-process Kinesis, through the real SDK.
#![cfg(feature = "testing")]

mod arguments;
mod consumers;
mod fan_out;
mod faults;
mod limits;
mod log;
mod streams;
mod timeouts;
mod wire;

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, ShardIteratorType};
use kinesis_shards::testing::{FakeKinesis, FakeStream};

const FIRST: &str = "shardId-000000000000";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Returns a client that sends each request once.
fn without_retries(fake: &FakeKinesis) -> Client {
    Client::from_conf(fake.config().retry_config(RetryConfig::disabled()).build())
}

/// Returns the fake with one stream of one shard, and a client without retries.
fn one_stream(fake: FakeKinesis) -> (FakeKinesis, FakeStream, Client) {
    let orders = fake.create_stream("orders", 1);
    let client = without_retries(&fake);
    (fake, orders, client)
}

async fn list(client: &Client) -> Result<ListShardsOutput, SdkError<ListShardsError>> {
    client.list_shards().stream_name("orders").send().await
}

fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(Shard::shard_id).collect()
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
}

/// Returns an iterator at the trim horizon or at the tip.
async fn iterator(client: &Client, shard: &str, kind: ShardIteratorType) -> String {
    let request = client.get_shard_iterator().stream_name("orders").shard_id(shard);
    let response = request.shard_iterator_type(kind).send().await.expect("an iterator");
    response.shard_iterator.expect("always given")
}

async fn trim_horizon(client: &Client, shard: &str) -> String {
    iterator(client, shard, ShardIteratorType::TrimHorizon).await
}

fn entry(partition_key: &str, data: &str) -> PutRecordsRequestEntry {
    let entry = PutRecordsRequestEntry::builder().partition_key(partition_key);
    entry.data(Blob::new(data)).build().expect("complete")
}
