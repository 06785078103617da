//! The end of a shard.

use super::store::Answer;
use super::*;

/// An earlier run has read the first of so many shards to its end, which was a split.
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

#[tokio::test(start_paused = true)]
async fn children_open_when_all_is_acknowledged_and_the_end_is_durable() {
    let world = World::new(1);
    world.put(0..2);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let taken = take(&mut records, 2).await;
    nothing_for(&mut records, Duration::from_mins(10)).await;
    // The store does not take the end for a while.
    world.store.next([Answer::Fails, Answer::Fails, Answer::Late(Duration::from_secs(20))]);
    let began = Instant::now();
    for record in taken {
        record.ack();
    }
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    assert!(began.elapsed() > Duration::from_secs(20), "only once it was confirmed");
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_is_not_read_again_and_its_children_go_on() {
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

/// Its reader is dropped while the store does not take the end: the next must not believe it before
/// the store does.
#[tokio::test(start_paused = true)]
async fn children_wait_for_a_durable_end_also_when_the_reader_is_another() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let mut records = shards.next().await.unwrap().records(&world.client);
    next(&mut records).await.ack();
    checkpoints.flush().await;
    world.store.always(Answer::Fails);
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
async fn a_shard_in_hand_that_is_dropped_is_handed_back() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    drop(shards.next().await.unwrap());
    assert_eq!(shards.next().await.unwrap().id(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_record_was_dropped_is_read_again_before_its_children() {
    let world = World::new(1);
    world.put(0..3);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
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
async fn end_marks_are_removed_when_kinesis_lists_the_shard_no_more() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    nothing_for(&mut records, Duration::from_hours(1)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End), "for as long as it is listed");
    world.orders.expire(FIRST);
    nothing_for(&mut records, Duration::from_mins(30)).await;
    assert_eq!(world.store.get(FIRST), None);
    assert_eq!(checkpoints.get(FIRST), None);
    assert_eq!(world.store.calls(FIRST).last(), Some(&Call::Forget));
    assert_eq!(world.store.get(SECOND), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
}

#[tokio::test(start_paused = true)]
async fn what_expired_between_two_runs_is_removed() {
    let world = first_is_finished(2).await;
    world.orders.expire(FIRST);

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_mins(5)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End), "one list alone may be wrong");
    nothing_for(&mut records, Duration::from_mins(30)).await;
    assert_eq!(world.store.get(FIRST), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_created_again_is_another() {
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
    // The old shard's reader is told that its position is of another stream.
    let new = loop {
        match records.next().await.unwrap() {
            Ok(new) => break new,
            Err(error) => assert_eq!(error.code(), Some("InvalidArgumentException")),
        }
    };
    assert_eq!(number(&new), 7);
    // What was in hand of the old one does not count for it.
    for record in old {
        record.ack();
    }
    assert_eq!(checkpoints.get(FIRST), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
    let new = new.ack();
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&new)));
}

/// The end is known and not durable: the children wait, also if all is built anew.
#[tokio::test(start_paused = true)]
async fn children_wait_for_a_durable_end_also_when_the_pipeline_is_another() {
    let world = World::new(1);
    world.put(0..1);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let record = next(&mut records).await;
    world.store.always(Answer::Fails);
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

/// As for an end: what is in flight comes before the children.
#[tokio::test(start_paused = true)]
async fn a_shard_that_expires_waits_for_its_records() {
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

/// A list from a time does not name what was closed before; but Kinesis lists it still.
#[tokio::test(start_paused = true)]
async fn end_marks_are_kept_for_as_long_as_kinesis_lists_the_shard_also_if_the_run_does_not() {
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

/// Neither when a response says nothing, nor before a list has shown the shard as closed.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_confirmed_is_not_saved() {
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
