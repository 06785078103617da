//! Shards as both formats describe them.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use futures::{StreamExt, TryStreamExt};
use kinesis_shards::all_shards;
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::listing::shard_lists;
use kinesis_shards::shard::ParentOutcome;
use kinesis_shards::testing::FakeKinesis;

/// Creates a stream with 4 shards that were split or merged and 3 that are open.
fn fake() -> FakeKinesis {
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 2);
    orders.split("shardId-000000000000");
    orders.merge("shardId-000000000001", "shardId-000000000003");
    orders.split("shardId-000000000004");
    kinesis
}

/// Returns a client that is asked in CBOR, and one that is asked in JSON.
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
    for client in clients(&kinesis) {
        let mut lists = shard_lists(&client, "orders", Duration::from_secs(30));
        let list = lists.try_next().await.unwrap().unwrap();
        assert_eq!(list.shards().cloned().collect::<Vec<_>>(), listed);
        assert_eq!(list.clone().shards().cloned().collect::<Vec<_>>(), listed);
    }
}
