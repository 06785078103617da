//! Ends of shards.

use super::store::Response;
use super::*;

/// Returns a world with this number of shards, whose first one was split and read to its end.
async fn first_is_finished(shards: u32) -> World {
    let world = World::new(shards);
    world.put(0..1);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    nothing_for(&mut records, Duration::from_secs(30)).await;
    drop((records, checkpoints));
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
    world
}

/// Puts records 0 to `count - 1`, splits the first shard, and puts record 7 into a child.
async fn split(world: World, count: u32) -> (World, Checkpoints, AllRecords<CheckpointedShards>) {
    world.put(0..count);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    let checkpoints = world.load().await;
    let records = world.records(&checkpoints);
    (world, checkpoints, records)
}

#[tokio::test(start_paused = true)]
async fn children_open_when_all_is_acknowledged_and_the_end_is_durable() {
    let (world, _checkpoints, mut records) = split(World::new(1), 2).await;
    let taken = take(&mut records, 2).await;
    nothing_for(&mut records, Duration::from_mins(10)).await;
    // The store does not confirm the end for a while.
    world.store.next([Response::Fails, Response::Fails, Response::Late(Duration::from_secs(20))]);
    let began = Instant::now();
    for record in taken {
        record.ack();
    }
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    assert!(
        began.elapsed() > Duration::from_secs(20),
        "the child opened before the end was confirmed"
    );
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_is_not_read_again_and_its_children_continue() {
    let world = World::new(1);
    world.put(0..2);
    let (left, right) = world.orders.split(FIRST);
    world.orders.put_to(&left, "2");
    world.orders.put_to(&right, "3");
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(number(&next(&mut records).await.ack()));
    }
    checkpoints.flush().await;
    drop((records, checkpoints));

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    seen.push(number(&next(&mut records).await.ack()));
    seen[2..].sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3]);
    nothing_for(&mut records, Duration::from_mins(1)).await;
}

/// The reader is dropped before the store confirms the end. The next reader waits for that, too.
#[tokio::test(start_paused = true)]
async fn children_wait_for_a_durable_end_after_their_parent_is_offered_again() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let mut records = shards.next().await.unwrap().records(&world.client);
    next(&mut records).await.ack();
    checkpoints.flush().await;
    world.store.always(Response::Fails);
    nothing_for(&mut records, Duration::from_secs(30)).await;
    assert_eq!(checkpoints.get(FIRST), Some(Checkpoint::End));
    drop(records);
    let mut records = shards.next().await.unwrap().records(&world.client);
    nothing_for(&mut records, Duration::from_secs(30)).await;
    assert!(timeout(Duration::from_mins(1), shards.next()).await.is_err(), "the child waits");
    world.store.always(None);
    assert!(records.next().await.is_none());
    assert_ne!(shards.next().await.unwrap().id(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_shard_is_offered_again() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    drop(shards.next().await.unwrap());
    assert_eq!(shards.next().await.unwrap().id(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_shard_with_a_dropped_record_is_read_again_before_its_children() {
    let (_world, _checkpoints, mut records) = split(World::new(1), 3).await;
    let mut seen = Vec::new();
    for fails in [false, true, false, false, false, false] {
        let record = next(&mut records).await;
        seen.push(number(&record));
        if !fails {
            record.ack();
        }
    }
    assert_eq!(seen, [0, 1, 2, 1, 2, 7]);
}

#[tokio::test(start_paused = true)]
async fn an_unlisted_shard_is_forgotten() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    nothing_for(&mut records, Duration::from_hours(1)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End), "the shard is still listed");
    world.orders.expire(FIRST);
    nothing_for(&mut records, Duration::from_mins(30)).await;
    assert_eq!(world.store.get(FIRST), None);
    assert_eq!(checkpoints.get(FIRST), None);
    assert_eq!(world.store.calls(FIRST).last(), Some(&Call::Forget));
    assert_eq!(world.store.get(SECOND), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_expired_between_two_runs_is_forgotten() {
    let world = first_is_finished(2).await;
    world.orders.expire(FIRST);

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_mins(5)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End), "one listing may be wrong");
    nothing_for(&mut records, Duration::from_mins(30)).await;
    assert_eq!(world.store.get(FIRST), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_created_again_is_a_new_stream() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut old = take(&mut records, 3).await;
    old.remove(0).ack();
    checkpoints.flush().await;
    world.kinesis.delete_stream("orders");
    let orders = world.kinesis.create_stream("orders", 1);
    orders.put_to(FIRST, "7");
    // Kinesis refuses the position of the deleted stream.
    let new = loop {
        match records.next().await.unwrap() {
            Ok(new) => break new,
            Err(error) => assert_eq!(error.code(), Some("InvalidArgumentException")),
        }
    };
    assert_eq!(number(&new), 7);
    // Acknowledgements of the deleted stream's records do not count.
    for record in old {
        record.ack();
    }
    assert_eq!(checkpoints.get(FIRST), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
    let new = new.ack();
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&new)));
}

#[tokio::test(start_paused = true)]
async fn children_wait_for_a_durable_end_after_the_pipeline_is_rebuilt() {
    let (world, checkpoints, mut records) = split(World::new(1), 1).await;
    let record = next(&mut records).await;
    world.store.always(Response::Fails);
    record.ack();
    nothing_for(&mut records, Duration::from_secs(30)).await;
    assert_eq!(checkpoints.get(FIRST), Some(Checkpoint::End));
    drop(records);
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_mins(1)).await;
    assert_eq!(world.store.calls(SECOND), []);
    world.store.always(None);
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn the_children_of_an_expired_shard_wait_for_its_records_in_flight() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let taken = take(&mut records, 2).await;
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    world.orders.expire(FIRST);
    nothing_for(&mut records, Duration::from_mins(10)).await;
    for record in taken {
        record.ack();
    }
    assert_eq!(number(&next(&mut records).await.ack()), 7);
}

