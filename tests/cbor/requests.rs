//! The requests are those of the SDK for Java, byte for byte.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, ShardFilter, ShardFilterType, ShardIteratorType, StreamMode,
    StreamModeDetails,
};

use crate::canned::{Canned, Response};
use crate::hex_of;

const ARN: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
const SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";
const FIRST: &str = "shardId-000000000000";

fn time() -> DateTime {
    DateTime::from_millis(1_764_100_000_123)
}

/// Sends the request of this name. The response may lack what the operation needs.
async fn send(client: &Client, name: &str) {
    let list = || client.list_shards();
    let iterator = || client.get_shard_iterator().shard_id(FIRST);
    match name {
        "list_by_name" => drop(list().stream_name("orders").send().await),
        "list_by_arn" => drop(list().stream_arn(ARN).max_results(1000).send().await),
        "list_after" => {
            let list = list().stream_name("orders");
            drop(list.exclusive_start_shard_id("shardId-000000000007").send().await);
        }
        "list_from_timestamp" => {
            let filter = ShardFilter::builder().r#type(ShardFilterType::FromTimestamp);
            let filter = filter.timestamp(time()).build().unwrap();
            drop(list().stream_name("orders").shard_filter(filter).send().await);
        }
        "list_next" => drop(list().next_token("a token").send().await),
        "iterator_trim_horizon" => {
            let iterator = iterator().stream_name("orders");
            drop(iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await);
        }
        "iterator_after" => {
            let iterator = iterator().stream_arn(ARN).starting_sequence_number(SEQUENCE);
            drop(iterator.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).send().await);
        }
        "iterator_at_timestamp" | "iterator_before_1970" => {
            let at =
                if name == "iterator_before_1970" { DateTime::from_millis(-1500) } else { time() };
            let iterator = iterator().stream_name("orders").timestamp(at);
            drop(iterator.shard_iterator_type(ShardIteratorType::AtTimestamp).send().await);
        }
        "records" => {
            drop(client.get_records().shard_iterator("AAAA").limit(10_000).send().await);
        }
        "records_by_arn" => {
            let records = client.get_records().shard_iterator("A".repeat(300)).limit(23);
            drop(records.stream_arn(ARN).send().await);
        }
        "put" => {
            let put = client.put_record().stream_name("orders").partition_key("käse");
            drop(put.explicit_hash_key("0").data(Blob::new([0, 1, 0xff])).send().await);
        }
        "put_empty" => {
            let put = client.put_record().stream_name("orders").partition_key("k");
            drop(put.data(Blob::new([])).send().await);
        }
        "put_many" => {
            let entry = PutRecordsRequestEntry::builder;
            let first = entry().partition_key("a").data(Blob::new("first")).build().unwrap();
            let second = entry().partition_key("b").explicit_hash_key("17");
            let second = second.data(Blob::new(vec![0; 300])).build().unwrap();
            let put = client.put_records().stream_name("orders").records(first).records(second);
            drop(put.send().await);
        }
        "summary" => drop(client.describe_stream_summary().stream_name("orders").send().await),
        "create" => {
            let mode = StreamModeDetails::builder().stream_mode(StreamMode::Provisioned);
            let create = client.create_stream().stream_name("orders").shard_count(200);
            drop(create.stream_mode_details(mode.build().unwrap()).send().await);
        }
        "split" => {
            let split = client.split_shard().stream_name("orders").shard_to_split(FIRST);
            drop(split.new_starting_hash_key("1").send().await);
        }
        "delete" => {
            let delete = client.delete_stream().stream_name("orders");
            drop(delete.enforce_consumer_deletion(true).send().await);
        }
        other => panic!("{other} is not known"),
    }
}

#[tokio::test]
async fn requests_are_those_of_the_sdk_for_java() {
    let canned = Canned::new(Response { status: 200, headers: Vec::new(), body: vec![0xa0] });
    let client = canned.client();
    let lines = include_str!("requests.txt").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let [name, operation, body] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        send(&client, name).await;
        let request = canned.take_request();
        assert_eq!(request.target, format!("Kinesis_20131202.{operation}"));
        assert_eq!(request.content_type, "application/x-amz-cbor-1.1");
        assert_eq!(hex_of(&request.body), body, "{name}");
        count += 1;
    }
    assert_eq!(count, 18);
}
