//! `auto_ack`, whose pages acknowledge their records in order.

use super::*;

/// Checks the figures of a shard of which `n` records were taken, the last of them not processed.
fn assert_one_is_in_flight(checkpoints: &Checkpoints, last: Option<&Record>) {
    let status = checkpoints.status().into_iter().find(|shard| shard.shard_id == FIRST).unwrap();
    assert_eq!((status.unacknowledged, status.oldest_unacknowledged.is_some()), (1, true));
    let start = Checkpoint::Start(StartPosition::TrimHorizon);
    assert_eq!(status.checkpoint, Some(last.map_or(start, after)));
    assert_eq!(checkpoints.get(FIRST), status.checkpoint);
}

#[tokio::test(start_paused = true)]
async fn each_acknowledgement_shows_at_once() {
    let world = World::new(1);
    world.put(0..200);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    let mut last = None;
    for n in 0..200 {
        let record = next(&mut records).await;
        assert_eq!(number(&record), n);
        // Most of the time, nobody looks.
        if n % 7 == 0 {
            assert_one_is_in_flight(&checkpoints, last.as_ref());
        }
        last = Some(record);
    }
    nothing_for(&mut records, Duration::from_secs(1)).await;
    let status = checkpoints.status();
    assert_eq!((status[0].unacknowledged, status[0].oldest_unacknowledged), (0, None));
    assert_eq!(status[0].checkpoint, last.as_ref().map(after));
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_saved_while_the_consumer_holds_the_next_record() {
    let world = World::new(1);
    world.put(0..20);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    for n in 1..4 {
        let taken = take(&mut records, 4).await;
        assert_eq!(world.store.calls(FIRST).len(), n);
        sleep(Duration::from_secs(6)).await;
        assert_eq!(world.store.get(FIRST), Some(after(&taken[2])), "after 5 s");
        assert_eq!(world.store.calls(FIRST).len(), 1 + n);
        sleep(Duration::from_hours(1)).await;
        assert_eq!(world.store.calls(FIRST).len(), 1 + n, "nothing changed");
        assert_eq!(checkpoints.status()[0].unsaved_for, None);
    }
}

#[tokio::test(start_paused = true)]
async fn each_acknowledgement_is_saved_without_an_interval() {
    let world = World::new(1);
    world.put(0..5);
    let options = CheckpointOptions::new().save_interval(Duration::ZERO);
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints).auto_ack();
    let mut last = next(&mut records).await;
    for _ in 1..5 {
        let record = next(&mut records).await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(world.store.get(FIRST), Some(after(&last)));
        last = record;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_another_shard_acknowledges_the_last_one() {
    let world = World::new(2);
    for n in 0..6 {
        world.orders.put_to(FIRST, n.to_string());
        world.orders.put_to(SECOND, n.to_string());
    }
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).max_run(1).auto_ack();
    let mut last: Option<Record> = None;
    let mut changes = 0;
    for _ in 0..12 {
        let record = next(&mut records).await;
        if let Some(last) = last {
            assert_eq!(checkpoints.get(last.shard_id()), Some(after(&last)));
            changes += usize::from(last.shard_id() != record.shard_id());
        }
        let in_flight: u64 = checkpoints.status().iter().map(|shard| shard.unacknowledged).sum();
        assert_eq!(in_flight, 1);
        last = Some(record);
        // A run lasts at least 10 ms.
        sleep(Duration::from_millis(11)).await;
    }
    assert!(changes > 2, "{changes}");
}

#[tokio::test(start_paused = true)]
async fn records_that_were_taken_before_are_acknowledged_by_hand() {
    let world = World::new(1);
    world.put(0..6);
    let checkpoints = world.load().await;
    let options = ReadOptions::new().max_records(3);
    let mut records = world.records(&checkpoints).with_options(options);
    let first = next(&mut records).await;
    let mut records = records.auto_ack();
    for n in 1..6 {
        assert_eq!(number(&next(&mut records).await), n);
    }
    let before = Checkpoint::Start(StartPosition::TrimHorizon);
    assert_eq!(checkpoints.get(FIRST), Some(before), "the first record holds the checkpoint");
    assert_eq!(checkpoints.status()[0].unacknowledged, 2);
    first.ack();
    nothing_for(&mut records, Duration::from_secs(1)).await;
    assert_eq!(checkpoints.status()[0].unacknowledged, 0);
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
    assert!(matches!(checkpoints.get(FIRST), Some(Checkpoint::After { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_reports_the_record_in_flight_and_saves_those_before_it() {
    let world = World::new(1);
    world.put(0..10);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    let taken = take(&mut records, 5).await;
    let report = checkpoints.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.unacknowledged(), report.held()), (1, [FIRST.to_owned()].as_slice()));
    assert_eq!(world.store.get(FIRST), Some(after(&taken[3])));
    assert!(records.next().await.is_none(), "the rest of the page is not delivered");
    assert_eq!(checkpoints.get(FIRST), Some(after(&taken[4])));
    assert!(checkpoints.shutdown(Duration::from_secs(1)).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_record_in_flight_comes_again_after_its_stream_was_dropped() {
    let world = World::new(1);
    world.put(0..10);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let mut records = shards.next().await.unwrap().records(&world.client).auto_ack();
    let taken = take(&mut records, 3).await;
    drop(records);
    assert_eq!(checkpoints.get(FIRST), Some(after(&taken[1])));
    assert_eq!(checkpoints.status()[0].unacknowledged, 0);
    let mut records = shards.next().await.unwrap().records(&world.client).auto_ack();
    assert_eq!(number(&next(&mut records).await), 2);
    assert!(!world.events().iter().any(|event| event.contains("Unacknowledged")));
}
