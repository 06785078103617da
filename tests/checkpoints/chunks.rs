//! Chunks of records with one acknowledgement.

use kinesis_shards::checkpoint::UnackedChunk;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const SECOND_SHARD: &str = super::SECOND;

fn chunk_numbers(chunk: &UnackedChunk) -> Vec<u32> {
    chunk.records().iter().map(number).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_yielded_when_it_is_full_and_when_its_first_record_has_waited() {
    let world = World::new(1);
    world.put(0..7);
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(3, SECOND * 30);
    for full in [[0, 1, 2], [3, 4, 5]] {
        let chunk = next(&mut chunks).await;
        assert_eq!(chunk_numbers(&chunk), full);
        chunk.ack();
    }
    nothing_for(&mut chunks, SECOND * 20).await;
    world.put(7..8);
    nothing_for(&mut chunks, SECOND * 9).await;
    let chunk = timeout(SECOND * 2, chunks.next()).await.expect("30 s are over").unwrap().unwrap();
    assert_eq!(chunk_numbers(&chunk), [6, 7]);
    let last = after(&chunk.records()[1]);
    chunk.ack();
    assert_eq!(checkpoints.get(FIRST), Some(last));
    nothing_for(&mut chunks, HOUR).await;
    world.put(8..9);
    nothing_for(&mut chunks, SECOND * 29).await;
    assert_eq!(chunk_numbers(&next(&mut chunks).await), [8], "the time begins with its record");
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_a_chunk_holds_the_records_that_are_ready() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(100, Duration::ZERO);
    assert_eq!(chunk_numbers(&next(&mut chunks).await), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_last_records_of_a_shard_are_not_held_back() {
    let world = World::new(2);
    world.put(0..2);
    world.orders.put_to(SECOND_SHARD, "2");
    let merged = world.orders.merge(FIRST, SECOND_SHARD);
    world.orders.put_to(&merged, "3");
    let (child, _) = world.orders.split(&merged);
    world.orders.put_to(&child, "4");
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(100, HOUR);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let chunk = timeout(Duration::from_mins(1), chunks.next()).await;
        let chunk = chunk.expect("a shard waits for this chunk").unwrap().unwrap();
        seen.extend(chunk_numbers(&chunk));
        chunk.ack();
    }
    assert_eq!(seen[3], 3);
    // The shard of the last record is open.
    nothing_for(&mut chunks, Duration::from_mins(50)).await;
    assert_eq!(chunk_numbers(&next(&mut chunks).await), [4]);
    assert_eq!(world.store.get(&merged), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn one_acknowledgement_moves_the_checkpoints_of_all_shards() {
    let world = World::new(2);
    for number in 0..6 {
        world.orders.put_to([FIRST, SECOND_SHARD][number % 2], number.to_string());
    }
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).max_run(1).chunks(6, HOUR);
    let chunk = next(&mut chunks).await;
    let (records, acker) = chunk.into_parts();
    for shard in [FIRST, SECOND_SHARD] {
        let start = Checkpoint::Start(StartPosition::TrimHorizon);
        assert_eq!(checkpoints.get(shard), Some(start));
    }
    acker.ack();
    for shard in [FIRST, SECOND_SHARD] {
        let last = records.iter().rfind(|record| record.shard_id() == shard).unwrap();
        assert_eq!(checkpoints.get(shard), Some(after(last)));
    }
    let unacknowledged: u64 = checkpoints.status().iter().map(|shard| shard.unacknowledged).sum();
    assert_eq!(unacknowledged, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_chunk_holds_the_checkpoint_and_comes_again() {
    let world = World::new(1);
    world.put(0..6);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(3, SECOND);
    drop(next(&mut chunks).await);
    next(&mut chunks).await.ack();
    assert!(world.events().iter().any(|event| event.contains("Unacknowledged { number: 0")));
    // The shard has ended, so it is read again from its checkpoint.
    for numbers in [[0, 1, 2], [3, 4, 5]] {
        let chunk = next(&mut chunks).await;
        assert_eq!(chunk_numbers(&chunk), numbers);
        chunk.ack();
    }
    nothing_for(&mut chunks, Duration::from_mins(1)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_an_item_after_the_records_before_it() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(100, HOUR);
    nothing_for(&mut chunks, SECOND * 10).await;
    world.kinesis.fail_next("GetRecords", Fault::KmsDisabled);
    assert_eq!(chunk_numbers(&next(&mut chunks).await), [0, 1]);
    let error = chunks.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("KMSDisabledException"));
    nothing_for(&mut chunks, SECOND * 30).await;
    assert_eq!(chunk_numbers(&next(&mut chunks).await), [0, 1], "the shard is offered again");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_yields_the_last_chunk() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(100, HOUR);
    nothing_for(&mut chunks, SECOND * 10).await;
    let consumer = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(chunk) = chunks.next().await {
            seen.extend(chunk.unwrap().ack().iter().map(number));
        }
        seen
    });
    let report = checkpoints.shutdown(SECOND * 10).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(consumer.await.unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_records_of_a_chunk_that_was_not_yielded_come_again_without_a_report() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut chunks = world.records(&checkpoints).chunks(2, HOUR);
    next(&mut chunks).await.ack();
    nothing_for(&mut chunks, SECOND * 10).await;
    drop(chunks);
    assert!(!world.events().iter().any(|event| event.contains("Unacknowledged")));
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 1).await), [2]);
}

#[tokio::test]
#[should_panic(expected = "max is 0")]
async fn a_chunk_without_records_is_refused() {
    let world = World::new(1);
    let checkpoints = world.load().await;
    drop(world.records(&checkpoints).chunks(0, SECOND));
}
