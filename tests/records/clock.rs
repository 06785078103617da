//! A client with a wrong clock: a run from `Latest` starts by Kinesis's clock.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use aws_smithy_async::time::TimeSource;
use kinesis_shards::records::FanOut;

use super::*;

/// An interceptor that adds the `Date` header of the fake's time, as AWS does.
#[derive(Debug)]
struct DateHeader(FakeKinesis);

impl Intercept for DateHeader {
    fn name(&self) -> &'static str {
        "DateHeader"
    }

    fn modify_before_deserialization(
        &self,
        response: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = DateTime::from_secs(DateTime::from(self.0.now()).secs());
        response.response_mut().headers_mut().insert("date", date.fmt(DateTimeFormat::HttpDate)?);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    Ahead,
    Behind,
}

const SKEW: Duration = Duration::from_mins(2);

#[derive(Debug)]
struct SkewedClock(FakeKinesis, Clock);

impl TimeSource for SkewedClock {
    fn now(&self) -> SystemTime {
        match self.1 {
            Clock::Ahead => self.0.now() + SKEW,
            Clock::Behind => self.0.now() - SKEW,
        }
    }
}

/// Creates a fake whose time is not a whole second, and a client with a wrong clock.
pub(crate) fn skewed(clock: Clock) -> (FakeKinesis, Client) {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_700);
    let kinesis = FakeKinesis::builder().starting_at(start).build();
    let config = kinesis
        .config()
        .time_source(SkewedClock(kinesis.clone(), clock))
        .interceptor(DateHeader(kinesis.clone()));
    let client = Client::from_conf(config.build());
    (kinesis, client)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_of_a_stream_created_after_the_run_began() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = skewed(clock);
        let records = all_shards(&client, "orders").start_at(StartAt::Latest).records(&client);
        let mut records = pin!(records);
        assert!(timeout(Duration::from_secs(5), records.next()).await.is_err());
        put(&kinesis.create_stream("orders", 1), 0..3);
        assert_eq!(take(&mut records, 3).await, [0, 1, 2], "{clock:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_when_the_first_iterator_is_lost() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = skewed(clock);
        let orders = kinesis.create_stream("orders", 1);
        put(&orders, 0..5);
        sleep(Duration::from_secs(30)).await;
        kinesis.fail_times("GetShardIterator", 3, Fault::ServiceUnavailable);
        let records = all_shards(&client, "orders").start_at(StartAt::Latest).records(&client);
        let mut records = pin!(records);
        assert!(timeout(Duration::from_millis(10), records.next()).await.is_err());
        put(&orders, 5..7);
        // The older records are not read either.
        assert_eq!(take(&mut records, 2).await, [5, 6], "{clock:?}");
        assert_eq!(kinesis.bodies("GetShardIterator")[3]["ShardIteratorType"], "AT_TIMESTAMP");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_when_the_shard_is_abandoned() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = skewed(clock);
        let orders = kinesis.create_stream("orders", 1);
        put(&orders, 0..5);
        sleep(Duration::from_secs(30)).await;
        let mut shards = all_shards(&client, "orders").start_at(StartAt::Latest);
        let mut records = shards.next().await.unwrap().records(&client);
        assert!(timeout(Duration::from_secs(3), records.next()).await.is_err());
        put(&orders, 5..7);
        assert_eq!(take(&mut records, 1).await, [5]);
        drop(records);
        let again = shards.next().await.unwrap();
        assert!(matches!(again.start(), StartPosition::Timestamp(_)));
        assert_eq!(take(again.records(&client), 2).await, [5, 6], "{clock:?}");
    }
}

/// A clock that is ahead until it is corrected.
#[derive(Debug)]
struct CorrectedClock(FakeKinesis, Arc<AtomicBool>);

impl TimeSource for CorrectedClock {
    fn now(&self) -> SystemTime {
        self.0.now() + if self.1.load(Ordering::Relaxed) { Duration::ZERO } else { SKEW }
    }
}

/// The clock may be corrected before the stream exists.
#[tokio::test(start_paused = true)]
async fn the_first_response_determines_when_the_run_began() {
    let kinesis = FakeKinesis::new();
    let is_corrected = Arc::new(AtomicBool::default());
    let time = CorrectedClock(kinesis.clone(), Arc::clone(&is_corrected));
    let config = kinesis.config().time_source(time).interceptor(DateHeader(kinesis.clone()));
    let client = Client::from_conf(config.build());
    let records = all_shards(&client, "orders").start_at(StartAt::Latest).records(&client);
    let mut records = pin!(records);
    assert!(timeout(Duration::from_secs(5), records.next()).await.is_err());
    is_corrected.store(true, Ordering::Relaxed);
    put(&kinesis.create_stream("orders", 1), 0..3);
    assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
}

/// Creates a fake whose front end has a clock ahead of that of the shards.
fn front_end_ahead(ahead: Duration) -> (FakeKinesis, FakeStream, Client) {
    let kinesis = FakeKinesis::builder().date_ahead(ahead).build();
    fake_with(kinesis, 1)
}

const AHEAD: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(90),
    Duration::from_secs(299),
    Duration::from_hours(1),
];

/// Returns the number of refused timestamps.
fn refused(kinesis: &FakeKinesis) -> usize {
    let requests = kinesis.requests();
    requests.iter().filter(|request| request.error() == Some("InvalidArgumentException")).count()
}

