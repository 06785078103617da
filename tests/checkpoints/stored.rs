//! Checkpoints that a program lists and changes while no consumer runs.

use aws_sdk_kinesis::types::Shard;
use kinesis_shards::checkpoint::StoredCheckpoints;

use super::store::Response;
use super::*;

/// Reads the stream with checkpoints, until no record comes for a minute.
async fn read_all(world: &World) -> Vec<Record> {
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut read = Vec::new();
    while let Ok(record) = timeout(Duration::from_mins(1), records.next()).await {
        read.push(record.expect("not the end").expect("no error").ack());
    }
    checkpoints.flush().await;
    read
}

/// Reads the stream, and returns the numbers of its records.
async fn read(world: &World) -> Vec<u32> {
    read_all(world).await.iter().map(number).collect()
}

/// Returns a world in which all is read: records 0 to 2 in the first shard, which is split then,
/// and records 3 and 4 in its children. Record 1 arrived a minute after record 0, and so on.
async fn all_is_read() -> (World, Vec<Record>) {
    let world = World::new(1);
    for n in 0..3 {
        world.put(n..n + 1);
        sleep(Duration::from_mins(1)).await;
    }
    let (left, right) = world.orders.split(FIRST);
    world.orders.put_to(&left, "3");
    world.orders.put_to(&right, "4");
    let mut all = read_all(&world).await;
    all.sort_by_key(number);
    assert_eq!(all.iter().map(number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(read(&world).await.is_empty());
    (world, all)
}

async fn stored(world: &World) -> StoredCheckpoints<Scripted> {
    StoredCheckpoints::load(world.store.clone(), "orders").await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_checkpoints_of_a_store_are_listed() {
    let (world, _) = all_is_read().await;
    let stored = stored(&world).await;
    assert_eq!(stored.stream().name(), "orders");
    let listed: Vec<_> = stored.iter().collect();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0], (FIRST, &Checkpoint::End));
    assert_eq!(stored.get(listed[1].0), Some(listed[1].1));
    assert!(matches!(listed[2].1, Checkpoint::After { .. }));
    assert_eq!(stored.get("shardId-000000000009"), None);
}

#[tokio::test(start_paused = true)]
async fn a_reset_to_the_trim_horizon_reads_all_again_with_parents_first() {
    let (world, _) = all_is_read().await;
    stored(&world).await.reset(StartAt::TrimHorizon).await.unwrap();
    let mut again = read(&world).await;
    assert_eq!(again[..3], [0, 1, 2]);
    again.sort_unstable();
    assert_eq!(again, [0, 1, 2, 3, 4]);
    assert!(read(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reset_to_a_time_reads_what_arrived_since() {
    let (world, all) = all_is_read().await;
    let second = all[1].arrival_time().expect("a time");
    stored(&world).await.reset(StartAt::Timestamp(second)).await.unwrap();
    let mut again = read(&world).await;
    assert_eq!(again[..2], [1, 2]);
    again.sort_unstable();
    assert_eq!(again, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_to_the_tip_skips_what_was_written_before() {
    let (world, _) = all_is_read().await;
    let mut stored = stored(&world).await;
    world.orders.put("customer 1", "5");
    sleep(Duration::from_mins(1)).await;
    stored.reset(StartAt::Latest).await.unwrap();
    assert_eq!(stored.get(FIRST), Some(&Checkpoint::End));
    assert!(read(&world).await.is_empty());
    world.orders.put("customer 1", "6");
    assert_eq!(read(&world).await, [6]);
}

#[tokio::test(start_paused = true)]
async fn one_shard_goes_back_to_a_record() {
    let (world, all) = all_is_read().await;
    let first = all[0].sequence_number().to_owned();
    let mut stored = stored(&world).await;
    let after_first =
        Checkpoint::After { sequence_number: first.clone(), sub_sequence_number: None };
    for (checkpoint, from) in
        [(after_first, 1), (Checkpoint::Start(StartPosition::At(first.clone())), 0)]
    {
        stored.set(FIRST, checkpoint.clone()).await.unwrap();
        assert_eq!(stored.get(FIRST), Some(&checkpoint));
        assert_eq!(world.store.get(FIRST), Some(checkpoint));
        // Its children were read, and stay so.
        assert_eq!(read(&world).await, [0, 1, 2][from..]);
        stored = self::stored(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_set_to_its_end_is_skipped() {
    let world = World::new(2);
    world.put(0..3);
    world.orders.put_to(SECOND, "7");
    let mut stored = stored(&world).await;
    let shard = Shard::builder().shard_id(FIRST).build().unwrap();
    stored.insert(&shard, Checkpoint::End).await.unwrap();
    assert_eq!(read(&world).await, [7]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_forgotten_counts_as_new() {
    let world = World::new(1);
    world.put(0..2);
    assert_eq!(read(&world).await, [0, 1]);
    let mut stored = stored(&world).await;
    stored.forget(FIRST).await.unwrap();
    assert_eq!(stored.get(FIRST), None);
    stored.forget(FIRST).await.unwrap();
    assert_eq!(read(&world).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_made_is_an_error_and_changes_nothing() {
    let (world, _) = all_is_read().await;
    let mut stored = stored(&world).await;
    let show =
        |error: &dyn std::error::Error| format!("{error}: {}", error.source().expect("the cause"));

    let error = stored.set("shardId-000000000009", Checkpoint::End).await.unwrap_err();
    assert_eq!(
        show(&error),
        "cannot change the checkpoint of shard shardId-000000000009 of stream orders: the store \
         has no checkpoint of it; insert one with its shard"
    );
    let invalid = Checkpoint::Start(StartPosition::At("record-7".into()));
    let error = stored.set(FIRST, invalid).await.unwrap_err();
    assert_eq!(error.shard_id(), FIRST);
    assert!(show(&error).contains("record-7"), "{}", show(&error));

    world.store.next([Response::Fails, Response::Fails]);
    let start = Checkpoint::Start(StartPosition::TrimHorizon);
    assert!(stored.set(FIRST, start.clone()).await.is_err());
    assert!(stored.forget(FIRST).await.is_err());
    assert_eq!(stored.get(FIRST), Some(&Checkpoint::End));
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));

    world.store.next([Response::Late(Duration::from_hours(1))]);
    let error = stored.set(FIRST, start).await.unwrap_err();
    assert!(show(&error).ends_with("no response from the store within 30s"), "{}", show(&error));
}
