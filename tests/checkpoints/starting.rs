//! Where a run starts.

use std::error::Error;

use kinesis_shards::checkpoint::{CheckpointStore, Save};

use super::store::Response;
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
    // The consumer is down while a shard is written to and split.
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

/// After a crash during the first saves, some starts are in the store and others are not.
#[tokio::test(start_paused = true)]
async fn latest_skips_nothing_when_only_some_starts_were_saved() {
    let world = World::new(2);
    world.orders.put_to(SECOND, "0");
    sleep(Duration::from_secs(1)).await;
    // The store confirms one of the two starts.
    world.store.silent_for([SECOND]);
    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    nothing_for(&mut records, Duration::from_mins(1)).await;
    drop((records, checkpoints));
    let starts = [world.store.get(FIRST), world.store.get(SECOND)];
    assert!(starts[0].is_some() && starts[1].is_none(), "{starts:?}");
    world.store.silent_for([]);
    // The consumer is down while the shard without a start is written to and split.
    let unsaved = SECOND;
    sleep(Duration::from_mins(10)).await;
    world.orders.put_to(unsaved, "1");
    let (left, _) = world.orders.split(unsaved);
    world.orders.put_to(&left, "2");

    let checkpoints = world.load().await;
    let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let mut records = shards.records(&world.client);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
    assert_eq!(number(&next(&mut records).await.ack()), 2);
    nothing_for(&mut records, Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_shard_is_durable_before_it_is_read() {
    let world = World::new(1);
    world.put(0..1);
    world.store.next([Response::Fails, Response::Fails, Response::Late(Duration::from_secs(30))]);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_secs(29)).await;
    assert_eq!(world.kinesis.count("GetShardIterator"), 0);
    drop(next(&mut records).await);
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::Start(StartPosition::TrimHorizon)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_loaded_is_an_error() {
    #[derive(Debug)]
    struct Broken;
    impl kinesis_shards::checkpoint::CheckpointStore for Broken {
        fn load<'a>(
            &'a self,
            _: &'a kinesis_shards::StreamId,
        ) -> futures::future::BoxFuture<
            'a,
            Result<Vec<(String, Checkpoint)>, kinesis_shards::checkpoint::StoreError>,
        > {
            Box::pin(async { Err("no connection".into()) })
        }
        fn save<'a>(
            &'a self,
            _: kinesis_shards::checkpoint::Save<'a>,
        ) -> futures::future::BoxFuture<'a, Result<(), kinesis_shards::checkpoint::StoreError>>
        {
            unreachable!()
        }
        fn forget<'a>(
            &'a self,
            _: &'a kinesis_shards::StreamId,
            _: &'a str,
        ) -> futures::future::BoxFuture<'a, Result<(), kinesis_shards::checkpoint::StoreError>>
        {
            unreachable!()
        }
    }
    let error = Checkpoints::load(Broken, "orders").await.unwrap_err();
    assert!(error.to_string().contains("orders"), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "no connection");
}

#[tokio::test(start_paused = true)]
async fn a_shard_with_its_checkpoint_comes_from_the_stream_or_from_open() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let lists =
        kinesis_shards::listing::shard_lists(&world.client, "orders", Duration::from_secs(30));
    let shards = kinesis_shards::lineage::parents_first(lists).resume(checkpoints.progress());
    let mut shards = pin!(shards);
    let handle = shards.next().await.unwrap().unwrap();
    let shard = checkpoints.open(handle, &world.client);
    assert_eq!((shard.id(), shard.start()), (FIRST, &StartPosition::TrimHorizon));
    assert_eq!(shard.handle().start(), shard.start());
    let mut records = shard.records(&world.client);
    let first = next(&mut records).await.ack();
    checkpoints.flush().await;
    drop(records);

    let checkpoints = world.load().await;
    let mut shards =
        kinesis_shards::try_all_shards(&world.client, "orders").checkpoints(&checkpoints);
    let shard = shards.next().await.unwrap().unwrap();
    assert_eq!(shard.start(), &StartPosition::After(first.sequence_number().to_owned()));
    assert_eq!(shard.handle().start(), shard.start());
    let mut records = shard.records(&world.client);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
}

