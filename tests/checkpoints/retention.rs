//! Checkpoints whose records have expired.

use super::*;

fn gaps(world: &World) -> Vec<String> {
    world.events().into_iter().filter(|event| event.contains("gap")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_expired_checkpoint_falls_back_to_the_oldest_record_and_is_reported() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let last = next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    drop(checkpoints);
    world.kinesis.advance(Duration::from_hours(25)).await;
    world.put(5..7);

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let oldest = next(&mut records).await.ack();
    assert_eq!(number(&oldest), 5);
    let gap =
        format!("{FIRST}: gap {} {:?}", last.sequence_number(), Some(oldest.sequence_number()));
    assert_eq!(
        world.events().iter().filter(|event| **event == gap).count(),
        1,
        "{:?}",
        world.events()
    );
    drop(next(&mut records).await);
    assert_eq!(gaps(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_has_not_expired_is_no_gap() {
    let world = World::new(1);
    world.put(0..5);
    for expected in 0..4 {
        let checkpoints = world.load().await;
        assert_eq!(number(&next(&mut world.records(&checkpoints)).await.ack()), expected);
        checkpoints.flush().await;
    }
    assert_eq!(gaps(&world), [""; 0]);
}

/// The stream was deleted and created again between two runs.
#[tokio::test(start_paused = true)]
async fn a_refused_checkpoint_starts_the_shard_over_and_is_reported() {
    let world = World::new(1);
    world.put(0..1);
    let foreign = Checkpoint::After { sequence_number: "7".repeat(56), sub_sequence_number: None };
    let stream = "orders".into();
    let shard = aws_sdk_kinesis::types::Shard::builder().shard_id(FIRST).build().unwrap();
    let save = kinesis_shards::checkpoint::Save::new(&stream, &shard, &foreign);
    kinesis_shards::checkpoint::CheckpointStore::save(&world.store.memory, save).await.unwrap();

    let checkpoints = world.load().await;
    let record = next(&mut world.records(&checkpoints)).await.ack();
    assert_eq!(number(&record), 0);
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&record)), "although the number is less");
    assert!(!gaps(&world).is_empty(), "{:?}", world.events());
}

#[tokio::test(start_paused = true)]
async fn expired_records_of_a_closed_shard_are_a_gap() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let last = next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    drop(checkpoints);
    world.kinesis.advance(Duration::from_hours(23)).await;
    world.orders.split(FIRST);
    world.kinesis.advance(Duration::from_hours(2)).await;
    world.orders.put("customer 1", "7");

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
    assert_eq!(gaps(&world), [format!("{FIRST}: gap {} None", last.sequence_number())]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_ends_at_its_checkpoint_is_no_gap() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    checkpoints.flush().await;
    drop((records, checkpoints));
    world.orders.split(FIRST);
    world.orders.put("customer 1", "7");

    let checkpoints = world.load().await;
    assert_eq!(number(&next(&mut world.records(&checkpoints)).await.ack()), 7);
    assert_eq!(gaps(&world), [""; 0]);
}

/// The shard expires between two runs, or while it is read.
#[tokio::test(start_paused = true)]
async fn an_unlisted_shard_that_was_not_read_to_its_end_is_a_gap() {
    for in_one_run in [false, true] {
        let world = World::new(1);
        world.put(0..3);
        let mut checkpoints = world.load().await;
        let mut records =
            world.records(&checkpoints).with_options(ReadOptions::new().max_records(1));
        let last = next(&mut records).await.ack();
        checkpoints.flush().await;
        if !in_one_run {
            drop((records, checkpoints));
            checkpoints = world.load().await;
            records = world.records(&checkpoints);
        }
        world.orders.split(FIRST);
        world.orders.put("customer 1", "7");
        world.orders.expire(FIRST);
        let mut seen = number(&next(&mut records).await.ack());
        if in_one_run && seen == 1 {
            // This record was in flight.
            seen = number(&next(&mut records).await.ack());
        }
        assert_eq!(seen, 7);
        nothing_for(&mut records, Duration::from_mins(30)).await;
        assert_eq!(world.store.get(FIRST), None);
        assert_eq!(gaps(&world), [format!("{FIRST}: gap {} None", last.sequence_number())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_the_consumer_forgets_is_no_gap() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    checkpoints.forget(FIRST);
    checkpoints.flush().await;
    assert_eq!((world.store.get(FIRST), gaps(&world)), (None, vec![]));
}
