//! A consumer takes over a table of the Java library, and the library takes it back. The tests
//! write and read the rows with the SDK alone.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ChildShard;
use futures::StreamExt;
use kinesis_shards::checkpoint::{
    Checkpoint, CheckpointStore, CheckpointedShards, DynamoDbStoreError, Save, StoreError,
    UnackedRecord,
};
use kinesis_shards::records::AllRecords;
use kinesis_shards::shard::StartPosition;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Limits};
use kinesis_shards::{
    Checkpoints, DynamoDbStore, ReadOptions, ShardStreamExt, StartAt, StreamId, all_shards,
};

use crate::backend::Backend;
use crate::dynamodb::dynamodb;
use crate::location::StoreLocation;
use crate::proxy::Proxy;

type Row = HashMap<String, AttributeValue>;

const FIRST_SHARD: &str = "shardId-000000000000";

/// The limit for a call that hangs.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Longer than any of these tests leaves a lease alone on a busy machine.
const FAILOVER_TIME: Duration = Duration::from_hours(1);

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Returns a lease as KCL 2.x leaves it when its worker stops or dies.
fn lease(shard: &str, checkpoint: &str, sub: u64) -> Row {
    [
        ("leaseKey", s(shard)),
        ("leaseOwner", s("java-worker")),
        ("leaseCounter", n(41)),
        ("ownerSwitchesSinceCheckpoint", n(2)),
        ("checkpoint", s(checkpoint)),
        ("checkpointSubSequenceNumber", n(sub)),
        ("startingHashKey", s("0")),
        ("endingHashKey", s("340282366920938463463374607431768211455")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

struct World {
    dynamodb: aws_sdk_dynamodb::Client,
    store: DynamoDbStore,
    kinesis: FakeKinesis,
    orders: FakeStream,
    location: StoreLocation,
}

impl World {
    async fn new(backend: Backend) -> Self {
        Self::with_shards(backend, 1).await
    }

    async fn with_shards(backend: Backend, shards: u32) -> Self {
        let location = StoreLocation::new(backend).await.expect("a server");
        let dynamodb = dynamodb(location.address());
        let store =
            DynamoDbStore::new(&dynamodb, "orders-application").failover_time(FAILOVER_TIME);
        let error = Checkpoints::load(store.clone(), "orders").await.unwrap_err();
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        assert!(source.is_some_and(DynamoDbStoreError::is_missing_table), "{error}");
        assert!(source.unwrap().to_string().contains("create_table_if_missing"), "{error}");
        store.create_table_if_missing().await.unwrap();
        store.create_table_if_missing().await.unwrap();
        let kinesis = FakeKinesis::new();
        kinesis.set_limits(Limits::none());
        let orders = kinesis.create_stream("orders", shards);
        Self { dynamodb, store, kinesis, orders, location }
    }

    async fn put(&self, row: Row) {
        let put = self.dynamodb.put_item().table_name("orders-application").set_item(Some(row));
        put.send().await.unwrap();
    }

    async fn row(&self, shard: &str) -> Row {
        let get =
            self.dynamodb.get_item().table_name("orders-application").key("leaseKey", s(shard));
        get.consistent_read(true).send().await.unwrap().item.unwrap_or_default()
    }

    /// Loads the checkpoints, as a process does when it starts.
    async fn load_checkpoints(&self) -> Checkpoints {
        let store = DynamoDbStore::new(&self.dynamodb, "orders-application");
        Checkpoints::load(store, "orders").await.unwrap()
    }

    /// Returns the store of a consumer that has just started and loaded the table.
    async fn loaded_store(&self) -> DynamoDbStore {
        let store =
            DynamoDbStore::new(&self.dynamodb, "orders-application").failover_time(FAILOVER_TIME);
        store.load(&StreamId::from("orders")).await.unwrap();
        store
    }

    async fn save(&self, store: &DynamoDbStore, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let (stream, shards) = (StreamId::from("orders"), self.orders.shards());
        store.save(Save::new(&stream, &shards[0], checkpoint)).await
    }

    /// Asserts that a save and each retry of it are rejected.
    async fn assert_rejected(&self, store: &DynamoDbStore, checkpoint: &Checkpoint) {
        let row = self.row(FIRST_SHARD).await;
        for _ in 0..3 {
            let error = self.save(store, checkpoint).await.unwrap_err();
            let error = error.downcast_ref::<DynamoDbStoreError>().expect("the store's own error");
            assert!(error.is_held_by_another(), "{error}");
        }
        assert_eq!(self.row(FIRST_SHARD).await, row);
    }

    async fn assert_checkpoint(&self, number: &str) {
        assert_eq!(self.row(FIRST_SHARD).await["checkpoint"], s(number));
    }

    fn records(&self, checkpoints: &Checkpoints) -> AllRecords<CheckpointedShards> {
        self.records_from(StartAt::TrimHorizon, checkpoints)
    }

    fn records_from(
        &self,
        start: StartAt,
        checkpoints: &Checkpoints,
    ) -> AllRecords<CheckpointedShards> {
        let client = self.kinesis.client();
        let options = ReadOptions::new().idle_interval(Duration::from_millis(50)).deaggregate();
        all_shards(&client, "orders")
            .start_at(start)
            .checkpoints(checkpoints)
            .records(&client)
            .with_options(options)
    }
}

async fn next(records: &mut AllRecords<CheckpointedShards>) -> UnackedRecord {
    let next = tokio::time::timeout(TIMEOUT, records.next());
    next.await.expect("a record").expect("another record").expect("no error")
}

fn text(record: &kinesis_shards::Record) -> String {
    String::from_utf8_lossy(record.data()).into_owned()
}

pub(crate) async fn run(backend: Backend) -> Result<(), String> {
    within_an_aggregated_record(backend).await;
    across_a_split_and_back(backend).await;
    across_a_merge_and_back(backend).await;
    parent_without_a_row(backend).await;
    writers_are_distinguished(backend).await;
    two_consumers(backend).await;
    late_write_of_a_killed_consumer(backend).await;
    lost_responses(backend).await;
    rows_are_readable_by_the_kcl(backend).await;
    a_table_of_several_pages_is_loaded(backend).await;
    Ok(())
}

/// The Java worker stopped after the first of three user records.
async fn within_an_aggregated_record(backend: Backend) {
    let world = World::new(backend).await;
    let number = world.orders.put_to(FIRST_SHARD, include_bytes!("../kpl/three.bin").as_slice());
    world.orders.put_to(FIRST_SHARD, "plain");
    let mut row = lease(FIRST_SHARD, &number, 0);
    // The lease of a 3.x worker during a handover.
    row.insert("throughputKBps".to_owned(), n(12));
    row.insert("checkpointOwner".to_owned(), s("another-java-worker"));
    row.insert("entityType".to_owned(), s("LEASE"));
    row.insert("pendingCheckpoint".to_owned(), s("7"));
    row.insert("pendingCheckpointSubSequenceNumber".to_owned(), n(0));
    world.put(row).await;
    // Other entities in the table of the library.
    for (key, entity) in [("worker-1", "WORKER_METRIC_STATS"), ("Leader", "COORDINATOR_STATE")] {
        let row = [("leaseKey", s(key)), ("entityType", s(entity))];
        world.put(row.map(|(name, value)| (name.to_owned(), value)).into()).await;
    }

    let checkpoints = world.load_checkpoints().await;
    assert_eq!(checkpoints.progress().count(), 1);
    let mut records = world.records(&checkpoints);
    let second = next(&mut records).await.ack();
    assert_eq!(second.sub_sequence_number(), Some(1));
    checkpoints.flush().await;
    let row = world.row(FIRST_SHARD).await;
    for (name, value) in [
        ("checkpoint", s(&number)),
        ("checkpointSubSequenceNumber", n(1)),
        ("leaseCounter", n(42)),
        ("ownerSwitchesSinceCheckpoint", n(0)),
        ("throughputKBps", n(12)),
    ] {
        assert_eq!(row.get(name), Some(&value), "{name}");
    }
    for removed in
        ["leaseOwner", "checkpointOwner", "pendingCheckpoint", "pendingCheckpointSubSequenceNumber"]
    {
        assert_eq!(row.get(removed), None, "{removed}");
    }
    drop((records, checkpoints));

    let checkpoints = world.load_checkpoints().await;
    let mut records = world.records(&checkpoints);
    assert_eq!(next(&mut records).await.ack().sub_sequence_number(), Some(2));
    assert_eq!(text(&next(&mut records).await.ack()), "plain");
}

/// The Java library has finished a shard. The crate reads its children and ends one of them.
async fn across_a_split_and_back(backend: Backend) {
    let world = World::new(backend).await;
    world.orders.put_to(FIRST_SHARD, "0");
    let (left, right) = world.orders.split(FIRST_SHARD);
    let number = world.orders.put_to(&left, "1");
    world.orders.put_to(&left, "2");
    world.orders.put_to(&right, "3");
    let mut parent = lease(FIRST_SHARD, "SHARD_END", 0);
    parent.remove("leaseOwner");
    parent
        .insert("childShardIds".to_owned(), AttributeValue::Ss(vec![left.clone(), right.clone()]));
    world.put(parent).await;
    world.put(lease(&left, &number, 0)).await;
    world.put(lease(&right, "TRIM_HORIZON", 0)).await;

    let checkpoints = world.load_checkpoints().await;
    let mut records = world.records(&checkpoints);
    let mut seen = [text(&next(&mut records).await.ack()), text(&next(&mut records).await.ack())];
    seen.sort();
    assert_eq!(seen, ["2", "3"]);
    // The crate ends a shard as the Java library does.
    let (a, b) = world.orders.split(&right);
    world.orders.put_to(&a, "4");
    assert_eq!(text(&next(&mut records).await.ack()), "4");
    assert!(checkpoints.shutdown(TIMEOUT).await.unsaved().is_empty());
    let row = world.row(&right).await;
    assert_eq!((&row["checkpoint"], &row["checkpointSubSequenceNumber"]), (&s("SHARD_END"), &n(0)));
    let children = row["childShardIds"].as_ss().unwrap();
    assert!(children.len() == 2 && children.contains(&a) && children.contains(&b), "{children:?}");
    let row = world.row(&b).await;
    assert_eq!((&row["checkpoint"], &row["leaseKey"]), (&s("TRIM_HORIZON"), &s(&b)));
    assert_eq!(row["parentShardId"].as_ss().unwrap(), std::slice::from_ref(&right));
    let listed = world.orders.shards();
    let range =
        listed.iter().find(|shard| shard.shard_id() == b).unwrap().hash_key_range().unwrap();
    assert_eq!(row["startingHashKey"], s(range.starting_hash_key()));
    assert_eq!(row["endingHashKey"], s(range.ending_hash_key()));
    assert_eq!(row.get("leaseOwner"), None);
    let row = world.row(&a).await;
    assert!(row["checkpoint"].as_s().unwrap().bytes().all(|byte| byte.is_ascii_digit()), "{row:?}");
}

/// Shard 1 is split into 2 and 3, and 0 and 2 are merged into 4. The consumer ends 0 and is stopped
/// in 1. The library takes a parent without a row for finished, so 4 must not have a row yet.
async fn across_a_merge_and_back(backend: Backend) {
    let world = World::with_shards(backend, 2).await;
    let [zero, one] = [FIRST_SHARD, "shardId-000000000001"];
    world.orders.put_to(zero, "0");
    let number = world.orders.put_to(one, "1");
    world.orders.put_to(one, "2");
    let (two, three) = world.orders.split(one);
    world.orders.put_to(&two, "3");
    let four = world.orders.merge(zero, &two);
    let first_of_four = world.orders.put_to(&four, "4");
    world.orders.put_to(&four, "5");

    let checkpoints = world.load_checkpoints().await;
    let mut records = world.records(&checkpoints);
    let mut unacked = Vec::new();
    for _ in 0..3 {
        let record = next(&mut records).await;
        if text(&record) == "2" {
            unacked.push(record);
        } else {
            record.ack();
        }
    }
    // The read that follows the last record finds the end of shard 0.
    while world.row(zero).await["checkpoint"] != s("SHARD_END") {
        let _ = tokio::time::timeout(Duration::from_millis(100), records.next()).await;
    }
    checkpoints.flush().await;
    for (shard, has_row) in
        [(zero, true), (one, true), (&two, false), (&three, false), (&four, false)]
    {
        assert_eq!(!world.row(shard).await.is_empty(), has_row, "{shard}");
    }
    assert_eq!(
        world.row(zero).await["childShardIds"].as_ss().unwrap(),
        std::slice::from_ref(&four)
    );
    assert_eq!(world.row(one).await["checkpoint"], s(&number));
    drop((unacked, records, checkpoints));

    // A row for 4 that exists too early, as an earlier version of the library leaves it.
    let mut row = lease(&four, &first_of_four, 0);
    row.insert("parentShardId".to_owned(), AttributeValue::Ss(vec![zero.to_owned(), two.clone()]));
    world.put(row).await;
    let checkpoints = world.load_checkpoints().await;
    let mut records = world.records(&checkpoints);
    for expected in ["2", "3", "5"] {
        assert_eq!(text(&next(&mut records).await.ack()), expected);
    }
    assert!(checkpoints.shutdown(TIMEOUT).await.unsaved().is_empty());
    for (shard, ended) in [(one, true), (&two, true), (&three, false), (&four, false)] {
        let row = world.row(shard).await;
        assert_eq!(row["checkpoint"] == s("SHARD_END"), ended, "{row:?}");
    }
    assert_eq!(world.row(&two).await["childShardIds"].as_ss().unwrap(), &[four]);
}

/// The library removes the row of a finished shard once its children have started. Kinesis still
/// lists the shard during its retention period.
async fn parent_without_a_row(backend: Backend) {
    let hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    for start in
        [StartAt::TrimHorizon, StartAt::Timestamp(DateTime::from(hour_ago)), StartAt::Latest]
    {
        let world = World::new(backend).await;
        world.orders.put_to(FIRST_SHARD, "0");
        let (left, right) = world.orders.split(FIRST_SHARD);
        for (child, records) in [(&left, ["1", "2"]), (&right, ["3", "4"])] {
            let [acknowledged, _] = records.map(|record| world.orders.put_to(child, record));
            world.put(lease(child, &acknowledged, 0)).await;
        }
        let checkpoints = world.load_checkpoints().await;
        let mut records = world.records_from(start, &checkpoints);
        let mut seen =
            [text(&next(&mut records).await.ack()), text(&next(&mut records).await.ack())];
        seen.sort();
        assert_eq!(seen, ["2", "4"], "{start:?}");
    }
}

fn after(number: &str) -> Checkpoint {
    Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: None }
}

async fn writers_are_distinguished(backend: Backend) {
    let world = World::new(backend).await;
    let stream = StreamId::from("orders");
    let (seven, eight) = (after("7"), after("8"));
    world.save(&world.store, &seven).await.unwrap();
    assert_eq!(world.row(FIRST_SHARD).await["leaseCounter"], n(0));
    // A store whose own write landed without a response: the counter is one ahead of what it knows.
    let unaware = world.loaded_store().await;
    {
        // The save is dropped once the table has changed, most likely before the response arrives.
        let write = std::pin::pin!(world.save(&unaware, &eight));
        let landed =
            std::pin::pin!(async { while world.row(FIRST_SHARD).await["leaseCounter"] == n(0) {} });
        let _ = futures::future::select(landed, write).await;
    }
    world.save(&unaware, &eight).await.unwrap();
    let counter = world.row(FIRST_SHARD).await["leaseCounter"].clone();
    assert!(counter == n(1) || counter == n(2), "{counter:?}");

    // The first store does not overwrite the checkpoint of another consumer, not even by a retry.
    world.assert_rejected(&world.store, &seven).await;
    world.assert_checkpoint("8").await;
    // A Java worker takes the lease and releases it. It does not change the crate's attributes.
    let mut row = world.row(FIRST_SHARD).await;
    row.insert("leaseOwner".to_owned(), s("java-worker"));
    row.insert("leaseCounter".to_owned(), n(20));
    world.put(row.clone()).await;
    let error = world.save(&unaware, &after("9")).await.unwrap_err().to_string();
    assert!(
        ["orders-application", FIRST_SHARD, "java-worker"].iter().all(|part| error.contains(part)),
        "{error}"
    );
    row.remove("leaseOwner");
    row.insert("leaseCounter".to_owned(), n(21));
    world.put(row).await;
    world.assert_rejected(&unaware, &after("9")).await;

    // A table holds one stream.
    let error = world.store.load(&StreamId::from("others")).await.unwrap_err().to_string();
    assert!(error.contains("of stream orders"), "{error}");
    // A restarted consumer continues.
    let again = world.loaded_store().await;
    world.save(&again, &after("9")).await.unwrap();
    // A checkpoint that another consumer has moved cannot be forgotten either.
    assert!(world.store.forget(&stream, FIRST_SHARD).await.is_err());
    world.assert_checkpoint("9").await;
}

/// Two consumers began with an empty table. They save in turn, and retry.
async fn two_consumers(backend: Backend) {
    let world = World::new(backend).await;
    let start = Checkpoint::Start(StartPosition::TrimHorizon);
    let (a, b) = (world.loaded_store().await, world.loaded_store().await);
    world.save(&a, &start).await.unwrap();
    world.save(&a, &after("5")).await.unwrap();
    world.assert_rejected(&b, &start).await;
    world.assert_rejected(&b, &after("6")).await;
    world.save(&a, &after("7")).await.unwrap();
    world.assert_rejected(&b, &after("9")).await;
    world.assert_checkpoint("7").await;

    // A store takes over a lease that has not moved during its failover time.
    let successor =
        DynamoDbStore::new(&world.dynamodb, "orders-application").failover_time(Duration::ZERO);
    world.save(&successor, &start).await.unwrap_err();
    for behind in [&start, &after("6")] {
        world.save(&successor, behind).await.unwrap();
        world.assert_checkpoint("7").await;
    }
    world.save(&successor, &after("10")).await.unwrap();
    world.assert_checkpoint("10").await;
    // The first consumer has lost the lease.
    world.assert_rejected(&a, &after("11")).await;
    world.save(&successor, &Checkpoint::End).await.unwrap();
    world.assert_rejected(&a, &after("12")).await;
    world.assert_checkpoint("SHARD_END").await;
}

/// The write lands after the next consumer has loaded the table.
async fn late_write_of_a_killed_consumer(backend: Backend) {
    let world = World::new(backend).await;
    let killed = world.loaded_store().await;
    world.save(&killed, &after("5")).await.unwrap();
    let next = world.loaded_store().await;
    world.save(&killed, &after("7")).await.unwrap();
    world.save(&next, &after("6")).await.unwrap();
    world.assert_checkpoint("7").await;
    world.save(&next, &after("8")).await.unwrap();
    world.assert_checkpoint("8").await;
    world.assert_rejected(&killed, &after("9")).await;
}

/// The connection is closed after the table has changed. The SDK sends the write again, and then
/// the caller does.
async fn lost_responses(backend: Backend) {
    let world = World::new(backend).await;
    let proxy = Proxy::start(world.location.address().parse().expect("a port")).await;
    let store = DynamoDbStore::new(&dynamodb(&proxy.port().to_string()), "orders-application");
    store.load(&StreamId::from("orders")).await.unwrap();
    let (mut number, mut failures) = (10, 0);
    for cuts in [0, 1, 2, 3, 4, 7, 0] {
        number += 1;
        let checkpoint = after(&number.to_string());
        proxy.cut(cuts);
        while let Err(error) = world.save(&store, &checkpoint).await {
            let error = error.downcast_ref::<DynamoDbStoreError>().expect("the store's own error");
            assert!(!error.is_held_by_another(), "after {cuts} cuts: {error}");
            failures += 1;
            assert!(failures < 100);
        }
        proxy.cut(0);
        world.assert_checkpoint(&number.to_string()).await;
    }
    // All of the SDK's own attempts failed at least twice.
    assert!(failures >= 2, "{failures}");
    store.forget(&StreamId::from("orders"), FIRST_SHARD).await.unwrap();
    assert_eq!(world.row(FIRST_SHARD).await, Row::new());
}

async fn rows_are_readable_by_the_kcl(backend: Backend) {
    let world = World::new(backend).await;
    let store = world.loaded_store().await;
    // The library would look up the time of AT_TIMESTAMP in its configuration, and fail.
    let start = Checkpoint::Start(StartPosition::Timestamp(DateTime::from_secs(1_700_000_000)));
    world.save(&store, &start).await.unwrap();
    world.assert_checkpoint("TRIM_HORIZON").await;
    assert_eq!(world.load_checkpoints().await.get(FIRST_SHARD), Some(start));
    // A shard that starts over has no children.
    let (stream, shards) = (StreamId::from("orders"), world.orders.shards());
    let child = ChildShard::builder().shard_id("shardId-000000000001").parent_shards(FIRST_SHARD);
    let child = child.hash_key_range(shards[0].hash_key_range().unwrap().clone()).build().unwrap();
    let children = [child];
    let end = Save::new(&stream, &shards[0], &Checkpoint::End).with_children(&children);
    store.save(end).await.unwrap();
    let ended_row = world.row(FIRST_SHARD).await;
    assert_eq!(ended_row["childShardIds"].as_ss().unwrap(), &["shardId-000000000001"]);
    // The end is saved again without its children.
    world.save(&store, &Checkpoint::End).await.unwrap();
    assert_eq!(world.row(FIRST_SHARD).await["childShardIds"], ended_row["childShardIds"]);
    world.save(&store, &Checkpoint::Start(StartPosition::TrimHorizon)).await.unwrap();
    assert_eq!(world.row(FIRST_SHARD).await.get("childShardIds"), None);
}

/// DynamoDB returns up to a megabyte per scan.
async fn a_table_of_several_pages_is_loaded(backend: Backend) {
    let world = World::new(backend).await;
    for number in 0..6 {
        let mut row = lease(&format!("shardId-{number:012}"), "TRIM_HORIZON", 0);
        row.insert("ballast".to_owned(), s(&"x".repeat(300_000)));
        world.put(row).await;
    }
    assert_eq!(world.store.load(&StreamId::from("orders")).await.unwrap().len(), 6);
}
