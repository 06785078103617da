//! Changes that a test makes to streams directly, as requests see them.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ScalingType, Shard, ShardFilter, ShardFilterType, StreamDescriptionSummary, StreamMode,
    StreamStatus,
};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault};

use crate::{FIRST, HOUR, ids, is_open, list, one_stream, without_retries};

const MIB: usize = 1 << 20;

async fn summary(client: &Client) -> StreamDescriptionSummary {
    let summary =
        client.describe_stream_summary().stream_name("orders").send().await.expect("described");
    summary.stream_description_summary.expect("always given")
}

async fn filtered(client: &Client, filter: ShardFilterType) -> Vec<String> {
    let filter = ShardFilter::builder().r#type(filter).build().expect("a type");
    let listed = client
        .list_shards()
        .stream_name("orders")
        .shard_filter(filter)
        .send()
        .await
        .expect("listed");
    ids(listed.shards()).into_iter().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn only_the_test_reshards_an_on_demand_stream() {
    let fake = FakeKinesis::new();
    let orders = fake.create_on_demand_stream("orders");
    let client = without_retries(&fake);
    let split =
        client.split_shard().stream_name("orders").shard_to_split(FIRST).new_starting_hash_key("9");
    assert_eq!(split.send().await.expect_err("rejected").code(), Some("ValidationException"));
    let scale = client.update_shard_count().stream_name("orders").target_shard_count(8);
    let scale = scale.scaling_type(ScalingType::UniformScaling).send().await.expect_err("rejected");
    assert!(scale.into_service_error().is_validation_exception());

    let doubled = orders.double();
    assert_eq!((doubled.len(), orders.shards().len()), (8, 12));
    assert_eq!(doubled, orders.open_shards());
    let merged = orders.merge(&doubled[0], &doubled[1]);
    let (low, high) = orders.split(&doubled[7]);
    let open = orders.open_shards();
    assert_eq!((open.first(), &open[6..]), (Some(&merged), &[low, high][..]));
    orders.update_shard_count(4);
    assert_eq!(summary(&client).await.open_shard_count(), 4);

    orders.recreate(3);
    assert_eq!(orders.open_shards().len(), 3);
    let mode = summary(&client).await.stream_mode_details.expect("always given").stream_mode;
    assert_eq!(mode, StreamMode::OnDemand);
}

#[tokio::test(start_paused = true)]
async fn requests_see_a_transition() {
    let fake = FakeKinesis::builder().transition(Duration::from_secs(10)).build();
    let client = without_retries(&fake);
    client.create_stream().stream_name("orders").shard_count(1).send().await.expect("CREATING");
    assert_eq!(summary(&client).await.stream_status(), &StreamStatus::Creating);
    let rejected = list(&client).await.expect_err("still CREATING");
    assert!(rejected.into_service_error().is_resource_in_use_exception());
    fake.advance(Duration::from_secs(10)).await;
    assert_eq!(summary(&client).await.stream_status(), &StreamStatus::Active);

    let split = |shard: &str, key: u128| {
        let split = client.split_shard().stream_name("orders").shard_to_split(shard);
        split.new_starting_hash_key(key.to_string()).send()
    };
    split(FIRST, 1 << 127).await.expect("UPDATING");
    assert_eq!(summary(&client).await.stream_status(), &StreamStatus::Updating);
    let rejected = split("shardId-000000000001", 1 << 126).await.expect_err("still UPDATING");
    assert!(rejected.into_service_error().is_resource_in_use_exception());
    let put = client.put_record().stream_name("orders").partition_key("k").data(Blob::new("x"));
    put.send().await.expect("an UPDATING stream takes writes");
    fake.advance(Duration::from_secs(10)).await;
    split("shardId-000000000001", 1 << 126).await.expect("ACTIVE again");

    client.delete_stream().stream_name("orders").send().await.expect("DELETING");
    assert_eq!(summary(&client).await.stream_status(), &StreamStatus::Deleting);
    let rejected = list(&client).await.expect_err("DELETING");
    assert!(rejected.into_service_error().is_resource_in_use_exception());
    let put = client.put_record().stream_name("orders").partition_key("k").data(Blob::new("x"));
    let rejected = put.send().await.expect_err("DELETING").into_service_error();
    assert!(rejected.is_resource_not_found_exception());
    fake.advance(Duration::from_secs(10)).await;
    let gone =
        client.describe_stream_summary().stream_name("orders").send().await.expect_err("gone");
    assert!(gone.into_service_error().is_resource_not_found_exception());
}

#[tokio::test(start_paused = true)]
async fn changes_of_a_test_have_no_transition() {
    let fake = FakeKinesis::builder().transition(HOUR).build();
    let orders = fake.create_stream("orders", 1);
    let client = without_retries(&fake);
    orders.put("k", "x");
    let (low, high) = orders.split(FIRST);
    orders.split(&low);
    let low = orders.open_shards()[1].clone();
    orders.merge(&low, &high);
    orders.set_retention_hours(48);
    assert_eq!(summary(&client).await.stream_status(), &StreamStatus::Active);
    // They ignore a transition that a request has started.
    let open = orders.open_shards();
    let merge = client.merge_shards().stream_name("orders").shard_to_merge(&open[0]);
    merge.adjacent_shard_to_merge(&open[1]).send().await.expect("UPDATING");
    orders.split(&orders.open_shards()[0]);
    orders.update_shard_count(4);
    orders.delete();
    assert!(client.list_streams().send().await.expect("listed").stream_names().is_empty());
    client.create_stream().stream_name("orders").shard_count(1).send().await.expect("CREATING");
    orders.put("k", "x");
    orders.recreate(2);
    assert_eq!(summary(&client).await.stream_status(), &StreamStatus::Active);
}

async fn put(client: &Client, size: usize) -> Option<String> {
    let put = client
        .put_record()
        .stream_name("orders")
        .partition_key("k")
        .data(Blob::new(vec![7; size - 1]));
    put.send().await.err().and_then(|error| error.code().map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn large_records_need_a_larger_maximum_record_size() {
    let fake = FakeKinesis::new();
    let client = without_retries(&fake);
    let create = |kib| {
        client.create_stream().stream_name("orders").shard_count(1).max_record_size_in_kib(kib)
    };
    for kib in [-1, 1023, 10_241] {
        let rejected = create(kib).send().await.expect_err("rejected").into_service_error();
        assert!(rejected.is_validation_exception(), "{kib}");
    }
    create(10_240).send().await.expect("created");
    assert_eq!(summary(&client).await.max_record_size_in_kib(), Some(10_240));
    assert_eq!(put(&client, 10 * MIB).await, None);
    assert_eq!(put(&client, 1).await.as_deref(), Some("ProvisionedThroughputExceededException"));
    fake.advance(Duration::from_secs(10)).await;
    assert_eq!(put(&client, 1).await, None);
    let orders = fake.stream("orders");
    let sizes: Vec<_> =
        orders.records(FIRST).iter().map(|record| record.data().as_ref().len()).collect();
    assert_eq!(sizes, [10 * MIB - 1, 0]);

    let update =
        |kib| client.update_max_record_size().stream_arn(orders.arn()).max_record_size_in_kib(kib);
    for kib in [1023, 10_241] {
        let rejected = update(kib).send().await.expect_err("rejected").into_service_error();
        assert!(rejected.is_validation_exception(), "{kib}");
    }
    update(2048).send().await.expect("updated");
    assert_eq!(summary(&client).await.max_record_size_in_kib(), Some(2048));
    assert_eq!(put(&client, 2 * MIB + 1).await.as_deref(), Some("InvalidArgumentException"));

    fake.create_stream("others", 1);
    let others =
        client.describe_stream_summary().stream_name("others").send().await.expect("described");
    let others =
        others.stream_description_summary.and_then(|summary| summary.max_record_size_in_kib);
    assert_eq!(others, Some(1024));
    fake.stream("others").set_max_record_size(5000);
    fake.stream("others").put("k", vec![0; 4 * MIB]);
}

#[tokio::test(start_paused = true)]
async fn stale_listing_shows_shards_that_have_expired_since() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 2);
    let client = without_retries(&fake);
    let stale = async |ago: Duration| {
        fake.fail_next("ListShards", Fault::StaleListing(ago));
        let listed = list(&client).await.expect("listed");
        let shard = |shard: &Shard| (shard.shard_id().to_owned(), is_open(shard));
        listed.shards().iter().map(shard).collect::<Vec<_>>()
    };
    let shard = |index: u32, open| (format!("shardId-{index:012}"), open);
    fake.advance(HOUR).await;
    orders.split("shardId-000000000001");
    fake.advance(HOUR).await;
    orders.expire("shardId-000000000001");
    fake.advance(HOUR).await;
    let now = [shard(0, true), shard(2, true), shard(3, true)];
    assert_eq!(stale(HOUR / 2).await, now);
    let before_it_expired = [shard(0, true), shard(1, false), shard(2, true), shard(3, true)];
    assert_eq!(stale(HOUR * 3 / 2).await, before_it_expired);
    assert_eq!(stale(HOUR * 5 / 2).await, [shard(0, true), shard(1, true)]);
    // A shard that expired by its age: an hour after the end of its retention period, a listing
    // that is two hours stale still shows it.
    orders.split(FIRST);
    fake.advance(24 * HOUR + HOUR).await;
    assert_eq!(orders.shards().len(), 4);
    assert_eq!(stale(HOUR / 2).await.len(), 4);
    assert_eq!(stale(2 * HOUR).await[0], shard(0, false));
}

#[tokio::test(start_paused = true)]
async fn trim_horizon_always_has_shards() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
    fake.advance(HOUR).await;
    let (low, high) = orders.split(FIRST);
    orders.expire(FIRST);
    assert_eq!(filtered(&client, ShardFilterType::AtTrimHorizon).await, [low, high]);

    orders.recreate(1);
    fake.advance(10 * HOUR).await;
    let (low, high) = orders.split(FIRST);
    fake.advance(25 * HOUR).await;
    orders.set_retention_hours(48);
    fake.advance(HOUR).await;
    assert_eq!(filtered(&client, ShardFilterType::AtTrimHorizon).await, [low, high]);
}

