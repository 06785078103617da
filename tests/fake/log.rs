//! The request log, and the assertions on it.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition, SubscribeToShardEventStream};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits, Request};

use crate::{FIRST, SECOND, list, one_stream, trim_horizon};

type Events = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

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

/// Subscribes as the consumer `billing`, from the trim horizon.
async fn subscribe(client: &Client, orders: &FakeStream, shard: &str) -> Events {
    let consumer = format!("{}/consumer/billing:1767225600", orders.arn());
    let from = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build();
    let request = client.subscribe_to_shard().consumer_arn(consumer).shard_id(shard);
    let request = request.starting_position(from.expect("complete"));
    request.send().await.expect("a subscription").event_stream
}

#[tokio::test(start_paused = true)]
async fn events_of_a_subscription_count_in_its_request() {
    let (fake, orders, client) = unlimited();
    orders.register_consumer("billing");
    orders.put("k", "1234");
    orders.put("k", "5678");
    let mut events = subscribe(&client, &orders, FIRST).await;
    let read = || {
        let request = &fake.requests_of("SubscribeToShard")[0];
        (request.records_read(), request.bytes_read(), request.read_the_end())
    };
    assert_eq!(read(), (0, 0, false), "no event was sent");
    events.recv().await.expect("an event");
    assert_eq!(read(), (2, 10, false));
    orders.put("k", "9");
    orders.split(FIRST);
    events.recv().await.expect("an event");
    assert_eq!(read(), (3, 12, true));
    assert_eq!(fake.bytes_read("orders", FIRST), 12);

    // The end comes again, and its request is not in the log.
    let mut events = subscribe(&client, &orders, FIRST).await;
    fake.clear_requests();
    events.recv().await.expect("an event");
    assert_eq!(fake.bytes_read("orders", FIRST), 0);
    subscribe(&client, &orders, FIRST).await.recv().await.expect("an event");
    assert_eq!(read(), (3, 12, true));
}

#[tokio::test(start_paused = true)]
async fn event_that_a_fault_lost_or_damaged_reads_nothing() {
    for fault in [Fault::IoErrorAfter(0), Fault::CutFrameAfter(0), Fault::BadChecksumAfter(0)] {
        let (fake, orders, client) = unlimited();
        orders.register_consumer("billing");
        orders.put("k", "1");
        fake.fail_next("SubscribeToShard", fault.clone());
        let mut events = subscribe(&client, &orders, FIRST).await;
        events.recv().await.expect_err("a fault");
        assert_eq!(fake.bytes_read("orders", FIRST), 0, "{fault:?}");
        assert_eq!(fake.requests()[0].fault(), Some(&fault));
    }
}

#[tokio::test(start_paused = true)]
async fn child_is_subscribed_to_after_the_end_of_its_parent() {
    for is_early in [false, true] {
        let (fake, orders, client) = unlimited();
        orders.register_consumer("billing");
        orders.put("k", "1");
        let (low, _) = orders.split(FIRST);
        let mut parent = subscribe(&client, &orders, FIRST).await;
        let mut child = subscribe(&client, &orders, &low).await;
        // The order of the events counts, not that of the requests.
        if is_early {
            child.recv().await.expect("an event");
            parent.recv().await.expect("an event");
            let early = message(|| fake.assert_parents_read_first());
            assert!(early.contains("was read before the end of its parent"), "{early}");
        } else {
            parent.recv().await.expect("an event");
            child.recv().await.expect("an event");
            fake.assert_parents_read_first();
        }
    }
}
