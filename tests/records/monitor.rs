//! The progress of readers that a monitor shows.

use kinesis_shards::records::Monitor;

use super::*;

fn monitored() -> (Monitor, ReadOptions) {
    let monitor = Monitor::new();
    let options = ReadOptions::new().monitor(&monitor);
    (monitor, options)
}

fn seconds(lag: Option<Duration>) -> u64 {
    lag.expect("a lag").as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_slow_consumer_is_the_age_of_its_last_record() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..900);
    let (monitor, options) = monitored();
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);
    for n in 0..50 {
        assert!(records.next().await.unwrap().is_ok());
        sleep(Duration::from_secs(10)).await;
        assert_eq!(seconds(monitor.max_lag()), 10 * (n + 1));
    }
    assert_eq!(
        records.lags().next(),
        Some((FIRST, Some(Duration::ZERO))),
        "the lag of the end of the page"
    );
    let [status] = &monitor.status()[..] else { panic!("one shard") };
    assert!(status.has_records_in_hand);
    assert_eq!((status.shard_id.as_str(), status.stream.name()), (FIRST, "orders"));
    assert_eq!(status.response_lag, Some(Duration::ZERO));
    assert_eq!(status.response_age.map(|age| age.as_secs()), Some(500));
}

#[tokio::test(start_paused = true)]
async fn the_lag_grows_while_nothing_polls_the_reader() {
    let (_, orders, client) = fake(2);
    put(&orders, 0..1);
    let (monitor, options) = monitored();
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);
    assert!(monitor.max_lag().is_none() && monitor.status().is_empty());
    assert_eq!(take(&mut records, 1).await, [0]);
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    let at_the_tip = monitor.max_lag().unwrap();
    assert!(at_the_tip <= Duration::from_secs(1), "{at_the_tip:?}");
    assert!(monitor.status().iter().all(|status| !status.has_records_in_hand));
    sleep(Duration::from_hours(1)).await;
    assert_eq!(monitor.max_lag(), Some(at_the_tip + Duration::from_hours(1)));
    assert_eq!(monitor.status().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_reader_without_a_response_is_the_time_since_it_opened() {
    let (fake, _, client) = fake(2);
    fake.fail_always("GetRecords", Fault::ConnectionRefused);
    let (monitor, options) = monitored();
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);
    let attempts =
        timeout(Duration::from_mins(10), async { while records.next().await.unwrap().is_err() {} });
    assert!(attempts.await.is_err(), "a record came");
    assert_eq!(seconds(monitor.max_lag()), 600);
    let status = monitor.status();
    assert_eq!(status.len(), 2);
    assert!(status.iter().all(|status| status.response_age.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_records_left_until_it_is_dropped() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..3);
    let (monitor, options) = monitored();
    let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
    let batch = batches.next().await.unwrap().unwrap();
    sleep(Duration::from_secs(40)).await;
    let in_hand = |monitor: &Monitor| monitor.status()[0].has_records_in_hand;
    assert!(in_hand(&monitor));
    assert_eq!(seconds(monitor.max_lag()), 40);
    let mut records = batch.into_iter();
    assert!(records.by_ref().count() == 3 && in_hand(&monitor));
    drop(records);
    assert!(!in_hand(&monitor));
}

#[tokio::test(start_paused = true)]
async fn ended_readers_leave_the_monitor() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..1);
    let (low, high) = orders.split(FIRST);
    let (monitor, options) = monitored();
    let also = Monitor::new();
    let options = options.monitor(&also);
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);
    assert_eq!(take(&mut records, 1).await, [0]);
    assert_eq!(monitor.status()[0].shard_id, FIRST);
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    for monitor in [&monitor, &also] {
        let shards: Vec<_> = monitor.status().into_iter().map(|status| status.shard_id).collect();
        assert_eq!(shards, [low.clone(), high.clone()]);
    }
    drop(records);
    assert!(monitor.status().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_listener_receives_every_event() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..1);
    let received = Arc::new(Mutex::new([0, 0]));
    let listener = |index: usize| {
        let received = Arc::clone(&received);
        move |_: &kinesis_shards::records::ReadEvent<'_>| received.lock().unwrap()[index] += 1
    };
    let options =
        ReadOptions::new().on_event(listener(0)).on_event(|_| panic!("a panic in a listener"));
    let options = options.on_event(listener(1));
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);
    assert_eq!(take(&mut records, 1).await, [0]);
    let [first, second] = *received.lock().unwrap();
    assert!(first > 0 && first == second, "{first} {second}");
}

#[tokio::test(start_paused = true)]
async fn the_arrival_times_are_those_of_the_page_and_of_the_last_record_taken() {
    let (kinesis, orders, client) = fake(1);
    let interval = Duration::from_secs(10);
    let began = kinesis.now();
    for n in 0..3 {
        put(&orders, n..n + 1);
        sleep(interval).await;
    }
    let (monitor, options) = monitored();
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);
    for n in 0..3 {
        assert_eq!(take(&mut records, 1).await, [n]);
        let [status] = &monitor.status()[..] else { panic!("one shard") };
        assert_eq!(status.page_arrival, Some(began));
        assert_eq!(status.last_arrival, Some(began + interval * n));
        assert_eq!(status.lag(), interval * (3 - n), "the age of the last record taken");
    }
}

#[tokio::test(start_paused = true)]
async fn the_event_of_a_page_tells_its_size_though_no_rate_is_set() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..3);
    let size = Arc::new(Mutex::new(0));
    let options = ReadOptions::new().max_bytes_per_second(None).on_event({
        let size = Arc::clone(&size);
        move |event| {
            if let ReadEventKind::Page { bytes, .. } = event.kind {
                *size.lock().unwrap() += bytes;
            }
        }
    });
    let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
    let records = batches.next().await.unwrap().unwrap().into_iter();
    let bytes = |record: Record| record.data().len() + record.partition_key().unwrap().len();
    assert_eq!(*size.lock().unwrap(), records.map(bytes).sum::<usize>());
}
