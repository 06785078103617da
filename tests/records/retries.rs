//! What goes wrong: what is tried again, from where, and what is not.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_tried_again_with_the_same_iterator() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..1);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    assert_eq!(take(&mut records, 1).await, [0]);
    put(&orders, 1..3);
    for fault in [
        Fault::Throttled,
        Fault::KmsThrottling,
        Fault::InternalFailure,
        Fault::ServiceUnavailable,
        Fault::ConnectionReset,
        Fault::TruncatedBody,
        Fault::NotJson,
        Fault::NeverAnswers,
        Fault::Error { status: 418, code: "Teapot".to_owned() },
    ] {
        kinesis.fail_times("GetRecords", 2, fault);
    }
    assert_eq!(take(&mut records, 2).await, [1, 2]);
    assert_eq!(kinesis.count("GetShardIterator"), 1, "a new iterator was not needed");
    let failed = kinesis.requests().into_iter().filter(|request| request.fault().is_some());
    let iterators: Vec<_> = failed.map(|request| request.body()["ShardIterator"].clone()).collect();
    assert_eq!(iterators.len(), 18);
    assert!(iterators.iter().all(|iterator| *iterator == iterators[0]));
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_made_anew_after_the_last_record() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..4);
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with(ReadOptions::new().max_records(2));
    let mut batch = Vec::new();
    for _ in 0..2 {
        batch.push(records.next().await.unwrap().unwrap());
    }
    kinesis.fail_next("GetRecords", Fault::ExpiredIterator);
    assert_eq!(take(&mut records, 2).await, [2, 3]);
    let asked = kinesis.bodies("GetShardIterator");
    assert_eq!(asked[1]["ShardIteratorType"], "AFTER_SEQUENCE_NUMBER");
    assert_eq!(asked[1]["StartingSequenceNumber"], batch[1].sequence_number());
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_loses_and_repeats_nothing() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..12);
        let options = ReadOptions::new().max_records(3);
        let options = runtime.into_iter().fold(options, ReadOptions::spawn_on);
        let mut batches = first(all_shards(&client, "orders")).await.batches(&client).with(options);
        let mut numbers = Vec::new();
        while numbers.len() < 12 {
            let batch = batches.next().await.unwrap().unwrap();
            numbers.extend(batch.into_iter().map(|record| number(&record)));
            // Longer than an iterator lives.
            sleep(Duration::from_mins(6)).await;
        }
        assert_eq!(numbers, (0..12).collect::<Vec<_>>());
        assert!(kinesis.count("GetShardIterator") > 1, "{:?}", kinesis.counts());
    }
}

#[tokio::test(start_paused = true)]
async fn latest_skips_nothing_when_its_iterator_expires_before_the_first_record() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..5);
    sleep(Duration::from_secs(1)).await;
    let mut records = first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    assert!(timeout(Duration::from_secs(10), records.next()).await.is_err());
    kinesis.fail_times("GetRecords", 2, Fault::ServiceUnavailable);
    kinesis.fail_next("GetRecords", Fault::ExpiredIterator);
    put(&orders, 5..7);
    assert_eq!(take(&mut records, 2).await, [5, 6]);
    assert_eq!(kinesis.bodies("GetShardIterator")[1]["ShardIteratorType"], "AT_TIMESTAMP");
}