/// The shard starts at the tip, at a saved start, or at a checkpoint that has moved since the shard
/// was first offered.
#[tokio::test(start_paused = true)]
async fn a_shard_and_its_handle_start_at_the_same_position() {
    let world = World::new(1);
    sleep(Duration::from_secs(1)).await;
    let checkpoints = world.load().await;
    let mut shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let shard = shards.next().await.unwrap();
    assert!(matches!(shard.start(), StartPosition::Timestamp(_)), "{:?}", shard.start());
    assert_eq!(shard.handle().start(), shard.start());
    let start = shard.start().clone();
    drop(shard);
    let shard = shards.next().await.unwrap();
    assert_eq!((shard.start(), shard.handle().start()), (&start, &start));
    world.put(0..2);
    let mut records = shard.records(&world.client);
    let first = next(&mut records).await.ack();
    drop(records);
    let shard = shards.next().await.unwrap();
    let after_first = StartPosition::After(first.sequence_number().to_owned());
    assert_eq!((shard.start(), shard.handle().start()), (&after_first, &after_first));
    // A request of the handle starts there, too.
    let iterator = shard.handle().get_shard_iterator(&world.client).send().await.unwrap();
    let page = world.client.get_records().set_shard_iterator(iterator.shard_iterator);
    let page = page.send().await.unwrap();
    assert_eq!(
        page.records().iter().map(|record| record.data().as_ref()).collect::<Vec<_>>(),
        [b"1"]
    );
    assert_eq!(number(&next(&mut shard.records(&world.client)).await.ack()), 1);
}

/// The consumer takes few shards at a time. The starts of the others must be saved, too.
#[tokio::test(start_paused = true)]
async fn latest_saves_the_starts_of_shards_that_were_not_taken_yet() {
    let world = World::new(10);
    sleep(Duration::from_secs(1)).await;
    let run = async |seen: &Mutex<Vec<u32>>| {
        let checkpoints = world.load().await;
        let shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
        let consumer = shards.for_each_concurrent(4, |shard| {
            let mut records = shard.records(&world.client);
            async move {
                while let Some(record) = records.next().await {
                    seen.lock().unwrap().push(number(&record.unwrap().ack()));
                }
            }
        });
        assert!(timeout(Duration::from_mins(1), consumer).await.is_err());
    };
    let seen = Mutex::default();
    run(&seen).await;
    assert_eq!(world.kinesis.count("GetShardIterator"), 4, "the others were not read");
    let shards = world.orders.open_shards();
    assert!(shards.iter().all(|id| world.store.get(id).is_some()));
    // The consumer is down while each shard is written to, and closed so that all are taken.
    sleep(Duration::from_mins(10)).await;
    for (n, id) in (0..).zip(&shards) {
        world.orders.put_to(id, u32::to_string(&n));
        world.orders.split(id);
    }
    run(&seen).await;
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

/// After a crash, only one of two shards has a start in the store. It keeps that start until the
/// other one is saved, or a third run would start at its own tip.
#[tokio::test(start_paused = true)]
async fn a_start_is_kept_until_all_starts_are_saved() {
    let world = World::new(2);
    sleep(Duration::from_secs(1)).await;
    world.store.silent_for([SECOND]);
    let checkpoints = world.load().await;
    let mut records =
        world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints).records(&world.client);
    nothing_for(&mut records, Duration::from_secs(20)).await;
    drop((records, checkpoints));
    let start = world.store.get(FIRST);
    assert!(start.is_some() && world.store.get(SECOND).is_none());
    world.put(1..2);
    world.orders.put_to(SECOND, "2");

    let checkpoints = world.load().await;
    let mut records =
        world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints).records(&world.client);
    nothing_for(&mut records, Duration::from_mins(10)).await;
    assert_eq!(world.store.get(FIRST), start);
    world.store.silent_for([]);
    let mut seen = numbers(&take(&mut records, 2).await);
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_offered_again_still_waits_for_all_starts() {
    let world = World::new(2);
    sleep(Duration::from_secs(1)).await;
    world.store.silent_for([SECOND]);
    let checkpoints = world.load().await;
    let mut shards = world.shards().start_at(StartAt::Latest).checkpoints(&checkpoints);
    let (first, _second) = (shards.next().await.unwrap(), shards.next().await.unwrap());
    assert_eq!(first.id(), FIRST);
    sleep(Duration::from_secs(1)).await;
    world.put(1..2);
    drop(first);
    let again = shards.next().await.unwrap();
    assert_eq!(again.id(), FIRST);
    let mut records = again.records(&world.client);
    nothing_for(&mut records, Duration::from_mins(10)).await;
    world.store.silent_for([]);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "the checkpoints are of stream orders, and the shards are of stream payments"
)]
async fn the_checkpoints_of_another_stream_are_refused() {
    let world = World::new(1);
    let checkpoints = world.load().await;
    let _ = all_shards(&world.client, "payments").checkpoints(&checkpoints);
}

