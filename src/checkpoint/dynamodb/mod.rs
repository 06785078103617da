//! Checkpoints in a table of the Kinesis Client Library.

mod error;
mod known;
mod row;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::Duration;

pub use self::error::DynamoDbStoreError;
use self::error::Kind;
use self::known::{Known, Seen};
use self::row::{
    CHECKPOINT, COUNTER, Item, LEASE_KEY, Lease, OWN, OWN_STREAM, OWNER_SWITCHES, SUB, WRITER, n, text,
};
use super::{Checkpoint, CheckpointStore, Save, StoreError};
use crate::StreamId;

/// Keeps checkpoints in a DynamoDB table, one for each application and stream, in the layout of the Kinesis Client Library (KCL): a Rust consumer takes over from a Java application exactly where that
/// has stopped, and back.
///
/// The table bears the name of the KCL application. Its rows are leases of the single-stream mode, as KCL 2.x and 3.x write them; other rows of a 3.x table are left alone.
///
/// ```no_run
/// use kinesis_shards::{ShardStreamExt, Checkpoints, DynamoDbStore, all_shards};
///
/// # async fn example(kinesis: aws_sdk_kinesis::Client, dynamodb: aws_sdk_dynamodb::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let store = DynamoDbStore::new(&dynamodb, "orders-application");
/// store.create_table_if_missing().await?;
/// let checkpoints = Checkpoints::load(store, "orders").await?;
/// let records = all_shards(&kinesis, "orders").checkpoints(&checkpoints).records(&kinesis);
/// # Ok(()) }
/// ```
///
/// # Taking over, and back
///
/// Stop the Java application, then start this one, or the other way round. There is no other coordination: the store takes no part in the KCL's sharing of leases between workers.
///
/// Should two run all the same, each write is conditional on the lease counter: whose lease another has moved is refused at its next write, with an error that names the
/// other ([`is_held_by_another`](DynamoDbStoreError::is_held_by_another)), for as long as the other goes on moving it. Once the lease was not moved for the [failover time](Self::failover_time), the store takes it back. A checkpoint
/// never takes the place of one that is further on: where the other has gone further, its checkpoint stays, and counts as saved, until this consumer is as far. So nothing is lost, and what both have read was processed twice.
///
/// * A KCL checkpoint within an aggregated record is gone on from at the next user record, with [`deaggregate`](crate::ReadOptions); without it that record comes again as a whole.
/// * A row at `LATEST` that the KCL has not come to a record of begins at the tip, as the KCL would. One at `AT_TIMESTAMP` begins at the trim horizon: the KCL keeps the time in its configuration.
/// * A shard of a run from a time or from `Latest`, of which no record was acknowledged yet, is left at `TRIM_HORIZON`, with the time in an attribute of this crate: this crate goes on from the time, and a KCL begins with the oldest record, since it would take any other time from its own
///   configuration.
/// * The end of a shard is written as the KCL does: the rows of its children, and `SHARD_END` with their ids. Where Kinesis named no children, the KCL finds them by its own listing.
/// * Three attributes of a row are this crate's own, and the KCL leaves them alone. `kinesisShardsCheckpoint` is the checkpoint as it was meant, such as the time that a run from `Latest` began at; it counts only while the KCL's own attributes have not moved. By `kinesisShardsStream` the
///   table of another stream is refused, and by `kinesisShardsWriter` a store knows its own writes, should their answers be lost.
///
/// # Permissions and costs
///
/// `dynamodb:Scan`, `GetItem`, `PutItem`, `UpdateItem` and `DeleteItem` on the table; `CreateTable` and `DescribeTable` to make it. The table is scanned once at the start; each save is one write.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    client: Client,
    table: Arc<str>,
    /// By which this store and its clones know what they wrote: a random text.
    writer: Arc<str>,
    failover: Duration,
    /// What is known of each shard's row.
    leases: Arc<Mutex<HashMap<String, Known>>>,
}

/// As the KCL's `failoverTimeMillis`.
const FAILOVER: Duration = Duration::from_secs(10);

