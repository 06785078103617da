//! Checkpoints in a table of the Kinesis Client Library.

mod error;
mod row;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableStatus,
};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant, sleep};

pub use self::error::DynamoDbStoreError;
use self::error::Kind;
use self::row::{CHECKPOINT, COUNTER, Item, LEASE_KEY, Lease, OWN, OWN_STREAM, OWNER_SWITCHES, SUB, n, text};
use super::{Checkpoint, CheckpointStore, Save, StoreError};
use crate::{StartPosition, StreamId};

/// Keeps checkpoints in a DynamoDB table, one for each application and stream, in the layout of the Kinesis Client Library (KCL): a Rust consumer takes over from a Java application exactly where that
/// has stopped, and back.
///
/// The table bears the name of the KCL application. Its rows are leases of the single-stream mode, as KCL 2.x and 3.x write them; other rows of a 3.x table are left alone.
///
/// ```no_run
/// use kinesis_shards::{CheckpointedShardStreamExt, Checkpoints, DynamoDbStore, all_shards};
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
/// Stop the Java application, then start this one, or the other way round. Each write is conditional on the lease counter: should both run, one of them is refused at its next write, with an error that names the
/// other ([`is_held_by_another`](DynamoDbStoreError::is_held_by_another)), and nothing is overwritten. There is no other coordination: the store takes no part in the KCL's sharing of leases between workers.
///
/// * A KCL checkpoint within an aggregated record is gone on from at the next user record, with [`deaggregate`](crate::ReadOptions); without it that record comes again as a whole.
/// * A row at `LATEST` that the KCL has not come to a record of begins at the tip, as the KCL would. One at `AT_TIMESTAMP` begins at the trim horizon: the KCL keeps the time in its configuration.
/// * The end of a shard is written as the KCL does: the rows of its children, and `SHARD_END` with their ids. Where Kinesis named no children, the KCL finds them by its own listing.
/// * The row's attribute `kinesisShardsCheckpoint` is this crate's own, as is `kinesisShardsStream`, by which the table of another stream is refused: the checkpoint as it was meant, such as the time that a run from `Latest` began at. The KCL leaves it alone, and it counts only while the KCL's own
///   attributes have not moved.
///
/// # Permissions and costs
///
/// `dynamodb:Scan`, `GetItem`, `PutItem`, `UpdateItem` and `DeleteItem` on the table; `CreateTable` and `DescribeTable` to make it. The table is scanned once at the start; each save is one write.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    client: Client,
    table: Arc<str>,
    /// The counter of each row, as this store has read or written it last.
    leases: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    counter: u64,
    /// The last write has not been answered: the counter may be one more.
    is_uncertain: bool,
}

/// For a table to become active.
const PATIENCE: Duration = Duration::from_mins(5);

