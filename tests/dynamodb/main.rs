//! `DynamoDbStore` under faults: throttling, missing responses, and empty ones; and its table after
//! each write, as a Kinesis Client Library that takes over reads it.
#![cfg(all(feature = "testing", feature = "dynamodb"))]

use std::error::Error;
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::checkpoint::{
    Checkpoint, CheckpointStore, CheckpointedShards, Save, StoreError, UnackedRecord,
};
use kinesis_shards::records::AllRecords;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Limits};
use kinesis_shards::{Checkpoints, DynamoDbStore, ShardStreamExt, StreamId, all_shards};
use tokio::time::timeout;

use self::table::{Fault, NAME, Table};

mod faults;
mod merges;
mod table;

type Records = AllRecords<CheckpointedShards>;

/// Returns the id of the shard with this number.
fn id(n: usize) -> String {
    format!("shardId-{n:012}")
}

struct World {
    kinesis: FakeKinesis,
    orders: FakeStream,
    table: Table,
}

impl World {
    fn new(shards: u32) -> Self {
        Self::of(FakeKinesis::new(), shards)
    }

    /// Creates a world whose ends of shards name no children.
    fn without_children(shards: u32) -> Self {
        Self::of(FakeKinesis::builder().child_shards(false).build(), shards)
    }

    fn of(kinesis: FakeKinesis, shards: u32) -> Self {
        kinesis.set_limits(Limits::none());
        let orders = kinesis.create_stream("orders", shards);
        Self { kinesis, orders, table: Table::default() }
    }

    fn store(&self) -> DynamoDbStore {
        DynamoDbStore::new(&self.table.client(), NAME)
    }

    /// Loads the checkpoints, as a new process does.
    async fn load(&self) -> Checkpoints {
        Checkpoints::load(self.store(), "orders").await.unwrap()
    }

    /// Returns a store that has loaded the table.
    async fn loaded_store(&self) -> DynamoDbStore {
        let store = self.store();
        store.load(&StreamId::from("orders")).await.unwrap();
        store
    }

    fn records(&self, checkpoints: &Checkpoints) -> Records {
        let client = self.kinesis.client();
        all_shards(&client, "orders").checkpoints(checkpoints).records(&client)
    }

    async fn save(&self, store: &DynamoDbStore, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let (stream, shards) = (StreamId::from("orders"), self.orders.shards());
        store.save(Save::new(&stream, &shards[0], checkpoint)).await
    }
}

fn after(number: &str) -> Checkpoint {
    Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: None }
}

/// Returns the next record, within an hour.
async fn next(records: &mut Records) -> UnackedRecord {
    let next = timeout(Duration::from_hours(1), records.next());
    next.await.expect("a record").expect("not the end").expect("no error")
}

fn text(record: &kinesis_shards::Record) -> String {
    String::from_utf8_lossy(record.data()).into_owned()
}

/// Returns the error and its sources in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut chain, mut error) = (Vec::new(), Some(error));
    while let Some(this) = error {
        chain.push(this.to_string());
        error = this.source();
    }
    chain.join(": ")
}
