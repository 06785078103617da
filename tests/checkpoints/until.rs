//! Runs with an end, and the runs that continue them.

use kinesis_shards::StopAt;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

impl World {
    /// Reads up to the end with a new consumer, which acknowledges each record at once. Returns the
    /// numbers.
    async fn run_until(&self, stop_at: StopAt) -> Vec<u32> {
        let checkpoints = self.load().await;
        let shards = self.shards().until(stop_at).checkpoints(&checkpoints);
        let mut records = shards.records(&self.client);
        let mut seen = Vec::new();
        while let Some(record) = within(records.next()).await {
            seen.push(number(&record.unwrap().ack()));
        }
        let report = checkpoints.shutdown(MINUTE).await;
        assert!(report.is_complete(), "{report}");
        seen
    }

    /// Reads on without an end, with a new consumer. Returns the numbers of the next records.
    async fn read_on(&self, records: usize) -> Vec<u32> {
        let checkpoints = self.load().await;
        let mut stream = self.records(&checkpoints);
        let mut seen = Vec::new();
        for _ in 0..records {
            seen.push(number(&next(&mut stream).await.ack()));
        }
        nothing_for(&mut stream, MINUTE).await;
        seen
    }

    fn at_now(&self) -> StopAt {
        StopAt::Timestamp(self.kinesis.now().into())
    }
}

async fn within<T>(next: impl Future<Output = T>) -> T {
    timeout(Duration::from_hours(24), next).await.expect("an item, or the end")
}

fn all(numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.collect()
}

