//! Checkpoints in a table of the Kinesis Client Library.

pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod row;
pub(crate) mod row_cache;
pub(crate) mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::Duration;

pub use self::error::DynamoDbStoreError;
use crate::checkpoint::dynamodb::error::Kind;
use crate::checkpoint::dynamodb::request::Written;
use crate::checkpoint::dynamodb::row::{Item, LEASE_KEY, Lease};
use crate::checkpoint::dynamodb::row_cache::{CachedRow, RowCache};
use crate::checkpoint::store::{CheckpointStore, Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// Keeps checkpoints in a DynamoDB table, one for each application and stream, in the layout of the
/// Kinesis Client Library (KCL): a Rust consumer takes over from a Java application exactly where
/// that has stopped, and back.
///
/// The table bears the name of the KCL application. Its rows are leases of the single-stream mode,
/// as KCL 2.x and 3.x write them; other rows of a 3.x table are left alone.
///
/// ```no_run
/// use kinesis_shards::{Checkpoints, DynamoDbStore, ShardStreamExt, all_shards};
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
/// Stop the Java application, then start this one, or the other way round. There is no other
/// coordination: the store takes no part in the KCL's sharing of leases between workers.
///
/// Should two run all the same, each write is conditional on the lease counter: whose lease another
/// has moved is refused at its next write, with an error that names the other
/// ([`is_held_by_another`](DynamoDbStoreError::is_held_by_another)), for as long as the other goes
/// on moving it. Once the lease was not moved for the [failover time](Self::failover_time), the
/// store takes it back. A checkpoint never takes the place of one that is further on: where the
/// other has gone further, its checkpoint stays, and counts as saved, until this consumer is as
/// far. So nothing is lost, and what both have read was processed twice.
///
/// * A KCL checkpoint within an aggregated record is resumed at the next user record with
///   [`deaggregate_own_hash_range`](crate::ReadOptions); without it that record comes again as a
///   whole.
/// * A row at `LATEST` that the KCL has not come to a record of begins at the tip, as the KCL
///   would. One at `AT_TIMESTAMP` begins at the trim horizon: the KCL keeps the time in its
///   configuration.
/// * A shard of a run from a time or from `Latest`, of which no record was acknowledged yet, is
///   left at `TRIM_HORIZON`, with the time in an attribute of this crate: this crate goes on from
///   the time, and a KCL begins with the oldest record, since it would take any other time from its
///   own configuration.
/// * The end of a shard is written as the KCL does: first the rows of its children, then
///   `SHARD_END` with their ids. Where an end names no children, they are listed before it is
///   saved. The KCL takes a parent without a row for finished. So the child of a merge gets its row
///   only once both of its parents have one, and until then the KCL does not begin it either.
/// * An ancestor without a row counts as finished once a record of its descendant was processed, as
///   the KCL deletes the rows of finished shards; but not while one of its own ancestors is
///   unfinished.
/// * Three attributes of a row are this crate's own, and the KCL leaves them alone.
///   `kinesisShardsCheckpoint` is the checkpoint as it was meant, such as the time that a run from
///   `Latest` began at; it counts only while the KCL's own attributes have not moved. By
///   `kinesisShardsStream` the table of another stream is refused, and by `kinesisShardsWriter` a
///   store knows its own writes, should their answers be lost.
///
/// # Permissions and costs
///
/// `dynamodb:Scan`, `GetItem`, `UpdateItem` and `DeleteItem` on the table; `CreateTable` and
/// `DescribeTable` to create it. The table is scanned once at the start; each save is one write.
///
/// # Errors
///
/// A request that gets no response within 60 s fails, and so does one whose response is empty, such
/// as that of a proxy: it is neither an empty table nor a write that took place.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    client: Client,
    table: Arc<str>,
    /// By which this store and its clones know what they wrote: a random text.
    writer: Arc<str>,
    failover: Duration,
    /// What is known of each shard's row.
    leases: Arc<Mutex<HashMap<String, RowCache>>>,
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

    /// How long a lease that another consumer has moved must be left alone before this store takes
    /// it: no less than the `failoverTimeMillis` of a KCL application that may use the table.
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

    fn leases(&self) -> MutexGuard<'_, HashMap<String, RowCache>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease_of(&self, stream: &StreamId, row: &Item) -> Result<Option<Lease>, DynamoDbStoreError> {
        row::read(stream, row).map_err(|reason| {
            let key =
                row.get(LEASE_KEY).and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
            self.error(Kind::Row { key, reason })
        })
    }

    async fn scan(
        &self,
        stream: &StreamId,
    ) -> Result<Vec<(String, Checkpoint)>, DynamoDbStoreError> {
        let mut checkpoints = Vec::new();
        let mut from = None;
        loop {
            let (rows, next) = self.scan_page(from).await?;
            for row in &rows {
                let Some(lease) = self.lease_of(stream, row)? else { continue };
                if let Some(owner) = &lease.owner {
                    tracing::info!(
                        table = &*self.table,
                        shard = lease.shard_id,
                        owner,
                        "a lease is taken over"
                    );
                }
                self.note(&lease.shard_id, CachedRow::loaded(&lease));
                checkpoints.push((lease.shard_id, lease.checkpoint));
            }
            if next.is_none() {
                return Ok(checkpoints);
            }
            from = next;
        }
    }

    /// Creates the rows of the children that have none, as the KCL does: before their parent's end
    /// is written.
    ///
    /// The KCL takes a parent without a row for finished. So a child of a merge has no row before
    /// both of its parents have: it gets one at the end of the other parent, or when it is begun.
    async fn put_children(&self, save: &Save<'_>) -> Result<(), DynamoDbStoreError> {
        for child in save.children {
            let id = child.shard_id();
            let is_early = |parent: &String| parent != save.shard_id() && !self.has_row(parent);
            // A row that is known to exist is not written again: where few writes get through, an
            // end is saved nevertheless.
            if self.has_row(id) || child.parent_shards().iter().any(is_early) {
                continue;
            }
            match self.create(row::child(save.stream, child, &self.writer)).await? {
                Written::Yes => self.note(id, CachedRow::written(0)),
                Written::No(_) => self.leases().entry(id.to_owned()).or_default().note_row(),
            }
        }
        Ok(())
    }

    /// Whether the shard is known to have a row, or to have had one.
    fn has_row(&self, shard_id: &str) -> bool {
        self.leases().get(shard_id).is_some_and(RowCache::has_row)
    }

    /// What is known of the shard's row.
    fn seen(&self, shard_id: &str) -> Option<CachedRow> {
        self.leases().get(shard_id)?.row.clone()
    }

    fn note(&self, shard_id: &str, row: CachedRow) {
        self.leases().insert(shard_id.to_owned(), RowCache::of(row));
    }

    /// Writes as if the row were as it was seen last.
    async fn try_write(&self, save: &Save<'_>) -> Result<Written, DynamoDbStoreError> {
        let (written, counter) = match self.seen(save.shard_id()) {
            Some(row) if row.is_ahead_of(save.checkpoint) => return Ok(Written::Yes),
            Some(row) => (self.update(save, row.counter()).await?, row.counter() + 1),
            None => {
                let row = row::new(save.stream, save.shard, save.checkpoint, &self.writer);
                (self.create(row).await?, 0)
            }
        };
        if let Written::Yes = written {
            self.note(save.shard_id(), CachedRow::written(counter));
        }
        Ok(written)
    }

    /// Decides whose a row is that is not as it was seen last.
    ///
    /// `row`: the row, if it is known. `to`: what is to be saved; none to forget the shard.
    async fn look_again(
        &self,
        stream: &StreamId,
        shard_id: &str,
        row: Option<Item>,
        to: Option<&Checkpoint>,
    ) -> Result<(), DynamoDbStoreError> {
        let row = match row {
            Some(row) => Some(row),
            None => self.get(shard_id).await?,
        };
        let lease = row.map_or(Ok(None), |row| self.lease_of(stream, &row))?;
        let Some(lease) = lease else {
            self.leases().remove(shard_id);
            return Ok(());
        };
        let mut leases = self.leases();
        let known = leases.entry(shard_id.to_owned()).or_default();
        if known.try_claim(&lease, &self.writer, to, self.failover) {
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
        let Written::No(row) = self.try_write(&save).await? else { return Ok(()) };
        self.look_again(save.stream, shard_id, row, Some(save.checkpoint)).await?;
        match self.try_write(&save).await? {
            Written::Yes => Ok(()),
            Written::No(_) => Err(self.held(shard_id, None)),
        }
    }

    async fn remove(&self, stream: &StreamId, shard_id: &str) -> Result<(), DynamoDbStoreError> {
        for _ in 0..2 {
            let mut left = None;
            if let Some(row) = self.seen(shard_id) {
                match self.delete(shard_id, row.counter()).await? {
                    Written::Yes => {
                        self.leases().remove(shard_id);
                        return Ok(());
                    }
                    Written::No(row) => left = row,
                }
            }
            self.look_again(stream, shard_id, left, None).await?;
            if self.seen(shard_id).is_none() {
                // It is gone.
                return Ok(());
            }
        }
        Err(self.held(shard_id, None))
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
}
