//! Reading shards, through the real SDK.
#![cfg(feature = "testing")]

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use futures::future::ready;
use futures::{FutureExt, Stream, StreamExt, poll};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};
use kinesis_shards::{
    OnDrop, ParentOutcome, ReadError, ReadEventKind, ReadOptions, ReaderEnd, Record, ShardHandle,
    ShardStreamExt, StartAt, StartPosition, all_shards,
};
use tokio::time::{Instant, sleep, timeout};

const FIRST: &str = "shardId-000000000000";

fn fake(shards: u32) -> (FakeKinesis, FakeStream, Client) {
    fake_with(FakeKinesis::new(), shards)
}

fn fake_with(kinesis: FakeKinesis, shards: u32) -> (FakeKinesis, FakeStream, Client) {
    let orders = kinesis.create_stream("orders", shards);
    // The SDK's own retries would blur which request is whose.
    let client = Client::from_conf(kinesis.config().retry_config(RetryConfig::disabled()).build());
    (kinesis, orders, client)
}

fn put(stream: &FakeStream, numbers: std::ops::Range<u32>) {
    for number in numbers {
        stream.put_to(FIRST, number.to_string());
    }
}

fn number(record: &Record) -> u32 {
    std::str::from_utf8(record.data()).unwrap().parse().unwrap()
}

/// Takes so many records.
async fn take(records: impl Stream<Item = Result<Record, ReadError>>, n: usize) -> Vec<u32> {
    let mut records = pin!(records.take(n));
    let mut taken = Vec::new();
    while let Some(record) = timeout(Duration::from_hours(1), records.next()).await.expect("a record") {
        taken.push(number(&record.unwrap()));
    }
    taken
}