#[tokio::test(start_paused = true)]
async fn a_date_header_that_is_ahead_skips_nothing() {
    for ahead in AHEAD {
        let (kinesis, orders, client) = front_end_ahead(ahead);
        kinesis.fail_next("GetShardIterator", Fault::ServiceUnavailable);
        let records = all_shards(&client, "orders").start_at(StartAt::Latest).records(&client);
        let mut records = pin!(records);
        for number in 0..20 {
            put(&orders, number..number + 1);
            assert!(
                number > 0 || timeout(Duration::from_millis(10), records.next()).await.is_err()
            );
            assert_eq!(take(&mut records, 1).await, [number], "{ahead:?}");
        }
        assert!(refused(&kinesis) <= 1, "{ahead:?}: refused {} times", refused(&kinesis));
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_header_that_is_ahead_skips_nothing_of_an_abandoned_shard() {
    for ahead in AHEAD {
        let (_, orders, client) = front_end_ahead(ahead);
        let mut shards = all_shards(&client, "orders").start_at(StartAt::Latest);
        let mut records = shards.next().await.unwrap().records(&client);
        assert!(timeout(Duration::from_secs(1), records.next()).await.is_err());
        put(&orders, 0..2);
        drop(records);
        let again = shards.next().await.unwrap();
        assert_eq!(take(again.records(&client), 2).await, [0, 1], "{ahead:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_header_that_is_ahead_skips_nothing_with_checkpoints() {
    for (ahead, fans_out) in AHEAD.iter().flat_map(|ahead| [(*ahead, false), (*ahead, true)]) {
        let (kinesis, orders, client) = front_end_ahead(ahead);
        let consumer = FanOut::consumer(orders.register_consumer("billing"));
        let options = || {
            let options = ReadOptions::new();
            if fans_out { options.fan_out(&consumer) } else { options }
        };
        let store = kinesis_shards::MemoryStore::new();
        let run = async || {
            let checkpoints =
                kinesis_shards::Checkpoints::load(store.clone(), "orders").await.unwrap();
            let shards = all_shards(&client, "orders").start_at(StartAt::Latest);
            let records = shards.checkpoints(&checkpoints).records(&client);
            (checkpoints, records.with_options(options()).auto_ack())
        };
        let (checkpoints, mut records) = run().await;
        assert!(timeout(Duration::from_secs(2), records.next()).await.is_err());
        assert!(checkpoints.shutdown(Duration::from_secs(5)).await.is_complete());
        assert!(records.next().await.is_none(), "the shutdown ends the stream");
        put(&orders, 0..3);
        // The first run was shut down before its first record, so the second starts at its start.
        let (_, mut records) = run().await;
        assert_eq!(take(&mut records, 3).await, [0, 1, 2], "{ahead:?}");
        // A subscription is refused once more than a poll.
        let refused = refused(&kinesis);
        assert!(refused <= 1 + usize::from(fans_out), "{ahead:?}: refused {refused} times");
    }
}

/// The reader waits for a time that the user sets, and reads no earlier record.
#[tokio::test(start_paused = true)]
async fn a_start_that_the_user_sets_is_not_moved() {
    let (kinesis, orders, client) = front_end_ahead(Duration::from_secs(90));
    put(&orders, 0..3);
    let since = kinesis.now() + Duration::from_mins(1);
    let shards = all_shards(&client, "orders").start_at(StartAt::Timestamp(since.into()));
    let mut records = pin!(shards.records(&client));
    assert!(timeout(Duration::from_secs(90), records.next()).await.is_err());
    put(&orders, 3..4);
    assert_eq!(take(&mut records, 1).await, [3]);
}

/// A start that Kinesis does not accept for another reason is not moved, and not waited for.
#[tokio::test(start_paused = true)]
async fn a_time_that_may_not_be_read_is_an_error() {
    let (kinesis, _, client) = fake(1);
    let now = kinesis.now();
    for start in [StartAt::Latest, StartAt::Timestamp(now.into())] {
        kinesis.clear_requests();
        // After the first failure, a time stands for `Latest`.
        kinesis.fail_next("GetShardIterator", Fault::ServiceUnavailable);
        kinesis.fail_next("GetShardIterator", Fault::AccessDenied);
        let mut records = pin!(all_shards(&client, "orders").start_at(start).records(&client));
        let next = timeout(Duration::from_mins(1), records.next()).await.expect("an error");
        assert_eq!(next.unwrap().unwrap_err().code(), Some("AccessDeniedException"));
        let iterators = kinesis.bodies("GetShardIterator");
        let types: Vec<_> = iterators.iter().map(|body| &body["ShardIteratorType"]).collect();
        assert_eq!(types.len(), 2, "{start:?}: {types:?}");
        assert_eq!(types[1], "AT_TIMESTAMP");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_time_within_five_minutes_of_the_clock_is_waited_for() {
    let (kinesis, _, client) = fake(1);
    for (millis, waits) in [(300_000, false), (299_999, true), (-299_999, true), (-300_000, false)]
    {
        let refused = Fault::Error { status: 400, code: "InvalidArgumentException".to_owned() };
        kinesis.fail_next("GetShardIterator", refused);
        let now = DateTime::from(kinesis.now()).to_millis().unwrap();
        let start = StartAt::Timestamp(DateTime::from_millis(now + millis));
        let mut records = pin!(all_shards(&client, "orders").start_at(start).records(&client));
        let next = timeout(Duration::from_millis(10), records.next()).await;
        assert_eq!(next.is_err(), waits, "{millis} ms");
    }
}
