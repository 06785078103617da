//! Rules that one line of the crate holds: each test fails without that line.

use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::StreamId;
use kinesis_shards::checkpoint::{CheckpointStore, Save, StoreError};
use kinesis_shards::shard::Progress;

use super::store::Response;
use super::*;

const THIRD: &str = "shardId-000000000002";

/// Saves a checkpoint, as an earlier run did.
async fn save(world: &World, shard_id: &str, checkpoint: Checkpoint) {
    let shards = world.orders.shards();
    let shard = shards.iter().find(|shard| shard.shard_id() == shard_id).unwrap();
    world.store.memory.save(Save::new(&"orders".into(), shard, &checkpoint)).await.unwrap();
}

/// The starts of two shards were saved by an earlier run, and that of a third was not: it may be as
/// early as the earliest.
#[tokio::test(start_paused = true)]
async fn a_shard_without_a_saved_start_starts_at_the_earliest_one() {
    let world = World::new(3);
    let now = || Checkpoint::Start(StartPosition::Timestamp(world.kinesis.now().into()));
    let early = now();
    sleep(Duration::from_secs(10)).await;
    world.put(7..8);
    sleep(Duration::from_secs(10)).await;
    let late = now();
    save(&world, SECOND, late).await;
    save(&world, THIRD, early).await;
    sleep(Duration::from_secs(10)).await;

    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    assert_eq!(number(&next(&mut records).await.ack()), 7);
}

/// The KCL gives a record that is not aggregated the sub-sequence number 0.
#[cfg(feature = "kpl")]
#[tokio::test(start_paused = true)]
async fn an_aggregated_record_whose_first_user_record_was_acknowledged_comes_again() {
    for (data, comes_again) in
        [(include_bytes!("../kpl/three.bin").as_slice(), true), (b"1", false)]
    {
        let world = World::new(1);
        let sequence_number = world.orders.put_to(FIRST, data);
        world.put(2..3);
        let first = Checkpoint::After { sequence_number, sub_sequence_number: Some(0) };
        save(&world, FIRST, first).await;
        let checkpoints = world.load().await;
        let mut records = world.records(&checkpoints);
        let record = next(&mut records).await.ack();
        assert_eq!(record.data() == data, comes_again);
    }
}

/// The deliveries of a second reader count from the checkpoint that the first one left.
#[tokio::test(start_paused = true)]
async fn a_shutdown_reports_a_record_that_a_second_reader_dropped() {
    let world = World::new(1);
    world.put(0..9);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    for _ in 0..3 {
        next(&mut records).await.ack();
    }
    drop(records);
    let mut records = world.records(&checkpoints);
    let held = next(&mut records).await;
    assert_eq!(number(&held), 3);
    drop((held, records));
    let report = checkpoints.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.held(), report.is_complete()), ([FIRST.to_owned()].as_slice(), false));
}

/// The next listing is an hour away, so that only the shutdown wakes the stream.
#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_stream_of_shards_at_once() {
    let world = World::new(1);
    let checkpoints = world.load().await;
    let mut shards =
        world.shards().poll_interval(Duration::from_hours(1)).checkpoints(&checkpoints);
    let shard = shards.next().await.unwrap();
    let waiting = tokio::spawn(async move { shards.next().await.is_none() });
    sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    let _ = checkpoints.shutdown(Duration::ZERO).await;
    assert!(
        timeout(Duration::from_mins(1), waiting).await.expect("the stream was not woken").unwrap()
    );
    drop(shard);
}

/// The next save waits neither for the save interval nor for the backoff.
#[tokio::test(start_paused = true)]
async fn an_urgent_save_follows_the_one_in_flight_at_once() {
    let world = World::new(1);
    world.put(0..2);
    let late = Duration::from_secs(10);
    let checkpoints =
        world.load_with(CheckpointOptions::new().save_interval(Duration::from_hours(1))).await;
    let mut records = world.records(&checkpoints);
    let [first, second] = take(&mut records, 2).await.try_into().unwrap();
    world.store.always(Response::Late(late));
    first.ack();
    let flush = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move { checkpoints.flush().await }
    });
    sleep(MS).await;
    let last = second.ack();
    checkpoints.flush().await;
    flush.await.unwrap();
    let times = world.store.times(FIRST);
    assert_eq!(times[2] - times[1], late);
    assert_eq!(world.store.get(FIRST), Some(after(&last)));
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn acknowledgements_do_not_shorten_the_backoff_of_a_failing_store() {
    let world = World::new(1);
    world.put(0..500);
    let checkpoints = world.load_with(CheckpointOptions::new().save_records(1)).await;
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    world.store.always(Response::Fails);
    let before = world.store.calls(FIRST).len();
    for _ in 1..500 {
        next(&mut records).await;
        sleep(10 * MS).await;
    }
    // In five seconds, with delays that double from 0.1 s.
    let attempts = world.store.calls(FIRST).len() - before;
    assert!((1..=10).contains(&attempts), "{attempts} attempts");
}

/// A store that notes the children of each end.
#[derive(Clone, Default)]
struct Children(MemoryStore, Arc<Mutex<Vec<Vec<String>>>>);

impl CheckpointStore for Children {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        self.0.load(stream)
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        if *save.checkpoint == Checkpoint::End {
            let children = save.children.iter().map(|child| child.shard_id().to_owned());
            self.1.lock().unwrap().push(children.collect());
        }
        self.0.save(save)
    }

    fn forget<'a>(&'a self, _: &'a StreamId, _: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_is_saved_with_its_children() {
    let world = World::new(1);
    world.put(0..1);
    let (left, right) = world.orders.split(FIRST);
    let store = Children::default();
    let checkpoints = Checkpoints::load(store.clone(), "orders").await.unwrap();
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    nothing_for(&mut records, Duration::from_secs(10)).await;
    assert!(
        checkpoints.progress().any(|(id, progress)| id == FIRST && progress == Progress::Finished)
    );
    assert_eq!(*store.1.lock().unwrap(), [[left, right]]);
}
