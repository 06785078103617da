//! The order in which the records of many shards are merged.

use kinesis_shards::checkpoint::UnackedRecord;
use kinesis_shards::{Checkpoints, MemoryStore};
use tokio::runtime::Handle;

use super::*;

/// Creates a fake without limits, with this number of shards and of records in each.
fn full(shards: u32, records: u32) -> (FakeKinesis, Client) {
    let (kinesis, orders, client) = fake(shards);
    kinesis.set_limits(Limits::none());
    for shard in 0..shards {
        for number in 0..records {
            orders.put_to(&format!("shardId-{shard:012}"), number.to_string());
        }
    }
    (kinesis, client)
}

/// The number of records taken of each shard, which must be in order.
#[derive(Default)]
struct Taken {
    shards: BTreeMap<String, u32>,
    /// The shard of the last record, and its number of records in a row.
    run: (String, usize),
    longest_run: usize,
}

impl Taken {
    fn take(&mut self, record: &Record) {
        let count = self.shards.entry(record.shard_id().to_owned()).or_default();
        assert_eq!(number(record), *count, "{}", record.shard_id());
        *count += 1;
        if self.run.0 != record.shard_id() {
            self.run = (record.shard_id().to_owned(), 0);
        }
        self.run.1 += 1;
        self.longest_run = self.longest_run.max(self.run.1);
    }
}

/// Takes all records, at 15 ms each. Returns the number of records before each shard had one, and
/// the longest run after that.
async fn run_lengths(
    records: impl Stream<Item = Result<Record, ReadError>>,
    shards: usize,
    each: u32,
) -> (usize, usize) {
    let mut records = pin!(records);
    let mut taken = Taken::default();
    // Until a record of each shard has arrived.
    while taken.shards.len() < shards {
        let record =
            timeout(Duration::from_hours(1), records.next()).await.unwrap().unwrap().unwrap();
        taken.take(&record);
        sleep(Duration::from_millis(15)).await;
    }
    let before: u32 = taken.shards.values().sum();
    taken.longest_run = 0;
    while taken.shards.values().all(|count| *count < each) {
        let record =
            timeout(Duration::from_hours(1), records.next()).await.unwrap().unwrap().unwrap();
        taken.take(&record);
        sleep(Duration::from_millis(15)).await;
    }
    let longest = taken.longest_run;
    while taken.shards.values().any(|count| *count < each) {
        let record =
            timeout(Duration::from_hours(1), records.next()).await.unwrap().unwrap().unwrap();
        taken.take(&record);
    }
    (before as usize, longest)
}

#[tokio::test(start_paused = true)]
async fn a_run_has_at_most_max_run_records() {
    for runtime in [None, Some(Handle::current())] {
        for run in [None, Some(7), Some(2_000)] {
            let (_, client) = full(3, 2_024);
            let options =
                runtime.clone().into_iter().fold(ReadOptions::new(), ReadOptions::spawn_on);
            let records =
                all_shards(&client, "orders").records(&client).with_options(options.clone());
            let records =
                run.into_iter().fold(records, kinesis_shards::records::AllRecords::max_run);
            let (before, longest) = run_lengths(records, 3, 2_024).await;
            let run = run.unwrap_or(100);
            assert!(longest <= run, "{longest} records in a row with runs of {run}");
            // A reader needs a few polls for its first page, and is polled only between two runs.
            assert!(before <= 5 * run, "{before} records before each shard had its first");

            let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await.unwrap();
            let records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
            let records = records.with_options(options).max_run(run);
            let records = records.map(|record| record.map(UnackedRecord::ack));
            let (before, longest) = run_lengths(records, 3, 2_024).await;
            assert!(longest <= run && before <= 5 * run, "{longest}, {before}");
        }
    }
}

/// A shard that opens while a large page is delivered does not wait for the end of the page.
#[tokio::test(start_paused = true)]
async fn a_shard_that_opens_late_does_not_wait_for_a_large_page() {
    let (kinesis, orders, client) = fake(2);
    kinesis.set_limits(Limits::none());
    for number in 0..5_000 {
        orders.put_to("shardId-000000000001", number.to_string());
    }
    put(&orders, 0..1);
    let (left, _) = orders.split(FIRST);
    orders.put_to(&left, "0");
    let mut records = all_shards(&client, "orders").records(&client);
    for taken in 0.. {
        let record =
            timeout(Duration::from_hours(1), records.next()).await.unwrap().unwrap().unwrap();
        if record.shard_id() == left {
            assert!(taken < 1_500, "{taken} records arrived before the child's");
            break;
        }
        sleep(Duration::from_millis(15)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_not_read_further_before_its_page_is_taken() {
    let (kinesis, client) = full(3, 400);
    let options = ReadOptions::new().max_records(200);
    let mut records =
        all_shards(&client, "orders").records(&client).with_options(options).max_run(10);
    for taken in 0..540 {
        let record =
            timeout(Duration::from_hours(1), records.next()).await.unwrap().unwrap().unwrap();
        assert!(number(&record) < 200, "after {taken} records");
        assert_eq!(records.lags().count(), 3, "shards with a page count too");
        sleep(Duration::from_millis(15)).await;
    }
    assert_eq!(kinesis.count("GetRecords"), 3);
    let (least, _) = records.size_hint();
    assert_eq!(least, 60);
}

#[tokio::test(start_paused = true)]
async fn a_fast_consumer_gets_whole_pages() {
    let (_, client) = full(3, 400);
    let options = ReadOptions::new().max_records(200);
    let mut records =
        all_shards(&client, "orders").records(&client).with_options(options).max_run(10);
    let mut taken = Taken::default();
    for _ in 0..200 {
        taken.take(&records.next().await.unwrap().unwrap());
    }
    assert_eq!(taken.longest_run, 200);
}

#[tokio::test]
#[should_panic(expected = "max_run is 0")]
async fn a_max_run_of_zero_panics() {
    let (_, _, client) = fake(1);
    let _ = all_shards(&client, "orders").records(&client).max_run(0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_took_10_ms_is_over() {
    let (_, client) = full(2, 50);
    let mut records = all_shards(&client, "orders").records(&client).max_run(1);
    let mut taken = Taken::default();
    while taken.shards.len() < 2 {
        taken.take(&records.next().await.unwrap().unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    taken.longest_run = 0;
    for _ in 0..20 {
        taken.take(&records.next().await.unwrap().unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(taken.longest_run, 1);
}
