//! How often, and what if it fails.

use super::store::Answer;
use super::*;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_saved_together() {
    let world = World::new(1);
    world.put(0..500);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut last = None;
    let began = Instant::now();
    for record in take(&mut records, 500).await {
        last = Some(record.ack());
    }
    sleep(Duration::from_secs(30)).await;
    let last = Call::Save(after(last.as_ref().unwrap()));
    assert_eq!(world.store.calls(FIRST), [Call::Save(Checkpoint::Start(StartPosition::TrimHorizon)), last]);
    let waited = world.store.times(FIRST)[1] - began;
    assert!((5_000 * MS..5_500 * MS).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn many_records_are_saved_before_the_interval_is_over() {
    let world = World::new(1);
    world.put(0..3_500);
    let checkpoints = world.load_with(CheckpointOptions::new().save_interval(Duration::from_hours(1))).await;
    let mut records = world.records(&checkpoints).auto_ack();
    for _ in 0..3_500 {
        next(&mut records).await;
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(1)).await;
    let calls = world.store.calls(FIRST).len();
    assert_eq!(calls, 1 + 3, "the start, and after each thousand");
    sleep(Duration::from_hours(2)).await;
    assert_eq!(world.store.calls(FIRST).len(), 1 + 3 + 1, "and the rest in time");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_is_asked_for_one_thing_of_a_shard_at_a_time_and_for_the_newest() {
    let world = World::new(1);
    world.put(0..50);
    let checkpoints = world.load_with(CheckpointOptions::new().save_interval(Duration::ZERO)).await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    world.store.next([Answer::Late(Duration::from_mins(1))]);
    first.ack();
    sleep(MS).await;
    let mut last = None;
    for record in take(&mut records, 49).await {
        last = Some(record.ack());
        sleep(MS).await;
    }
    assert_eq!(world.store.calls(FIRST).len(), 2, "reading did not wait for it");
    checkpoints.flush().await;
    assert_eq!(world.store.calls(FIRST).len(), 3);
    assert_eq!(world.store.get(FIRST), Some(after(&last.unwrap())));
    assert_eq!(world.store.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn shards_are_saved_side_by_side_but_not_all_at_once() {
    let world = World::new(40);
    world.store.always(Answer::Late(Duration::from_secs(1)));
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_secs(20)).await;
    assert_eq!(world.store.most_at_once(), 16);
    assert_eq!(world.kinesis.count("GetShardIterator"), 40);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_again_ever_more_slowly_and_nothing_stops() {
    let world = World::new(1);
    world.put(0..5_000);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    world.store.always(Answer::Fails);
    let began = Instant::now();
    for _ in 0..4_000 {
        next(&mut records).await;
        sleep(MS).await;
    }
    sleep(Duration::from_mins(2)).await;
    let attempts = world.store.calls(FIRST).len();
    assert!((10..40).contains(&attempts), "{attempts} attempts in {:?}", began.elapsed());
    assert!(world.events().iter().any(|event| event == "shardId-000000000000: failed 5"));
    world.store.always(None);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_one_that_fails() {
    let world = World::new(1);
    world.put(0..1);
    world.store.next([Answer::Panics]);
    let checkpoints = world.load().await;
    next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    assert_eq!(world.events()[0], "shardId-000000000000: failed 1");
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_confirmed_is_made_again() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    world.store.next([Answer::FailsButKeepsIt]);
    let first = first.ack();
    sleep(Duration::from_secs(10)).await;
    let again = Call::Save(after(&first));
    assert_eq!(world.store.calls(FIRST)[1..], [again.clone(), again]);
}

/// Above the limit a shard is not read on; the others are, and it is too when the store is back.
#[tokio::test(start_paused = true)]
async fn reading_pauses_when_the_store_is_down_for_too_long() {
    let world = World::new(1);
    world.put(0..10);
    let options = CheckpointOptions::new().store_outage_limit(Duration::from_mins(1));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints).auto_ack();
    take(&mut records, 10).await;
    world.store.always(Answer::Fails);
    nothing_for(&mut records, Duration::from_secs(30)).await;
    world.put(10..11);
    assert_eq!(number(&next(&mut records).await), 10, "the store is down for half a minute only");
    nothing_for(&mut records, Duration::from_mins(1)).await;
    world.put(11..12);
    nothing_for(&mut records, Duration::from_mins(30)).await;
    let paused: Vec<_> = world.events().into_iter().filter(|event| event.contains("Paused")).collect();
    assert_eq!(paused.len(), 1, "{paused:?}");
    world.store.always(None);
    assert_eq!(number(&next(&mut records).await), 11);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_reading_never_pauses() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load_with(CheckpointOptions::new().store_outage_limit(None)).await;
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    world.store.always(Answer::Fails);
    nothing_for(&mut records, Duration::from_hours(10)).await;
    world.put(1..2);
    assert_eq!(number(&next(&mut records).await), 1);
}
