//! A page of records with one acknowledgement.

use std::fmt;
use std::time::SystemTime;

use tokio::time::Duration;

use crate::checkpoint::acker::{AckToken, Acker};
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease::Lease;
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease_lost::LeaseLost;
use crate::checkpoint::page::UnackedPage;
use crate::records::record::Record;
use crate::shard::stream_id::StreamId;

/// A page of one shard's records with one acknowledgement, for a consumer that writes pages to a
/// database.
///
/// A page holds at least one record, in the order of the shard, without those that an earlier run
/// has acknowledged. The shard's checkpoint moves past the page when it and all pages before it are
/// acknowledged. A page that is dropped without acknowledgement holds the checkpoint, as an
/// [`UnackedRecord`](super::UnackedRecord) does.
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::{Checkpoints, MemoryStore, Record, ShardStreamExt, all_shards};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # struct Database;
/// # impl Database {
/// #     async fn insert(&self, _: &[Record]) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let database = Database;
/// # let kinesis = FakeKinesis::new();
/// # let orders = kinesis.create_stream("orders", 1);
/// # for n in 0..10 { orders.put("customer 1", format!("order {n}")); }
/// # let client = kinesis.client();
/// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
/// let mut batches =
///     all_shards(&client, "orders").checkpoints(&checkpoints).batches(&client);
/// # let mut taken = 0;
/// while let Some(batch) = batches.try_next().await? {
///     database.insert(batch.records()).await?;
/// #   taken += batch.records().len();
///     batch.ack();
/// #   if taken == 10 { break }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a batch that is dropped without `ack` holds the checkpoint of its shard"]
pub struct UnackedBatch {
    records: Vec<Record>,
    lag: Option<Duration>,
    received_at: SystemTime,
    token: AckToken,
}

impl UnackedBatch {
    /// Delivers a page. Returns `None` if all its records were acknowledged before, and after a
    /// shutdown.
    pub(crate) fn deliver(page: UnackedPage) -> Option<Self> {
        page.take_all(|records, page, session| match session.take_token(records.len() as u64) {
            Some(token) => {
                let (lag, received_at) = (page.lag, page.received_at);
                Ok(Self { records, lag, received_at, token })
            }
            None => Err(records),
        })
    }

    /// Returns the id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        self.records[0].shard_id()
    }

    /// Returns the stream, as it was named to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.records[0].stream()
    }

    /// Returns `MillisBehindLatest`: how far the end of this page is behind the tip of the shard.
    /// Zero if no record followed, and `None` if the server sent none.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// Returns when the response arrived, by the client's clock.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Returns the records: at least one, in the order of the shard.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Acknowledges all records of the page, and returns them: they were processed and need not
    /// come again.
    ///
    /// An acknowledgement sends no request and does not wait. The checkpoint is saved later: see
    /// [`CheckpointOptions`](super::CheckpointOptions).
    #[expect(clippy::must_use_candidate, reason = "a consumer is often done with the records")]
    pub fn ack(self) -> Vec<Record> {
        let (records, acker) = self.into_parts();
        acker.ack();
        records
    }

    /// Acknowledges all records of the page as [`ack`](Self::ack) does, and reports if that has no
    /// effect: see [`UnackedRecord::try_ack`](super::UnackedRecord::try_ack).
    ///
    /// # Errors
    ///
    /// [`LeaseLost`] with the records, if the lease of the shard has ended.
    #[cfg(feature = "dynamodb")]
    pub fn try_ack(self) -> Result<Vec<Record>, LeaseLost<Vec<Record>>> {
        let lease = self.lease().cloned();
        LeaseLost::check(lease, self.ack())
    }

    /// Returns the lease of the shard, where many workers share the stream: see
    /// [`UnackedRecord::lease`](super::UnackedRecord::lease).
    #[cfg(feature = "dynamodb")]
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.token.lease()
    }

    /// Splits the page into its records and their acknowledgement, which may go to different tasks.
    pub fn into_parts(self) -> (Vec<Record>, Acker) {
        let Self { records, token, .. } = self;
        let acker = Acker::new(&records[records.len() - 1], token);
        (records, acker)
    }
}

impl fmt::Debug for UnackedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnackedBatch")
            .field("stream", &self.stream().name())
            .field("shard_id", &self.shard_id())
            .field("records", &self.records.len())
            .field("lag", &self.lag)
            .finish_non_exhaustive()
    }
}