#[tokio::test(start_paused = true)]
async fn latest_skips_nothing_when_its_first_iterator_is_late_in_coming() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..5);
    sleep(Duration::from_secs(1)).await;
    kinesis.fail_times("GetShardIterator", 5, Fault::ServiceUnavailable);
    let mut records = first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    assert!(timeout(Duration::from_secs(2), records.next()).await.is_err());
    put(&orders, 5..7);
    assert_eq!(take(&mut records, 2).await, [5, 6]);
    let asked = kinesis.bodies("GetShardIterator");
    assert_eq!(asked[0]["ShardIteratorType"], "LATEST");
    assert!(asked[1..].iter().all(|body| body["ShardIteratorType"] == "AT_TIMESTAMP"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn latest_is_when_the_reader_was_made() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..5);
    sleep(Duration::from_secs(1)).await;
    let mut records = first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    sleep(Duration::from_mins(10)).await;
    put(&orders, 5..7);
    sleep(Duration::from_mins(10)).await;
    assert_eq!(take(&mut records, 2).await, [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_is_kept_until_the_first_record() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..2);
    sleep(Duration::from_secs(10)).await;
    let since = kinesis.now().into();
    sleep(Duration::from_secs(10)).await;
    put(&orders, 2..4);
    let shards = all_shards(&client, "orders").start_at(StartAt::Timestamp(since));
    let mut records = first(shards).await.records(&client);
    kinesis.fail_next("GetRecords", Fault::ExpiredIterator);
    assert_eq!(take(&mut records, 2).await, [2, 3]);
    let asked = kinesis.bodies("GetShardIterator");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
}

/// A client's clock that is ahead: now is a time that is to come, which Kinesis refuses for as long.
#[tokio::test(start_paused = true)]
async fn a_timestamp_that_is_not_past_yet_is_waited_for_within_reason() {
    for (ahead, is_waited_for) in [(Duration::from_mins(2), true), (Duration::from_hours(24), false)] {
        let (kinesis, orders, client) = fake(1);
        let since = kinesis.now() + ahead;
        let shard = first(all_shards(&client, "orders").start_at(StartAt::Timestamp(since.into()))).await;
        let mut records = shard.records(&client);
        let next = tokio::spawn(async move { records.next().await });
        sleep(ahead + Duration::from_secs(1)).await;
        put(&orders, 0..1);
        let record = next.await.unwrap().unwrap();
        assert_eq!(record.is_ok(), is_waited_for, "{ahead:?}: {record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_ends_the_reader_and_hands_the_shard_back() {
    for (fault, advice) in [
        (Fault::AccessDenied, "kinesis:GetRecords"),
        (Fault::KmsDisabled, "kms:Decrypt"),
        (Fault::KmsAccessDenied, "kms:Decrypt"),
        (Fault::Error { status: 400, code: "InvalidArgumentException".to_owned() }, "start"),
    ] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..1);
        let mut shards = all_shards(&client, "orders");
        let mut records = shards.next().await.unwrap().records(&client);
        kinesis.fail_next("GetRecords", fault);
        let error = records.next().await.unwrap().unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!((error.stream().name(), error.shard_id()), ("orders", FIRST));
        let text = error.to_string();
        assert!(["orders", FIRST, "GetRecords", advice].iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(records.ended(), Some(&ReaderEnd::Failed));
        assert!(records.next().await.is_none());
        // Offered again, and now it can be read.
        let again = shards.next().await.unwrap();
        assert_eq!(take(again.records(&client), 1).await, [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_seen_and_their_pauses_grow() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ends = Arc::new(Mutex::new(Vec::new()));
    let options = ReadOptions::new().on_event({
        let (seen, ends) = (Arc::clone(&seen), Arc::clone(&ends));
        move |event| match event.kind {
            ReadEventKind::Retry { error, failures, wait, .. } => {
                assert_eq!((event.stream.name(), event.shard_id), ("orders", FIRST));
                assert!(error.is_throttling() && error.is_retryable());
                seen.lock().unwrap().push((failures, wait));
            }
            ReadEventKind::Ended(end) => ends.lock().unwrap().push(end.clone()),
            _ => {}
        }
    });
    kinesis.fail_times("GetRecords", 9, Fault::Throttled);
    let mut records = first(all_shards(&client, "orders")).await.records(&client).with(options);
    assert_eq!(take(&mut records, 1).await, [0]);
    drop(records);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(|(failures, _)| *failures).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    assert!(seen[0].1 <= Duration::from_millis(400) && seen[8].1 >= Duration::from_secs(5), "{seen:?}");
    assert_eq!(*ends.lock().unwrap(), [ReaderEnd::Dropped]);
}