#[tokio::test(start_paused = true)]
async fn checkpoints_loaded_by_name_may_be_used_with_the_arn() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load().await;
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
    let shards = all_shards(&world.client, arn).checkpoints(&checkpoints);
    drop(shards);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "and the shards are of stream arn:aws:kinesis:us-east-1")]
async fn checkpoints_loaded_by_name_are_refused_with_the_arn_of_another_stream() {
    let world = World::new(1);
    let checkpoints = world.load().await;
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/payments";
    let _ = all_shards(&world.client, arn).checkpoints(&checkpoints);
}

/// The Kinesis Client Library has removed the row of the parent.
#[tokio::test(start_paused = true)]
async fn the_ancestors_of_a_shard_with_an_acknowledged_record_are_not_read() {
    let world = World::new(1);
    world.put(0..2);
    let (left, right) = world.orders.split(FIRST);
    let second = world.orders.put_to(&left, "2");
    world.orders.put_to(&left, "3");
    world.orders.put_to(&right, "4");
    let shards = world.orders.shards();
    let shard = shards.iter().find(|shard| shard.shard_id() == left).unwrap();
    let acknowledged = Checkpoint::After { sequence_number: second, sub_sequence_number: None };
    let stream = "orders".into();
    world.store.memory.save(Save::new(&stream, shard, &acknowledged)).await.unwrap();

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut seen = numbers(&take(&mut records, 2).await);
    seen.sort_unstable();
    assert_eq!(seen, [3, 4]);
    nothing_for(&mut records, Duration::from_mins(1)).await;
}

/// Returns a world in which the `Date` header is ahead of the clock of the shards.
fn date_ahead() -> World {
    World::on(FakeKinesis::builder().date_ahead(Duration::from_secs(90)).build(), 1)
}

/// Kinesis refuses the start, a time that stands for `Latest`. The shard was opened by this run or
/// an earlier one, from the stream of shards or from a handle.
#[tokio::test(start_paused = true)]
async fn a_start_that_stands_for_latest_and_is_refused_skips_nothing() {
    let world = date_ahead();
    let latest = || world.shards().start_at(StartAt::Latest);
    let first_run = world.load().await;
    drop(latest().checkpoints(&first_run).next().await.unwrap());
    first_run.flush().await;
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = latest().checkpoints(&checkpoints).records(&world.client);
    let record = timeout(Duration::from_secs(5), next(&mut records)).await;
    assert_eq!(number(&record.expect("an earlier start").ack()), 0);

    let world = date_ahead();
    let checkpoints = world.load().await;
    let handle = world.shards().start_at(StartAt::Latest).next().await.unwrap();
    let mut records = checkpoints.open(handle, &world.client).records(&world.client);
    nothing_for(&mut records, Duration::from_millis(100)).await;
    world.put(0..1);
    let record = timeout(Duration::from_secs(5), next(&mut records)).await;
    assert_eq!(number(&record.expect("an earlier start").ack()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_the_user_sets_and_kinesis_refuses_is_not_moved() {
    let world = date_ahead();
    world.put(0..1);
    let since = StartAt::Timestamp((world.kinesis.now() + Duration::from_mins(1)).into());
    let checkpoints = world.load().await;
    let mut records =
        world.shards().start_at(since).checkpoints(&checkpoints).records(&world.client);
    nothing_for(&mut records, Duration::from_secs(90)).await;
    world.put(1..2);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
}
