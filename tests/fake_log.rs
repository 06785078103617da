//! What a test asserts of the log.
#![cfg(feature = "testing")]

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};

const FIRST: &str = "shardId-000000000000";

fn one_stream() -> (FakeKinesis, FakeStream, Client) {
    let fake = FakeKinesis::builder().limits(Limits::none()).build();
    let orders = fake.create_stream("orders", 1);
    let client = Client::from_conf(fake.config().retry_config(RetryConfig::disabled()).build());
    (fake, orders, client)
}

async fn iterator(client: &Client, shard: &str) -> Option<String> {
    let ask = client.get_shard_iterator().stream_name("orders").shard_id(shard);
    let iterator = ask.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    iterator.shard_iterator
}

/// One batch of at most one record.
async fn read(client: &Client, shard: &str) {
    let iterator = iterator(client, shard).await;
    let _ = client.get_records().set_shard_iterator(iterator).limit(1).send().await;
}

/// Reads a closed shard to its end.
async fn finish(client: &Client, shard: &str) {
    let mut next = iterator(client, shard).await;
    while let Some(iterator) = next {
        next = client.get_records().shard_iterator(iterator).send().await.expect("read").next_shard_iterator;
    }
}

#[tokio::test(start_paused = true)]
async fn rates_are_of_all_requests() {
    let (fake, orders, client) = one_stream();
    orders.put("k", "12345");
    for _ in 0..3 {
        read(&client, FIRST).await;
        client.list_shards().stream_name("orders").send().await.expect("listed");
    }
    fake.fail_next("GetRecords", Fault::Throttled);
    fake.fail_nth("GetRecords", 2, Fault::ConnectionReset);
    read(&client, FIRST).await;
    read(&client, FIRST).await;
    assert_eq!(fake.bytes_read("orders", FIRST), 3 * 6, "what was refused or lost is not read");
    assert_eq!(fake.requests_of("GetRecords").iter().map(|request| request.records_read()).sum::<usize>(), 3);
    fake.advance(Duration::from_secs(1)).await;
    read(&client, FIRST).await;
    assert_eq!(fake.reads_per_second("orders", FIRST), 5);
    let peaks: Vec<_> = fake.peak_rates().into_iter().collect();
    let expected = [("GetRecords", 5), ("GetShardIterator", 5), ("ListShards", 3)];
    assert_eq!(peaks, expected.map(|(operation, peak)| (operation.to_owned(), peak)));
    assert_eq!(fake.peak_rate(|request| request.error().is_some()), 1);
    assert_eq!(fake.requests_of_shard("orders", FIRST).len(), 12);
    assert!(fake.requests_of_shard("others", FIRST).is_empty());
    fake.assert_read_rate_at_most(5);
    fake.assert_iterator_rate_at_most(5);
    fake.assert_listing_rate_at_most(3);
}

/// What a failed assertion says.
fn said(assert: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(assert)).expect_err("it holds");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref::<&str>().map(ToString::to_string))
        .expect("a text")
}

#[tokio::test(start_paused = true)]
async fn what_is_too_fast_is_named() {
    let (fake, _, client) = one_stream();
    for _ in 0..6 {
        read(&client, FIRST).await;
        client.list_shards().stream_name("orders").send().await.expect("listed");
    }
    let second = "times within a second, not 5";
    let first = "shardId-000000000000 of stream orders was";
    assert_eq!(said(|| fake.assert_read_rate_at_most(5)), format!("{first} read 6 {second}"));
    let iterators = said(|| fake.assert_iterator_rate_at_most(5));
    assert_eq!(iterators, format!("{first} asked for an iterator 6 {second}"));
    assert_eq!(said(|| fake.assert_listing_rate_at_most(5)), format!("stream orders was listed 6 {second}"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asserted_of_nothing() {
    let (fake, orders, client) = one_stream();
    let asserts = |fake: &FakeKinesis, says: &str| {
        let all: [fn(&FakeKinesis); 4] = [
            |fake| fake.assert_read_rate_at_most(5),
            |fake| fake.assert_iterator_rate_at_most(5),
            |fake| fake.assert_listing_rate_at_most(5),
            FakeKinesis::assert_parents_read_first,
        ];
        for assert in all {
            let said = said(|| assert(fake));
            assert!(said.contains(says), "{said}");
        }
    };
    asserts(&fake, "in the log of requests: this shows nothing");
    orders.put("k", "x");
    read(&client, FIRST).await;
    fake.assert_read_rate_at_most(5);
    assert!(said(|| fake.assert_parents_read_first()).contains("of which a parent was read"));
    fake.clear_requests();
    asserts(&fake, "in the log of requests: this shows nothing");

    let silent = FakeKinesis::builder().log_requests(false).build();
    silent.create_stream("orders", 1);
    read(&silent.client(), FIRST).await;
    asserts(&silent, "keeps no log");
}

#[tokio::test(start_paused = true)]
async fn children_are_read_after_the_ends_of_their_parents() {
    let (fake, orders, client) = one_stream();
    orders.put("k", "1");
    orders.put("k", "2");
    let (low, high) = orders.split(FIRST);
    let merged = orders.merge(&low, &high);
    finish(&client, FIRST).await;
    finish(&client, &high).await;
    finish(&client, &low).await;
    read(&client, &merged).await;
    fake.assert_parents_read_first();
    // A second life of the pipeline may read again what the first has read.
    finish(&client, FIRST).await;
    read(&client, &low).await;
    fake.assert_parents_read_first();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_read_too_early_is_named() {
    let early = async |fault: Option<Fault>| {
        let (fake, orders, client) = one_stream();
        orders.put("k", "1");
        orders.put("k", "2");
        let (low, _) = orders.split(FIRST);
        read(&client, FIRST).await;
        if let Some(fault) = fault {
            // The last answer does not come: the shard's end is not read.
            fake.fail_next("GetRecords", fault);
            let iterator = iterator(&client, FIRST).await;
            client.get_records().set_shard_iterator(iterator).send().await.expect_err("lost");
        }
        read(&client, &low).await;
        finish(&client, FIRST).await;
        said(|| fake.assert_parents_read_first())
    };
    let says =
        "shardId-000000000001 of stream orders was read before the end of its parent shardId-000000000000";
    assert_eq!(early(None).await, says);
    assert_eq!(early(Some(Fault::ConnectionReset)).await, says);
    assert_eq!(early(Some(Fault::Throttled)).await, says);
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_was_not_read_is_not_waited_for() {
    let (fake, orders, client) = one_stream();
    let (low, high) = orders.split(FIRST);
    let (lowest, _) = orders.split(&low);
    orders.expire(FIRST);
    finish(&client, &low).await;
    read(&client, &lowest).await;
    read(&client, &high).await;
    fake.assert_parents_read_first();
    // Another stream of the name is another family.
    orders.recreate(1);
    let (low, _) = orders.split(FIRST);
    finish(&client, FIRST).await;
    read(&client, &low).await;
    fake.assert_parents_read_first();
}
