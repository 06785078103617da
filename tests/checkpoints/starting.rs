//! Where a run begins.

use super::store::Answer;
use super::*;

#[tokio::test(start_paused = true)]
async fn latest_skips_nothing_on_restart_though_no_record_came() {
    let world = World::new(2);
    world.put(0..3);
    sleep(Duration::from_secs(1)).await;
    let run = async |n: usize| {
        let checkpoints = world.load().await;
        let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
        let mut records = shards.records(&world.client);
        nothing_for(&mut records, Duration::from_secs(20)).await;
        drop(records);
        world.put(10..12);
        n
    };
    run(0).await;
    // The consumer is down; a shard is split meanwhile, and written to.
    sleep(Duration::from_mins(10)).await;
    world.put(12..14);
    let (left, _) = world.orders.split(FIRST);
    world.orders.put_to(&left, "14");
    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(number(&next(&mut records).await.ack()));
    }
    assert_eq!(seen, [10, 11, 12, 13, 14]);
    nothing_for(&mut records, Duration::from_mins(1)).await;
}

/// A crash while the first starts are being saved leaves some shards named and others not.
#[tokio::test(start_paused = true)]
async fn latest_skips_nothing_when_only_some_starts_were_saved() {
    let world = World::new(2);
    world.orders.put_to(SECOND, "0");
    sleep(Duration::from_secs(1)).await;
    // One of the two is confirmed, the other never.
    world.store.next([Answer::Late(Duration::ZERO), Answer::Late(Duration::from_hours(100))]);
    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    nothing_for(&mut records, Duration::from_mins(1)).await;
    drop((records, checkpoints));
    let starts = [world.store.get(FIRST), world.store.get(SECOND)];
    assert_eq!(starts.iter().flatten().count(), 1, "{starts:?}");
    // Down. The shard that has no start yet is written to, and split.
    let unnamed = if starts[0].is_none() { FIRST } else { SECOND };
    sleep(Duration::from_mins(10)).await;
    world.orders.put_to(unnamed, "1");
    let (left, _) = world.orders.split(unnamed);
    world.orders.put_to(&left, "2");

    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
    assert_eq!(number(&next(&mut records).await.ack()), 2);
    nothing_for(&mut records, Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_remembered_before_it_is_read() {
    let world = World::new(1);
    world.put(0..1);
    world.store.next([Answer::Fails, Answer::Fails, Answer::Late(Duration::from_secs(30))]);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_secs(29)).await;
    assert_eq!(world.kinesis.count("GetShardIterator"), 0);
    drop(next(&mut records).await);
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_loaded_is_an_error_and_nothing_is_read() {
    #[derive(Debug)]
    struct Broken;
    impl kinesis_shards::CheckpointStore for Broken {
        fn load<'a>(
            &'a self,
            _: &'a kinesis_shards::StreamId,
        ) -> futures::future::BoxFuture<'a, Result<Vec<(String, Checkpoint)>, kinesis_shards::StoreError>>
        {
            Box::pin(async { Err("no connection".into()) })
        }
        fn save<'a>(
            &'a self,
            _: kinesis_shards::Save<'a>,
        ) -> futures::future::BoxFuture<'a, Result<(), kinesis_shards::StoreError>> {
            unreachable!()
        }
        fn forget<'a>(
            &'a self,
            _: &'a kinesis_shards::StreamId,
            _: &'a str,
        ) -> futures::future::BoxFuture<'a, Result<(), kinesis_shards::StoreError>> {
            unreachable!()
        }
    }
    let error = Checkpoints::load(Broken, "orders").await.unwrap_err().to_string();
    assert!(error.contains("orders") && error.contains("no connection"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_in_hand_comes_from_the_combinator_or_by_hand() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let lists = kinesis_shards::shard_lists(&world.client, "orders", Duration::from_secs(30));
    let shards = kinesis_shards::parents_first(lists).resume(checkpoints.progress());
    let mut shards = pin!(shards);
    let handle = shards.next().await.unwrap().unwrap();
    let shard = checkpoints.shard(handle, &world.client);
    assert_eq!((shard.id(), shard.start()), (FIRST, &StartPosition::TrimHorizon));
    let mut records = shard.records(&world.client);
    let first = next(&mut records).await.ack();
    checkpoints.flush().await;
    drop(records);

    let checkpoints = world.load().await;
    let mut shards = kinesis_shards::try_all_shards(&world.client, "orders").checkpoints(&checkpoints);
    let shard = shards.next().await.unwrap().unwrap();
    assert_eq!(shard.start(), &StartPosition::At(first.sequence_number().to_owned()));
    assert_eq!(shard.handle().start(), &StartPosition::After(first.sequence_number().to_owned()));
    let mut records = shard.records(&world.client);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
}