/// A listing from a time omits the shards that were closed before, which Kinesis still lists.
#[tokio::test(start_paused = true)]
async fn an_end_is_kept_while_kinesis_lists_the_shard_even_if_the_run_does_not() {
    let world = first_is_finished(1).await;
    sleep(Duration::from_hours(1)).await;

    let checkpoints = world.load().await;
    let now = world.kinesis.now().into();
    let shards = world.shards().start_at(StartAt::Timestamp(now)).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    nothing_for(&mut records, Duration::from_hours(1)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
    world.orders.expire(FIRST);
    nothing_for(&mut records, Duration::from_mins(30)).await;
    assert_eq!(world.store.get(FIRST), None);
}

/// The response is empty, or no listing shows the shard as closed.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_end_is_not_saved() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    for record in take(&mut records, 2).await {
        record.ack();
    }
    for body in ["", "{}", r#"{"Records":[],"NextShardIterator":null,"MillisBehindLatest":0}"#] {
        world.kinesis.fail_times("GetRecords", 12, Fault::Body(body.to_owned()));
        nothing_for(&mut records, Duration::from_mins(5)).await;
    }
    world.put(2..3);
    assert_eq!(number(&next(&mut records).await.ack()), 2);
    let is_end = |call: &Call| matches!(call, Call::Save(Checkpoint::End));
    assert!(!world.store.calls(FIRST).iter().any(is_end));
    assert_ne!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn children_that_the_end_names_are_not_listed() {
    let (world, _checkpoints, mut records) = split(World::new(1), 1).await;
    next(&mut records).await.ack();
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    assert_eq!(world.kinesis.count("ListShards"), 1, "the first listing of the stream");
}

/// Splits the first shard of a world whose shards end without naming children.
async fn ends_without_children() -> (World, Checkpoints, AllRecords<CheckpointedShards>) {
    split(World::on(FakeKinesis::builder().child_shards(false).build(), 1), 1).await
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_children_that_fails_is_retried_with_a_growing_delay() {
    let (world, _checkpoints, mut records) = ends_without_children().await;
    let last = next(&mut records).await;
    nothing_for(&mut records, Duration::from_mins(1)).await;
    world.kinesis.fail_always("ListShards", Fault::ServiceUnavailable);
    let before = world.kinesis.count("ListShards");
    last.ack();
    nothing_for(&mut records, Duration::from_mins(10)).await;
    // One or two in half a minute, beside those of the stream of shards.
    let listings = world.kinesis.count("ListShards") - before;
    assert!((20..150).contains(&listings), "{listings} listings");
    assert_ne!(world.store.get(FIRST), Some(Checkpoint::End));
    world.kinesis.clear_faults();
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_children_that_is_not_permitted_is_not_retried() {
    let (world, _checkpoints, mut records) = ends_without_children().await;
    let last = next(&mut records).await;
    nothing_for(&mut records, Duration::from_mins(1)).await;
    world.kinesis.fail_next("ListShards", Fault::AccessDenied);
    last.ack();
    sleep(Duration::from_millis(1)).await;
    assert!(poll!(records.next()).is_pending());
    sleep(Duration::from_millis(1)).await;
    assert_eq!(number(&next(&mut records).await.ack()), 7, "the next listing names the children");
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}
