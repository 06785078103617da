//! The store that keeps checkpoints in a lease table of the Kinesis Client Library.

pub(crate) mod error;
pub(crate) mod expressions;
pub(crate) mod item;
pub(crate) mod row;
pub(crate) mod row_cache;
pub(crate) mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_kinesis::types::ChildShard;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::Duration;

pub use self::error::DynamoDbStoreError;
use crate::checkpoint::dynamodb::error::Kind;
use crate::checkpoint::dynamodb::expressions::Expressions;
use crate::checkpoint::dynamodb::item::{Item, n};
use crate::checkpoint::dynamodb::row::{
    CHECKPOINT_OWNER, CHILD_SHARD_IDS, LEASE_COUNTER, LEASE_KEY, LEASE_OWNER, LeaseRow, Writer,
};
use crate::checkpoint::dynamodb::row_cache::{CachedRow, RowCache};
use crate::checkpoint::dynamodb::table::{Table, Written};
use crate::checkpoint::store::{CheckpointStore, Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// A store that keeps the checkpoints of one stream in a DynamoDB table, in the layout of the
/// Kinesis Client Library (KCL). A Rust consumer takes over from a Java application exactly where
/// it stopped, and back.
///
/// The table has the name of the KCL application, and each application and stream needs its own.
/// The rows are leases of the single-stream mode, as KCL 2.x and 3.x write them. Other rows of a
/// 3.x table are left alone.
///
/// ```no_run
/// use kinesis_shards::{Checkpoints, DynamoDbStore, ShardStreamExt, all_shards};
///
/// # async fn example(
/// #     kinesis: aws_sdk_kinesis::Client,
/// #     dynamodb: aws_sdk_dynamodb::Client,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let store = DynamoDbStore::new(&dynamodb, "orders-application");
/// store.create_table_if_missing().await?;
/// let checkpoints = Checkpoints::load(store, "orders").await?;
/// let records = all_shards(&kinesis, "orders").checkpoints(&checkpoints).records(&kinesis);
/// # Ok(()) }
/// ```
///
/// # Takeover
///
/// Stop the Java application, then start the Rust consumer, or the other way round. The store takes
/// no part in the KCL's sharing of leases between workers.
///
/// If both run all the same, no record is lost, but some are processed twice:
///
/// * Each write is conditional on the lease counter. If another consumer has moved the lease, the
///   next write fails with an error that names it
///   ([`is_held_by_another`](DynamoDbStoreError::is_held_by_another)), for as long as it moves the
///   lease. After the [failover time](Self::failover_time) without a move, the store takes the
///   lease back.
/// * A checkpoint never replaces one that is further on. That one stays, and saves count as done,
///   until this consumer is as far.
///
/// The rows differ from those of the KCL in a few ways:
///
/// * A KCL checkpoint within an aggregated record is resumed at the next user record with
///   [`deaggregate_own_hash_range`](crate::ReadOptions). Without it, the whole record comes again.
/// * A row at `LATEST` starts at the tip, as with the KCL. A row at `AT_TIMESTAMP` starts at the
///   trim horizon, since the KCL keeps the time in its configuration.
/// * A shard of a run from a time or from `Latest` whose first record is not acknowledged is
///   written as `TRIM_HORIZON`, with the time in an attribute of this crate. This crate starts at
///   that time. The KCL starts at the oldest record, since it would take any other time from its
///   own configuration.
/// * The end of a shard is written as by the KCL: first the rows of its children, then `SHARD_END`
///   with their ids. If the end names no children, they are listed first. The KCL takes a parent
///   without a row for finished, so the child of a merge gets its row only when both of its parents
///   have one. Until then the KCL does not start it either.
/// * An ancestor without a row counts as finished once a record of its descendant was processed,
///   since the KCL deletes the rows of finished shards. It does not count as finished while one of
///   its own ancestors is unfinished.
/// * Three attributes are this crate's own, and the KCL ignores them. `kinesisShardsCheckpoint` is
///   the exact checkpoint, such as the time at which a run from `Latest` started. It counts only
///   while the KCL's attributes have not moved. `kinesisShardsStream` is the stream's ARN, or its
///   name where no ARN was given: the table of another stream is refused, and so is one that may
///   be of another ([`StreamId::check_unambiguous`]). `kinesisShardsWriter` identifies the store
///   that wrote the row, so that it knows its own writes whose responses were lost.
///
/// # Permissions and costs
///
/// The store needs `dynamodb:Scan`, `GetItem`, `UpdateItem` and `DeleteItem` on the table, and
/// `CreateTable` and `DescribeTable` to create it. The table is scanned once at the start. Each
/// save is one write.
///
/// # Errors
///
/// A request fails if it gets no response within 60 s, or an empty one, such as from a proxy. An
/// empty response counts neither as an empty table nor as a write.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    table: Table,
    /// A random text by which this store and its clones know their writes.
    writer: Arc<str>,
    failover: Duration,
    /// The row of each shard, as it was seen last.
    rows: Arc<Mutex<HashMap<String, RowCache>>>,
}

