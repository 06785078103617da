//! Failures: which are retried, and at which position.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_retried_with_the_same_iterator() {
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
        Fault::TruncatedBody,
        Fault::NotJson,
        Fault::NeverResponds,
        Fault::Error { status: 418, code: "Teapot".to_owned() },
    ] {
        kinesis.fail_times("GetRecords", 2, fault);
    }
    assert_eq!(take(&mut records, 2).await, [1, 2]);
    assert_eq!(kinesis.count("GetShardIterator"), 1, "a new iterator was not needed");
    let failed = kinesis.requests().into_iter().filter(|request| request.fault().is_some());
    let iterators: Vec<_> = failed.map(|request| request.body()["ShardIterator"].clone()).collect();
    assert_eq!(iterators.len(), 16);
    assert!(iterators.iter().all(|iterator| *iterator == iterators[0]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_iterator_is_replaced_by_one_at_the_last_record() {
    for fault in [Fault::ExpiredIterator, Fault::ConnectionReset, Fault::ConnectionRefused] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..4);
        let mut records = first(all_shards(&client, "orders"))
            .await
            .records(&client)
            .with_options(ReadOptions::new().max_records(2));
        let mut batch = Vec::new();
        for _ in 0..2 {
            batch.push(records.next().await.unwrap().unwrap());
        }
        kinesis.fail_next("GetRecords", fault);
        assert_eq!(take(&mut records, 2).await, [2, 3]);
        let requested = kinesis.bodies("GetShardIterator");
        assert_eq!(requested.len(), 2);
        assert_eq!(requested[1]["ShardIteratorType"], "AT_SEQUENCE_NUMBER");
        assert_eq!(requested[1]["StartingSequenceNumber"], batch[1].sequence_number());
        let read = kinesis.bodies("GetRecords");
        assert_eq!(
            (&read[1]["Limit"], &read[2]["Limit"]),
            (&2.into(), &3.into()),
            "the new iterator also returns the last record"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_loses_and_repeats_nothing() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..12);
        let options = ReadOptions::new().max_records(3);
        let options = runtime.into_iter().fold(options, ReadOptions::spawn_on);
        let mut batches =
            first(all_shards(&client, "orders")).await.batches(&client).with_options(options);
        let mut numbers = Vec::new();
        while numbers.len() < 12 {
            let batch = batches.next().await.unwrap().unwrap();
            numbers.extend(batch.into_iter().map(|record| number(&record)));
            // Longer than the lifetime of an iterator.
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
    let mut records =
        first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    assert!(timeout(Duration::from_secs(10), records.next()).await.is_err());
    kinesis.fail_times("GetRecords", 2, Fault::ServiceUnavailable);
    kinesis.fail_next("GetRecords", Fault::ExpiredIterator);
    put(&orders, 5..7);
    assert_eq!(take(&mut records, 2).await, [5, 6]);
    assert_eq!(kinesis.bodies("GetShardIterator")[1]["ShardIteratorType"], "AT_TIMESTAMP");
}

#[tokio::test(start_paused = true)]
async fn latest_skips_nothing_when_its_first_iterator_is_late() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..5);
    sleep(Duration::from_secs(1)).await;
    kinesis.fail_times("GetShardIterator", 5, Fault::ServiceUnavailable);
    let mut records =
        first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    assert!(timeout(Duration::from_secs(2), records.next()).await.is_err());
    put(&orders, 5..7);
    assert_eq!(take(&mut records, 2).await, [5, 6]);
    let requested = kinesis.bodies("GetShardIterator");
    assert_eq!(requested[0]["ShardIteratorType"], "LATEST");
    assert!(
        requested[1..].iter().all(|body| body["ShardIteratorType"] == "AT_TIMESTAMP"),
        "{requested:?}"
    );
}

/// The request may take long, or the consumer may not poll the response.
#[tokio::test(start_paused = true)]
async fn a_late_latest_iterator_is_not_used() {
    for (late, pause) in [
        (Duration::from_secs(3), Duration::ZERO),
        (Duration::from_millis(500), Duration::from_secs(2)),
    ] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..5);
        sleep(Duration::from_secs(1)).await;
        kinesis.fail_next("GetShardIterator", Fault::Late(late));
        let mut records =
            first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
        let began = aws_sdk_kinesis::primitives::DateTime::from(kinesis.now());
        assert!(poll!(records.next()).is_pending());
        put(&orders, 5..6);
        sleep(pause).await;
        assert_eq!(take(&mut records, 1).await, [5]);
        let requested = kinesis.bodies("GetShardIterator");
        assert_eq!(requested.len(), 2);
        assert_eq!(requested[0]["ShardIteratorType"], "LATEST");
        assert_eq!(requested[1]["ShardIteratorType"], "AT_TIMESTAMP");
        let from = requested[1]["Timestamp"].as_f64().unwrap();
        assert!((from - began.as_secs_f64()).abs() < 0.002, "{from} for {began:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_latest_iterator_that_arrives_in_time_is_used() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..5);
    kinesis.fail_next("GetShardIterator", Fault::Late(Duration::from_millis(900)));
    let mut records =
        first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    assert!(timeout(Duration::from_secs(5), records.next()).await.is_err());
    put(&orders, 5..6);
    assert_eq!(take(&mut records, 1).await, [5]);
    assert_eq!(kinesis.count("GetShardIterator"), 1);
}