#[tokio::test(start_paused = true)]
async fn a_later_run_continues_after_the_end() {
    let world = World::new(2);
    world.put(0..10);
    assert_eq!(world.run_until(StopAt::Tip).await, all(0..10));
    assert!(matches!(world.store.get(FIRST), Some(Checkpoint::After { .. })));
    assert_eq!(world.store.get(SECOND), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
    world.put(10..15);
    let (low, _) = world.orders.split(FIRST);
    world.orders.put_to(&low, "15");
    assert_eq!(world.run_until(StopAt::Tip).await, all(10..16), "a later end");
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
    world.orders.put_to(&low, "16");
    assert_eq!(world.read_on(1).await, [16], "no end");
}

#[tokio::test(start_paused = true)]
async fn no_end_is_stored_for_a_shard_that_was_left_though_kinesis_has_closed_it() {
    let world = World::new(1);
    world.put(0..5);
    sleep(MINUTE).await;
    let end = world.at_now();
    world.put(5..8);
    let (low, high) = world.orders.split(FIRST);
    world.orders.put_to(&low, "8");
    sleep(MINUTE).await;
    for seen in [all(0..5), vec![]] {
        assert_eq!(world.run_until(end).await, seen);
        assert!(matches!(world.store.get(FIRST), Some(Checkpoint::After { .. })));
        assert_eq!((world.store.get(&low), world.store.get(&high)), (None, None));
    }
    assert_eq!(world.read_on(4).await, all(5..9));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_read_to_its_end_is_finished() {
    let world = World::new(1);
    world.put(0..5);
    let (low, high) = world.orders.split(FIRST);
    world.orders.put_to(&low, "5");
    let merged = world.orders.merge(&low, &high);
    world.orders.put_to(&merged, "6");
    assert_eq!(world.run_until(StopAt::Tip).await, all(0..7));
    for shard in [FIRST, &low, &high] {
        assert_eq!(world.store.get(shard), Some(Checkpoint::End));
    }
    assert!(matches!(world.store.get(&merged), Some(Checkpoint::After { .. })));
    world.orders.put_to(&merged, "7");
    assert_eq!(world.read_on(1).await, [7]);
}

#[tokio::test(start_paused = true)]
async fn records_may_be_acknowledged_after_the_streams_have_ended() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut records =
        world.shards().until(StopAt::Tip).checkpoints(&checkpoints).records(&world.client);
    let held = take(&mut records, 5).await;
    assert!(within(records.next()).await.is_none(), "the end waits for no acknowledgement");
    for record in held {
        record.ack();
    }
    let report = checkpoints.shutdown(MINUTE).await;
    assert!(report.is_complete(), "{report}");
    world.put(5..7);
    assert_eq!(world.read_on(2).await, [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_acknowledged_comes_again_in_the_next_run() {
    let world = World::new(1);
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut records =
        world.shards().until(StopAt::Tip).checkpoints(&checkpoints).records(&world.client);
    while let Some(record) = within(records.next()).await {
        let record = record.unwrap();
        if number(&record) != 2 {
            record.ack();
        }
    }
    let report = checkpoints.shutdown(MINUTE).await;
    assert_eq!(report.held(), [FIRST], "{report}");
    assert_eq!(world.run_until(StopAt::Tip).await, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_killed_midway_loses_nothing_and_ends_where_it_should() {
    let world = World::new(1);
    let end = StopAt::Timestamp((world.kinesis.now() + 30 * MINUTE).into());
    let writer = tokio::spawn({
        let orders = world.orders.clone();
        async move {
            let mut shard = FIRST.to_owned();
            for n in 0..60 {
                orders.put_to(&shard, n.to_string());
                sleep(MINUTE).await;
                if n % 5 == 0 {
                    let (low, high) = orders.split(&shard);
                    shard = orders.merge(&low, &high);
                }
            }
        }
    });
    let mut seen = std::collections::BTreeMap::<u32, u32>::new();
    let options = || CheckpointOptions::new().save_interval(Duration::from_secs(30));
    loop {
        let checkpoints = world.load_with(options()).await;
        let shards = world.shards().until(end).checkpoints(&checkpoints);
        let mut records = shards.records(&world.client);
        let run = async {
            while let Some(record) = records.next().await {
                *seen.entry(number(&record.unwrap().ack())).or_default() += 1;
            }
        };
        // The process is killed every few minutes.
        if timeout(Duration::from_secs(200), run).await.is_ok() {
            assert!(checkpoints.shutdown(MINUTE).await.is_complete());
            break;
        }
    }
    writer.abort();
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), all(0..30));
    assert!(seen.values().all(|times| *times <= 2), "{seen:?}");
    assert_eq!(world.run_until(end).await, all(0..0));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_after_the_end_is_left_as_it_is() {
    let world = World::new(1);
    world.put(0..3);
    sleep(MINUTE).await;
    let end = world.at_now();
    sleep(MINUTE).await;
    world.put(3..6);
    assert_eq!(world.run_until(StopAt::Tip).await, all(0..6));
    let checkpoint = world.store.get(FIRST);
    assert_eq!(world.run_until(end).await, all(0..0));
    assert_eq!(world.store.get(FIRST), checkpoint);
}

#[tokio::test(start_paused = true)]
async fn a_run_from_latest_to_the_tip_reads_nothing_and_is_continued() {
    let world = World::new(2);
    world.put(0..3);
    sleep(MINUTE).await;
    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).until(StopAt::Tip);
    let mut records = shards.checkpoints(&checkpoints).records(&world.client);
    assert!(within(records.next()).await.is_none());
    assert!(checkpoints.shutdown(MINUTE).await.is_complete());
    drop((records, checkpoints));
    sleep(MINUTE).await;
    world.put(3..5);
    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    let taken = take(&mut records, 2).await;
    assert_eq!(numbers(&taken), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn batches_and_acknowledgements_in_order_end_too() {
    let world = World::new(2);
    world.put(0..10);
    let checkpoints = world.load().await;
    let shards = world.shards().until(StopAt::Tip).checkpoints(&checkpoints);
    let options = ReadOptions::new().max_records(4);
    let mut batches = shards.batches(&world.client).with_options(options);
    let mut seen = 0;
    while let Some(batch) = within(batches.next()).await {
        seen += batch.unwrap().ack().len();
    }
    assert_eq!(seen, 10);
    assert!(checkpoints.shutdown(MINUTE).await.is_complete());
    drop((batches, checkpoints));

    world.put(10..20);
    let checkpoints = world.load().await;
    let shards = world.shards().until(StopAt::Tip).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client).auto_ack();
    let mut seen = Vec::new();
    while let Some(record) = within(records.next()).await {
        seen.push(number(&record.unwrap()));
    }
    assert_eq!(seen, all(10..20));
    let report = checkpoints.shutdown(MINUTE).await;
    assert!(report.is_complete(), "{report}");
    drop((records, checkpoints));
    assert_eq!(world.run_until(StopAt::Tip).await, all(0..0));
}

/// One parent of the merge is left at the end, so the child waits for a later run.
#[tokio::test(start_paused = true)]
async fn the_child_of_a_merge_is_read_when_both_parents_are() {
    let world = World::new(2);
    world.put(0..3);
    sleep(MINUTE).await;
    let end = world.at_now();
    world.orders.put_to(SECOND, "3");
    let merged = world.orders.merge(FIRST, SECOND);
    world.orders.put_to(&merged, "4");
    assert_eq!(world.run_until(end).await, all(0..3));
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
    assert_eq!(world.store.get(&merged), None);
    assert_eq!(world.read_on(2).await, [3, 4]);
}
