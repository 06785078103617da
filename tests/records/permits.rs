//! More shards than may have a request in flight.

use super::*;

const LATE: Duration = Duration::from_millis(50);

/// Creates a fake that delays every response.
fn slow(shards: u32) -> (FakeKinesis, FakeStream, Client) {
    let (kinesis, orders, client) = fake(shards);
    kinesis.on_request(|_| Some(Fault::Late(LATE)));
    (kinesis, orders, client)
}

/// Returns the maximum number of requests of `operations` in flight.
fn max_in_flight(kinesis: &FakeKinesis, operations: &[&str]) -> usize {
    let requests = kinesis.requests();
    let began: Vec<Instant> = requests
        .iter()
        .filter(|request| operations.contains(&request.operation()))
        .map(kinesis_shards::testing::Request::at)
        .collect();
    let in_flight =
        |now: &Instant| began.iter().filter(|at| *at <= now && *now < **at + LATE).count();
    began.iter().map(in_flight).max().unwrap_or(0)
}

const READING: [&str; 2] = ["GetRecords", "GetShardIterator"];

#[tokio::test(start_paused = true)]
async fn ten_shards_are_read_with_three_requests_in_flight() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, client) = slow(10);
        for number in 0..20 {
            for shard in 0..10 {
                orders.put_to(&format!("shardId-{shard:012}"), number.to_string());
            }
        }
        let options =
            runtime.into_iter().fold(ReadOptions::new().max_records(5), ReadOptions::spawn_on);
        let mut batches = all_shards(&client, "orders")
            .batches(&client)
            .with_options(options)
            .max_concurrent_reads(3);
        let mut taken: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for _ in 0..40 {
            let batch =
                timeout(Duration::from_hours(1), batches.next()).await.unwrap().unwrap().unwrap();
            let numbers = taken.entry(batch.shard_id().to_owned()).or_default();
            numbers.extend(batch.into_iter().map(|record| number(&record)));
            let (least, most) = (
                taken.values().map(Vec::len).min().unwrap(),
                taken.values().map(Vec::len).max().unwrap(),
            );
            // No shard is two pages ahead of another.
            assert!(if taken.len() < 10 { most <= 10 } else { most - least <= 10 }, "{taken:?}");
        }
        assert!(taken.values().all(|numbers| *numbers == (0..20).collect::<Vec<_>>()), "{taken:?}");
        assert_eq!(batches.lags().count(), 10, "shards that wait count too");
        assert_eq!(max_in_flight(&kinesis, &READING), 3);
        assert_eq!(kinesis.count("GetShardIterator"), 10, "no iterator was replaced");
        // All shards are read at the tip, and the children of the split too.
        orders.split(FIRST);
        for shard in 1..12 {
            orders.put_to(&format!("shardId-{shard:012}"), "20");
        }
        for _ in 0..11 {
            timeout(Duration::from_hours(1), batches.next()).await.unwrap().unwrap().unwrap();
        }
        assert_eq!(max_in_flight(&kinesis, &READING), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_or_failing_shard_holds_no_permit() {
    let (kinesis, orders, client) = slow(3);
    kinesis.on_request(|request| {
        let fails = request.operation() == "GetRecords" && request.shard_id() == Some(FIRST);
        Some(if fails { Fault::Throttled } else { Fault::Late(LATE) })
    });
    let mut records = all_shards(&client, "orders").records(&client).max_concurrent_reads(1);
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    // The delays of the first shard grow, and the third is empty: the second is read as usual.
    kinesis.clear_requests();
    for number in 0..100 {
        orders.put_to("shardId-000000000001", number.to_string());
    }
    let mut options = ReadOptions::new().max_records(1);
    options = options.idle_interval(Duration::from_secs(1));
    let mut records = {
        drop(records);
        all_shards(&client, "orders").records(&client).with_options(options).max_concurrent_reads(1)
    };
    assert_eq!(take(&mut records, 100).await, (0..100).collect::<Vec<_>>());
    let times: Vec<Instant> = kinesis
        .requests()
        .iter()
        .filter(|request| request.shard_id() == Some("shardId-000000000001"))
        .map(kinesis_shards::testing::Request::at)
        .collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn closed_shards_end_and_children_open_with_one_permit() {
    for (end_with_last_records, runtime) in
        [(true, None), (false, None), (false, Some(tokio::runtime::Handle::current()))]
    {
        let kinesis = FakeKinesis::builder().end_with_last_records(end_with_last_records).build();
        let (kinesis, orders, client) = fake_with(kinesis, 3);
        kinesis.on_request(|_| Some(Fault::Late(LATE)));
        put(&orders, 0..3);
        for shard in 0..3 {
            orders.split(&format!("shardId-{shard:012}"));
        }
        orders.put_to("shardId-000000000003", "3");
        let options = runtime.into_iter().fold(ReadOptions::new(), ReadOptions::spawn_on);
        let mut records = all_shards(&client, "orders")
            .records(&client)
            .with_options(options)
            .max_concurrent_reads(1);
        assert_eq!(take(&mut records, 4).await, [0, 1, 2, 3]);
        assert_eq!(max_in_flight(&kinesis, &READING), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_waits_for_a_permit_skips_nothing_after_latest() {
    let (kinesis, orders, client) = fake(2);
    // The first shard's iterator takes long, and the other shard waits for the permit.
    kinesis.on_request(|request| {
        let is_first =
            request.operation() == "GetShardIterator" && request.shard_id() == Some(FIRST);
        is_first.then_some(Fault::Late(Duration::from_secs(30)))
    });
    let mut records = all_shards(&client, "orders")
        .start_at(StartAt::Latest)
        .records(&client)
        .max_concurrent_reads(1);
    assert!(timeout(Duration::from_secs(20), records.next()).await.is_err());
    orders.put_to("shardId-000000000001", "1");
    assert_eq!(take(&mut records, 1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn iterator_requests_of_shards_that_open_together_are_limited() {
    let (kinesis, _, client) = slow(1_000);
    let mut batches = all_shards(&client, "orders").batches(&client);
    assert!(timeout(Duration::from_secs(1), batches.next()).await.is_err());
    assert_eq!(kinesis.count("GetShardIterator"), 1_000);
    assert_eq!(max_in_flight(&kinesis, &["GetShardIterator"]), 256);
    assert_eq!(batches.lags().filter(|(_, lag)| lag.is_some()).count(), 1_000);
}

#[tokio::test]
#[should_panic(expected = "max_concurrent_reads is 0")]
async fn zero_concurrent_reads_panic() {
    let (_, _, client) = fake(1);
    let _ = all_shards(&client, "orders").records(&client).max_concurrent_reads(0);
}

/// Returns the shard of each read, in order, including failed reads.
fn reads(kinesis: &FakeKinesis) -> Vec<String> {
    let requests = kinesis.requests();
    let reads = requests.iter().filter(|request| request.operation() == "GetRecords");
    reads.filter_map(|request| request.shard_id().map(str::to_owned)).collect()
}

/// Asserts that any `shards` reads in a row are of different shards, and that no request failed.
fn assert_each_is_read_once_a_round(kinesis: &FakeKinesis, shards: usize) {
    let reads = reads(kinesis);
    assert!(reads.len() > 3 * shards, "{} reads", reads.len());
    for round in reads.windows(shards) {
        let different: std::collections::BTreeSet<_> = round.iter().collect();
        assert_eq!(different.len(), shards, "{round:?}");
    }
    let failed: Vec<_> =
        kinesis.requests().into_iter().filter(|request| request.error().is_some()).collect();
    assert!(failed.is_empty(), "{} requests failed, the first: {:?}", failed.len(), failed.first());
}

/// A round takes longer than the lifetime of an iterator.
#[tokio::test(start_paused = true)]
async fn every_shard_is_read_in_every_round_with_one_permit() {
    for (shards, latency, time) in
        [(7, 50, Duration::from_hours(6)), (60, 10, Duration::from_hours(4))]
    {
        for runtime in [None, Some(tokio::runtime::Handle::current())] {
            let (kinesis, orders, client) = fake(shards);
            kinesis.on_request(move |request| {
                READING
                    .contains(&request.operation())
                    .then_some(Fault::Late(Duration::from_secs(latency)))
            });
            for shard in 0..shards {
                for number in 0..200 {
                    orders.put_to(&format!("shardId-{shard:012}"), number.to_string());
                }
            }
            let options =
                runtime.into_iter().fold(ReadOptions::new().max_records(1), ReadOptions::spawn_on);
            let batches = all_shards(&client, "orders").batches(&client).with_options(options);
            let mut batches = batches.max_concurrent_reads(1);
            let mut taken: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            let end = Instant::now() + time;
            while let Ok(Some(batch)) = tokio::time::timeout_at(end, batches.next()).await {
                let batch = batch.unwrap();
                let numbers = taken.entry(batch.shard_id().to_owned()).or_default();
                numbers.extend(batch.into_iter().map(|record| number(&record)));
            }
            assert_eq!(taken.len(), shards as usize);
            for (shard, numbers) in taken {
                assert!(numbers.len() > 3, "{shard}: {} records", numbers.len());
                assert!(
                    numbers.iter().copied().eq((0..).take(numbers.len())),
                    "{shard}: {numbers:?}"
                );
            }
            assert_each_is_read_once_a_round(&kinesis, shards as usize);
            assert_eq!(max_in_flight(&kinesis, &READING), 1);
        }
    }
}

/// An iterator requested long before its read would have expired.
#[tokio::test(start_paused = true)]
async fn a_consumer_slower_than_iterators_expire_gets_pages_of_all_shards() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, client) = slow(5);
        for shard in 0..5 {
            for number in 0..300 {
                orders.put_to(&format!("shardId-{shard:012}"), number.to_string());
            }
        }
        let options =
            runtime.into_iter().fold(ReadOptions::new().max_records(1), ReadOptions::spawn_on);
        let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
        let mut taken: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..250 {
            let batch =
                timeout(Duration::from_hours(1), batches.next()).await.unwrap().unwrap().unwrap();
            *taken.entry(batch.shard_id().to_owned()).or_default() += 1;
            sleep(Duration::from_secs(330)).await;
        }
        assert!(
            taken.len() == 5 && taken.values().all(|pages| (49..=51).contains(pages)),
            "{taken:?}"
        );
        assert!(
            kinesis.requests().iter().all(|request| request.error().is_none()),
            "an iterator expired"
        );
    }
}
