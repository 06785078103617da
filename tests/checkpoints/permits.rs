//! Shards with checkpoints that share request permits.

use tokio::runtime::Handle;

use super::*;

/// Reading pauses for a shard whose checkpoint cannot be saved. It must not hold a permit
/// meanwhile.
#[tokio::test(start_paused = true)]
async fn a_paused_shard_holds_no_permit() {
    for runtime in [None, Some(Handle::current())] {
        let world = World::new(3);
        let checkpoints = world
            .load_with(
                CheckpointOptions::new()
                    .save_interval(Duration::ZERO)
                    .save_timeout(Duration::from_secs(1))
                    .store_outage_limit(Duration::from_secs(5)),
            )
            .await;
        let options =
            runtime.into_iter().fold(ReadOptions::new().max_records(3), ReadOptions::spawn_on);
        let records = world.records(&checkpoints).with_options(options).max_concurrent_reads(1);
        let mut records = records.auto_ack();
        nothing_for(&mut records, Duration::from_secs(5)).await;
        world.store.silent_for([FIRST]);
        let ids: Vec<String> = (0..3).map(|shard| format!("shardId-{shard:012}")).collect();
        let mut taken = [0_u32; 3];
        for round in 0..300_u32 {
            for id in &ids {
                world.orders.put_to(id, round.to_string());
            }
            let until = Instant::now() + Duration::from_secs(1);
            while let Ok(Some(record)) = tokio::time::timeout_at(until, records.next()).await {
                let record = record.unwrap();
                let shard = ids.iter().position(|id| id == record.shard_id()).unwrap();
                assert_eq!(number(&record), taken[shard], "{}", record.shard_id());
                taken[shard] += 1;
            }
        }
        assert!(taken[0] < 50, "the first shard was paused: {taken:?}");
        assert!(taken[1] >= 290 && taken[2] >= 290, "{taken:?}");
        // At most one page was read ahead.
        let reads = world.kinesis.requests();
        let reads = reads.iter().filter(|request| request.operation() == "GetRecords");
        let reads = reads.filter(|request| request.shard_id() == Some(FIRST)).count();
        assert!(reads < 60, "{reads} reads of the shard that was paused");
        world.store.silent_for([]);
        take_remaining(&mut records, &ids, &mut taken, 300).await;
    }
}

/// Takes the remaining records of each shard.
async fn take_remaining(
    records: &mut (impl Stream<Item = Result<Record, ReadError>> + Unpin),
    ids: &[String],
    taken: &mut [u32; 3],
    written: u32,
) {
    while taken.iter().any(|taken| *taken < written) {
        let record = next(records).await;
        let shard = ids.iter().position(|id| id == record.shard_id()).unwrap();
        assert_eq!(number(&record), taken[shard], "{}", record.shard_id());
        taken[shard] += 1;
    }
}

/// The response to a request that was in flight when reading paused releases the permit.
#[tokio::test(start_paused = true)]
async fn a_shard_that_pauses_during_a_request_releases_its_permit() {
    let world = World::new(2);
    let options = CheckpointOptions::new().save_interval(Duration::ZERO);
    let options = options.store_outage_limit(Duration::from_secs(5));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints).max_concurrent_reads(1).auto_ack();
    nothing_for(&mut records, Duration::from_secs(5)).await;
    world.store.silent_for([FIRST]);
    world.put(0..2);
    assert_eq!(take(&mut records, 2).await.len(), 2);
    world.kinesis.on_request(|request| {
        let is_read = request.operation() == "GetRecords" && request.shard_id() == Some(FIRST);
        is_read.then_some(Fault::Late(Duration::from_secs(20)))
    });
    nothing_for(&mut records, Duration::from_secs(10)).await;
    let paused = world.events().iter().filter(|event| event.contains("Paused")).count();
    assert_eq!(paused, 1);
    world.orders.put_to(SECOND, "2");
    assert_eq!(number(&next(&mut records).await), 2);
}
