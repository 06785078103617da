//! Rules that one line of the crate implements: each test fails without that line.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_async::time::TimeSource;

use super::*;

/// A clock that is set back by 2 min.
#[derive(Debug)]
struct SetBack(FakeKinesis, Arc<AtomicBool>);

impl TimeSource for SetBack {
    fn now(&self) -> SystemTime {
        let back =
            if self.1.load(Ordering::Relaxed) { Duration::from_mins(2) } else { Duration::ZERO };
        self.0.now() - back
    }
}

/// The time that the reader has waited is unknown, so `LATEST` may skip records.
#[tokio::test(start_paused = true)]
async fn latest_is_not_used_after_the_clock_was_set_back() {
    let kinesis = FakeKinesis::new();
    let is_set_back = Arc::new(AtomicBool::default());
    let clock = SetBack(kinesis.clone(), Arc::clone(&is_set_back));
    let orders = kinesis.create_stream("orders", 1);
    let client = Client::from_conf(kinesis.config().time_source(clock).build());
    put(&orders, 0..3);
    sleep(Duration::from_mins(10)).await;
    let records =
        first(all_shards(&client, "orders").start_at(StartAt::Latest)).await.records(&client);
    // The reader is not polled for a while.
    sleep(Duration::from_secs(10)).await;
    put(&orders, 3..5);
    sleep(Duration::from_secs(10)).await;
    is_set_back.store(true, Ordering::Relaxed);
    assert_eq!(take(records, 2).await, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_given_by_its_arn_is_read_by_its_arn() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..1);
    let arn = orders.arn();
    assert_eq!(take(all_shards(&client, arn.as_str()).records(&client), 1).await, [0]);
    for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
        for body in kinesis.bodies(operation) {
            assert_eq!(
                (&body["StreamARN"], body.get("StreamName")),
                (&arn.as_str().into(), None),
                "{operation}"
            );
        }
    }
}

/// More records may follow a full page, whatever its `MillisBehindLatest`.
#[tokio::test(start_paused = true)]
async fn the_reader_does_not_pause_after_a_full_page() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..5);
    let options = ReadOptions::new().max_records(5).idle_interval(Duration::from_hours(24 * 365));
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with_options(options);
    assert_eq!(take(&mut records, 5).await, [0, 1, 2, 3, 4]);
    assert_eq!(records.lag(), Some(Duration::ZERO));
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    assert_eq!(kinesis.count("GetRecords"), 2);
}
