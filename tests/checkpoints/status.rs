//! The status of a consumer, seen from outside.

use super::store::Response;
use super::*;
use futures::stream::FusedStream;
use kinesis_shards::checkpoint::CheckpointStatus;
use kinesis_shards::records::EndReason;

fn status(checkpoints: &Checkpoints) -> CheckpointStatus {
    let [status] = &checkpoints.status()[..] else { panic!("one shard") };
    status.clone()
}

fn seconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_shows_its_lag_and_its_oldest_record() {
    let world = World::new(1);
    world.put(0..9);
    let checkpoints = world.load().await;
    assert!(checkpoints.status().is_empty());
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    sleep(Duration::from_secs(20)).await;
    let second = next(&mut records).await;
    let now = status(&checkpoints);
    assert_eq!((now.shard_id.as_str(), now.unacknowledged), (FIRST, 2));
    assert_eq!(now.checkpoint, Some(Checkpoint::Start(StartPosition::TrimHorizon)));
    assert_eq!((seconds(now.lag()), seconds(now.oldest_unacknowledged)), (Some(20), Some(20)));
    assert!(now.reader.is_some_and(|reader| reader.has_records_in_hand));
    let last = after(&second.ack());
    assert_eq!(status(&checkpoints).unacknowledged, 1);
    first.ack();
    let now = status(&checkpoints);
    assert_eq!((now.checkpoint, now.unacknowledged), (Some(last), 0));
    assert_eq!(now.oldest_unacknowledged, None);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_dropped_unacknowledged_holds_the_checkpoint_and_shows_it() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    drop(next(&mut records).await);
    next(&mut records).await.ack();
    nothing_for(&mut records, Duration::from_mins(10)).await;
    let now = status(&checkpoints);
    assert_eq!((now.unacknowledged, seconds(now.oldest_unacknowledged)), (0, Some(600)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_shows_for_how_long_nothing_was_saved() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let record = next(&mut records).await;
    assert_eq!(status(&checkpoints).unsaved_for, None);
    world.store.always(Response::Fails);
    record.ack();
    nothing_for(&mut records, Duration::from_mins(2)).await;
    let unsaved = status(&checkpoints).unsaved_for.expect("a save is overdue");
    assert!(unsaved > Duration::from_mins(1) && unsaved <= Duration::from_mins(2), "{unsaved:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_ends_leaves_its_checkpoint() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    assert!(status(&checkpoints).reader.is_some());
    drop(records);
    let now = status(&checkpoints);
    assert!(now.reader.is_none() && now.lag().is_none() && now.checkpoint.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_records_of_one_shard_tell_their_lag_and_their_end() {
    let world = World::new(1);
    world.put(0..2);
    sleep(Duration::from_secs(7)).await;
    world.put(2..3);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    assert!(!shards.is_terminated());
    let shard = shards.next().await.unwrap();
    let options = ReadOptions::new().max_records(2);
    let mut records = shard.records(&world.client).with_options(options).auto_ack();
    assert!(!records.is_terminated());
    assert_eq!((records.get_ref().lag(), records.get_ref().ended()), (None, None));
    assert_eq!(number(&next(&mut records).await), 0);
    assert_eq!(records.get_ref().lag(), Some(Duration::from_secs(7)));
    assert!(!records.is_terminated());
    assert_eq!(number(&next(&mut records).await), 1);
    assert_eq!(number(&next(&mut records).await), 2);
    assert!(!records.is_terminated());
    assert!(records.next().await.is_none());
    assert!(records.is_terminated());
    assert!(matches!(records.get_ref().ended(), Some(EndReason::EndOfShard { .. })));
    assert!(!shards.is_terminated(), "the children are left");
}

#[tokio::test(start_paused = true)]
async fn a_batch_tells_the_lag_of_its_page() {
    let world = World::new(1);
    world.put(0..2);
    sleep(Duration::from_secs(7)).await;
    world.put(2..3);
    let checkpoints = world.load().await;
    let batches = world.shards().checkpoints(&checkpoints).batches(&world.client);
    let mut batches = batches.with_options(ReadOptions::new().max_records(2));
    let batch = next(&mut batches).await;
    assert_eq!(batch.lag(), Some(Duration::from_secs(7)));
    batch.ack();
    assert_eq!(next(&mut batches).await.lag(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_checkpointed_stream_that_is_ready_yields_its_shards() {
    let world = World::new(2);
    let checkpoints = world.load().await;
    let shards = world.shards().checkpoints(&checkpoints).ready().await.unwrap();
    let shards: Vec<_> = shards.take(2).map(|shard| shard.id().to_owned()).collect().await;
    assert_eq!(shards, [FIRST, SECOND]);
}
