//! Pages with one acknowledgement each.

use kinesis_shards::checkpoint::UnackedBatch;

use super::*;

fn batch_numbers(batch: &UnackedBatch) -> Vec<u32> {
    batch.records().iter().map(number).collect()
}

fn pages_of_three() -> ReadOptions {
    ReadOptions::new().max_records(3)
}

#[tokio::test(start_paused = true)]
async fn the_next_run_continues_after_an_acknowledged_page() {
    let world = World::new(1);
    world.put(0..9);
    let checkpoints = world.load().await;
    let batches = world.shards().checkpoints(&checkpoints).batches(&world.client);
    let mut batches = batches.with_options(pages_of_three());
    let first = next(&mut batches).await;
    let second = next(&mut batches).await;
    assert_eq!(batch_numbers(&second), [3, 4, 5]);
    // The second page counts only once the first is acknowledged.
    let second = second.ack();
    assert_eq!(
        checkpoints.get(FIRST),
        Some(Checkpoint::Start(StartPosition::TrimHorizon)),
        "the checkpoint passed a page that is not acknowledged"
    );
    first.ack();
    let last = &second[2];
    let after = Checkpoint::After {
        sequence_number: last.sequence_number().to_owned(),
        sub_sequence_number: None,
    };
    assert_eq!(checkpoints.get(FIRST), Some(after));
    checkpoints.flush().await;
    drop((batches, checkpoints));

    let checkpoints = world.load().await;
    let mut batches = world.shards().checkpoints(&checkpoints).batches(&world.client);
    assert_eq!(batch_numbers(&next(&mut batches).await), [6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_page_holds_the_checkpoint_and_comes_again() {
    let world = World::new(1);
    world.put(0..6);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let batches = world.shards().checkpoints(&checkpoints).batches(&world.client);
    let mut batches = batches.with_options(pages_of_three());
    drop(next(&mut batches).await);
    next(&mut batches).await.ack();
    assert!(world.events().iter().any(|event| event.contains("Unacknowledged { number: 0")));
    // The shard has ended, so it is read again from its checkpoint.
    let again = next(&mut batches).await;
    assert_eq!(batch_numbers(&again), [0, 1, 2]);
    again.ack();
    next(&mut batches).await.ack();
    let children = async { while batches.next().await.is_some() {} };
    timeout(Duration::from_mins(1), children).await.expect_err("the children are open");
    assert_eq!(checkpoints.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_may_outlive_the_records_of_its_page() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut batches = world.shards().checkpoints(&checkpoints).batches(&world.client);
    let (records, acker) = next(&mut batches).await.into_parts();
    let report = {
        let checkpoints = checkpoints.clone();
        tokio::spawn(async move { checkpoints.shutdown(Duration::from_mins(1)).await })
    };
    sleep(Duration::from_secs(1)).await;
    assert_eq!(records.len(), 3);
    acker.ack();
    let report = report.await.unwrap();
    assert!(report.is_complete(), "{report}");
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_counts_the_records_of_a_page_in_flight() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut batches = world.shards().checkpoints(&checkpoints).batches(&world.client);
    let page = next(&mut batches).await;
    let report = checkpoints.shutdown(Duration::from_secs(1)).await;
    assert_eq!(report.unacknowledged(), 5);
    drop(page);
}

#[tokio::test(start_paused = true)]
async fn a_shard_has_its_own_stream_of_pages() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let shard = shards.next().await.unwrap();
    let mut batches = shard.batches(&world.client);
    let batch = next(&mut batches).await;
    assert_eq!((batch.shard_id(), batch.records().len()), (FIRST, 2));
    assert_eq!(batches.shard_id(), Some(FIRST));
    batch.ack();
}
