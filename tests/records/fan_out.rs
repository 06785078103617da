//! Readers by enhanced fan-out.

use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use kinesis_shards::records::FanOut;
use kinesis_shards::{Checkpoints, MemoryStore};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// The stream `orders` with the consumer `billing`, and its readers.
struct World {
    kinesis: FakeKinesis,
    orders: FakeStream,
    client: Client,
    consumer: FanOut,
    /// The codes, or else the texts, of the failures that were retried.
    retries: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(shards: u32) -> Self {
        Self::on(FakeKinesis::new(), shards)
    }

    fn on(kinesis: FakeKinesis, shards: u32) -> Self {
        let (kinesis, orders, client) = fake_with(kinesis, shards);
        let consumer = FanOut::consumer(orders.register_consumer("billing"));
        Self { kinesis, orders, client, consumer, retries: Arc::default() }
    }

    fn options(&self) -> ReadOptions {
        let retries = Arc::clone(&self.retries);
        ReadOptions::new().fan_out(&self.consumer).on_event(move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                let code = error.code().map_or_else(|| error.to_string(), str::to_owned);
                retries.lock().unwrap().push(code);
            }
        })
    }

    /// Returns options that record the waits before retries, in place of the failures.
    fn options_with_waits(&self) -> (ReadOptions, Arc<Mutex<Vec<Duration>>>) {
        let waits = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&waits);
        let options = self.options().on_event(move |event| {
            if let ReadEventKind::Retry { wait, .. } = event.kind {
                recorded.lock().unwrap().push(wait);
            }
        });
        (options, waits)
    }

    fn records(&self) -> impl Stream<Item = Result<Record, ReadError>> + Unpin + use<> {
        all_shards(&self.client, "orders").records(&self.client).with_options(self.options())
    }

    fn retries(&self) -> Vec<String> {
        std::mem::take(&mut *self.retries.lock().unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn records_arrive_in_order_and_no_shard_is_polled() {
    let world = World::new(1);
    put(&world.orders, 0..10);
    let mut records = world.records();
    assert_eq!(take(&mut records, 10).await, (0..10).collect::<Vec<_>>());
    for n in 10..200 {
        put(&world.orders, n..n + 1);
        assert_eq!(take(&mut records, 1).await, [n]);
        sleep(Duration::from_secs(7)).await;
    }
    assert_eq!(world.kinesis.count("GetRecords"), 0);
    // 190 records in 22 minutes: each subscription lasts 5 minutes.
    let subscriptions = world.kinesis.bodies("SubscribeToShard");
    assert_eq!(subscriptions.len(), 5);
    for next in &subscriptions[1..] {
        assert_eq!(next["StartingPosition"]["Type"], "AFTER_SEQUENCE_NUMBER");
    }
    assert!(world.retries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn children_are_read_after_their_parents() {
    let world = World::new(2);
    put(&world.orders, 0..5);
    let mut records = world.records();
    assert_eq!(take(&mut records, 5).await, [0, 1, 2, 3, 4]);
    put(&world.orders, 5..8);
    let (low, high) = world.orders.split(FIRST);
    world.orders.put_to(&low, "8");
    let merged = world.orders.merge(&low, &high);
    world.orders.put_to(&merged, "9");
    assert_eq!(take(&mut records, 5).await, [5, 6, 7, 8, 9]);
    assert_eq!(world.kinesis.count("GetRecords"), 0);
    assert_eq!(world.orders.subscribers(&merged), ["billing"]);
    drop(records);
    assert!(world.orders.subscribers(&merged).is_empty());
}

/// Each fault hits a subscription that has records before and after it.
#[tokio::test(start_paused = true)]
async fn no_fault_of_a_subscription_loses_or_repeats_a_record() {
    let code = |code: &str| code.to_owned();
    let faults = [
        Fault::NoFirstFrame,
        Fault::LateFirstFrame(Duration::from_secs(20)),
        Fault::NoInitialResponse,
        Fault::FirstFrameException(code("InternalFailureException")),
        Fault::FirstFrameException(code("ResourceInUseException")),
        Fault::SilentAfter(0),
        Fault::SilentAfter(2),
        Fault::EndsAfter(0),
        Fault::EndsAfter(1),
        Fault::ExceptionAfter(1, code("InternalFailureException")),
        Fault::ExceptionAfter(1, code("ResourceInUseException")),
        Fault::ExceptionAfter(2, code("KMSThrottlingException")),
        Fault::ExceptionAfter(2, code("ResourceNotFoundException")),
        Fault::UnknownEventAfter(1),
        Fault::IoErrorAfter(0),
        Fault::IoErrorAfter(1),
        Fault::CutFrameAfter(1),
        Fault::BadChecksumAfter(0),
        Fault::BadChecksumAfter(2),
        Fault::LimitExceeded,
        Fault::InternalFailure,
        Fault::ServiceUnavailable,
        Fault::ResourceNotFound,
        Fault::ConnectionRefused,
        Fault::ConnectionReset,
        Fault::NeverResponds,
    ];
    for fault in faults {
        let world = World::new(1);
        world.kinesis.fail_next("SubscribeToShard", fault.clone());
        let mut records = world.records();
        let mut taken = Vec::new();
        for n in 0..20 {
            put(&world.orders, n..n + 1);
            if let Ok(record) = timeout(Duration::from_secs(20), records.next()).await {
                taken.push(number(&record.unwrap().unwrap()));
            }
        }
        let rest = take(&mut records, 20 - taken.len()).await;
        taken.extend(rest);
        assert_eq!(taken, (0..20).collect::<Vec<_>>(), "{fault:?}");
        assert!(timeout(MINUTE, records.next()).await.is_err(), "{fault:?}");
        let retries = world.retries();
        // A subscription whose response was lost excludes another one for 5 s.
        assert!(retries.len() <= 2, "{fault:?}: {retries:?}");
        let is_unnoticed = matches!(
            fault,
            Fault::LateFirstFrame(_)
                | Fault::NoInitialResponse
                | Fault::EndsAfter(1)
                | Fault::UnknownEventAfter(_)
        );
        assert_eq!(retries.is_empty(), is_unnoticed, "{fault:?}: {retries:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_is_known_from_either_sign() {
    for fault in [Fault::EndWithoutChildShards, Fault::EndWithContinuation] {
        let world = World::new(1);
        put(&world.orders, 0..3);
        world.kinesis.fail_always("SubscribeToShard", fault.clone());
        let mut records = world.records();
        assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
        let (low, _) = world.orders.split(FIRST);
        world.orders.put_to(&low, "3");
        assert_eq!(take(&mut records, 1).await, [3], "{fault:?}");
        // An end without children is confirmed by a poll.
        let polls = usize::from(matches!(fault, Fault::EndWithoutChildShards));
        assert_eq!(world.kinesis.count("GetRecords"), polls, "{fault:?}");
        let subscriptions = world.kinesis.bodies("SubscribeToShard");
        let of_parent = subscriptions.iter().filter(|body| body["ShardId"] == FIRST);
        assert_eq!(of_parent.count(), 1, "{fault:?}");
    }
}

/// The first poll repeats the last record, and a later one is the end.
#[tokio::test(start_paused = true)]
async fn an_end_that_never_names_children_is_found_by_polls() {
    for (with_last_records, records) in [(false, 3), (false, 0), (true, 3), (true, 0)] {
        let kinesis = FakeKinesis::builder().child_shards(false);
        let world = World::on(kinesis.end_with_last_records(with_last_records).build(), 1);
        put(&world.orders, 0..records);
        let mut reader = world.records();
        let (low, _) = world.orders.split(FIRST);
        world.orders.put_to(&low, "9");
        let expected: Vec<_> = (0..records).chain([9]).collect();
        assert_eq!(take(&mut reader, expected.len()).await, expected);
        let polls = world.kinesis.count("GetRecords");
        assert!((1..=6).contains(&polls), "{polls} polls");
    }
}

/// The end names no children, and comes with the last records or in a shard without records.
#[tokio::test(start_paused = true)]
async fn the_records_of_an_unconfirmed_end_are_read_once() {
    for records in [[0..2, 2..4], [0..0, 0..2], [0..0, 0..0]] {
        let kinesis = FakeKinesis::builder().end_with_last_records(true).build();
        let world = World::on(kinesis, 1);
        world.kinesis.fail_always("SubscribeToShard", Fault::EndWithoutChildShards);
        let mut reader = world.records();
        let [before, last] = records;
        put(&world.orders, before.clone());
        assert_eq!(take(&mut reader, before.len()).await, before.collect::<Vec<_>>());
        put(&world.orders, last.clone());
        let (low, _) = world.orders.split(FIRST);
        world.orders.put_to(&low, "9");
        let expected: Vec<_> = last.chain([9]).collect();
        assert_eq!(take(&mut reader, expected.len()).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_position_is_polled_and_the_next_failure_retried() {
    for code in ["InvalidArgumentException", "ResourceNotFoundException"] {
        let world = World::new(1);
        let refused = Fault::Error { status: 400, code: code.to_owned() };
        world.kinesis.fail_next("SubscribeToShard", refused);
        world.kinesis.fail_next("SubscribeToShard", Fault::ServiceUnavailable);
        put(&world.orders, 0..1);
        let mut records = world.records();
        assert_eq!(take(&mut records, 1).await, [0]);
        put(&world.orders, 1..2);
        assert_eq!(take(&mut records, 1).await, [1]);
        assert_eq!(world.kinesis.count("GetRecords"), 1);
        assert_eq!(world.retries(), [code, "ServiceUnavailable"]);
        let subscriptions = world.kinesis.peak_rate(|it| it.operation() == "SubscribeToShard");
        assert_eq!(subscriptions, 1, "AWS allows one a second");
    }
}

/// In seconds. Each delay is shortened at random by up to a half of its growing part.
#[tokio::test(start_paused = true)]
async fn the_delay_grows_with_each_failure_and_with_each_takeover() {
    let in_use = |events| Fault::ExceptionAfter(events, "ResourceInUseException".to_owned());
    let failures = &[1, 2, 4, 8, 10, 10][..];
    for (fault, least, growing) in
        [(Fault::ServiceUnavailable, 1, failures), (in_use(0), 5, &[1, 2, 4, 8, 16, 32, 60, 60])]
    {
        let world = World::new(1);
        let (options, waits) = world.options_with_waits();
        world.kinesis.fail_always("SubscribeToShard", fault);
        let shard = first(all_shards(&world.client, "orders")).await;
        let mut records = shard.records(&world.client).with_options(options);
        let within = |wait: Duration, least: u64, growing: u64| {
            let millis = u64::try_from(wait.as_millis()).unwrap();
            (1_000 * least + 500 * growing..=1_000 * (least + growing)).contains(&millis)
        };
        while waits.lock().unwrap().len() < growing.len() {
            assert!(timeout(Duration::from_secs(1), records.next()).await.is_err());
        }
        let grown = std::mem::take(&mut *waits.lock().unwrap());
        for (wait, growing) in grown.iter().zip(growing) {
            assert!(within(*wait, least, *growing), "{grown:?}");
        }
        let requests = world.kinesis.requests();
        let requests = requests.iter().filter(|it| it.operation() == "SubscribeToShard");
        let times: Vec<_> = requests.map(kinesis_shards::testing::Request::at).collect();
        for (pair, wait) in times.windows(2).zip(&grown) {
            let difference = (pair[1] - pair[0]).abs_diff(*wait);
            assert!(difference < Duration::from_millis(10), "{difference:?} of {grown:?}");
        }
        // A subscription that lasts for more than a minute ends a series of takeovers.
        world.kinesis.fail_always("SubscribeToShard", in_use(30));
        while waits.lock().unwrap().is_empty() {
            assert!(timeout(MINUTE, records.next()).await.is_err());
        }
        let waits = waits.lock().unwrap();
        let last = waits.last().unwrap();
        assert!(within(*last, 5, 1), "{waits:?}");
    }
}

/// A subscription that lasted long ends a series of takeovers, and a refusal that follows later
/// belongs to the next series.
#[tokio::test(start_paused = true)]
async fn the_delay_grows_with_each_refusal_after_a_long_subscription() {
    let world = World::new(1);
    let (options, waits) = world.options_with_waits();
    let shard = first(all_shards(&world.client, "orders")).await;
    let mut records = shard.records(&world.client).with_options(options);
    put(&world.orders, 0..1);
    assert!(records.next().await.is_some());
    let code = "ResourceInUseException".to_owned();
    world.kinesis.fail_always("SubscribeToShard", Fault::Error { status: 400, code });
    assert!(timeout(7 * MINUTE, records.next()).await.is_err());
    let waits = waits.lock().unwrap();
    assert!(waits.len() >= 6, "{waits:?}");
    assert!(waits[0] <= Duration::from_secs(6), "{waits:?}");
    assert!(waits[5] >= Duration::from_secs(5 + 16), "{waits:?}");
}

/// A subscription to a shard that has ended may send empty events for ever.
#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_polled_every_five_minutes() {
    let world = World::new(1);
    let mut records = world.records();
    assert!(timeout(16 * MINUTE, records.next()).await.is_err());
    assert_eq!(world.kinesis.count("GetRecords"), 3);
    for n in 0..16 {
        put(&world.orders, n..n + 1);
        assert_eq!(take(&mut records, 1).await, [n]);
        assert!(timeout(MINUTE, records.next()).await.is_err());
    }
    assert_eq!(world.kinesis.count("GetRecords"), 3, "the shard was not idle");
}

#[tokio::test(start_paused = true)]
async fn a_spawned_read_receives_the_next_event_before_it_is_taken() {
    let world = World::new(1);
    put(&world.orders, 0..1);
    let options = world.options().spawn_on(tokio::runtime::Handle::current());
    let shard = first(all_shards(&world.client, "orders")).await;
    let mut records = shard.records(&world.client).with_options(options);
    assert_eq!(take(&mut records, 1).await, [0]);
    put(&world.orders, 1..2);
    sleep(Duration::from_secs(1)).await;
    let next = records.next().now_or_never().expect("a record that was read ahead");
    assert_eq!(number(&next.unwrap().unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn another_subscriber_of_the_consumer_is_told_and_costs_no_record() {
    let world = World::new(1);
    put(&world.orders, 0..2);
    let mut records = world.records();
    assert_eq!(take(&mut records, 2).await, [0, 1]);
    sleep(Duration::from_secs(10)).await;
    let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
    let other = world
        .client
        .subscribe_to_shard()
        .consumer_arn(world.consumer.arn())
        .shard_id(FIRST)
        .starting_position(latest);
    let other = other.send().await.unwrap();
    put(&world.orders, 2..4);
    assert_eq!(take(&mut records, 2).await, [2, 3]);
    let retries = world.retries();
    assert!(retries.iter().all(|code| code == "ResourceInUseException"), "{retries:?}");
    assert!((1..=2).contains(&retries.len()), "{retries:?}");
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_does_not_exist_is_an_error_that_no_retry_mends() {
    let world = World::new(1);
    put(&world.orders, 0..1);
    world.orders.deregister_consumer("billing");
    let mut records = world.records();
    // The reader polls, to tell a missing consumer from a missing shard.
    assert_eq!(take(&mut records, 1).await, [0]);
    let error = records.next().await.unwrap().unwrap_err();
    assert_eq!(error.operation(), "SubscribeToShard");
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
    assert!(error.to_string().contains("register the consumer again"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_deregistered_during_a_subscription_ends_the_reader() {
    let world = World::new(1);
    put(&world.orders, 0..1);
    let mut records = world.records();
    assert_eq!(take(&mut records, 1).await, [0]);
    world.orders.deregister_consumer("billing");
    put(&world.orders, 1..2);
    assert_eq!(take(&mut records, 1).await, [1]);
    let error = records.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("ResourceNotFoundException"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn latest_and_timestamps_skip_nothing_written_after_them() {
    for start in [StartAt::Latest, StartAt::Timestamp(SystemTime::UNIX_EPOCH.into())] {
        let world = World::new(1);
        put(&world.orders, 0..2);
        sleep(MINUTE).await;
        let mut records = all_shards(&world.client, "orders")
            .start_at(start)
            .records(&world.client)
            .with_options(world.options());
        let first = if start == StartAt::Latest { 2 } else { 0 };
        if first == 2 {
            assert!(timeout(Duration::from_mins(20), records.next()).await.is_err());
        }
        put(&world.orders, 2..4);
        let expected: Vec<_> = (first..4).collect();
        assert_eq!(take(&mut records, expected.len()).await, expected);
    }
}

/// The first subscription fails, and what is written meanwhile is not skipped.
#[tokio::test(start_paused = true)]
async fn latest_is_the_time_at_which_the_reader_was_created() {
    let world = World::new(1);
    world.kinesis.fail_times("SubscribeToShard", 3, Fault::NoFirstFrame);
    let mut records = all_shards(&world.client, "orders")
        .start_at(StartAt::Latest)
        .records(&world.client)
        .with_options(world.options());
    assert!(timeout(Duration::from_secs(100), records.next()).await.is_err());
    put(&world.orders, 0..1);
    assert_eq!(take(&mut records, 1).await, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_slower_than_a_subscription_gets_each_record_once() {
    let world = World::new(1);
    put(&world.orders, 0..30);
    let mut records = world.records();
    for n in 0..30 {
        assert_eq!(take(&mut records, 1).await, [n]);
        put(&world.orders, 30 + n..31 + n);
        sleep(Duration::from_mins(2)).await;
    }
    assert_eq!(take(&mut records, 30).await, (30..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_readers_of_a_recreated_stream_end() {
    let world = World::new(1);
    put(&world.orders, 0..2);
    let mut records = world.records();
    assert_eq!(take(&mut records, 2).await, [0, 1]);
    world.kinesis.delete_stream("orders");
    assert!(timeout(MINUTE, records.next()).await.is_err());
    let orders = world.kinesis.create_stream("orders", 1);
    let consumer = orders.register_consumer("billing");
    assert_ne!(consumer, world.consumer.arn(), "AWS puts the time into the ARN");
    put(&orders, 2..4);
    // The new shard is found, and cannot be read as the old consumer.
    let mut taken = Vec::new();
    let error = loop {
        match timeout(Duration::from_hours(1), records.next()).await.unwrap().unwrap() {
            Ok(record) => taken.push(number(&record)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some("ResourceNotFoundException"), "{error}");
    assert_eq!(taken, [2, 3], "a poll reads them");
}

#[tokio::test(start_paused = true)]
async fn checkpoints_continue_where_the_last_run_stopped() {
    let world = World::new(1);
    let store = MemoryStore::new();
    put(&world.orders, 0..10);
    for run in 0..5 {
        let checkpoints = Checkpoints::load(store.clone(), "orders").await.unwrap();
        let mut records = all_shards(&world.client, "orders")
            .checkpoints(&checkpoints)
            .records(&world.client)
            .with_options(world.options());
        for n in 0..2 {
            let record = records.next().await.unwrap().unwrap();
            assert_eq!(number(&record), 2 * run + n);
            record.ack();
        }
        let report = checkpoints.shutdown(MINUTE).await;
        assert!(report.is_complete(), "{report}");
        assert!(records.next().await.is_none());
    }
    // A restart subscribes within a second after the last start.
    let retries = world.retries();
    assert!(retries.iter().all(|code| code == "LimitExceededException"), "{retries:?}");
    assert_eq!(world.kinesis.count("GetRecords"), 0);
}

#[tokio::test(start_paused = true)]
async fn spawned_reads_deliver_the_same_records() {
    let world = World::new(4);
    for n in 0..100 {
        world.orders.put(&format!("customer {}", n % 10), n.to_string());
    }
    let options = world.options().spawn_on(tokio::runtime::Handle::current());
    let mut records =
        all_shards(&world.client, "orders").records(&world.client).with_options(options);
    let mut taken = take(&mut records, 100).await;
    taken.sort_unstable();
    assert_eq!(taken, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_reader_moves_to_another_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap()
    };
    let first = runtime();
    let (world, mut records) = first.block_on(async {
        let world = World::new(1);
        put(&world.orders, 0..1);
        let mut records = world.records();
        assert_eq!(take(&mut records, 1).await, [0]);
        assert!(timeout(MINUTE, records.next()).await.is_err());
        (world, records)
    });
    drop(first);
    runtime().block_on(async {
        put(&world.orders, 1..3);
        assert_eq!(take(&mut records, 2).await, [1, 2]);
    });
}

#[tokio::test(start_paused = true)]
async fn an_idle_subscription_sends_no_request() {
    let world = World::new(50);
    let mut records = world.records();
    assert!(timeout(MINUTE, records.next()).await.is_err());
    world.kinesis.clear_requests();
    assert!(timeout(Duration::from_mins(3), records.next()).await.is_err());
    assert_eq!(world.kinesis.count("SubscribeToShard"), 0);
    assert_eq!(world.kinesis.count("GetRecords"), 0);
}

#[tokio::test(start_paused = true)]
async fn registering_waits_for_an_active_consumer_and_finds_it_again() {
    let kinesis = FakeKinesis::builder().transition(Duration::from_secs(20)).build();
    kinesis.create_stream("orders", 1);
    let client = kinesis.client();
    let begun = Instant::now();
    let register = || FanOut::register(&client, "orders", "billing").boxed();
    let (one, two) = future::try_join(register(), register()).await.unwrap();
    assert_eq!(one.arn(), two.arn());
    assert!(begun.elapsed() >= Duration::from_secs(20), "it is active");
    let again = register().await.unwrap();
    assert_eq!(again.arn(), one.arn());

    one.deregister(&client).await.unwrap();
    one.deregister(&client).await.unwrap();
    let new = register().await.unwrap();
    assert_ne!(new.arn(), one.arn());
    two.deregister(&client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_no_retry_mends_fails_at_once() {
    let (kinesis, _, client) = fake(1);
    let error = FanOut::register(&client, "ordres", "billing").await.unwrap_err();
    assert_eq!(error.code(), Some("ResourceNotFoundException"), "{error}");
    for operation in ["DescribeStreamConsumer", "RegisterStreamConsumer", "DescribeStreamSummary"] {
        kinesis.clear_requests();
        kinesis.fail_next(operation, Fault::AccessDenied);
        let error = FanOut::register(&client, "orders", "billing").await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("allow kinesis:{operation}")), "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(kinesis.count(operation), 1);
    }
    kinesis.fail_always("DescribeStreamConsumer", Fault::ServiceUnavailable);
    let error = FanOut::register(&client, "orders", "billing").await.unwrap_err();
    assert_eq!(error.code(), Some("ServiceUnavailable"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_registration_for_what_is_no_kinesis_stream_fails_without_a_request() {
    let (kinesis, _, client) = fake(1);
    let table =
        "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000";
    for stream in ["orders of today", table] {
        let error = FanOut::register(&client, stream, "billing").await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("consumer billing of stream "), "{text}");
        assert!(text.contains(": it is not a Kinesis stream: "), "{text}");
        assert_eq!(error.code(), None);
    }
    assert_eq!(kinesis.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_denied_subscription_is_an_error_with_the_permission() {
    let world = World::new(1);
    world.kinesis.fail_always("SubscribeToShard", Fault::AccessDenied);
    let error = world.records().next().await.unwrap().unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("kinesis:SubscribeToShard"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn subscriptions_have_a_client_of_their_own() {
    let world = World::new(1);
    put(&world.orders, 0..1);
    let other = FakeKinesis::new();
    let other_orders = other.create_stream("orders", 1);
    let arn = other_orders.register_consumer("billing");
    put(&other_orders, 7..8);
    let consumer = FanOut::consumer(arn).with_client(&other.client());
    let mut records = all_shards(&world.client, "orders")
        .records(&world.client)
        .with_options(ReadOptions::new().fan_out(&consumer));
    assert_eq!(take(&mut records, 1).await, [7]);
    assert_eq!(world.kinesis.count("SubscribeToShard"), 0);
}

/// An HTTP/2 server limits the streams of a connection.
#[tokio::test(start_paused = true)]
async fn a_shard_beyond_the_streams_of_a_connection_is_told_and_read_later() {
    let kinesis = FakeKinesis::builder().streams_per_connection(4).build();
    let mut world = World::on(kinesis, 5);
    world.consumer = world.consumer.clone().with_client(&world.kinesis.client());
    let shards = world.orders.open_shards();
    for (n, shard) in shards.iter().enumerate() {
        world.orders.put_to(shard, n.to_string());
    }
    let mut records = world.records();
    let mut first = take(&mut records, 4).await;
    first.sort_unstable();
    let last = (0..5).find(|n| !first.contains(n)).unwrap();
    assert!(timeout(2 * MINUTE, records.next()).await.is_err());
    let retries = world.retries();
    assert!(retries[0].contains("no response within 60 s"), "{retries:?}");

    // Two streams are free once their shards have ended, and the child needs one.
    let last_shard = usize::try_from(last).unwrap();
    let read: Vec<_> = (0..4).filter(|n| ![*n, n + 1].contains(&last_shard)).collect();
    world.orders.merge(&shards[read[0]], &shards[read[0] + 1]);
    assert_eq!(take(&mut records, 1).await, [last]);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_with_a_client_of_their_own_do_not_delay_the_listings() {
    for has_own_client in [false, true] {
        let kinesis = FakeKinesis::builder().streams_per_connection(4).build();
        let mut world = World::on(kinesis, 4);
        if has_own_client {
            world.consumer = world.consumer.clone().with_client(&world.kinesis.client());
        }
        let mut records = world.records();
        assert!(timeout(MINUTE, records.next()).await.is_err());
        world.kinesis.clear_requests();
        assert!(timeout(3 * MINUTE, records.next()).await.is_err());
        assert_eq!(world.kinesis.count("ListShards") > 0, has_own_client);
    }
}

/// The new stream has the sequence numbers of the old one, and fewer records.
#[tokio::test(start_paused = true)]
async fn a_server_that_lost_its_data_is_noticed_after_a_broken_connection() {
    let kinesis = FakeKinesis::builder().time_in_sequence_numbers(false).build();
    let world = World::on(kinesis, 1);
    put(&world.orders, 0..3);
    let mut records = world.records();
    assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
    world.kinesis.restart_empty();
    world.kinesis.fail_next("SubscribeToShard", Fault::ConnectionReset);
    let orders = world.kinesis.create_stream("orders", 1);
    assert_eq!(orders.register_consumer("billing"), world.consumer.arn());
    put(&orders, 10..12);
    assert_eq!(take(&mut records, 2).await, [10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_a_retry_mends_is_retried_by_a_registration() {
    let (kinesis, _, client) = fake(1);
    for operation in ["DescribeStreamSummary", "DescribeStreamConsumer", "RegisterStreamConsumer"] {
        kinesis.fail_times(operation, 2, Fault::ServiceUnavailable);
    }
    let consumer = FanOut::register(&client, "orders", "billing").await.unwrap();
    assert!(consumer.arn().contains("/consumer/billing:"));
    kinesis.clear_requests();
    kinesis.fail_always("DescribeStreamConsumer", Fault::ServiceUnavailable);
    let error = FanOut::register(&client, "orders", "billing").await.unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    assert!(!error.to_string().contains("credentials"), "{error}");
    let requests = kinesis.count("DescribeStreamConsumer");
    assert!((20..50).contains(&requests), "{requests} requests in 2 minutes: the delay grows");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_registration_names_what_was_missing_until_the_last() {
    for (fault, text) in [
        (Fault::LimitExceeded, "a stream has at most 20 consumers"),
        // Another process registers the consumer, and is not done.
        (
            Fault::Error { status: 400, code: "ResourceInUseException".to_owned() },
            "the consumer was not active within 120s",
        ),
    ] {
        let (kinesis, _, client) = fake(1);
        kinesis.fail_always("RegisterStreamConsumer", fault);
        let error = FanOut::register(&client, "orders", "billing").await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    let (kinesis, _, client) = fake(1);
    FanOut::register(&client, "ordres", "billing").await.unwrap_err();
    assert_eq!(kinesis.requests().len(), 1, "no retry finds the stream");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_may_not_be_deregistered_is_an_error() {
    let world = World::new(1);
    world.kinesis.fail_next("DeregisterStreamConsumer", Fault::AccessDenied);
    let error = world.consumer.deregister(&world.client).await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDeniedException"));
    assert!(error.to_string().starts_with("consumer billing:"), "{error}");
    assert_eq!(error.stream().name(), "orders");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_subscription_tells_its_cause() {
    let world = World::new(1);
    world.kinesis.fail_always("SubscribeToShard", Fault::AccessDenied);
    let error = world.records().next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("failed: AccessDeniedException: "), "{error}");
    assert_eq!(error.message(), Some("A fault of FakeKinesis."));
    assert!(std::error::Error::source(&error).is_some());

    // The client of the subscriptions has no credentials.
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
        .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
        .http_client(world.kinesis.http_client());
    let consumer = world.consumer.clone().with_client(&Client::from_conf(config.build()));
    let mut records = all_shards(&world.client, "orders")
        .records(&world.client)
        .with_options(ReadOptions::new().fan_out(&consumer));
    let error = timeout(MINUTE, records.next()).await.expect("an error").unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no credentials provider") && !text.contains("network"), "{text}");

    let world = World::new(1);
    world.kinesis.fail_next("SubscribeToShard", Fault::NoFirstFrame);
    let mut records = world.records();
    assert!(timeout(2 * MINUTE, records.next()).await.is_err());
    let retries = world.retries();
    let text = &retries[0];
    assert!(text.contains("no response within 60 s") && text.contains("network"), "{text}");
}
