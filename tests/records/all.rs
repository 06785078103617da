//! All shards of a stream.

use super::*;

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
async fn a_shard_above_the_limit_skips_nothing_of_latest_while_it_waits() {
    let (_, orders, client) = fake(2);
    let shards = all_shards(&client, "orders").start_at(StartAt::Latest).take(2);
    let mut records = shards.records(&client).max_shards(1);
    assert!(timeout(Duration::from_mins(10), records.next()).await.is_err());
    orders.put_to("shardId-000000000001", "1");
    assert!(timeout(Duration::from_mins(10), records.next()).await.is_err());
    orders.split(FIRST);
    assert_eq!(take(&mut records, 1).await, [1]);
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
    // Beside the other shard's record, in either order.
    let mut taken = Vec::new();
    let error = loop {
        match records.next().await.unwrap() {
            Ok(record) => taken.push(number(&record)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some("KMSDisabledException"));
    // And the shard that failed comes back.
    orders.put_to("shardId-000000000001", "1");
    let left = 2 - taken.len();
    taken.extend(take(&mut records, left).await);
    taken.sort_unstable();
    assert_eq!(taken, [0, 1]);
}

#[tokio::test]
#[should_panic(expected = "max_shards is 0")]
async fn no_shards_at_a_time_are_refused() {
    let (_, _, client) = fake(1);
    let _ = all_shards(&client, "orders").records(&client).max_shards(0);
}