impl DynamoDbStore {
    /// A store in this table.
    #[must_use]
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self { client: client.clone(), table: table.into().into(), leases: Arc::default() }
    }

    /// Makes the table if there is none, billed on demand, and waits until it is active.
    ///
    /// # Errors
    ///
    /// If it cannot be made or looked at, or is not active within 5 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled, if it has to wait.
    pub async fn create_table_if_missing(&self) -> Result<(), DynamoDbStoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut has_asked = false;
        loop {
            let described = self.client.describe_table().table_name(&*self.table).send().await;
            match described.map_err(|error| self.failed("DescribeTable", error)) {
                Ok(described) => {
                    let status = described.table().and_then(|table| table.table_status());
                    if status.is_none_or(|status| *status == TableStatus::Active) {
                        return Ok(());
                    }
                }
                Err(error) if error.is_missing_table() && !has_asked => {
                    has_asked = true;
                    self.create_table().await?;
                    continue;
                }
                Err(error) if error.is_missing_table() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(self.error(Kind::NotActive));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn create_table(&self) -> Result<(), DynamoDbStoreError> {
        let build = |error: aws_sdk_dynamodb::error::BuildError| {
            self.error(Kind::Request {
                operation: "CreateTable",
                source: Box::new(SdkError::from(aws_sdk_dynamodb::error::SdkError::<
                    aws_sdk_dynamodb::operation::create_table::CreateTableError,
                >::construction_failure(error))),
            })
        };
        let attribute =
            AttributeDefinition::builder().attribute_name(LEASE_KEY).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(LEASE_KEY).key_type(KeyType::Hash);
        let create = self.client.create_table().table_name(&*self.table);
        let create = create.attribute_definitions(attribute.build().map_err(build)?);
        let create = create.key_schema(key.build().map_err(build)?);
        match create.billing_mode(BillingMode::PayPerRequest).send().await.map_err(SdkError::from) {
            // Another was quicker.
            Ok(_) | Err(SdkError::ResourceInUseException(_)) => Ok(()),
            Err(source) => {
                Err(self.error(Kind::Request { operation: "CreateTable", source: Box::new(source) }))
            }
        }
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
                let known = Known { counter: lease.counter, is_uncertain: false };
                self.leases().insert(lease.shard_id.clone(), known);
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
        let mut set = format!(
            "SET {CHECKPOINT} = :checkpoint, {SUB} = :sub, {OWN} = :own, {OWN_STREAM} = :stream, {COUNTER} = :next, {OWNER_SWITCHES} = :zero"
        );
        let children: Vec<_> = save.children.iter().map(|child| child.shard_id().to_owned()).collect();
        if !children.is_empty() {
            set.push_str(", childShardIds = :children");
        }
        // Whoever had it has stopped; nobody but this store moves it now.
        set.push_str(
            " REMOVE leaseOwner, checkpointOwner, pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState",
        );
        let update = self.client.update_item().table_name(&*self.table).key(LEASE_KEY, text(save.shard_id()));
        let mut update = update
            .update_expression(set)
            .condition_expression(format!("{COUNTER} = :counter"))
            .expression_attribute_values(":checkpoint", text(number))
            .expression_attribute_values(":sub", n(sub))
            .expression_attribute_values(":stream", text(save.stream.name()))
            .expression_attribute_values(":own", text(&save.checkpoint.to_string()))
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

    /// As the KCL does: the rows of the children are there before their parent is at its end.
    async fn put_children(&self, save: &Save<'_>) -> Result<(), DynamoDbStoreError> {
        for child in save.children {
            if self.put(row::child(save.stream, child)).await? {
                let known = Known { counter: 0, is_uncertain: false };
                self.leases().insert(child.shard_id().to_owned(), known);
            }
        }
        Ok(())
    }

    async fn write(&self, save: Save<'_>) -> Result<(), DynamoDbStoreError> {
        self.put_children(&save).await?;
        let shard_id = save.shard_id();
        let known = self.leases().get(shard_id).copied();
        let counter = match known {
            Some(known) => {
                // Until it is answered, and should this be dropped.
                self.leases().insert(shard_id.to_owned(), Known { is_uncertain: true, ..known });
                if self.update(&save, known.counter).await? {
                    return self.written(shard_id, known.counter + 1);
                }
                self.counter_after(&save, Some(known)).await?
            }
            None if self.put(row::new(save.stream, save.shard, save.checkpoint)).await? => {
                return self.written(shard_id, 0);
            }
            None => self.counter_after(&save, None).await?,
        };
        let is_written = match counter {
            Some(counter) => self.update(&save, counter).await?,
            None => self.put(row::new(save.stream, save.shard, save.checkpoint)).await?,
        };
        if !is_written {
            return Err(self.error(Kind::Held { shard_id: shard_id.to_owned(), owner: None }));
        }
        self.written(shard_id, counter.map_or(0, |counter| counter + 1))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last word of each way to write")]
    fn written(&self, shard_id: &str, counter: u64) -> Result<(), DynamoDbStoreError> {
        self.leases().insert(shard_id.to_owned(), Known { counter, is_uncertain: false });
        Ok(())
    }

    /// The row is not as it was expected: its counter, if that is this store's own doing. None if it is gone.
    async fn counter_after(
        &self,
        save: &Save<'_>,
        known: Option<Known>,
    ) -> Result<Option<u64>, DynamoDbStoreError> {
        let shard_id = save.shard_id();
        let Some(lease) = self.get(save.stream, shard_id).await? else { return Ok(None) };
        let is_own = match known {
            // A write that was not answered has landed after all.
            Some(known) => known.is_uncertain && lease.counter == known.counter + 1 && lease.is_own,
            // So it was with its first; or it is a child that was named by its parent's end, and not begun.
            None => lease.is_own || lease.checkpoint == Checkpoint::Start(StartPosition::TrimHorizon),
        };
        if is_own && lease.owner.is_none() {
            return Ok(Some(lease.counter));
        }
        Err(self.error(Kind::Held { shard_id: shard_id.to_owned(), owner: lease.owner }))
    }

    async fn delete(&self, shard_id: &str) -> Result<(), DynamoDbStoreError> {
        let delete = self.client.delete_item().table_name(&*self.table).key(LEASE_KEY, text(shard_id));
        delete.send().await.map_err(|error| self.failed("DeleteItem", error))?;
        self.leases().remove(shard_id);
        Ok(())
    }
}

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

    fn forget<'a>(&'a self, _: &'a StreamId, shard_id: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { Ok(self.delete(shard_id).await?) }.boxed()
    }
}
