//! The request log, and the assertions on it.

use aws_sdk_kinesis::Client;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits, Request};

use crate::{FIRST, SECOND, list, one_stream, trim_horizon};

fn unlimited() -> (FakeKinesis, FakeStream, Client) {
    one_stream(FakeKinesis::builder().limits(Limits::none()).build())
}

/// Reads a batch of at most one record from the trim horizon.
async fn read(client: &Client, shard: &str) {
    let iterator = trim_horizon(client, shard).await;
    let _ = client.get_records().shard_iterator(iterator).limit(1).send().await;
}

/// Reads a closed shard to its end.
async fn finish(client: &Client, shard: &str) {
    let mut next = Some(trim_horizon(client, shard).await);
    while let Some(iterator) = next {
        next = client
            .get_records()
            .shard_iterator(iterator)
            .send()
            .await
            .expect("read")
            .next_shard_iterator;
    }
}

#[tokio::test(start_paused = true)]
async fn rates_count_every_request() {
    let (fake, orders, client) = unlimited();
    orders.put("k", "12345");
    for _ in 0..3 {
        read(&client, FIRST).await;
        list(&client).await.expect("listed");
    }
    fake.fail_next("GetRecords", Fault::Throttled);
    fake.fail_nth("GetRecords", 2, Fault::ConnectionReset);
    read(&client, FIRST).await;
    read(&client, FIRST).await;
    assert_eq!(
        fake.bytes_read("orders", FIRST),
        3 * 6,
        "a rejected or lost response reads nothing"
    );
    assert_eq!(fake.requests_of("GetRecords").iter().map(Request::records_read).sum::<usize>(), 3);
    fake.advance(SECOND).await;
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

/// Returns the panic message of an assertion that fails.
fn message(assert: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(assert))
        .expect_err("the assertion fails");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref::<&str>().map(ToString::to_string))
        .expect("a message")
}

#[tokio::test(start_paused = true)]
async fn rate_assertion_names_the_offender() {
    let (fake, _, client) = unlimited();
    for _ in 0..6 {
        read(&client, FIRST).await;
        list(&client).await.expect("listed");
    }
    let rate = "within a second, more than 5";
    let shard = "shardId-000000000000 of stream orders got";
    let reads = message(|| fake.assert_read_rate_at_most(5));
    assert_eq!(reads, format!("{shard} 6 GetRecords {rate}"));
    let iterators = message(|| fake.assert_iterator_rate_at_most(5));
    assert_eq!(iterators, format!("{shard} 6 GetShardIterator {rate}"));
    let listings = message(|| fake.assert_listing_rate_at_most(5));
    assert_eq!(listings, format!("stream orders got 6 ListShards {rate}"));
}

#[tokio::test(start_paused = true)]
async fn assertion_on_an_empty_log_panics() {
    let (fake, orders, client) = unlimited();
    let all_fail = |fake: &FakeKinesis, reason: &str| {
        let all: [fn(&FakeKinesis); 4] = [
            |fake| fake.assert_read_rate_at_most(5),
            |fake| fake.assert_iterator_rate_at_most(5),
            |fake| fake.assert_listing_rate_at_most(5),
            FakeKinesis::assert_parents_read_first,
        ];
        for assert in all {
            let message = message(|| assert(fake));
            assert!(message.contains(reason), "{message}");
        }
    };
    all_fail(&fake, "the request log has no");
    orders.put("k", "x");
    read(&client, FIRST).await;
    fake.assert_read_rate_at_most(5);
    let vacuous = message(|| fake.assert_parents_read_first());
    assert!(vacuous.contains("no shard was read together with a parent"), "{vacuous}");
    fake.clear_requests();
    all_fail(&fake, "the request log has no");

    let silent = FakeKinesis::builder().log_requests(false).build();
    silent.create_stream("orders", 1);
    read(&silent.client(), FIRST).await;
    all_fail(&silent, "keeps no request log");
}

#[tokio::test(start_paused = true)]
async fn children_read_after_the_ends_of_their_parents_pass() {
    let (fake, orders, client) = unlimited();
    orders.put("k", "1");
    orders.put("k", "2");
    let (low, high) = orders.split(FIRST);
    let merged = orders.merge(&low, &high);
    finish(&client, FIRST).await;
    finish(&client, &high).await;
    finish(&client, &low).await;
    read(&client, &merged).await;
    fake.assert_parents_read_first();
    // A restarted pipeline may read the shards again.
    finish(&client, FIRST).await;
    read(&client, &low).await;
    fake.assert_parents_read_first();
}

#[tokio::test(start_paused = true)]
async fn child_read_too_early_is_named() {
    let early = async |fault: Option<Fault>| {
        let (fake, orders, client) = unlimited();
        orders.put("k", "1");
        orders.put("k", "2");
        let (low, _) = orders.split(FIRST);
        read(&client, FIRST).await;
        if let Some(fault) = fault {
            // The last response is lost, so the end of the shard was not read.
            fake.fail_next("GetRecords", fault);
            let iterator = trim_horizon(&client, FIRST).await;
            client.get_records().shard_iterator(iterator).send().await.expect_err("lost");
        }
        read(&client, &low).await;
        finish(&client, FIRST).await;
        message(|| fake.assert_parents_read_first())
    };
    let expected = "shardId-000000000001 of stream orders was read before the end of its parent \
                    shardId-000000000000";
    assert_eq!(early(None).await, expected);
    assert_eq!(early(Some(Fault::ConnectionReset)).await, expected);
    assert_eq!(early(Some(Fault::Throttled)).await, expected);
}

#[tokio::test(start_paused = true)]
async fn parent_that_was_never_read_does_not_count() {
    let (fake, orders, client) = unlimited();
    let (low, high) = orders.split(FIRST);
    let (lowest, _) = orders.split(&low);
    orders.expire(FIRST);
    finish(&client, &low).await;
    read(&client, &lowest).await;
    read(&client, &high).await;
    fake.assert_parents_read_first();
    // A re-created stream has other shards with the same ids.
    orders.recreate(1);
    let (low, _) = orders.split(FIRST);
    finish(&client, FIRST).await;
    read(&client, &low).await;
    fake.assert_parents_read_first();
}
