//! Shards as both formats describe them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::types::Shard;
use futures::{StreamExt, TryStreamExt};
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::listing::shard_lists;
use kinesis_shards::shard::ParentOutcome;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ShardStreamExt, all_shards};

use crate::canned::{Canned, Response};

/// Creates a stream with 4 shards that were split or merged and 3 that are open.
fn fake() -> FakeKinesis {
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 2);
    orders.split("shardId-000000000000");
    orders.merge("shardId-000000000001", "shardId-000000000003");
    orders.split("shardId-000000000004");
    kinesis
}

/// Returns a client that lists in CBOR, and one that lists in JSON.
fn clients(kinesis: &FakeKinesis) -> [Client; 2] {
    let json = kinesis.config().protocol(CborProtocol::disabled());
    [kinesis.client(), Client::from_conf(json.build())]
}

/// Returns the shards as the SDK lists them in JSON, with the parents of each.
async fn listed(kinesis: &FakeKinesis) -> Vec<(Shard, Vec<String>)> {
    let [_, json] = clients(kinesis);
    let list = json.list_shards().stream_name("orders").send().await.unwrap();
    let parents = |shard: &Shard| {
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        parents.into_iter().flatten().map(str::to_owned).collect()
    };
    list.shards.unwrap().into_iter().map(|shard| (shard.clone(), parents(&shard))).collect()
}

#[tokio::test(start_paused = true)]
async fn handles_describe_their_shards_alike_in_both_formats() {
    let kinesis = fake();
    let listed = listed(&kinesis).await;
    assert_eq!(listed.len(), 7);
    for (client, is_cbor) in clients(&kinesis).iter().zip([true, false]) {
        kinesis.clear_requests();
        let mut shards = all_shards(client, "orders");
        let mut offered = Vec::new();
        for _ in 0..listed.len() {
            let shard = shards.next().await.unwrap();
            assert!(shard.parents().all(|(_, outcome)| outcome == ParentOutcome::Completed));
            let parents = shard.parents().map(|(id, _)| id.to_owned()).collect();
            assert_eq!(shard.id(), shard.shard().shard_id());
            offered.push((shard.shard().clone(), parents));
            shard.complete();
        }
        offered.sort_by_key(|(shard, _)| shard.shard_id.clone());
        assert_eq!(offered, listed);
        assert_eq!(kinesis.requests()[0].is_cbor(), is_cbor);
    }
}

#[tokio::test(start_paused = true)]
async fn lists_hold_the_same_shards_in_both_formats() {
    let kinesis = fake();
    let listed: Vec<Shard> = listed(&kinesis).await.into_iter().map(|(shard, _)| shard).collect();
    let mut named = Vec::new();
    for (client, is_cbor) in clients(&kinesis).iter().zip([true, false]) {
        kinesis.clear_requests();
        let mut lists = shard_lists(client, "orders", Duration::from_secs(30));
        let list = lists.try_next().await.unwrap().unwrap();
        assert_eq!(kinesis.requests()[0].is_cbor(), is_cbor);
        assert_eq!(list.shards().cloned().collect::<Vec<_>>(), listed);
        assert_eq!(list.clone().shards().cloned().collect::<Vec<_>>(), listed);
        named.push(format!("{list:?}").matches("shardId-").count());
    }
    // A shard is formatted without its page.
    assert_eq!(named[0], named[1]);
}

/// Notes which outputs the SDK has read without their list of shards or of records.
#[derive(Clone, Debug, Default)]
struct Outputs(Arc<Mutex<Vec<(&'static str, bool)>>>);

impl Intercept for Outputs {
    fn name(&self) -> &'static str {
        "Outputs"
    }

    fn read_after_deserialization(
        &self,
        response: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = response.output_or_error() else { return Ok(()) };
        let mut outputs = self.0.lock().unwrap();
        if let Some(list) = output.downcast_ref::<ListShardsOutput>() {
            outputs.push(("ListShards", list.shards.is_none()));
        } else if let Some(page) = output.downcast_ref::<GetRecordsOutput>() {
            outputs.push(("GetRecords", page.records.is_empty()));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_sdk_reads_neither_the_shards_nor_the_records_of_responses_in_cbor() {
    let kinesis = FakeKinesis::new();
    kinesis.create_stream("orders", 1).put("customer", "an order");
    for (protocol, is_left_out) in [(CborProtocol::new(), true), (CborProtocol::disabled(), false)]
    {
        let outputs = Outputs::default();
        let config = kinesis.config().protocol(protocol).interceptor(outputs.clone());
        let client = Client::from_conf(config.build());
        let mut records = all_shards(&client, "orders").records(&client);
        assert_eq!(records.next().await.unwrap().unwrap().data(), b"an order");
        let outputs = outputs.0.lock().unwrap();
        assert_eq!(*outputs, [("ListShards", is_left_out), ("GetRecords", is_left_out)]);
    }
}

#[tokio::test]
async fn a_list_in_cbor_that_repeats_a_shard_is_sorted_and_names_all_its_parents() {
    let text = |text: &str| [&[0x60 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let shard = |id: &str, parent: Option<&str>| {
        let head = [0xa1 + u8::from(parent.is_some())];
        let parent = parent.map(|id| [text("ParentShardId"), text(id)].concat());
        [&head[..], &text("ShardId"), &text(id), &parent.unwrap_or_default()].concat()
    };
    let shards = [shard("2", Some("1")), shard("1", None), shard("2", Some("0"))].concat();
    let body = [&[0xa1][..], &text("Shards"), &[0x83], &shards].concat();
    let canned = Canned::new(Response { status: 200, headers: Vec::new(), body });
    let mut lists = shard_lists(&canned.client(), "orders", Duration::from_secs(30));
    let list = lists.try_next().await.unwrap().unwrap();
    let shards: Vec<_> = list.shards().collect();
    let ids: Vec<_> = shards.iter().map(|shard| shard.shard_id()).collect();
    assert_eq!(ids, ["1", "2", "2"]);
    let parents = [shards[1].parent_shard_id(), shards[1].adjacent_parent_shard_id()];
    assert_eq!(parents, [Some("1"), Some("0")]);
}
