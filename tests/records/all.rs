//! Readers of all shards of a stream.

use super::*;

/// Writes, reshards, and reads all records. Returns the records of each key in order of arrival.
async fn across_reshards(
    options: ReadOptions,
    max_concurrent_reads: usize,
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
    let records = all_shards(&client, "orders")
        .records(&client)
        .with_options(options)
        .max_concurrent_reads(max_concurrent_reads);
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
    while let Some(record) =
        timeout(Duration::from_mins(10), records.next()).await.expect("all 200 records")
    {
        let record = record.unwrap();
        by_key
            .entry(record.partition_key().unwrap().to_owned())
            .or_default()
            .push(self::number(&record));
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
async fn records_of_a_resharded_stream_are_in_order_for_each_key() {
    let options = ReadOptions::new().max_records(9);
    assert_all_in_order(&across_reshards(options.clone(), 100).await.1);
    assert_all_in_order(
        &across_reshards(options.clone().spawn_on(tokio::runtime::Handle::current()), 100).await.1,
    );
    assert_all_in_order(&across_reshards(options, 3).await.1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_the_consumer_takes_nothing() {
    for (runtime, ahead) in [(None, 0), (Some(tokio::runtime::Handle::current()), 1)] {
        let (kinesis, orders, client) = fake(4);
        for shard in 0..4 {
            for _ in 0..50 {
                orders.put_to(&format!("shardId-{shard:012}"), "1");
            }
        }
        let options =
            runtime.into_iter().fold(ReadOptions::new().max_records(10), ReadOptions::spawn_on);
        let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
        batches.next().await.unwrap().unwrap();
        sleep(Duration::from_secs(100)).await;
        let reads = kinesis.count("GetRecords");
        assert!(reads <= 4 * (1 + ahead), "{reads} reads for one page that was taken");
    }
}

#[tokio::test(start_paused = true)]
async fn shards_yield_pages_alternately() {
    let (kinesis, orders, client) = fake(3);
    kinesis.set_limits(Limits::none());
    for shard in 0..3 {
        for _ in 0..100 {
            orders.put_to(&format!("shardId-{shard:012}"), "1");
        }
    }
    let options = ReadOptions::new().max_records(10).min_read_interval(Duration::ZERO);
    let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
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
async fn a_failing_shard_does_not_delay_another() {
    for (operation, fault) in [
        ("GetShardIterator", Fault::ServiceUnavailable),
        ("GetRecords", Fault::Throttled),
        ("GetRecords", Fault::NeverResponds),
        ("GetRecords", Fault::Late(Duration::from_secs(40))),
    ] {
        let (kinesis, orders, client) = fake(2);
        kinesis.on_request(move |request| {
            (request.operation() == operation && request.shard_id() == Some(FIRST))
                .then(|| fault.clone())
        });
        let mut records = all_shards(&client, "orders").records(&client);
        for number in 0..100_u32 {
            orders.put_to("shardId-000000000001", number.to_string());
            let began = Instant::now();
            assert_eq!(take(&mut records, 1).await, [number]);
            assert!(began.elapsed() <= Duration::from_millis(1_100), "{:?}", began.elapsed());
        }
        let failing = kinesis.requests();
        let failing = failing.iter().filter(|request| request.fault().is_some()).count();
        assert!(failing > 1, "the first shard is retried");
    }
}

/// Each record takes longer than the lifetime of an iterator.
#[tokio::test(start_paused = true)]
async fn a_slow_consumer_of_many_shards_loses_and_repeats_nothing() {
    for start in [StartAt::TrimHorizon, StartAt::Latest] {
        for runtime in [None, Some(tokio::runtime::Handle::current())] {
            let (kinesis, orders, client) = fake(3);
            let options =
                runtime.into_iter().fold(ReadOptions::new().max_records(2), ReadOptions::spawn_on);
            let records = all_shards(&client, "orders")
                .start_at(start)
                .records(&client)
                .with_options(options);
            let mut records = pin!(records);
            assert!(timeout(Duration::from_secs(3), records.next()).await.is_err());
            let mut taken: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            for round in 0..4 {
                for shard in 0..3 {
                    orders.put_to(&format!("shardId-{shard:012}"), round.to_string());
                }
                let record = records.next().await.unwrap().unwrap();
                taken.entry(record.shard_id().to_owned()).or_default().push(number(&record));
                sleep(Duration::from_mins(6)).await;
            }
            for _ in 4..12 {
                let record = records.next().await.unwrap().unwrap();
                taken.entry(record.shard_id().to_owned()).or_default().push(number(&record));
                sleep(Duration::from_mins(6)).await;
            }
            assert_eq!(taken.len(), 3);
            assert!(taken.values().all(|numbers| *numbers == [0, 1, 2, 3]), "{start:?}: {taken:?}");
            assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
            assert!(kinesis.count("GetShardIterator") > 3, "{:?}", kinesis.counts());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_terminated_once_all_shards_have_ended() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..2);
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    let mut records = futures::stream::iter([shard]).records(&client);
    assert!(!records.is_terminated());
    assert_eq!(take(&mut records, 2).await, [0, 1]);
    assert!(!records.is_terminated());
    assert!(records.next().await.is_none());
    assert!(records.is_terminated());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_shard_is_an_item_and_the_others_continue() {
    let (kinesis, orders, client) = fake(2);
    put(&orders, 0..1);
    kinesis.fail_next("GetRecords", Fault::KmsDisabled);
    let mut records = all_shards(&client, "orders").records(&client);
    // The record of the other shard may precede the error.
    let mut taken = Vec::new();
    let error = loop {
        match records.next().await.unwrap() {
            Ok(record) => taken.push(number(&record)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some("KMSDisabledException"));
    // The failed shard is offered again.
    orders.put_to("shardId-000000000001", "1");
    let left = 2 - taken.len();
    taken.extend(take(&mut records, left).await);
    taken.sort_unstable();
    assert_eq!(taken, [0, 1]);
}
