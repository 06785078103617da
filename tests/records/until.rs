//! Runs with an end.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;
use kinesis_shards::records::{Batch, FanOut};
use kinesis_shards::testing::FakeKinesisBuilder;
use kinesis_shards::{AllShards, StopAt};

use super::clock::{Clock, skewed};
use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Reads to the end of the stream, within a day.
async fn read(records: impl Stream<Item = Result<Record, ReadError>>) -> Vec<u32> {
    let records = records.map_ok(|record| number(&record)).try_collect();
    timeout(Duration::from_hours(24), records).await.expect("the stream ends").unwrap()
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}

fn at(time: SystemTime) -> StopAt {
    StopAt::Timestamp(time.into())
}

/// Servers that tell the end of a shard differently.
fn servers() -> [FakeKinesisBuilder; 4] {
    [
        FakeKinesis::builder(),
        FakeKinesis::builder().end_with_last_records(false),
        FakeKinesis::builder().child_shards(false),
        FakeKinesis::builder().kinesalite_ends(true),
    ]
}

/// Puts a record every 10 ms, from 0, until it is dropped.
struct Writer(tokio::task::JoinHandle<()>);

impl Writer {
    fn new(stream: &FakeStream, shard: &str) -> Self {
        let (stream, shard) = (stream.clone(), shard.to_owned());
        Self(tokio::spawn(async move {
            for n in 0_u32.. {
                stream.put_to(&shard, n.to_string());
                sleep(Duration::from_millis(10)).await;
            }
        }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_up_to_the_tip_ends_by_itself() {
    for server in servers() {
        let (_, orders, client) = fake_with(server.build(), 2);
        put(&orders, 0..10);
        let (low, high) = orders.split(FIRST);
        orders.put_to(&low, "10");
        orders.put_to(&high, "11");
        let merged = orders.merge(&low, &high);
        orders.put_to(&merged, "12");
        let shards = || all_shards(&client, "orders").until(StopAt::Tip);

        let numbers = read(shards().records(&client)).await;
        assert_eq!(numbers[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(numbers[12..], [12]);
        assert_eq!(sorted(numbers), (0..13).collect::<Vec<_>>());

        let mut batches = shards().batches(&client);
        let batches: Vec<Batch> = batches.by_ref().try_collect().await.unwrap();
        assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), 13);
    }
}

#[tokio::test(start_paused = true)]
async fn the_readers_say_how_they_ended_and_the_stream_of_shards_ends() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..2);
    orders.split(FIRST);
    let mut shards = all_shards(&client, "orders").until(StopAt::Tip);
    let ends = Mutex::new(Vec::new());
    let run = shards.by_ref().for_each_concurrent(None, |shard| async {
        let id = shard.id().to_owned();
        let mut records = shard.records(&client);
        while records.try_next().await.unwrap().is_some() {}
        ends.lock().unwrap().push((id, records.ended().cloned()));
    });
    timeout(MINUTE, run).await.expect("the stream ends");
    assert!(shards.is_terminated() && shards.next().await.is_none());
    let ends = ends.into_inner().unwrap();
    assert!(matches!(&ends[0], (id, Some(EndReason::EndOfShard { .. })) if id == FIRST));
    assert_eq!(ends.len(), 3);
    for (_, end) in &ends[1..] {
        assert_eq!(end, &Some(EndReason::Reached));
    }
}

#[tokio::test(start_paused = true)]
async fn idle_shards_cost_one_read_each_and_two_lists_together() {
    let (kinesis, _, client) = fake(5);
    assert!(
        read(all_shards(&client, "orders").until(StopAt::Tip).records(&client)).await.is_empty()
    );
    assert_eq!((kinesis.count("GetRecords"), kinesis.count("ListShards")), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_run_from_latest_up_to_the_tip_reads_nothing() {
    let (kinesis, orders, client) = fake(2);
    put(&orders, 0..3);
    let shards = all_shards(&client, "orders").start_at(StartAt::Latest).until(StopAt::Tip);
    assert!(read(shards.records(&client)).await.is_empty());
    assert_eq!(kinesis.count("GetShardIterator"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_busy_tip_ends_the_run_at_the_time_of_its_start() {
    for max_records in [1, 3, 10_000] {
        let (_, orders, client) = fake(1);
        let _writer = Writer::new(&orders, FIRST);
        sleep(Duration::from_millis(2_005)).await;
        let before = u32::try_from(orders.records(FIRST).len()).unwrap();
        let options = ReadOptions::new().max_records(max_records);
        let records = all_shards(&client, "orders").until(StopAt::Tip).records(&client);
        let numbers = read(records.with_options(options)).await;
        // The fake sends no `Date`, and responds at once.
        assert_eq!(numbers, (0..before).collect::<Vec<_>>(), "{max_records}");
    }
}

#[tokio::test(start_paused = true)]
async fn kinesis_clock_decides_where_the_tip_was() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = skewed(clock);
        let orders = kinesis.create_stream("orders", 1);
        let _writer = Writer::new(&orders, FIRST);
        sleep(Duration::from_secs(5)).await;
        let (start, before) = (kinesis.now(), orders.records(FIRST).len());
        let options = ReadOptions::new().max_records(50);
        let records = all_shards(&client, "orders").until(StopAt::Tip).records(&client);
        let records: Vec<Record> = records.with_options(options).try_collect().await.unwrap();
        assert!(records.len() >= before, "{clock:?}: {} of {before}", records.len());
        let last = SystemTime::try_from(records.last().unwrap().arrival_time().unwrap()).unwrap();
        assert!(last < start + Duration::from_secs(1), "{clock:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_in_the_past_splits_the_records_exactly() {
    for server in servers() {
        let (kinesis, orders, client) = fake_with(server.build(), 2);
        put(&orders, 0..5);
        sleep(MINUTE).await;
        let end = kinesis.now();
        put(&orders, 5..10);
        sleep(MINUTE).await;
        let (low, _) = orders.split(FIRST);
        orders.put_to(&low, "10");
        let numbers = read(all_shards(&client, "orders").until(at(end)).records(&client)).await;
        assert_eq!(numbers, [0, 1, 2, 3, 4], "a record that arrived at the end is not delivered");
        let iterators = kinesis.bodies("GetShardIterator");
        assert!(iterators.iter().all(|body| body["ShardId"] != low), "no child is read");
    }
}

/// The shard was closed after the end, but none of its records arrived then.
#[tokio::test(start_paused = true)]
async fn the_children_of_a_shard_that_is_read_to_its_end_hold_nothing_before_the_end() {
    for server in servers() {
        let (kinesis, orders, client) = fake_with(server.build(), 1);
        put(&orders, 0..5);
        sleep(MINUTE).await;
        let end = kinesis.now();
        sleep(MINUTE).await;
        let (low, _) = orders.split(FIRST);
        orders.put_to(&low, "5");
        let shards = all_shards(&client, "orders").until(at(end));
        assert_eq!(read(shards.records(&client)).await, [0, 1, 2, 3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_in_the_future_is_waited_for_across_splits_and_merges() {
    for server in servers() {
        let (kinesis, orders, client) = fake_with(server.build(), 2);
        let (start, end) = (kinesis.now(), kinesis.now() + 3 * MINUTE);
        let writer = tokio::spawn(async move {
            let mut shard = FIRST.to_owned();
            for n in 0..20 {
                orders.put_to(&shard, n.to_string());
                sleep(Duration::from_secs(18)).await;
                if n % 3 == 0 {
                    let (low, high) = orders.split(&shard);
                    shard = if n % 2 == 0 { orders.merge(&low, &high) } else { low };
                }
            }
        });
        let numbers = read(all_shards(&client, "orders").until(at(end)).records(&client)).await;
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert!(kinesis.now() >= end, "{:?}", kinesis.now().duration_since(start));
        assert!(!writer.is_finished());
        writer.abort();
    }
}

/// A closed shard may send pages without records after its last one, at the tip.
#[tokio::test(start_paused = true)]
async fn a_shard_that_was_closed_before_the_end_is_not_left_though_it_is_silent() {
    for server in servers() {
        let (kinesis, orders, client) = fake_with(server.build(), 1);
        put(&orders, 0..3);
        let end = kinesis.now() + MINUTE;
        let records = all_shards(&client, "orders").until(at(end)).records(&client);
        let run = tokio::spawn(read(records));
        sleep(Duration::from_secs(50)).await;
        let (low, _) = orders.split(FIRST);
        orders.put_to(&low, "3");
        kinesis.fail_times("GetRecords", 30, Fault::EmptyRead);
        assert_eq!(run.await.unwrap(), [0, 1, 2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_without_records_before_the_end_are_not_the_end() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..3);
    sleep(MINUTE).await;
    kinesis.fail_times("GetRecords", 5, Fault::EmptyRead);
    for end in [StopAt::Tip, at(kinesis.now())] {
        let records = all_shards(&client, "orders").until(end).records(&client);
        assert_eq!(read(records).await, [0, 1, 2], "{end:?}");
    }
}

/// The iterator after a silent time is far behind the tip, and has passed the end already.
#[tokio::test(start_paused = true)]
async fn an_idle_shard_has_reached_the_end_before_its_tip() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..3);
    let end = kinesis.now() + MINUTE;
    sleep(Duration::from_hours(1)).await;
    put(&orders, 3..6);
    sleep(Duration::from_hours(1)).await;
    let options = ReadOptions::new().max_records(3);
    kinesis.fail_times("GetRecords", 1, Fault::EmptyRead);
    let records = all_shards(&client, "orders").until(at(end)).records(&client);
    assert_eq!(read(records.with_options(options.clone())).await, [0, 1, 2]);

    let reads = kinesis.count("GetRecords");
    let shards = all_shards(&client, "orders").start_at(StartAt::Timestamp(end.into()));
    kinesis.fail_times("GetRecords", 1, Fault::EmptyRead);
    assert!(read(shards.until(at(end)).records(&client).with_options(options)).await.is_empty());
    assert_eq!(kinesis.count("GetRecords"), reads + 1, "`MillisBehindLatest` says so");
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_kinesis_decides_when_a_time_in_the_future_has_come() {
    for clock in [Clock::Ahead, Clock::Behind] {
        let (kinesis, client) = skewed(clock);
        let orders = kinesis.create_stream("orders", 1);
        let end = kinesis.now() + MINUTE;
        let _writer = tokio::spawn(async move {
            for n in 0..20 {
                orders.put_to(FIRST, n.to_string());
                sleep(Duration::from_secs(7)).await;
            }
        });
        // The last record before the end is the one after 56 s.
        let numbers = read(all_shards(&client, "orders").until(at(end)).records(&client)).await;
        assert_eq!(numbers, (0..9).collect::<Vec<_>>(), "{clock:?}");
    }
}

/// Returns a stream of one shard that was split, and its upper child. Only the lists name the
/// children. The shard has three records, and each child has one.
fn split() -> (FakeKinesis, Client, String) {
    let (kinesis, orders, client) =
        fake_with(FakeKinesis::builder().child_shards(false).build(), 1);
    put(&orders, 0..3);
    let (low, high) = orders.split(FIRST);
    orders.put_to(&low, "3");
    orders.put_to(&high, "4");
    (kinesis, client, high)
}

#[tokio::test(start_paused = true)]
async fn children_that_no_list_names_yet_are_waited_for() {
    let (kinesis, client, _) = split();
    kinesis.fail_times("ListShards", 6, Fault::NoChildrenYet(FIRST.to_owned()));
    let numbers = read(all_shards(&client, "orders").until(StopAt::Tip).records(&client)).await;
    assert_eq!(numbers[..3], [0, 1, 2]);
    assert_eq!(sorted(numbers), [0, 1, 2, 3, 4]);
}

/// The first list omits one of two children: the other one does not end the wait.
#[tokio::test(start_paused = true)]
async fn a_shard_that_the_first_lists_omit_is_read() {
    let (kinesis, client, high) = split();
    kinesis.fail_next("ListShards", Fault::OmitShard(high));
    let numbers = read(all_shards(&client, "orders").until(StopAt::Tip).records(&client)).await;
    assert_eq!(sorted(numbers), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn failed_lists_and_failed_reads_do_not_end_the_run() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..3);
    let (low, _) = orders.split(FIRST);
    orders.put_to(&low, "3");
    kinesis.fail_times("ListShards", 3, Fault::ServiceUnavailable);
    kinesis.fail_times("GetRecords", 3, Fault::InternalFailure);
    let mut records = pin!(all_shards(&client, "orders").until(StopAt::Tip).records(&client));
    assert_eq!(take(&mut records, 4).await, [0, 1, 2, 3]);
    kinesis.fail_times("ListShards", 3, Fault::ServiceUnavailable);
    assert!(read(records).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_cannot_be_read_is_an_error_and_holds_the_end() {
    let (kinesis, orders, client) = fake(2);
    put(&orders, 0..3);
    kinesis.fail_times("GetRecords", 2, Fault::AccessDenied);
    let records = all_shards(&client, "orders").until(StopAt::Tip).records(&client);
    let items: Vec<_> = timeout(MINUTE, records.collect()).await.expect("the stream ends");
    assert_eq!(items.iter().filter(|item| item.is_err()).count(), 2);
    assert_eq!(items.iter().flatten().map(number).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn shards_that_the_program_ends_itself_end_the_run() {
    let (_, orders, client) = fake(2);
    orders.split(FIRST);
    let shards = || all_shards(&client, "orders").until(StopAt::Tip);
    let seen = AtomicBool::new(false);
    let run = shards().for_each_concurrent(None, |shard| async {
        seen.store(true, Ordering::Relaxed);
        shard.complete();
    });
    timeout(MINUTE, run).await.expect("the stream ends");
    let run = shards().for_each_concurrent(None, |shard| async { drop(shard) });
    timeout(MINUTE, run).await.expect("the stream ends");
    assert!(seen.into_inner());
}

#[tokio::test(start_paused = true)]
async fn limits_and_tasks_change_nothing() {
    let (_, orders, client) = fake(8);
    for (n, shard) in orders.open_shards().iter().enumerate() {
        for m in 0..5 {
            orders.put_to(shard, (5 * n + m).to_string());
        }
    }
    let runtime = tokio::runtime::Handle::current();
    let options = [
        ReadOptions::new(),
        ReadOptions::new().max_records(2),
        ReadOptions::new().spawn_on(runtime),
    ];
    for options in options {
        for limit in [1, 3] {
            let records = all_shards(&client, "orders").until(StopAt::Tip).records(&client);
            let records = records.with_options(options.clone()).max_concurrent_reads(limit);
            assert_eq!(sorted(read(records.max_run(2)).await), (0..40).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_run_ends_by_fan_out_too() {
    // Kinesalite knows no fan-out.
    for server in servers().into_iter().take(3) {
        let (kinesis, orders, client) = fake_with(server.build(), 1);
        let options =
            ReadOptions::new().fan_out(&FanOut::consumer(orders.register_consumer("billing")));
        put(&orders, 0..5);
        sleep(MINUTE).await;
        let past = kinesis.now();
        put(&orders, 5..8);
        sleep(MINUTE).await;
        let (low, _) = orders.split(FIRST);
        orders.put_to(&low, "8");
        sleep(MINUTE).await;
        let future = kinesis.now() + 3 * MINUTE;
        for (stop_at, records) in [(at(past), 5), (StopAt::Tip, 9), (at(future), 9)] {
            let run = all_shards(&client, "orders").until(stop_at).records(&client);
            let numbers = read(run.with_options(options.clone())).await;
            assert_eq!(numbers, (0..records).collect::<Vec<_>>(), "{stop_at:?}");
        }
        assert!(kinesis.now() >= future);
    }
}

/// An event that says it is at the tip may have waited in a buffer since before the end.
#[tokio::test(start_paused = true)]
async fn fan_out_asks_again_at_the_end() {
    let (kinesis, orders, client) = fake(1);
    let consumer = FanOut::consumer(orders.register_consumer("billing"));
    let options = ReadOptions::new().fan_out(&consumer);
    put(&orders, 0..3);
    let end = kinesis.now() + MINUTE;
    let records = all_shards(&client, "orders").until(at(end)).records(&client);
    let mut records = pin!(records.with_options(options));
    assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
    assert!(timeout(Duration::from_secs(30), records.next()).await.is_err());
    // The events of the next minutes are not taken.
    sleep(Duration::from_secs(20)).await;
    put(&orders, 3..5);
    sleep(2 * MINUTE).await;
    put(&orders, 5..7);
    assert_eq!(read(records).await, [3, 4]);
}

#[cfg(feature = "kpl")]
#[tokio::test(start_paused = true)]
async fn an_aggregated_record_arrives_as_a_whole() {
    let (kinesis, orders, client) = fake(1);
    orders.put_to(FIRST, include_bytes!("../kpl/three.bin"));
    sleep(MINUTE).await;
    let end = kinesis.now();
    orders.put_to(FIRST, include_bytes!("../kpl/three.bin"));
    sleep(MINUTE).await;
    let records = all_shards(&client, "orders").until(at(end)).records(&client);
    let records = records.with_options(ReadOptions::new().deaggregate());
    let records: Vec<Record> = records.try_collect().await.unwrap();
    let data: Vec<_> = records.iter().map(Record::data).collect();
    assert_eq!(data, [&b"first"[..], b"second", b"third"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_its_stream_to_be_created() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let run = all_shards(&client, "orders").until(StopAt::Tip).records(&client);
    let run = tokio::spawn(read(run));
    sleep(MINUTE).await;
    put(&kinesis.create_stream("orders", 1), 0..3);
    assert_eq!(run.await.unwrap(), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "until must be called before the stream of shards is polled")]
async fn the_end_is_set_before_the_first_poll() {
    let (_, _, client) = fake(1);
    let mut shards: AllShards = all_shards(&client, "orders");
    let _shard = shards.next().await;
    let _shards = shards.until(StopAt::Tip);
}
