//! Inconclusive responses: the end of a shard is confirmed before its children open.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_kinesis::types::Shard;
use kinesis_shards::ListError;
use kinesis_shards::lineage::parents_first;
use kinesis_shards::listing::ListRequest;
use kinesis_shards::listing::ShardList;

use super::*;

/// The bodies of inconclusive responses.
const INCONCLUSIVE: [&str; 4] = [
    "",
    "{}",
    r#"{"Records":[],"NextShardIterator":null,"MillisBehindLatest":0}"#,
    r#"{"Records":[],"NextShardIterator":"","ChildShards":[]}"#,
];

/// Returns options that count the retries.
fn counted() -> (ReadOptions, Arc<AtomicUsize>) {
    let retries = Arc::new(AtomicUsize::new(0));
    let options = ReadOptions::new().on_event({
        let retries = Arc::clone(&retries);
        move |event| {
            if let ReadEventKind::Retry { error, failures, .. } = event.kind {
                assert!(failures > 0 && error.is_retryable(), "{error}");
                retries.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (options, retries)
}

#[tokio::test(start_paused = true)]
async fn an_open_shard_continues_after_an_inconclusive_response() {
    for body in INCONCLUSIVE {
        for times in [1, 12] {
            let (kinesis, orders, client) = fake(1);
            put(&orders, 0..4);
            let (options, retries) = counted();
            let records = all_shards(&client, "orders").records(&client);
            let mut records = pin!(records.with_options(options.max_records(2)));
            assert_eq!(take(&mut records, 2).await, [0, 1]);
            kinesis.fail_times("GetRecords", times, Fault::Body(body.to_owned()));
            assert_eq!(take(&mut records, 2).await, [2, 3], "after {body}");
            assert_eq!(retries.load(Ordering::SeqCst), times, "each one is a retry: {body}");
            put(&orders, 4..5);
            assert_eq!(take(&mut records, 1).await, [4]);
            let sent = kinesis.bodies("GetRecords");
            assert!(sent.iter().all(|sent| sent["ShardIterator"] != ""), "{body}");
            // Each claim requests a full list, and no list follows once records arrive.
            let listings = kinesis.count("ListShards");
            assert!((2..=times + 2).contains(&listings), "{listings} after {body}");
        }
    }
}

/// The delays grow up to 10 s, as after any failed read.
#[tokio::test(start_paused = true)]
async fn a_server_whose_responses_stay_inconclusive_is_retried_ever_more_rarely() {
    for before in [0, 1] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..before);
        let mut records = pin!(all_shards(&client, "orders").records(&client));
        take(&mut records, before as usize).await;
        kinesis.fail_always("GetRecords", Fault::Body("{}".to_owned()));
        kinesis.clear_requests();
        assert!(timeout(Duration::from_mins(10), records.next()).await.is_err());
        let reads = kinesis.count("GetRecords");
        assert!(reads <= 150, "{reads} reads in 10 minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn records_without_a_next_iterator_are_delivered_and_the_shard_continues() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..4);
    kinesis.fail_times("GetRecords", 2, Fault::NoNextIterator);
    let (options, retries) = counted();
    let records = all_shards(&client, "orders").records(&client);
    let mut records = pin!(records.with_options(options.max_records(2)));
    assert_eq!(take(&mut records, 4).await, [0, 1, 2, 3]);
    assert_eq!(retries.load(Ordering::SeqCst), 2);
    put(&orders, 4..5);
    assert_eq!(take(&mut records, 1).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_is_read_to_its_end_after_an_inconclusive_response() {
    for body in INCONCLUSIVE {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..4);
        orders.split(FIRST);
        let mut records = pin!(
            all_shards(&client, "orders")
                .records(&client)
                .with_options(ReadOptions::new().max_records(2))
        );
        assert_eq!(take(&mut records, 2).await, [0, 1]);
        // A list has shown the shard as closed.
        kinesis.fail_next("GetRecords", Fault::Body(body.to_owned()));
        assert_eq!(take(&mut records, 2).await, [2, 3], "after {body}");
    }
}

/// Some servers name no child shards.
#[tokio::test(start_paused = true)]
async fn an_end_without_child_shards_is_confirmed_by_a_list() {
    for (with_last_records, spawns) in [(false, false), (true, false), (true, true)] {
        let kinesis =
            FakeKinesis::builder().end_with_last_records(with_last_records).child_shards(false);
        let (kinesis, orders, client) = fake_with(kinesis.build(), 1);
        put(&orders, 0..3);
        let (mut options, retries) = counted();
        if spawns {
            options = options.spawn_on(tokio::runtime::Handle::current());
        }
        let mut records =
            pin!(all_shards(&client, "orders").records(&client).with_options(options));
        assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
        orders.put_to(FIRST, "3");
        let (low, high) = orders.split(FIRST);
        orders.put_to(&low, "4");
        orders.put_to(&high, "5");
        let mut taken = take(&mut records, 3).await;
        taken[1..].sort_unstable();
        assert_eq!(taken, [3, 4, 5]);
        assert!(retries.load(Ordering::SeqCst) >= 1, "the first such response is not an end");
        kinesis.assert_parents_read_first();
    }
}

/// Kinesalite yields a page without records before each end of an empty shard, and reports a lag at
/// that end.
#[tokio::test(start_paused = true)]
async fn an_end_that_always_follows_an_empty_page_is_confirmed() {
    let kinesis = FakeKinesis::builder().kinesalite_ends(true).build();
    let (kinesis, orders, client) = fake_with(kinesis, 1);
    let (low, high) = orders.split(FIRST);
    orders.put_to(&low, "0");
    orders.put_to(&high, "1");
    let mut records = pin!(all_shards(&client, "orders").records(&client));
    let mut taken = take(&mut records, 2).await;
    taken.sort_unstable();
    assert_eq!(taken, [0, 1]);
    kinesis.assert_parents_read_first();
}

/// The consumer no longer polls the stream of shards.
#[tokio::test(start_paused = true)]
async fn an_unheard_end_that_always_follows_an_empty_page_is_confirmed() {
    let kinesis = FakeKinesis::builder().kinesalite_ends(true).build();
    let (_kinesis, orders, client) = fake_with(kinesis, 1);
    let mut shards = pin!(all_shards(&client, "orders"));
    let shard = shards.next().await.unwrap();
    orders.split(FIRST);
    let read = shard.records(&client).collect::<Vec<_>>();
    let ended = tokio::time::timeout(Duration::from_hours(1), read).await;
    assert!(ended.expect("the reader ends").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stale_list_does_not_confirm_an_end() {
    let kinesis = FakeKinesis::builder().child_shards(false).build();
    let (kinesis, orders, client) = fake_with(kinesis, 1);
    put(&orders, 0..1);
    let mut records = pin!(all_shards(&client, "orders").records(&client));
    assert_eq!(take(&mut records, 1).await, [0]);
    let (low, _) = orders.split(FIRST);
    orders.put_to(&low, "1");
    kinesis.fail_times("ListShards", 3, Fault::StaleListing(Duration::from_hours(1)));
    assert_eq!(take(&mut records, 1).await, [1]);
    kinesis.assert_parents_read_first();
}

#[tokio::test(start_paused = true)]
async fn a_reader_lists_the_shards_if_the_stream_of_shards_is_not_polled() {
    for is_dropped in [false, true] {
        let kinesis = FakeKinesis::builder().child_shards(false).build();
        let (kinesis, orders, client) = fake_with(kinesis, 1);
        put(&orders, 0..3);
        let mut shards = Some(all_shards(&client, "orders"));
        let mut records = shards.as_mut().unwrap().next().await.unwrap().records(&client);
        if is_dropped {
            drop(shards.take());
        }
        assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
        kinesis.fail_times("GetRecords", 6, Fault::Body("{}".to_owned()));
        assert!(
            timeout(Duration::from_mins(5), records.next()).await.is_err(),
            "the shard is open"
        );
        kinesis.clear_requests();
        orders.split(FIRST);
        assert!(timeout(Duration::from_mins(5), records.next()).await.expect("an end").is_none());
        assert_eq!(records.ended(), Some(&EndReason::EndOfShard { children: vec![] }));
        assert_eq!(kinesis.count("ListShards"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_confirmed_is_an_error() {
    let kinesis = FakeKinesis::builder().child_shards(false).build();
    let (kinesis, orders, client) = fake_with(kinesis, 1);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    orders.split(FIRST);
    kinesis.fail_always("ListShards", Fault::AccessDenied);
    let error =
        timeout(Duration::from_mins(5), records.next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!((error.operation(), error.is_retryable()), ("ListShards", false));
    let text = error.to_string();
    assert!(text.starts_with("cannot confirm the end of shard shardId-000000000000:"), "{text}");
    assert!(text.contains("kinesis:ListShards"), "{text}");
    assert!(records.next().await.is_none());
    assert_eq!(records.ended(), Some(&EndReason::Failed));
}

#[tokio::test(start_paused = true)]
async fn an_unlisted_shard_with_an_unconfirmed_end_has_expired() {
    let kinesis = FakeKinesis::builder().child_shards(false).build();
    let (kinesis, orders, client) = fake_with(kinesis, 1);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    kinesis.fail_always("GetRecords", Fault::Body("{}".to_owned()));
    kinesis.fail_always("GetShardIterator", Fault::Body(r#"{"ShardIterator":"x"}"#.to_owned()));
    orders.split(FIRST);
    orders.expire(FIRST);
    assert!(timeout(Duration::from_mins(5), records.next()).await.unwrap().is_none());
    assert_eq!(records.ended(), Some(&EndReason::Expired));
}

/// The client has no permission to list, but the user supplies lists.
#[tokio::test(start_paused = true)]
async fn lists_that_the_user_supplies_confirm_an_end() {
    let kinesis = FakeKinesis::builder().child_shards(false).build();
    let (kinesis, orders, client) = fake_with(kinesis, 1);
    kinesis.fail_always("ListShards", Fault::AccessDenied);
    put(&orders, 0..2);
    let lists = stream::unfold(orders.clone(), |orders: FakeStream| async move {
        sleep(Duration::from_secs(2)).await;
        let list: Result<ShardList, ListError> = ShardList::full("orders", orders.shards());
        Some((list, orders))
    });
    let mut shards = pin!(parents_first(lists));
    let mut records = shards.next().await.unwrap().unwrap().records(&client);
    assert_eq!(take(&mut records, 2).await, [0, 1]);
    orders.split(FIRST);
    let children = async {
        let parents = |shard: ShardHandle| shard.parents().map(|(_, how)| how).collect::<Vec<_>>();
        for _ in 0..2 {
            assert_eq!(parents(shards.next().await.unwrap().unwrap()), [ParentOutcome::Completed]);
        }
    };
    let end = async {
        assert!(records.next().await.is_none());
        assert_eq!(records.ended(), Some(&EndReason::EndOfShard { children: vec![] }));
    };
    timeout(Duration::from_mins(5), future::join(end, children))
        .await
        .expect("an end, and the children");
    assert_eq!(kinesis.count("ListShards"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_list_that_shows_the_shard_closed_confirms_its_end() {
    let kinesis = FakeKinesis::builder().child_shards(false).build();
    let (kinesis, orders, client) = fake_with(kinesis, 1);
    put(&orders, 0..2);
    orders.split(FIRST);
    let list: Result<ShardList, ListError> = ShardList::full("orders", orders.shards());
    let mut shards = pin!(parents_first(stream::iter([list])));
    let mut records = shards.next().await.unwrap().unwrap().records(&client);
    assert_eq!(take(&mut records, 2).await, [0, 1]);
    assert!(timeout(Duration::from_mins(1), records.next()).await.unwrap().is_none());
    assert!(matches!(records.ended(), Some(EndReason::EndOfShard { .. })));
    assert_eq!(kinesis.count("ListShards"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_requests_a_full_list() {
    let (kinesis, orders, client) = fake(1);
    let shards: Vec<Shard> = orders.shards();
    let lists = stream::iter([ShardList::full("orders", shards)]).chain(stream::pending());
    let mut shards = pin!(parents_first::<_, ListError>(lists));
    let mut records = shards.next().await.unwrap().unwrap().records(&client);
    kinesis.fail_always("GetRecords", Fault::Body("{}".to_owned()));
    assert!(timeout(Duration::from_secs(1), records.next()).await.is_err());
    assert!(poll!(shards.next()).is_pending());
    assert_eq!(shards.as_mut().take_list_request(), Some(ListRequest::Full));
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_without_an_iterator_ends_and_its_children_open() {
    for body in ["{}", "", r#"{"ShardIterator":null}"#, r#"{"ShardIterator":""}"#] {
        let (kinesis, orders, client) = fake(1);
        let (low, _) = orders.split(FIRST);
        orders.put_to(&low, "1");
        let body = body.to_owned();
        kinesis.on_request(move |request| {
            let is_first =
                request.operation() == "GetShardIterator" && request.body()["ShardId"] == FIRST;
            is_first.then(|| Fault::Body(body.clone()))
        });
        let mut records = pin!(all_shards(&client, "orders").records(&client));
        assert_eq!(take(&mut records, 1).await, [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_iterator_request_of_an_open_shard_is_retried() {
    for body in ["{}", "", r#"{"ShardIterator":null}"#, r#"{"ShardIterator":""}"#] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..1);
        kinesis.fail_times("GetShardIterator", 12, Fault::Body(body.to_owned()));
        let (options, retries) = counted();
        let mut records =
            pin!(all_shards(&client, "orders").records(&client).with_options(options));
        assert_eq!(take(&mut records, 1).await, [0], "{body}");
        assert_eq!(retries.load(Ordering::SeqCst), 12);
        assert!(kinesis.bodies("GetRecords").iter().all(|body| body["ShardIterator"] != ""));
    }
}

/// A closed shard, of which no response names the children. Without a lag of zero, such a response
/// may be a page before the last records.
#[tokio::test(start_paused = true)]
async fn an_end_without_children_is_repeated_once_at_the_tip_and_seven_times_elsewhere() {
    for (body, reads) in [
        (r#"{"Records":[],"MillisBehindLatest":0}"#, 2),
        (r#"{"Records":[],"MillisBehindLatest":7}"#, 8),
        (r#"{"Records":[]}"#, 8),
    ] {
        let (kinesis, orders, client) = fake(1);
        orders.split(FIRST);
        kinesis.fail_always("GetRecords", Fault::Body(body.to_owned()));
        let mut records = first(all_shards(&client, "orders")).await.records(&client);
        assert!(timeout(Duration::from_hours(1), records.next()).await.unwrap().is_none());
        assert_eq!(kinesis.count("GetRecords"), reads, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_lists_the_shards_after_four_ends_in_a_row_that_the_stream_does_not_hear() {
    let (kinesis, orders, client) = fake(1);
    let mut shards = all_shards(&client, "orders");
    let mut records = shards.next().await.unwrap().records(&client);
    kinesis.clear_requests();
    for number in 0..9 {
        kinesis.fail_next("GetRecords", Fault::Body("{}".to_owned()));
        put(&orders, number..number + 1);
        assert_eq!(take(&mut records, 1).await, [number]);
    }
    assert_eq!(kinesis.count("ListShards"), 0, "each end was followed by a record");
    kinesis.clear_requests();
    kinesis.fail_times("GetRecords", 4, Fault::Body("{}".to_owned()));
    kinesis.fail_next("ListShards", Fault::AccessDenied);
    let error = timeout(Duration::from_mins(1), records.next()).await.unwrap().unwrap();
    assert_eq!(error.unwrap_err().operation(), "ListShards");
    assert_eq!(kinesis.count("GetRecords"), 4);
}
