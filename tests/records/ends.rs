//! The ends of readers, and the outcomes of their shards.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_shard_ends_after_its_last_record_and_its_children_open() {
    for with_last_records in [false, true] {
        let kinesis = FakeKinesis::builder().end_with_last_records(with_last_records).build();
        let (kinesis, orders, client) = fake_with(kinesis, 1);
        put(&orders, 0..5);
        orders.split(FIRST);
        let mut shards = all_shards(&client, "orders");
        let shard = shards.next().await.unwrap();
        // The list does not name the children.
        let mut records = shard.records(&client).with_options(ReadOptions::new().max_records(2));
        for expected in 0..5 {
            let record = records.next().await.unwrap().unwrap();
            assert_eq!((number(&record), record.shard_id()), (expected, FIRST));
            assert_eq!(record.stream().name(), "orders");
            assert!(record.arrival_time().is_some() && record.partition_key().is_some());
            assert!(records.lag().is_some());
        }
        assert_eq!((records.ended(), records.shard_id()), (None, Some(FIRST)));
        assert!(poll!(shards.next()).is_pending(), "the shard is closed, but not read to its end");
        assert!(records.next().await.is_none());
        assert_eq!(records.shard_id(), None);
        let Some(EndReason::EndOfShard { children }) = records.ended() else {
            panic!("{records:?}")
        };
        assert_eq!(children.len(), 2);
        let listings = kinesis.count("ListShards");
        for _ in 0..2 {
            let child = shards.next().now_or_never().flatten().expect("a child, in the next poll");
            assert_eq!(child.parents().collect::<Vec<_>>(), [(FIRST, ParentOutcome::Completed)]);
        }
        assert_eq!(kinesis.count("ListShards"), listings);
        assert!(records.next().await.is_none(), "an ended stream stays ended");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_does_not_end_an_open_shard() {
    let (kinesis, orders, client) = fake(1);
    let shard = first(all_shards(&client, "orders")).await;
    let mut records = shard.records(&client);
    kinesis.fail_times("GetRecords", 3, Fault::EmptyRead);
    put(&orders, 0..1);
    assert_eq!(take(&mut records, 1).await, [0]);
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    put(&orders, 1..2);
    assert_eq!(take(&mut records, 1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_closed_shard_ends_at_once() {
    let (_, orders, client) = fake(1);
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    let mut batches = shard.batches(&client);
    assert!(batches.next().await.is_none());
    assert!(matches!(batches.ended(), Some(EndReason::EndOfShard { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reader_abandons_its_shard() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..3);
    orders.split(FIRST);
    // Dropping a handle would close its shard.
    let mut shards = all_shards(&client, "orders").on_drop(OnDrop::Close);
    for taken in [0, 1, 3] {
        let mut records = shards.next().await.unwrap().records(&client);
        assert_eq!(take(&mut records, taken).await.len(), taken);
        drop(records);
    }
    // The children still wait, and the shard starts at its first start.
    let again = shards.next().await.unwrap();
    assert_eq!((again.id(), again.start()), (FIRST, &StartPosition::TrimHorizon));
    let aborted = tokio::spawn(again.records(&client).for_each(|_| std::future::pending()));
    sleep(Duration::from_secs(5)).await;
    aborted.abort();
    assert_eq!(shards.next().await.unwrap().id(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn an_expired_shard_ends_and_its_children_open() {
    let (kinesis, orders, client) = fake(1);
    orders.split(FIRST);
    let mut shards = all_shards(&client, "orders");
    let mut records = shards.next().await.unwrap().records(&client);
    // One such response does not end the shard.
    kinesis.fail_next("GetShardIterator", Fault::ResourceNotFound);
    let mut next = records.next();
    assert!(poll!(&mut next).is_pending());
    orders.expire(FIRST);
    assert!(next.await.is_none());
    assert_eq!(records.ended(), Some(&EndReason::Expired));
    let child = shards.next().await.unwrap();
    assert_eq!(child.parents().collect::<Vec<_>>(), [(FIRST, ParentOutcome::Unlisted)]);
}

/// Kinesis may not know a new shard everywhere yet.
#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_find_the_shard_is_retried_once() {
    let (kinesis, _, client) = fake(1);
    for operation in ["GetShardIterator", "GetRecords"] {
        let mut records = first(all_shards(&client, "orders")).await.records(&client);
        kinesis.clear_requests();
        kinesis.fail_always(operation, Fault::ResourceNotFound);
        if operation == "GetRecords" {
            // The reader then requests a new iterator.
            kinesis.fail_nth("GetShardIterator", 2, Fault::ResourceNotFound);
        }
        assert!(records.next().await.is_none());
        assert_eq!(records.ended(), Some(&EndReason::Expired));
        let requests = kinesis.requests();
        let failed: Vec<_> = requests.iter().filter(|request| request.fault().is_some()).collect();
        assert_eq!(failed.len(), 2);
        assert!(failed[1].at() - failed[0].at() >= Duration::from_secs(1));
        kinesis.clear_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_no_read_finds_ends_although_it_has_iterators() {
    let (kinesis, _, client) = fake(1);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    kinesis.fail_always("GetRecords", Fault::ResourceNotFound);
    let end = timeout(Duration::from_hours(1), records.next()).await;
    assert!(end.expect("an end").is_none());
    assert_eq!(records.ended(), Some(&EndReason::Expired));
    assert_eq!(kinesis.count("GetRecords"), 8);
}

#[tokio::test(start_paused = true)]
async fn one_response_that_does_not_find_the_shard_does_not_end_it() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..2);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    kinesis.fail_next("GetRecords", Fault::ResourceNotFound);
    assert_eq!(take(&mut records, 2).await, [0, 1]);
}

#[test]
fn readers_are_send_and_static() {
    fn assert<T: Send + Unpin + 'static>() {}
    assert::<kinesis_shards::records::Batches>();
    assert::<kinesis_shards::records::Records>();
    assert::<kinesis_shards::records::AllRecords<kinesis_shards::AllShards>>();
    assert::<ReadError>();
}
