//! A server that restarts without its data: the new stream has the shards and the sequence numbers
//! of the old one.

use futures::future;

use super::*;

/// A server whose records are numbered from the start of their shard.
fn world() -> World {
    World::on(FakeKinesis::builder().time_in_sequence_numbers(false).build(), 1)
}

impl World {
    /// Restarts the server while it refuses connections, and writes these records.
    async fn restart(&mut self, records: std::ops::Range<u32>) {
        self.kinesis.fail_always("GetRecords", Fault::ConnectionRefused);
        self.kinesis.restart_empty();
        self.orders = self.kinesis.create_stream("orders", 1);
        self.put(records);
        sleep(Duration::from_secs(10)).await;
        self.kinesis.clear_faults();
    }
}

/// Acknowledges five records, and waits until that is durable.
async fn acknowledge_five(records: &mut AllRecords<CheckpointedShards>, checkpoints: &Checkpoints) {
    for record in take(records, 5).await {
        record.ack();
    }
    checkpoints.flush().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_reads_the_new_stream_from_its_oldest_record() {
    // The new stream has fewer records than the old one, as many, and more.
    for new in [2, 5, 9] {
        let mut world = world();
        world.put(0..5);
        let checkpoints = world.load().await;
        let mut records = world.records(&checkpoints);
        acknowledge_five(&mut records, &checkpoints).await;
        nothing_for(&mut records, Duration::from_mins(1)).await;
        let read = take(&mut records, new as usize);
        let ((), read) = future::join(world.restart(100..100 + new), read).await;
        assert_eq!(numbers(&read), (100..100 + new).collect::<Vec<_>>());
        assert!(gaps(&world) > 0, "the lost record is reported");
        let last = read.into_iter().map(UnackedRecord::ack).last().unwrap();
        checkpoints.flush().await;
        assert_eq!(world.store.get(FIRST), Some(after(&last)));
        nothing_for(&mut records, Duration::from_mins(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_stored_checkpoint_stays_until_a_record_of_the_new_stream_is_acknowledged() {
    let mut world = world();
    world.put(0..5);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    acknowledge_five(&mut records, &checkpoints).await;
    let stored = world.store.get(FIRST);
    let read = take(&mut records, 2);
    let ((), read) = future::join(world.restart(100..102), read).await;
    checkpoints.flush().await;
    assert_eq!((numbers(&read), world.store.get(FIRST)), (vec![100, 101], stored));
}

/// The consumer and the server restart together.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_beyond_every_record_starts_over() {
    let mut world = world();
    world.put(0..5);
    let checkpoints = world.load().await;
    acknowledge_five(&mut world.records(&checkpoints), &checkpoints).await;
    drop(checkpoints);
    world.restart(0..0).await;
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_mins(1)).await;
    world.put(100..103);
    assert_eq!(numbers(&take(&mut records, 3).await), [100, 101, 102]);
}
