//! Streams of one name, and second readers of one shard.

use std::error::Error;

use kinesis_shards::checkpoint::LoadError;
use kinesis_shards::{FileStore, StreamId, try_all_shards};

use super::*;

const HERE: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
const THERE: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";

/// Reads two streams of one name in two regions with one store, and returns their records.
async fn read_both(
    store: impl kinesis_shards::checkpoint::CheckpointStore + Clone + 'static,
) -> [Vec<u32>; 2] {
    let mut seen = [Vec::new(), Vec::new()];
    for (arn, seen) in [HERE, THERE].into_iter().zip(&mut seen) {
        let kinesis =
            FakeKinesis::builder().region(if arn == HERE { "us-east-1" } else { "eu-west-1" });
        let kinesis = kinesis.build();
        let orders = kinesis.create_stream("orders", 1);
        for number in 0..3 {
            orders.put_to(FIRST, u32::to_string(&number));
        }
        orders.split(FIRST);
        let client = kinesis.client();
        let checkpoints = Checkpoints::load(store.clone(), arn).await.unwrap();
        let mut records = all_shards(&client, arn).checkpoints(&checkpoints).records(&client);
        while let Ok(Some(record)) = timeout(Duration::from_mins(1), records.next()).await {
            seen.push(number(&record.unwrap().ack()));
        }
        checkpoints.flush().await;
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn two_streams_of_one_name_are_both_read() {
    let read = || [vec![0, 1, 2], vec![0, 1, 2]];
    assert_eq!(read_both(MemoryStore::new()).await, read());
    let path =
        std::env::temp_dir().join(format!("kinesis-shards-namesakes-{}", std::process::id()));
    let store = FileStore::open(&path).unwrap();
    let seen = read_both(store).await;
    std::fs::remove_file(&path).unwrap();
    assert_eq!(seen, read());
}

fn cause(error: &LoadError) -> String {
    error.source().unwrap().to_string()
}

/// Checkpoints that were saved by the name are loaded by the name. By the ARN they are refused,
/// with advice.
#[tokio::test(start_paused = true)]
async fn a_name_is_refused_beside_an_arn_and_the_other_way_round() {
    let store = MemoryStore::new();
    let world = World::new(1);
    world.put(0..2);
    let run = async |stream: &str| {
        let checkpoints =
            Checkpoints::load(store.clone(), stream).await.map_err(|error| cause(&error))?;
        let mut records =
            all_shards(&world.client, "orders").checkpoints(&checkpoints).records(&world.client);
        let record = next(&mut records).await.ack();
        checkpoints.flush().await;
        Ok::<u32, String>(number(&record))
    };
    assert_eq!(run("orders").await, Ok(0));
    let error = run(HERE).await.unwrap_err();
    assert!(error.contains("load them by the name"), "{error}");
    assert_eq!(run("orders").await, Ok(1));

    let store = MemoryStore::new();
    let arns = Checkpoints::load(store.clone(), HERE).await.unwrap();
    let mut records = all_shards(&world.client, "orders").checkpoints(&arns).records(&world.client);
    next(&mut records).await.ack();
    arns.flush().await;
    let error = cause(&Checkpoints::load(store, "orders").await.unwrap_err());
    assert!(error.contains(HERE) && error.contains("by its ARN"), "{error}");
}

/// The first ARN by which the stream is read counts.
#[tokio::test(start_paused = true)]
#[should_panic(expected = "and the shards are of stream arn:aws:kinesis:eu-west-1")]
async fn checkpoints_loaded_by_name_are_refused_to_a_second_arn() {
    let world = World::new(1);
    let checkpoints = world.load().await;
    drop(all_shards(&world.client, HERE).checkpoints(&checkpoints));
    drop(all_shards(&world.client, "orders").checkpoints(&checkpoints));
    let _ = all_shards(&world.client, THERE).checkpoints(&checkpoints);
}

async fn is_refused<T: std::fmt::Debug>(
    records: &mut (impl Stream<Item = Result<T, ReadError>> + Unpin),
) {
    let error =
        timeout(Duration::from_mins(1), records.next()).await.expect("no error within a minute");
    let error = error.expect("not the end").unwrap_err();
    assert!(error.is_in_use() && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("already being read"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_second_reader_is_refused_until_the_first_is_dropped() {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let mut first = world.records(&checkpoints);
    assert_eq!(number(&next(&mut first).await.ack()), 0);
    let mut second = world.records(&checkpoints);
    for _ in 0..3 {
        is_refused(&mut second).await;
    }
    let mut third = try_all_shards(&world.client, "orders").checkpoints(&checkpoints);
    let mut third = third.next().await.unwrap().unwrap().records(&world.client);
    is_refused(&mut third).await;
    assert!(third.next().await.is_none());
    assert_eq!(number(&next(&mut first).await.ack()), 1, "the first reader continues");
    drop(first);
    let record = loop {
        if let Ok(record) = second.next().await.unwrap() {
            break record;
        }
    };
    assert_eq!(number(&record), 2);
    let held = record;
    assert!(!checkpoints.shutdown(Duration::from_secs(1)).await.is_complete());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_other_checkpoints_of_one_store_is_refused() {
    let world = World::new(1);
    world.put(0..3);
    let shared: Arc<dyn kinesis_shards::checkpoint::CheckpointStore> =
        Arc::new(Scripted::default());
    let memory = MemoryStore::new();
    let path = std::env::temp_dir().join(format!("kinesis-shards-in-use-{}", std::process::id()));
    let file = FileStore::open(&path).unwrap();
    let load = async |n: usize| match n {
        0 => Checkpoints::load(memory.clone(), "orders").await.unwrap(),
        1 => Checkpoints::load(file.clone(), "orders").await.unwrap(),
        _ => Checkpoints::load(Arc::clone(&shared), "orders").await.unwrap(),
    };
    for n in 0..3 {
        let (one, two) = (load(n).await, load(n).await);
        let mut first = world.records(&one);
        assert_eq!(number(&next(&mut first).await.ack()), 0);
        is_refused(&mut world.records(&two)).await;
        one.flush().await;
        drop(first);
        let again = load(n).await;
        assert_eq!(number(&next(&mut world.records(&again)).await.ack()), 1);
    }
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn readers_of_another_store_or_stream_are_not_refused() {
    let world = World::new(1);
    world.put(0..1);
    let store = MemoryStore::new();
    let one = Checkpoints::load(store.clone(), "orders").await.unwrap();
    let two = Checkpoints::load(MemoryStore::new(), "orders").await.unwrap();
    let mut first = world.records(&one);
    let mut second = world.records(&two);
    assert_eq!(number(&next(&mut first).await.ack()), 0);
    assert_eq!(number(&next(&mut second).await.ack()), 0);
    world.kinesis.create_stream("payments", 1).put_to(FIRST, "7");
    let payments = StreamId::from("payments");
    let three = Checkpoints::load(store, &payments).await.unwrap();
    let mut third =
        all_shards(&world.client, "payments").checkpoints(&three).records(&world.client);
    assert_eq!(number(&next(&mut third).await.ack()), 7);
}

#[tokio::test(start_paused = true)]
async fn one_shard_is_read_with_two_file_stores_at_once() {
    let world = World::new(1);
    world.put(0..1);
    let path = |n: u32| {
        std::env::temp_dir().join(format!("kinesis-shards-two-{n}-{}", std::process::id()))
    };
    let mut open = Vec::new();
    for n in 0..2 {
        let store = FileStore::open(path(n)).unwrap();
        let checkpoints = Checkpoints::load(store, "orders").await.unwrap();
        let mut records = world.records(&checkpoints);
        let read = next(&mut records).await;
        assert_eq!(number(&read.ack()), 0);
        open.push((records, checkpoints));
    }
    drop(open);
    for n in 0..2 {
        std::fs::remove_file(path(n)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_shard_is_read_with_two_stores_without_an_identity_at_once() {
    let world = World::new(1);
    world.put(0..1);
    let (one, two) = (world.load().await, Checkpoints::load(Scripted::default(), "orders").await);
    let (mut first, mut second) = (world.records(&one), world.records(two.as_ref().unwrap()));
    assert_eq!(number(&next(&mut first).await.ack()), 0);
    assert_eq!(number(&next(&mut second).await.ack()), 0);
}