#[tokio::test(start_paused = true)]
async fn list_streams_tokens_are_validated() {
    let fake = FakeKinesis::new();
    for name in ["a", "b", "c"] {
        fake.create_stream(name, 1);
    }
    let client = without_retries(&fake);
    let first = client.list_streams().limit(1).send().await.expect("a page");
    let token = first.next_token().expect("more");
    fake.delete_stream("b");
    fake.advance(Duration::from_mins(5)).await;
    let second = client.list_streams().next_token(token).send().await.expect("a page");
    assert_eq!((second.stream_names(), second.has_more_streams()), (&["c".to_owned()][..], false));
    for garbage in ["garbage", "Z2FyYmFnZQ=="] {
        let rejected =
            client.list_streams().next_token(garbage).send().await.expect_err("rejected");
        assert!(rejected.into_service_error().is_invalid_argument_exception());
    }
    fake.advance(Duration::from_millis(1001)).await;
    let rejected = client.list_streams().next_token(token).send().await.expect_err("rejected");
    assert!(rejected.into_service_error().is_expired_next_token_exception());
}

#[tokio::test(start_paused = true)]
async fn region_and_account_are_configurable() {
    let fake = FakeKinesis::builder().region("eu-central-1").account("000000000007").build();
    let orders = fake.create_stream("orders", 1);
    let arn = "arn:aws:kinesis:eu-central-1:000000000007:stream/orders";
    assert_eq!(orders.arn(), arn);
    let client = without_retries(&fake);
    client.list_shards().stream_arn(arn).send().await.expect("listed");
    let elsewhere = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
    let rejected = client.list_shards().stream_arn(elsewhere).send().await.expect_err("rejected");
    assert!(rejected.into_service_error().is_resource_not_found_exception());
    let rejected = client.list_shards().stream_name("none").send().await.expect_err("rejected");
    assert_eq!(rejected.message(), Some("Stream none under account 000000000007 not found."));
    assert_eq!(client.config().region().map(AsRef::as_ref), Some("eu-central-1"));
}

#[tokio::test]
#[should_panic(expected = "an account id has 12 digits")]
async fn account_must_have_twelve_digits() {
    let _ = FakeKinesis::builder().account("12");
}

fn keys(orders: &FakeStream, shard: &str) -> Vec<String> {
    orders.records(shard).into_iter().filter_map(|record| record.partition_key).collect()
}

#[tokio::test]
async fn put_to_writes_to_the_shard_under_any_partition_key() {
    let orders = FakeKinesis::new().create_stream("orders", 2);
    let open = orders.open_shards();
    for shard in &open {
        orders.put_to_with_key(shard, "customer 7", "x");
        orders.put_to(shard, "y");
        assert_eq!(keys(&orders, shard), ["customer 7", "put_to"]);
    }
}