/// The default of the KCL's `failoverTimeMillis`.
const FAILOVER: Duration = Duration::from_secs(10);

impl DynamoDbStore {
    /// Creates a store in this table.
    #[must_use]
    pub fn new(client: &Client, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(client, table.into(), LEASE_KEY),
            writer: format!("{:032x}", fastrand::u128(..)).into(),
            failover: FAILOVER,
            rows: Arc::default(),
        }
    }

    /// Sets for how long a lease that another consumer has moved must be left alone before this
    /// store takes it. It should be at least the `failoverTimeMillis` of a KCL application that may
    /// use the table.
    ///
    /// # Default
    ///
    /// 10 s, as that of the KCL
    #[must_use]
    pub fn failover_time(self, time: Duration) -> Self {
        Self { failover: time, ..self }
    }

    /// Creates the table if it does not exist, billed on demand, and waits until it is active.
    /// Failed requests are retried until 30 s after the first failure, with a warning in the log.
    ///
    /// # Errors
    ///
    /// If the table cannot be created or described: at once if no retry can help, such as without
    /// permission. If a request gets no response within 60 s, or if the table is not active within
    /// 5 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn create_table_if_missing(&self) -> Result<(), DynamoDbStoreError> {
        self.table.create_if_missing().await
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, RowCache>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease_of(
        &self,
        stream: &StreamId,
        row: &Item,
    ) -> Result<Option<LeaseRow>, DynamoDbStoreError> {
        row::read(stream, row).map_err(|reason| self.table.unusable(row, reason))
    }

    async fn scan(
        &self,
        stream: &StreamId,
    ) -> Result<Vec<(String, Checkpoint)>, DynamoDbStoreError> {
        let mut checkpoints = Vec::new();
        let note = |row: &Item| {
            let Some(lease) = self.lease_of(stream, row)? else { return Ok(()) };
            if let Some(owner) = lease.holder() {
                let (table, shard) = (self.table.name(), &lease.shard_id);
                tracing::info!(table, shard, owner, "taking over a lease");
            }
            self.note(&lease.shard_id, CachedRow::loaded(&lease));
            checkpoints.push((lease.shard_id, lease.checkpoint));
            Ok(())
        };
        self.table.scan(true, note).await?;
        Ok(checkpoints)
    }

    /// Creates the rows of the children that have none, as the KCL does: before their parent's end
    /// is written.
    ///
    /// The KCL takes a parent without a row for finished. So the child of a merge gets its row only
    /// when both of its parents have one: at the end of the other parent, or when it starts.
    async fn put_children(&self, save: &Save<'_>) -> Result<(), DynamoDbStoreError> {
        for child in save.children {
            let id = child.shard_id();
            let is_early = |parent: &String| parent != save.shard_id() && !self.has_row(parent);
            // A row that is known to exist is not written again, so that an end is saved even if
            // few writes succeed.
            if self.has_row(id) || child.parent_shards().iter().any(is_early) {
                continue;
            }
            let row = row::to_item(save.stream, &row::child(child, &self.writer));
            match self.table.create(row).await? {
                Written::Yes(_) => self.note(id, CachedRow::written(0)),
                Written::No(_) => self.rows().entry(id.to_owned()).or_default().note_row(),
            }
        }
        Ok(())
    }

    /// Returns whether the shard is known to have a row, or to have had one.
    fn has_row(&self, shard_id: &str) -> bool {
        self.rows().get(shard_id).is_some_and(RowCache::has_row)
    }

    /// Returns the shard's row as it was seen last.
    fn seen(&self, shard_id: &str) -> Option<CachedRow> {
        self.rows().get(shard_id)?.row.clone()
    }

    fn note(&self, shard_id: &str, row: CachedRow) {
        self.rows().insert(shard_id.to_owned(), RowCache::of(row));
    }

    /// Returns whether the row is known to be further on than the checkpoint to save.
    fn is_ahead_of(&self, save: &Save<'_>) -> bool {
        self.seen(save.shard_id()).is_some_and(|row| row.is_ahead_of(save.checkpoint))
    }

    /// Writes on condition that the row is as it was seen last.
    async fn try_write(&self, save: &Save<'_>) -> Result<Written, DynamoDbStoreError> {
        let (written, counter) = if let Some(row) = self.seen(save.shard_id()) {
            let update = self.update(save, row.counter());
            (self.table.update(save.shard_id(), update).await?, row.counter() + 1)
        } else {
            let row = row::new(save.shard, save.checkpoint, &self.writer);
            (self.table.create(row::to_item(save.stream, &row)).await?, 0)
        };
        if let Written::Yes(_) = written {
            self.note(save.shard_id(), CachedRow::written(counter));
        }
        Ok(written)
    }

    /// Returns the write of a checkpoint to the row with this counter.
    fn update(&self, save: &Save<'_>, counter: u64) -> Expressions {
        let writer = Writer { run: self.writer.to_string(), counter: counter + 1 };
        let update = row::count_on(is_unmoved(counter), save.stream, &writer);
        let update = row::save(update, save.checkpoint);
        // The last owner has stopped: no consumer but this one moves the row.
        let update = update.remove(LEASE_OWNER).remove(CHECKPOINT_OWNER);
        let children: Vec<_> =
            save.children.iter().map(|child| child.shard_id().to_owned()).collect();
        match (item::set(&children), save.checkpoint) {
            (Some(children), _) => update.set(CHILD_SHARD_IDS, children),
            (None, Checkpoint::End) => update,
            // The shard had ended, and is started over.
            (None, _) => update.remove(CHILD_SHARD_IDS),
        }
    }

    /// Claims a row that is not as it was seen last, and notes how it is now.
    ///
    /// `row` is the row, if a response showed it. `to` is the checkpoint to save, `None` to forget
    /// the shard.
    async fn claim_moved_row(
        &self,
        stream: &StreamId,
        shard_id: &str,
        row: Option<Item>,
        to: Option<&Checkpoint>,
    ) -> Result<(), DynamoDbStoreError> {
        let row = match row {
            Some(row) => Some(row),
            None => self.table.get(shard_id).await?,
        };
        let lease = row.map_or(Ok(None), |row| self.lease_of(stream, &row))?;
        let Some(lease) = lease else {
            self.rows().remove(shard_id);
            return Ok(());
        };
        let mut rows = self.rows();
        let known = rows.entry(shard_id.to_owned()).or_default();
        if known.try_claim(&lease, &self.writer, to, self.failover) {
            return Ok(());
        }
        drop(rows);
        Err(self.held(shard_id, lease.holder().map(str::to_owned)))
    }

    fn held(&self, shard_id: &str, owner: Option<String>) -> DynamoDbStoreError {
        self.table.error(Kind::Held { shard_id: shard_id.to_owned(), owner })
    }

    async fn write(&self, save: Save<'_>) -> Result<(), DynamoDbStoreError> {
        let children = save.children.iter().map(ChildShard::shard_id);
        if let Some(id) = children.chain([save.shard_id()]).find(|id| !row::is_loadable_key(id)) {
            return Err(self.table.error(Kind::ShardId { shard_id: id.to_owned() }));
        }
        self.put_children(&save).await?;
        if self.is_ahead_of(&save) {
            return Ok(());
        }
        let shard_id = save.shard_id();
        let Written::No(row) = self.try_write(&save).await? else { return Ok(()) };
        self.claim_moved_row(save.stream, shard_id, row, Some(save.checkpoint)).await?;
        if self.is_ahead_of(&save) {
            return Ok(());
        }
        match self.try_write(&save).await? {
            Written::Yes(_) => Ok(()),
            Written::No(_) => Err(self.held(shard_id, None)),
        }
    }

    async fn remove(&self, stream: &StreamId, shard_id: &str) -> Result<(), DynamoDbStoreError> {
        for _ in 0..2 {
            let mut left = None;
            if let Some(row) = self.seen(shard_id) {
                match self.table.delete(shard_id, is_unmoved(row.counter())).await? {
                    Written::Yes(_) => {
                        self.rows().remove(shard_id);
                        return Ok(());
                    }
                    Written::No(row) => left = row,
                }
            }
            self.claim_moved_row(stream, shard_id, left, None).await?;
            if self.seen(shard_id).is_none() {
                return Ok(());
            }
        }
        Err(self.held(shard_id, None))
    }
}

/// Returns the condition that a row is as it was seen last. A row that does not exist is not.
fn is_unmoved(counter: u64) -> Expressions {
    Expressions::default().if_equal(LEASE_COUNTER, n(counter))
}

impl CheckpointStore for DynamoDbStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move { Ok(self.scan(stream).await?) }.boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            save.checkpoint.validate()?;
            Ok(self.write(save).await?)
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { Ok(self.remove(stream, shard_id).await?) }.boxed()
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.rows).addr())
    }
}
