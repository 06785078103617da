//! A client's clock that is off: what a run from `Latest` reads is told by Kinesis's clock.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use aws_smithy_async::time::TimeSource;

use super::*;

/// Answers with the fake's time, as AWS does.
#[derive(Debug)]
struct Dated(FakeKinesis);

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn modify_before_deserialization(
        &self,
        answer: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = DateTime::from_secs(DateTime::from(self.0.now()).secs());
        answer.response_mut().headers_mut().insert("date", date.fmt(DateTimeFormat::HttpDate)?);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    Ahead,
    Behind,
}

const OFF: Duration = Duration::from_mins(2);

#[derive(Debug)]
struct Off(FakeKinesis, Clock);

impl TimeSource for Off {
    fn now(&self) -> SystemTime {
        match self.1 {
            Clock::Ahead => self.0.now() + OFF,
            Clock::Behind => self.0.now() - OFF,
        }
    }
}

/// A Kinesis in the middle of a second, and a client whose clock is off.
fn off(clock: Clock) -> (FakeKinesis, Client) {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_700);
    let kinesis = FakeKinesis::builder().starting_at(start).build();
    let config = kinesis
        .config()
        .time_source(Off(kinesis.clone(), clock))
        .interceptor(Dated(kinesis.clone()));
    let client = Client::from_conf(config.build());
    (kinesis, client)
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_stream_is_skipped_that_was_made_after_the_run_began() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = off(clock);
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
        let (kinesis, client) = off(clock);
        let orders = kinesis.create_stream("orders", 1);
        put(&orders, 0..5);
        sleep(Duration::from_secs(30)).await;
        kinesis.fail_times("GetShardIterator", 3, Fault::ServiceUnavailable);
        let records = all_shards(&client, "orders").start_at(StartAt::Latest).records(&client);
        let mut records = pin!(records);
        assert!(timeout(Duration::from_millis(10), records.next()).await.is_err());
        put(&orders, 5..7);
        // Nor is anything replayed of what was there long before.
        assert_eq!(take(&mut records, 2).await, [5, 6], "{clock:?}");
        assert_eq!(kinesis.bodies("GetShardIterator")[3]["ShardIteratorType"], "AT_TIMESTAMP");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_skipped_when_the_shard_is_handed_back() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = off(clock);
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

/// A clock that is ahead until it is set right.
#[derive(Debug)]
struct SetRight(FakeKinesis, Arc<AtomicBool>);

impl TimeSource for SetRight {
    fn now(&self) -> SystemTime {
        self.0.now() + if self.1.load(Ordering::Relaxed) { Duration::ZERO } else { OFF }
    }
}

/// By the first answer: the clock may be set right before the stream is there.
#[tokio::test(start_paused = true)]
async fn when_the_run_began_is_told_by_the_first_answer() {
    let kinesis = FakeKinesis::new();
    let set_right = Arc::new(AtomicBool::default());
    let time = SetRight(kinesis.clone(), Arc::clone(&set_right));
    let config = kinesis.config().time_source(time).interceptor(Dated(kinesis.clone()));
    let client = Client::from_conf(config.build());
    let records = all_shards(&client, "orders").start_at(StartAt::Latest).records(&client);
    let mut records = pin!(records);
    assert!(timeout(Duration::from_secs(5), records.next()).await.is_err());
    set_right.store(true, Ordering::Relaxed);
    put(&kinesis.create_stream("orders", 1), 0..3);
    assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
}

/// A front end whose clock is ahead of the shards', by as much as is believed and by more.
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

/// How often a time was refused.
fn refused(kinesis: &FakeKinesis) -> usize {
    let requests = kinesis.requests();
    requests.iter().filter(|request| request.error() == Some("InvalidArgumentException")).count()
}

#[tokio::test(start_paused = true)]
async fn a_date_that_is_ahead_skips_nothing() {
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
async fn a_date_that_is_ahead_skips_nothing_of_a_shard_that_is_handed_back() {
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
async fn a_date_that_is_ahead_skips_nothing_of_a_run_with_checkpoints() {
    for ahead in AHEAD {
        let (kinesis, orders, client) = front_end_ahead(ahead);
        let store = kinesis_shards::MemoryStore::new();
        let run = async || {
            let checkpoints =
                kinesis_shards::Checkpoints::load(store.clone(), "orders").await.unwrap();
            let shards = all_shards(&client, "orders").start_at(StartAt::Latest);
            (checkpoints.clone(), shards.checkpoints(&checkpoints).records(&client).auto_ack())
        };
        let (checkpoints, mut records) = run().await;
        assert!(timeout(Duration::from_secs(2), records.next()).await.is_err());
        assert!(checkpoints.shutdown(Duration::from_secs(5)).await.is_complete());
        assert!(records.next().await.is_none(), "the shutdown ends the stream");
        put(&orders, 0..3);
        // The second run begins where the first did, which was stopped before its first record.
        let (_, mut records) = run().await;
        assert_eq!(take(&mut records, 3).await, [0, 1, 2], "{ahead:?}");
        assert!(refused(&kinesis) <= 1, "{ahead:?}: refused {} times", refused(&kinesis));
    }
}

/// A time that the user has given is another thing: it is waited for, and nothing before it is
/// read.
#[tokio::test(start_paused = true)]
async fn a_time_of_the_users_is_kept() {
    let (kinesis, orders, client) = front_end_ahead(Duration::from_secs(90));
    put(&orders, 0..3);
    let since = kinesis.now() + Duration::from_mins(1);
    let shards = all_shards(&client, "orders").start_at(StartAt::Timestamp(since.into()));
    let mut records = pin!(shards.records(&client));
    assert!(timeout(Duration::from_secs(90), records.next()).await.is_err());
    put(&orders, 3..4);
    assert_eq!(take(&mut records, 1).await, [3]);
}