impl DynamoDbStore {
    /// A store in this table.
    #[must_use]
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            table: table.into().into(),
            writer: format!("{:032x}", fastrand::u128(..)).into(),
            failover: FAILOVER,
            leases: Arc::default(),
        }
    }

    /// How long a lease that another consumer has moved must be left alone before this store takes it: no less than the `failoverTimeMillis` of a KCL application that may use the table.
    ///
    /// # Default
    ///
    /// 10 s, as the KCL's.
    #[must_use]
    pub fn failover_time(self, time: Duration) -> Self {
        Self { failover: time, ..self }
    }

    fn error(&self, kind: Kind) -> DynamoDbStoreError {
        DynamoDbStoreError { table: self.table.to_string(), kind }
    }

    fn failed(&self, operation: &'static str, error: impl Into<SdkError>) -> DynamoDbStoreError {
        match error.into() {
            SdkError::ResourceNotFoundException(_) => self.error(Kind::MissingTable),
            source => self.error(Kind::Request { operation, source: Box::new(source) }),
        }
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease_of(&self, stream: &StreamId, row: &Item) -> Result<Option<Lease>, DynamoDbStoreError> {
        row::read(stream, row).map_err(|reason| {
            let key = row.get(LEASE_KEY).and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
            self.error(Kind::Row { key, reason })
        })
    }

    async fn scan(&self, stream: &StreamId) -> Result<Vec<(String, Checkpoint)>, DynamoDbStoreError> {
        let mut checkpoints = Vec::new();
        let mut from = None;
        loop {
            let scan = self.client.scan().table_name(&*self.table).consistent_read(true);
            let page = scan.set_exclusive_start_key(from).send().await;
            let page = page.map_err(|error| self.failed("Scan", error))?;
            for row in page.items() {
                let Some(lease) = self.lease_of(stream, row)? else { continue };
                if let Some(owner) = &lease.owner {
                    tracing::info!(
                        table = &*self.table,
                        shard = lease.shard_id,
                        owner,
                        "a lease is taken over"
                    );
                }
                self.note(&lease.shard_id, Seen::loaded(&lease));
                checkpoints.push((lease.shard_id, lease.checkpoint));
            }
            from = page.last_evaluated_key;
            if from.as_ref().is_none_or(HashMap::is_empty) {
                return Ok(checkpoints);
            }
        }
    }

    async fn get(&self, stream: &StreamId, shard_id: &str) -> Result<Option<Lease>, DynamoDbStoreError> {
        let get = self.client.get_item().table_name(&*self.table).key(LEASE_KEY, text(shard_id));
        let row = get.consistent_read(true).send().await.map_err(|error| self.failed("GetItem", error))?;
        row.item.map_or(Ok(None), |row| self.lease_of(stream, &row))
    }

    /// A new row; false if there is one.
    async fn put(&self, row: Item) -> Result<bool, DynamoDbStoreError> {
        let put = self.client.put_item().table_name(&*self.table).set_item(Some(row));
        match put.condition_expression("attribute_not_exists(leaseKey)").send().await.map_err(SdkError::from)
        {
            Ok(_) => Ok(true),
            Err(SdkError::ConditionalCheckFailedException(_)) => Ok(false),
            Err(error) => Err(self.failed("PutItem", error)),
        }
    }

    /// Moves the checkpoint of a row whose counter is this one; false if it is another.
    async fn update(&self, save: &Save<'_>, counter: u64) -> Result<bool, DynamoDbStoreError> {
        let (number, sub) = row::columns(save.checkpoint);
        let children: Vec<_> = save.children.iter().map(|child| child.shard_id().to_owned()).collect();
        let (set, remove) = match (children.is_empty(), save.checkpoint) {
            (false, _) => (", childShardIds = :children", ""),
            (true, Checkpoint::End) => ("", ""),
            // It had ended, and is begun anew.
            (true, _) => ("", ", childShardIds"),
        };
        // Whoever had it has stopped; nobody but this store moves it now.
        let change = format!(
            "SET {CHECKPOINT} = :checkpoint, {SUB} = :sub, {OWN} = :own, {OWN_STREAM} = :stream, {WRITER} = :writer, {COUNTER} = :next, {OWNER_SWITCHES} = :zero{set} \
             REMOVE leaseOwner, checkpointOwner, pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState{remove}"
        );
        let update = self.client.update_item().table_name(&*self.table).key(LEASE_KEY, text(save.shard_id()));
        let mut update = update
            .update_expression(change)
            .condition_expression(IS_UNMOVED)
            .expression_attribute_values(":checkpoint", text(number))
            .expression_attribute_values(":sub", n(sub))
            .expression_attribute_values(":stream", text(save.stream.name()))
            .expression_attribute_values(":own", text(&save.checkpoint.to_string()))
            .expression_attribute_values(":writer", row::written_by(&self.writer, counter + 1))
            .expression_attribute_values(":counter", n(counter))
            .expression_attribute_values(":next", n(counter + 1))
            .expression_attribute_values(":zero", n(0));
        if !children.is_empty() {
            update = update.expression_attribute_values(":children", AttributeValue::Ss(children));
        }
        match update.send().await.map_err(SdkError::from) {
            Ok(_) => Ok(true),
            Err(SdkError::ConditionalCheckFailedException(_)) => Ok(false),
            Err(error) => Err(self.failed("UpdateItem", error)),
        }
    }

    /// Deletes a row whose counter is this one; false if it is another. So one that was begun before a later save, and lands after it, does nothing.
    async fn delete(&self, shard_id: &str, counter: u64) -> Result<bool, DynamoDbStoreError> {
        let delete = self.client.delete_item().table_name(&*self.table).key(LEASE_KEY, text(shard_id));
        let delete = delete.condition_expression(IS_UNMOVED);
        match delete.expression_attribute_values(":counter", n(counter)).send().await.map_err(SdkError::from)
        {
            Ok(_) => Ok(true),
            Err(SdkError::ConditionalCheckFailedException(_)) => Ok(false),
            Err(error) => Err(self.failed("DeleteItem", error)),
        }
    }

    /// As the KCL does: the rows of the children are there before their parent is at its end.
    async fn put_children(&self, save: &Save<'_>) -> Result<(), DynamoDbStoreError> {
        for child in save.children {
            if self.put(row::child(save.stream, child, &self.writer)).await? {
                self.note(child.shard_id(), Seen::written(0));
            }
        }
        Ok(())
    }

    /// What is known of the shard's row.
    fn seen(&self, shard_id: &str) -> Option<Seen> {
        self.leases().get(shard_id)?.row.clone()
    }

    fn note(&self, shard_id: &str, row: Seen) {
        self.leases().insert(shard_id.to_owned(), Known::of(row));
    }

    /// Writes as if the row were as it was seen last; false if it is not.
    async fn try_write(&self, save: &Save<'_>) -> Result<bool, DynamoDbStoreError> {
        let (is_written, counter) = match self.seen(save.shard_id()) {
            Some(row) if row.is_ahead_of(save.checkpoint) => return Ok(true),
            Some(row) => (self.update(save, row.counter()).await?, row.counter() + 1),
            None => (self.put(row::new(save.stream, save.shard, save.checkpoint, &self.writer)).await?, 0),
        };
        if is_written {
            self.note(save.shard_id(), Seen::written(counter));
        }
        Ok(is_written)
    }

    /// The row is not as it was seen last: whose it is now. `to`: what is to be saved; none to forget the shard.
    async fn look_again(
        &self,
        stream: &StreamId,
        shard_id: &str,
        to: Option<&Checkpoint>,
    ) -> Result<(), DynamoDbStoreError> {
        let Some(lease) = self.get(stream, shard_id).await? else {
            self.leases().remove(shard_id);
            return Ok(());
        };
        let mut leases = self.leases();
        let known = leases.entry(shard_id.to_owned()).or_default();
        if known.adopt(&lease, &self.writer, to, self.failover) {
            return Ok(());
        }
        drop(leases);
        Err(self.held(shard_id, lease.owner))
    }

    fn held(&self, shard_id: &str, owner: Option<String>) -> DynamoDbStoreError {
        self.error(Kind::Held { shard_id: shard_id.to_owned(), owner })
    }

    async fn write(&self, save: Save<'_>) -> Result<(), DynamoDbStoreError> {
        self.put_children(&save).await?;
        let shard_id = save.shard_id();
        if self.try_write(&save).await? {
            return Ok(());
        }
        self.look_again(save.stream, shard_id, Some(save.checkpoint)).await?;
        if self.try_write(&save).await? { Ok(()) } else { Err(self.held(shard_id, None)) }
    }

    async fn remove(&self, stream: &StreamId, shard_id: &str) -> Result<(), DynamoDbStoreError> {
        for _ in 0..2 {
            if let Some(row) = self.seen(shard_id)
                && self.delete(shard_id, row.counter()).await?
            {
                self.leases().remove(shard_id);
                return Ok(());
            }
            self.look_again(stream, shard_id, None).await?;
            if self.seen(shard_id).is_none() {
                // It is gone.
                return Ok(());
            }
        }
        Err(self.held(shard_id, None))
    }
}

/// The row is as it was seen last. One that does not exist is not.
const IS_UNMOVED: &str = "leaseCounter = :counter";

impl CheckpointStore for DynamoDbStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move { Ok(self.scan(stream).await?) }.boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { Ok(self.write(save).await?) }.boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { Ok(self.remove(stream, shard_id).await?) }.boxed()
    }
}
