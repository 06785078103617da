//! Acknowledged records do not come again; all others do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use super::*;

#[tokio::test(start_paused = true)]
async fn the_next_run_continues_after_the_acknowledged_prefix() {
    let world = World::new(1);
    world.put(0..10);
    let checkpoints = world.load().await;
    let mut taken = take(&mut world.records(&checkpoints), 6).await;
    assert_eq!(numbers(&taken), [0, 1, 2, 3, 4, 5]);
    // Record 2 is not acknowledged; 3 to 5 are, out of order.
    let unacked = taken.remove(2);
    for record in taken.into_iter().rev() {
        record.ack();
    }
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
    drop((unacked, checkpoints));

    let checkpoints = world.load().await;
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 8).await), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_may_outlive_its_record_and_its_reader() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let (record, acker) = next(&mut records).await.into_parts();
    tokio::spawn(async move {
        sleep(Duration::from_mins(1)).await;
        acker.ack();
    });
    assert_nothing_is_acknowledged(&checkpoints);
    sleep(Duration::from_mins(2)).await;
    assert_eq!(checkpoints.get(FIRST), Some(after(&record)));
    // The reader is dropped first.
    let late = next(&mut records).await;
    drop(records);
    let late = late.ack();
    assert_eq!(checkpoints.get(FIRST), Some(after(&late)));
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&late)));
}

fn assert_nothing_is_acknowledged(checkpoints: &Checkpoints) {
    assert_eq!(checkpoints.get(FIRST), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
}

#[tokio::test(start_paused = true)]
async fn auto_ack_acknowledges_a_record_when_the_next_one_is_polled_for() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    let first = next(&mut records).await;
    assert_nothing_is_acknowledged(&checkpoints);
    next(&mut records).await;
    assert_eq!(checkpoints.get(FIRST), Some(after(&first)));
    drop(records);
    checkpoints.flush().await;
    assert!(world.events().iter().all(|event| event.contains("saved")), "{:?}", world.events());

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    assert_eq!(number(&next(&mut records).await), 1, "no record was polled for after it");
}

#[derive(Default)]
struct WakeUps(AtomicUsize);

impl Wake for WakeUps {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_wakes_its_reader_only_at_the_end_of_the_shard() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let wake_ups = Arc::new(WakeUps::default());
    let waker = Waker::from(Arc::clone(&wake_ups));
    // Returns how often `ack` wakes a task that waits for a record.
    let wake_ups_of = |records: &mut AllRecords<_>, ack: &mut dyn FnMut()| {
        let mut context = Context::from_waker(&waker);
        assert!(records.poll_next_unpin(&mut context).is_pending());
        let before = wake_ups.0.load(Ordering::SeqCst);
        ack();
        wake_ups.0.load(Ordering::SeqCst) - before
    };
    let mut taken = take(&mut records, 3).await;
    nothing_for(&mut records, Duration::from_secs(10)).await;
    let mut ack = || drop(taken.remove(0).ack());
    assert_eq!(wake_ups_of(&mut records, &mut ack), 0, "two are in flight");
    assert_eq!(wake_ups_of(&mut records, &mut ack), 0, "one is in flight");
    assert_eq!(wake_ups_of(&mut records, &mut ack), 0, "none is in flight");
    world.put(3..4);
    world.orders.split(FIRST);
    let mut last = Some(next(&mut records).await);
    nothing_for(&mut records, Duration::from_secs(10)).await;
    let mut ack = || drop(last.take().map(UnackedRecord::ack));
    assert!(wake_ups_of(&mut records, &mut ack) > 0, "the children wait for it");
    nothing_for(&mut records, Duration::from_secs(10)).await;
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_record_holds_the_checkpoint_and_is_reported() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await.ack();
    drop(next(&mut records).await);
    drop(next(&mut records).await);
    next(&mut records).await.ack();
    assert_eq!(checkpoints.get(FIRST), Some(after(&first)));
    let reported: Vec<_> =
        world.events().into_iter().filter(|event| event.contains("Unacknowledged")).collect();
    assert_eq!(reported, ["shardId-000000000000: Unacknowledged { number: 1 }"], "once");
}

#[tokio::test(start_paused = true)]
async fn records_dropped_after_their_reader_are_not_reported() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let record = next(&mut records).await;
    drop(records);
    drop(record);
    assert!(
        !world.events().iter().any(|event| event.contains("Unacknowledged")),
        "{:?}",
        world.events()
    );
}

/// The reader is dropped with records in flight. A late acknowledgement of one of them does not
/// move the checkpoint.
#[tokio::test(start_paused = true)]
async fn the_record_that_auto_ack_has_yielded_last_is_not_reported_when_the_stream_is_dropped() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut all = world.records(&checkpoints).auto_ack();
    next(&mut all).await;
    drop(all);
    let shard = world.shards().checkpoints(&checkpoints).next().await.unwrap();
    let mut one = shard.records(&world.client).auto_ack();
    next(&mut one).await;
    drop(one);
    assert_nothing_is_acknowledged(&checkpoints);
    assert!(!world.events().iter().any(|event| event.contains("Unacknowledged")));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_offered_again_is_read_from_its_checkpoint() {
    let world = World::new(1);
    world.put(0..6);
    let checkpoints = world.load().await;
    let mut shards = world.shards().checkpoints(&checkpoints);
    let mut records = shards.next().await.unwrap().records(&world.client);
    let mut first = take(&mut records, 4).await;
    first.remove(0).ack();
    drop(records);
    let mut records = shards.next().await.unwrap().records(&world.client);
    let second = take(&mut records, 5).await;
    assert_eq!(numbers(&second), [1, 2, 3, 4, 5]);
    let mut last = None;
    for record in second.into_iter().take(4) {
        last = Some(record.ack());
    }
    // Record 1 of the first reading was acknowledged since.
    first.remove(0).ack();
    assert_eq!(checkpoints.get(FIRST), last.as_ref().map(after));
}

#[cfg(feature = "kpl")]
#[tokio::test(start_paused = true)]
async fn a_run_continues_within_an_aggregated_record() {
    let world = World::new(1);
    let aggregated = include_bytes!("../kpl/three.bin");
    world.orders.put_to(FIRST, aggregated.as_slice());
    world.orders.put_to(FIRST, "plain");
    let options = || ReadOptions::new().deaggregate();
    let data = |record: &Record| String::from_utf8_lossy(record.data()).into_owned();

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).with_options(options());
    let first = next(&mut records).await.ack();
    let sub = first.sub_sequence_number();
    assert_eq!(sub, Some(0));
    let expected = Checkpoint::After {
        sequence_number: first.sequence_number().to_owned(),
        sub_sequence_number: sub,
    };
    assert_eq!(checkpoints.get(FIRST), Some(expected));
    let rest: Vec<_> = take(&mut records, 3).await.iter().map(|record| data(record)).collect();
    checkpoints.flush().await;
    drop(records);

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).with_options(options());
    let again: Vec<_> = take(&mut records, 3).await.iter().map(|record| data(record)).collect();
    assert_eq!(again, rest);
    assert!(!world.events().iter().any(|event| event.contains("gap")), "{:?}", world.events());
}