async fn first(shards: impl Stream<Item = ShardHandle>) -> ShardHandle {
    pin!(shards).next().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_shard_ends_after_its_last_record_and_names_its_children() {
    for with_last_records in [false, true] {
        let kinesis = FakeKinesis::builder().end_with_last_records(with_last_records).build();
        let (kinesis, orders, client) = fake_with(kinesis, 1);
        put(&orders, 0..5);
        orders.split(FIRST);
        let mut shards = all_shards(&client, "orders");
        let shard = shards.next().await.unwrap();
        // The children are not known from the list.
        let mut records = shard.records(&client).with(ReadOptions::new().max_records(2));
        for expected in 0..5 {
            let record = records.next().await.unwrap().unwrap();
            assert_eq!((number(&record), record.shard_id()), (expected, FIRST));
            assert_eq!(record.stream().name(), "orders");
            assert!(record.arrival_time().is_some() && record.partition_key().is_some());
            assert!(records.lag().is_some());
        }
        assert_eq!(records.ended(), None);
        assert!(poll!(shards.next()).is_pending(), "closed in Kinesis is not read to its end");
        assert!(records.next().await.is_none());
        let Some(ReaderEnd::EndOfShard { children }) = records.ended() else { panic!("{records:?}") };
        assert_eq!(children.len(), 2);
        let listings = kinesis.count("ListShards");
        for _ in 0..2 {
            let child = shards.next().now_or_never().flatten().expect("a child, in the next poll");
            assert_eq!(child.parents().collect::<Vec<_>>(), [(FIRST, ParentOutcome::Completed)]);
        }
        assert_eq!(kinesis.count("ListShards"), listings);
        assert!(records.next().await.is_none(), "it is over for good");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_or_an_open_shard_is_no_end() {
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
async fn an_empty_shard_that_is_closed_ends_at_once() {
    let (_, orders, client) = fake(1);
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    let mut batches = shard.batches(&client);
    assert!(batches.next().await.is_none());
    assert!(matches!(batches.ended(), Some(ReaderEnd::EndOfShard { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_dropped_hands_its_shard_back() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..3);
    orders.split(FIRST);
    // Also where dropping a handle closes its shard.
    let mut shards = all_shards(&client, "orders").on_drop(OnDrop::Close);
    for taken in [0, 1, 3] {
        let mut records = shards.next().await.unwrap().records(&client);
        assert_eq!(take(&mut records, taken).await.len(), taken);
        drop(records);
    }
    // The children have waited, and it starts where it first did.
    let again = shards.next().await.unwrap();
    assert_eq!((again.id(), again.start()), (FIRST, &StartPosition::TrimHorizon));
    let aborted = tokio::spawn(again.records(&client).for_each(|_| std::future::pending()));
    sleep(Duration::from_secs(5)).await;
    aborted.abort();
    assert_eq!(shards.next().await.unwrap().id(), FIRST);
}

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
async fn a_shard_that_has_expired_ends_and_its_children_open() {
    let (kinesis, orders, client) = fake(1);
    orders.split(FIRST);
    let mut shards = all_shards(&client, "orders");
    let mut records = shards.next().await.unwrap().records(&client);
    // Once may be a mistake.
    kinesis.fail_next("GetShardIterator", Fault::ResourceNotFound);
    let mut next = records.next();
    assert!(poll!(&mut next).is_pending());
    orders.expire(FIRST);
    assert!(next.await.is_none());
    assert_eq!(records.ended(), Some(&ReaderEnd::Expired));
    let child = shards.next().await.unwrap();
    assert_eq!(child.parents().collect::<Vec<_>>(), [(FIRST, ParentOutcome::Unlisted)]);
}

#[tokio::test(start_paused = true)]
async fn one_answer_that_a_shard_is_not_there_does_not_end_it() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..2);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    kinesis.fail_next("GetRecords", Fault::ResourceNotFound);
    assert_eq!(take(&mut records, 2).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn behind_it_reads_on_at_once_within_the_limits_and_at_the_tip_once_a_second() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..40);
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with(ReadOptions::new().max_records(1));
    let began = Instant::now();
    assert_eq!(take(&mut records, 40).await.len(), 40);
    let behind = began.elapsed();
    assert!((39 * 200..=39 * 211).contains(&behind.as_millis()), "{behind:?}");
    let reads = kinesis.count("GetRecords");
    assert!(timeout(Duration::from_mins(10), records.next()).await.is_err());
    let reads = kinesis.count("GetRecords") - reads;
    assert!((600..=670).contains(&reads), "{reads} reads in 600 s");
    assert!(kinesis.requests().iter().all(|request| request.error().is_none()), "a limit was met");
    assert!(kinesis.reads_per_second("orders", FIRST) <= 5);
}

#[tokio::test(start_paused = true)]
async fn two_mebibytes_a_second_are_not_exceeded() {
    let (kinesis, orders, client) = fake(1);
    for _ in 0..30 {
        orders.put_to(FIRST, vec![0_u8; 1_000_000]);
        sleep(Duration::from_secs(1)).await;
    }
    let mut batches = first(all_shards(&client, "orders")).await.batches(&client);
    let (mut read, began) = (0, Instant::now());
    while read < 30 {
        read += batches.next().await.unwrap().unwrap().as_sdk().len();
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(kinesis.requests().iter().all(|request| request.error().is_none()), "a limit was met");
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

/// Writes, reshards, reads all; gives the records of each key, in the order in which they came.
async fn across_reshards(
    options: ReadOptions,
    max_shards: usize,
) -> (FakeKinesis, BTreeMap<String, Vec<u32>>) {
    let (kinesis, orders, client) = fake(2);
    kinesis.set_limits(Limits::none());
    let mut number = 0;
    let mut write = |orders: &FakeStream| {
        for _ in 0..50 {
            orders.put(&format!("customer {}", number % 7), number.to_string());
            number += 1;
        }
    };
    let records = all_shards(&client, "orders").records(&client).with(options).max_shards(max_shards);
    write(&orders);
    let (left, right) = orders.split(FIRST);
    write(&orders);
    let merged = orders.merge(&right, "shardId-000000000001");
    write(&orders);
    orders.split(&merged);
    write(&orders);
    let _ = left;
    let mut by_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut records = pin!(records.take(200));
    while let Some(record) = timeout(Duration::from_mins(10), records.next()).await.expect("all 200 records")
    {
        let record = record.unwrap();
        by_key.entry(record.partition_key().unwrap().to_owned()).or_default().push(self::number(&record));
    }
    (kinesis, by_key)
}

fn assert_all_in_order(by_key: &BTreeMap<String, Vec<u32>>) {
    for (key, numbers) in by_key {
        let first: u32 = key["customer ".len()..].parse().unwrap();
        assert_eq!(*numbers, (first..200).step_by(7).collect::<Vec<_>>(), "{key}");
    }
    assert_eq!(by_key.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn all_records_of_a_stream_that_is_resharded_in_order_per_key() {
    let options = ReadOptions::new().max_records(9);
    assert_all_in_order(&across_reshards(options.clone(), 100).await.1);
    assert_all_in_order(
        &across_reshards(options.clone().spawn_on(tokio::runtime::Handle::current()), 100).await.1,
    );
    assert_all_in_order(&across_reshards(options, 3).await.1);
}

#[tokio::test(start_paused = true)]
async fn shards_above_the_limit_wait_for_one_to_end() {
    let (kinesis, orders, client) = fake(3);
    put(&orders, 0..3);
    for shard in 0..3 {
        orders.split(&format!("shardId-{shard:012}"));
    }
    // The children are open, and would never end.
    let shards = all_shards(&client, "orders").filter(|shard| ready(shard.id() < "shardId-000000000003"));
    let batches = shards.take(3).batches(&client).max_shards(1);
    assert_eq!(batches.lags().count(), 0);
    // It ends, as its shards do.
    let batches: Vec<_> = timeout(Duration::from_mins(10), batches.collect()).await.unwrap();
    assert_eq!(batches.len(), 1);
    let asked: Vec<_> =
        kinesis.requests().iter().filter_map(|request| request.shard_id().map(str::to_owned)).collect();
    let mut in_turn = asked.clone();
    in_turn.sort();
    assert_eq!(asked, in_turn);
    in_turn.dedup();
    assert_eq!(in_turn.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_takes_nothing_stops_the_reading() {
    for (runtime, ahead) in [(None, 0), (Some(tokio::runtime::Handle::current()), 1)] {
        let (kinesis, orders, client) = fake(4);
        for shard in 0..4 {
            for _ in 0..50 {
                orders.put_to(&format!("shardId-{shard:012}"), "1");
            }
        }
        let options = runtime.into_iter().fold(ReadOptions::new().max_records(10), ReadOptions::spawn_on);
        let mut batches = all_shards(&client, "orders").batches(&client).with(options);
        batches.next().await.unwrap().unwrap();
        sleep(Duration::from_secs(100)).await;
        let reads = kinesis.count("GetRecords");
        assert!(reads <= 4 * (1 + ahead), "{reads} pages were read for one that was taken");
    }
}

#[tokio::test(start_paused = true)]
async fn shards_take_turns() {
    let (kinesis, orders, client) = fake(3);
    kinesis.set_limits(Limits::none());
    for shard in 0..3 {
        for _ in 0..100 {
            orders.put_to(&format!("shardId-{shard:012}"), "1");
        }
    }
    let options = ReadOptions::new().max_records(10).min_read_interval(Duration::ZERO);
    let mut batches = all_shards(&client, "orders").batches(&client).with(options);
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..30 {
        let batch = batches.next().await.unwrap().unwrap();
        *taken.entry(batch.shard_id().to_owned()).or_default() += 1;
        let (least, most) = (taken.values().min().unwrap(), taken.values().max().unwrap());
        assert!(taken.len() < 3 || most - least <= 2, "{taken:?}");
    }
    assert_eq!(taken.values().sum::<usize>(), 30);
}

#[tokio::test(start_paused = true)]
async fn the_trouble_of_one_shard_is_not_anothers() {
    let (kinesis, orders, client) = fake(2);
    // All iterators of the first shard, and none of the other's.
    let first_iterator = client
        .get_shard_iterator()
        .stream_name("orders")
        .shard_id(FIRST)
        .shard_iterator_type(aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    assert!(first_iterator.shard_iterator.is_some());
    kinesis.on_request(|request| {
        (request.operation() == "GetShardIterator" && request.shard_id() == Some(FIRST))
            .then_some(Fault::ServiceUnavailable)
    });
    let mut records = all_shards(&client, "orders").records(&client);
    for number in 0..20_u32 {
        orders.put_to("shardId-000000000001", number.to_string());
        let began = Instant::now();
        assert_eq!(take(&mut records, 1).await, [number]);
        assert!(began.elapsed() <= Duration::from_millis(1_100), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_shard_is_an_item_and_the_others_go_on() {
    let (kinesis, orders, client) = fake(2);
    put(&orders, 0..1);
    kinesis.fail_next("GetRecords", Fault::KmsDisabled);
    let mut records = all_shards(&client, "orders").records(&client);
    let error = records.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("KMSDisabledException"));
    // And the shard that failed comes back.
    orders.put_to("shardId-000000000001", "1");
    let mut taken = take(&mut records, 2).await;
    taken.sort_unstable();
    assert_eq!(taken, [0, 1]);
}

#[test]
fn readers_are_send_and_static() {
    fn is<T: Send + Unpin + 'static>() {}
    is::<kinesis_shards::Batches>();
    is::<kinesis_shards::Records>();
    is::<kinesis_shards::AllRecords<kinesis_shards::AllShards>>();
    is::<ReadError>();
}

#[test]
#[should_panic(expected = "max_records is 0")]
fn no_records_at_a_time_are_refused() {
    let _ = ReadOptions::new().max_records(0);
}

#[tokio::test]
#[should_panic(expected = "max_shards is 0")]
async fn no_shards_at_a_time_are_refused() {
    let (_, _, client) = fake(1);
    let _ = all_shards(&client, "orders").records(&client).max_shards(0);
}

#[cfg(feature = "kpl")]
#[tokio::test(start_paused = true)]
async fn what_the_kinesis_producer_library_packed_comes_out_as_its_user_records() {
    let (_, orders, client) = fake(1);
    orders.put_to(FIRST, "0");
    orders.put_to(FIRST, include_bytes!("kpl/three.bin"));
    orders.put_to(FIRST, "4");
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    let records = shard.records(&client).with(ReadOptions::new().deaggregate());
    let records: Vec<Record> = records.map(Result::unwrap).collect().await;
    let data: Vec<_> = records.iter().map(|record| std::str::from_utf8(record.data()).unwrap()).collect();
    assert_eq!(data, ["0", "first", "second", "third", "4"]);
    let subs: Vec<_> = records.iter().map(Record::sub_sequence_number).collect();
    assert_eq!(subs, [None, Some(0), Some(1), Some(2), None]);
    assert_eq!(records[1].sequence_number(), records[3].sequence_number());
}
