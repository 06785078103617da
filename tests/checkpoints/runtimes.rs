//! Runtimes that are not driven or are shut down while their streams live on; and stores that do
//! not respond to a load.

use std::error::Error;

use kinesis_shards::StreamId;
use kinesis_shards::checkpoint::{CheckpointStore, Save, StoreError};
use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Runs a function in a second runtime.
fn elsewhere<T: Send>(run: impl AsyncFnOnce() -> T + Send) -> (T, Runtime) {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let runtime = runtime();
            (runtime.block_on(run()), runtime)
        });
        other.join().unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn a_load_without_a_response_is_an_error() {
    struct Silent;
    impl CheckpointStore for Silent {
        fn load<'a>(
            &'a self,
            _: &'a StreamId,
        ) -> futures::future::BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
            Box::pin(std::future::pending())
        }
        fn save<'a>(
            &'a self,
            _: Save<'a>,
        ) -> futures::future::BoxFuture<'a, Result<(), StoreError>> {
            unreachable!()
        }
        fn forget<'a>(
            &'a self,
            _: &'a StreamId,
            _: &'a str,
        ) -> futures::future::BoxFuture<'a, Result<(), StoreError>> {
            unreachable!()
        }
    }
    let error = Checkpoints::load(Silent, "orders").await.unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(error.to_string().contains("orders") && source.contains("within 60s"), "{source}");
    let options = CheckpointOptions::new().load_timeout(Duration::from_secs(3));
    let error = Checkpoints::load_with(Silent, "orders", options).await.unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(source.contains("within 3s"), "{source}");
}

/// The runtime lives on, and polls no task.
#[tokio::test(start_paused = true)]
async fn the_save_task_moves_from_a_runtime_that_is_not_driven() {
    let world = World::new(1);
    world.put(0..3);
    let (checkpoints, other) = elsewhere(async || world.load().await);
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await.ack();
    timeout(Duration::from_mins(1), checkpoints.flush())
        .await
        .expect("nothing was saved in this runtime");
    assert_eq!(world.store.get(FIRST), Some(after(&first)));
    // The first save task is polled again, and ends since another is in charge.
    let other = std::thread::scope(|scope| {
        let driven = scope.spawn(move || {
            other.block_on(async { sleep(Duration::from_secs(1)).await });
            assert_eq!(other.metrics().num_alive_tasks(), 0);
            other
        });
        driven.join().unwrap()
    });
    let second = next(&mut records).await.ack();
    timeout(Duration::from_mins(1), checkpoints.flush())
        .await
        .expect("nothing was saved in this runtime");
    assert_eq!(world.store.get(FIRST), Some(after(&second)));
    assert!(checkpoints.shutdown(Duration::from_secs(1)).await.is_complete());
    other.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_save_in_flight_in_a_runtime_that_is_not_driven_is_made_again() {
    let world = World::new(1);
    world.put(0..1);
    world.store.silent_for([FIRST]);
    let (checkpoints, other) = elsewhere(async || {
        let checkpoints = world.load().await;
        nothing_for(&mut world.records(&checkpoints), Duration::from_secs(1)).await;
        checkpoints
    });
    world.store.silent_for([]);
    let mut records = world.records(&checkpoints);
    let first = timeout(Duration::from_mins(1), next(&mut records)).await;
    let first = first.expect("the start is saved in this runtime").ack();
    timeout(Duration::from_mins(1), checkpoints.flush()).await.expect("it is saved");
    assert_eq!(world.store.get(FIRST), Some(after(&first)));
    other.shutdown_background();
}

/// An acknowledgement was not saved by the runtime that is not driven.
#[tokio::test(start_paused = true)]
async fn a_flush_alone_moves_the_save_task() {
    let world = World::new(1);
    world.put(0..3);
    let ((checkpoints, first), other) = elsewhere(async || {
        let checkpoints = world.load().await;
        let first = next(&mut world.records(&checkpoints)).await;
        (checkpoints, first)
    });
    let first = first.ack();
    timeout(Duration::from_mins(1), checkpoints.flush())
        .await
        .expect("nothing was saved in this runtime");
    assert_eq!(world.store.get(FIRST), Some(after(&first)));
    other.shutdown_background();
}

/// The timers of the next read, of the next listing, and of an abandoned shard move.
#[tokio::test(start_paused = true)]
async fn streams_move_to_another_runtime_when_the_first_was_shut_down() {
    let world = World::new(1);
    world.put(0..1);
    let ((checkpoints, mut records, mut plain, mut shards), other) = elsewhere(async || {
        let checkpoints = world.load().await;
        let mut records = world.records(&checkpoints);
        next(&mut records).await.ack();
        nothing_for(&mut records, Duration::from_mins(1)).await;
        let mut plain = world.shards().records(&world.client);
        assert_eq!(number(&plain.next().await.unwrap().unwrap()), 0);
        nothing_for(&mut plain, Duration::from_mins(1)).await;
        let mut shards = world.shards();
        shards.next().await.unwrap().abandon();
        assert!(poll!(shards.next()).is_pending());
        (checkpoints, records, plain, shards)
    });
    other.shutdown_background();
    assert_eq!(shards.next().await.unwrap().id(), FIRST, "the abandoned shard");
    world.put(1..2);
    assert_eq!(number(&next(&mut records).await.ack()), 1);
    assert_eq!(number(&next::<Record>(&mut plain).await), 1);
    world.orders.split(FIRST);
    world.orders.put("customer 1", "2");
    assert_eq!(number(&next(&mut records).await.ack()), 2);
    assert_eq!(number(&next::<Record>(&mut plain).await), 2);
    assert!(checkpoints.shutdown(Duration::from_secs(10)).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_runtime_that_was_shut_down_is_sent_again() {
    for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
        let world = World::new(1);
        world.put(0..2);
        world.kinesis.fail_next(operation, Fault::NeverResponds);
        let (mut records, other) = elsewhere(async || {
            let mut records = world.shards().records(&world.client);
            nothing_for(&mut records, Duration::from_secs(5)).await;
            records
        });
        other.shutdown_background();
        let requests = world.kinesis.count(operation);
        assert_eq!(number(&next::<Record>(&mut records).await), 0, "{operation}");
        assert!(world.kinesis.count(operation) > requests);
    }
}
