//! A position that Kinesis does not hold any more.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_checkpoint_older_than_the_retention_falls_back_to_the_oldest_record_and_tells_the_gap() {
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
    let gap = format!("{FIRST}: gap {} {:?}", last.sequence_number(), Some(oldest.sequence_number()));
    assert_eq!(world.events().iter().filter(|event| **event == gap).count(), 1, "{:?}", world.events());
    drop(next(&mut records).await);
    assert_eq!(world.events().iter().filter(|event| event.contains("gap")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_still_held_tells_no_gap() {
    let world = World::new(1);
    world.put(0..5);
    for expected in 0..4 {
        let checkpoints = world.load().await;
        assert_eq!(number(&next(&mut world.records(&checkpoints)).await.ack()), expected);
        checkpoints.flush().await;
    }
    assert!(!world.events().iter().any(|event| event.contains("gap")), "{:?}", world.events());
}

/// As it is with a stream that was deleted and created again between two runs.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_kinesis_refuses_starts_the_shard_over_and_tells() {
    let world = World::new(1);
    world.put(0..1);
    let foreign = Checkpoint::After { sequence_number: "7".repeat(56), sub_sequence_number: None };
    let stream = "orders".into();
    let shard = aws_sdk_kinesis::types::Shard::builder().shard_id(FIRST).build().unwrap();
    let save = kinesis_shards::Save::new(&stream, &shard, &foreign);
    kinesis_shards::CheckpointStore::save(&world.store.memory, save).await.unwrap();

    let checkpoints = world.load().await;
    let record = next(&mut world.records(&checkpoints)).await.ack();
    assert_eq!(number(&record), 0);
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&record)), "though it is a smaller number");
    assert!(world.events().iter().any(|event| event.contains("gap")), "{:?}", world.events());
}