/// The SDK's own retries, which are on by default, would hide failures and overload a throttled
/// shard.
#[tokio::test(start_paused = true)]
async fn each_attempt_is_one_request_whatever_retries_the_client_has() {
    for retries in [RetryConfig::standard(), RetryConfig::adaptive().with_max_attempts(10)] {
        for fault in [Fault::Throttled, Fault::ServiceUnavailable, Fault::ConnectionReset] {
            let kinesis = FakeKinesis::new();
            let orders = kinesis.create_stream("orders", 1);
            let client = Client::from_conf(kinesis.config().retry_config(retries.clone()).build());
            put(&orders, 0..1);
            kinesis.fail_times("GetShardIterator", 4, fault.clone());
            kinesis.fail_times("GetRecords", 4, fault.clone());
            let (events, options) = retry_events();
            let mut records =
                first(all_shards(&client, "orders")).await.records(&client).with_options(options);
            assert_eq!(take(&mut records, 1).await, [0]);
            assert_eq!(events.lock().unwrap().len(), 8);
            // A broken connection loses the iterator.
            let iterators = if fault == Fault::ConnectionReset { 9 } else { 5 };
            assert_eq!(kinesis.count("GetShardIterator"), iterators);
            assert_eq!(kinesis.count("GetRecords"), 5);
            let requests = kinesis.requests();
            for pair in requests[1..].windows(2).filter(|pair| pair[0].fault().is_some()) {
                assert!(pair[1].at() - pair[0].at() >= Duration::from_millis(200), "{pair:?}");
            }
        }
    }
}

/// Returns options that collect the error text of each retry.
fn retry_events() -> (Arc<Mutex<Vec<String>>>, ReadOptions) {
    let events: Arc<Mutex<Vec<String>>> = Arc::default();
    let options = ReadOptions::new().on_event({
        let events = Arc::clone(&events);
        move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                assert!(error.is_retryable());
                events.lock().unwrap().push(error.to_string());
            }
        }
    });
    (events, options)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_times_out_and_is_retried() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, _) = fake(1);
        // Without stalled stream protection, only the reader's own timeout applies.
        let stalls = aws_sdk_kinesis::config::StalledStreamProtectionConfig::disabled();
        let client = Client::from_conf(kinesis.config().stalled_stream_protection(stalls).build());
        put(&orders, 0..1);
        kinesis.fail_times("GetShardIterator", 2, Fault::NeverResponds);
        kinesis.fail_times("GetRecords", 2, Fault::NeverResponds);
        let (events, options) = retry_events();
        let options = runtime.into_iter().fold(options, ReadOptions::spawn_on);
        let mut records =
            first(all_shards(&client, "orders")).await.records(&client).with_options(options);
        assert_eq!(take(&mut records, 1).await, [0]);
        let events = events.lock().unwrap();
        assert_eq!(events.len(), 4);
        assert!(events.iter().all(|text| text.contains("no response within 60 s")), "{events:?}");
        assert_eq!(kinesis.count("GetShardIterator"), 3);
        let reads = kinesis.bodies("GetRecords");
        let iterators: Vec<_> = reads[..3].iter().map(|body| &body["ShardIterator"]).collect();
        assert!(iterators.iter().all(|iterator| *iterator == iterators[0]), "{iterators:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_without_an_iterator_is_retried() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..1);
    kinesis.fail_times("GetShardIterator", 3, Fault::Body("{}".to_owned()));
    let (events, options) = retry_events();
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with_options(options);
    assert_eq!(take(&mut records, 1).await, [0]);
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 3);
    assert!(events[0].contains("no iterator"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn latest_is_the_time_at_which_the_reader_was_created() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..5);
    sleep(Duration::from_secs(1)).await;
    let mut records =
        first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
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
    let requested = kinesis.bodies("GetShardIterator");
    assert_eq!(requested.len(), 2);
    assert_eq!(requested[0], requested[1]);
}

/// Kinesis refuses a time in the future, such as the present by a client's clock that is ahead.
#[tokio::test(start_paused = true)]
async fn a_start_slightly_in_the_future_is_retried_until_it_is_past() {
    for (ahead, is_waited_for) in
        [(Duration::from_mins(2), true), (Duration::from_hours(24), false)]
    {
        let (kinesis, orders, client) = fake(1);
        let since = kinesis.now() + ahead;
        let shard =
            first(all_shards(&client, "orders").start_at(StartAt::Timestamp(since.into()))).await;
        let mut records = shard.records(&client);
        let next = tokio::spawn(async move { records.next().await });
        sleep(ahead + Duration::from_secs(1)).await;
        put(&orders, 0..1);
        let record = next.await.unwrap().unwrap();
        assert_eq!(record.is_ok(), is_waited_for, "{ahead:?}: {record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_ends_the_reader_and_abandons_the_shard() {
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
        assert!(
            ["orders", FIRST, "GetRecords", advice].iter().all(|part| text.contains(part)),
            "{text}"
        );
        assert_eq!(records.ended(), Some(&EndReason::Failed));
        assert!(records.next().await.is_none());
        // The shard is offered again, and can now be read.
        let again = shards.next().await.unwrap();
        assert_eq!(take(again.records(&client), 1).await, [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_retry_is_an_event_and_its_delay_grows() {
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
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with_options(options);
    assert_eq!(take(&mut records, 1).await, [0]);
    drop(records);
    let seen = seen.lock().unwrap();
    assert_eq!(
        seen.iter().map(|(failures, _)| *failures).collect::<Vec<_>>(),
        (1..=9).collect::<Vec<_>>()
    );
    assert!(
        seen[0].1 <= Duration::from_millis(400) && seen[8].1 >= Duration::from_secs(5),
        "{seen:?}"
    );
    assert_eq!(*ends.lock().unwrap(), [EndReason::Dropped]);
}
