//! Graceful shutdown.

use futures::stream::FusedStream;

use super::store::Response;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_loop_and_saves_its_acknowledgements() {
    let world = World::new(2);
    world.put(0..100);
    let checkpoints = world.load().await;
    let consumer = tokio::spawn({
        let mut records = world.records(&checkpoints).auto_ack();
        async move {
            let mut seen = 0;
            while let Some(record) = records.next().await {
                assert_eq!(number(&record.unwrap()), seen);
                seen += 1;
                sleep(Duration::from_secs(1)).await;
            }
            seen
        }
    });
    sleep(Duration::from_millis(9_500)).await;
    let report = checkpoints.shutdown(Duration::from_secs(30)).await;
    let seen = consumer.await.unwrap();
    assert!(report.is_complete(), "{report}");
    assert!((9..=10).contains(&seen), "{seen}: the rest of the page was not delivered");
    assert_eq!(report.checkpoints().len(), 2);
    for (shard, checkpoint) in report.checkpoints() {
        assert_eq!(world.store.get(shard).as_ref(), Some(checkpoint));
    }
    drop(checkpoints);

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    assert_eq!(number(&next(&mut records).await.ack()), seen, "no record comes again");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_records_in_flight() {
    let world = World::new(1);
    world.put(0..20);
    let checkpoints = world.load().await;
    let records = world.records(&checkpoints);
    let consumer = tokio::spawn(async move {
        let slow = records.map(|record| async move {
            let record = record.unwrap();
            sleep(Duration::from_secs(u64::from(20 - number(&record)))).await;
            record.ack();
        });
        slow.buffer_unordered(8).count().await
    });
    sleep(Duration::from_secs(2)).await;
    let report = checkpoints.shutdown(Duration::from_mins(1)).await;
    assert!(report.is_complete(), "{report}");
    let count = consumer.await.unwrap();
    drop(checkpoints);
    let checkpoints = world.load().await;
    let next = next(&mut world.records(&checkpoints)).await;
    assert_eq!(number(&next) as usize, count);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_reports_at_its_limit_what_is_left() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    checkpoints.flush().await;
    let held = take(&mut records, 2).await;
    world.store.always(Response::Fails);
    let (first, _second) = {
        let mut held = held.into_iter();
        (held.next().unwrap(), held.next())
    };
    first.ack();
    let began = Instant::now();
    let report = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(11));
    assert_eq!((report.unacknowledged(), report.unsaved()), (1, [FIRST.to_owned()].as_slice()));
    assert!(!report.is_complete());
    let text = report.to_string();
    assert!(
        text.contains("orders") && text.contains(FIRST) && text.contains("records in flight: 1"),
        "{text}"
    );
    assert!(records.next().await.is_none(), "the stream has ended");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_readers_whatever_they_wait_for() {
    // A page, an acknowledgement at the end of a shard, or the save of a start.
    for wait in 0..3 {
        let world = World::new(1);
        world.put(0..1);
        if wait == 1 {
            world.orders.split(FIRST);
        }
        if wait == 2 {
            world.store.always(Response::Fails);
        }
        let checkpoints = world.load().await;
        let mut records = Box::pin(world.records(&checkpoints));
        let held = if wait == 2 { None } else { Some(next(&mut records).await) };
        nothing_for(&mut records, Duration::from_secs(30)).await;
        assert!(poll!(records.next()).is_pending());
        let consumer = tokio::spawn(async move { records.next().await.is_none() });
        let report = checkpoints.shutdown(Duration::from_secs(1)).await;
        assert!(consumer.await.unwrap(), "{wait}");
        assert_eq!(report.unacknowledged(), usize::from(held.is_some()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_streams_of_one_shard_and_of_shards() {
    let world = World::new(2);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let mut records = shards.next().await.unwrap().records(&world.client);
    nothing_for(&mut records, Duration::from_secs(30)).await;
    let consumer = tokio::spawn(async move { records.next().await.is_none() });
    let ends = tokio::spawn(async move { shards.by_ref().count().await });
    assert!(checkpoints.shutdown(Duration::from_secs(1)).await.is_complete());
    assert!(consumer.await.unwrap());
    ends.await.unwrap();
}

/// The shards that the streams have opened and not yielded are released, too.
#[tokio::test(start_paused = true)]
async fn a_shutdown_releases_the_shards_of_streams_that_are_not_polled() {
    let world = World::new(3);
    world.put(0..3);
    let store = MemoryStore::new();
    let checkpoints = Checkpoints::load(store.clone(), "orders").await.unwrap();
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    let mut shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let shard = shards.next().await.unwrap();
    let report = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_complete(), "{report}");

    let checkpoints = Checkpoints::load(store, "orders").await.unwrap();
    let mut again = world.records(&checkpoints);
    assert_eq!(number(&next(&mut again).await.ack()), 1);
    assert_eq!(number(&next(&mut again).await.ack()), 2);
    // The earlier streams end, and take no shard from the later one.
    assert!(records.next().await.is_none() && shards.next().await.is_none());
    assert!(shard.records(&world.client).next().await.is_none());
    drop((records, shards));
    world.put(3..4);
    assert_eq!(number(&next(&mut again).await.ack()), 3);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_dropped_without_a_shutdown_leaks_no_task() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let held = take(&mut records, 2).await;
    drop((records, checkpoints));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        0,
        "the save task has ended"
    );
    for record in held {
        record.ack();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_after_a_dropped_record_is_not_complete() {
    let world = World::new(2);
    world.put(0..100);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    for record in take(&mut records, 100).await {
        if number(&record) != 5 {
            record.ack();
        }
    }
    let report = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert_eq!((report.unacknowledged(), report.unsaved()), (0, [].as_slice()));
    assert_eq!(report.held(), [FIRST]);
    assert!(!report.is_complete());
    assert!(report.to_string().contains(FIRST), "{report}");
    drop((records, checkpoints));

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let again = take(&mut records, 95).await;
    assert_eq!(numbers(&again), (5..100).collect::<Vec<_>>());
    for record in again {
        record.ack();
    }
    assert!(checkpoints.shutdown(Duration::from_secs(10)).await.is_complete());
}

/// A reader is dropped with records in flight. They would come again until the next reader has
/// passed them.
#[tokio::test(start_paused = true)]
async fn records_that_a_reader_left_are_held_until_the_next_has_passed_them() {
    for (passes, is_complete) in [(3, false), (4, true)] {
        let world = World::new(1);
        world.put(0..6);
        let checkpoints = world.load().await;
        let mut shards = world.shards().checkpoints(&checkpoints);
        let mut records = shards.next().await.unwrap().records(&world.client);
        for record in take(&mut records, 5).await {
            if number(&record) != 1 {
                record.ack();
            }
        }
        drop(records);
        let mut records = shards.next().await.unwrap().records(&world.client);
        for _ in 0..passes {
            next(&mut records).await.ack();
        }
        let report = checkpoints.shutdown(Duration::from_secs(10)).await;
        assert_eq!(report.is_complete(), is_complete, "{report}");
    }
}

/// Each poll has another waker, as in a set of futures.
#[tokio::test(start_paused = true)]
async fn wakers_of_earlier_polls_are_not_kept() {
    struct Counted;
    impl std::task::Wake for Counted {
        fn wake(self: Arc<Self>) {}
    }
    let world = World::new(1);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let _shard = shards.next().await.unwrap();
    let mut wakers = Vec::new();
    for _ in 0..1_000 {
        let counted = Arc::new(Counted);
        let waker = std::task::Waker::from(Arc::clone(&counted));
        assert!(shards.poll_next_unpin(&mut std::task::Context::from_waker(&waker)).is_pending());
        wakers.push(counted);
    }
    let kept = wakers.iter().filter(|waker| Arc::strong_count(waker) > 1).count();
    assert_eq!(kept, 1, "only the last waker is kept");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_stream_that_waits_to_be_ready() {
    let world = World::new(1);
    world.kinesis.fail_always("ListShards", Fault::ConnectionRefused);
    let checkpoints = world.load().await;
    let shards = all_shards(&world.client, "orders").checkpoints(&checkpoints);
    let ready = tokio::spawn(shards.ready());
    sleep(Duration::from_mins(5)).await;
    assert!(!ready.is_finished());
    assert!(checkpoints.shutdown(Duration::from_secs(30)).await.is_complete());
    let mut shards = ready.await.unwrap().unwrap();
    assert!(!shards.is_terminated());
    assert!(shards.next().await.is_none());
    assert!(shards.is_terminated());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_reports_the_shards_that_were_opened() {
    let world = World::new(2);
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    let report = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report.checkpoints().len(), 2);
    assert_eq!(report.to_string(), "stream orders: 2 shards saved");
    drop((records, checkpoints));

    let checkpoints = world.load().await;
    let report = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report.to_string(), "stream orders: 0 shards saved", "none was opened");
    assert!(report.is_complete() && report.checkpoints().is_empty());
}
