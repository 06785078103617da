//! All shards of a stream of shards, read side by side.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use tokio::time::Duration;

use super::one_by_one::OneByOne;
use super::readable::{Open, Read, ReadShard};
use super::side_by_side::SideBySide;
use super::{Batch, ReadError, ReadOptions};
use crate::ShardHandle;

/// Reads the shards of any stream of [`ShardHandle`]s.
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::{ShardStreamExt, all_shards};
/// # use futures::StreamExt;
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kinesis = FakeKinesis::new();
/// # let stream = kinesis.create_stream("orders", 2);
/// # stream.put("customer 1", "an order");
/// # stream.put("customer 2", "another");
/// # let client = kinesis.client();
/// let mut records = all_shards(&client, "orders").records(&client);
/// # let mut records = records.take(2);
/// while let Some(record) = records.try_next().await? {
///     println!("{} {:?} {} bytes", record.shard_id(), record.partition_key(), record.data().len());
/// }
/// # Ok(())
/// # }
/// ```
pub trait ShardStreamExt: Stream<Item: ReadShard> + Sized {
    /// All records of all shards, one by one.
    ///
    /// The shards are read side by side, each from its [`start`](ShardHandle::start). Records of one partition key come in the order in which they were written, also across splits
    /// and merges: a child opens when the last record of its parents was taken. Between shards there is no order.
    ///
    /// The stream ends when the stream of shards has ended and every shard in hand is read to its end.
    ///
    /// It works only while it is polled: a consumer that takes long for a record keeps all shards waiting, and loses nothing. See [`ReadOptions::spawn_on`] for reading on meanwhile.
    ///
    /// # Errors
    ///
    /// A shard that cannot be read is one `Err`, and is handed back to the stream of shards; the others go on. See [`ShardHandle::records`].
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    fn records(self, client: &Client) -> AllRecords<Self> {
        AllRecords { records: OneByOne::new(Readers::new(self, client)) }
    }

    /// All records of all shards, a page of one shard at a time. The shards take turns.
    ///
    /// # Errors
    ///
    /// As of [`records`](Self::records).
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    fn batches(self, client: &Client) -> AllBatches<Self>
    where
        Self: Stream<Item = ShardHandle>,
    {
        AllBatches { readers: Readers::new(self, client) }
    }
}

impl<S: Stream<Item: ReadShard>> ShardStreamExt for S {}

/// The readers of a stream of shards.
#[pin_project]
pub(crate) struct Readers<S: Stream<Item: ReadShard>> {
    #[pin]
    side_by_side: SideBySide<S, <S::Item as Open>::Reader>,
    client: Client,
    options: Arc<ReadOptions>,
}

impl<S: Stream<Item: ReadShard>> Readers<S> {
    fn new(shards: S, client: &Client) -> Self {
        Self { side_by_side: SideBySide::new(shards), client: client.clone(), options: Arc::default() }
    }

    fn with(self, options: ReadOptions) -> Self {
        Self { options: Arc::new(options), ..self }
    }

    #[track_caller]
    fn max_shards(self, shards: usize) -> Self {
        Self { side_by_side: self.side_by_side.max_shards(shards), ..self }
    }

    fn lags(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        self.side_by_side.readers().filter_map(|reader| Some((reader.shard_id()?, reader.lag())))
    }
}

impl<S: Stream<Item: ReadShard>> Stream for Readers<S> {
    type Item = Result<<S::Item as Open>::Page, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let (client, options) = (this.client, this.options);
        this.side_by_side.poll_next(cx, |shard, turns| shard.open(client, Arc::clone(options), turns))
    }
}

impl<S: Stream<Item: ReadShard>> FusedStream for Readers<S> {
    fn is_terminated(&self) -> bool {
        self.side_by_side.is_terminated()
    }
}

/// All records of a stream of shards, by the page: see [`ShardStreamExt::batches`].
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream abandons the handles that are being read.
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AllBatches<S: Stream<Item = ShardHandle>> {
    #[pin]
    readers: Readers<S>,
}

impl<S: Stream<Item = ShardHandle>> AllBatches<S> {
    /// Reads with these options. They hold for the shards that open from now on.
    pub fn with(self, options: ReadOptions) -> Self {
        Self { readers: self.readers.with(options) }
    }

    /// Reads at most so many shards at once: no more requests are under way, and no more answers in memory. The shards take turns, in the order in which they have to be read: none is left
    /// out, and each is read less often if there are more than can be served. A shard that rests at its tip, or after a failure, takes no turn. One that waits for its turn skips nothing: what is to
    /// start at `Latest` is read from when it came.
    ///
    /// It holds for the shards that open from now on: set it before the first poll.
    ///
    /// # Default
    ///
    /// No limit.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_shards(self, shards: usize) -> Self {
        Self { readers: self.readers.max_shards(shards) }
    }

    /// Each shard that is being read, or waits for its turn, and its [lag](super::Batches::lag).
    pub fn lags(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        self.readers.lags()
    }
}

impl<S: Stream<Item = ShardHandle>> Stream for AllBatches<S> {
    type Item = Result<Batch, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().readers.poll_next(cx)
    }
}

impl<S: Stream<Item = ShardHandle>> FusedStream for AllBatches<S> {
    fn is_terminated(&self) -> bool {
        self.readers.is_terminated()
    }
}

impl<S: Stream<Item = ShardHandle>> std::fmt::Debug for AllBatches<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AllBatches").field("options", &self.readers.options).finish_non_exhaustive()
    }
}

/// All records of a stream of shards, one by one: see [`ShardStreamExt::records`].
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream abandons the handles that are being read.
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AllRecords<S: Stream<Item: ReadShard>> {
    #[pin]
    records: OneByOne<Readers<S>, <S::Item as Open>::Page>,
}

impl<S: Stream<Item: ReadShard>> AllRecords<S> {
    /// Reads with these options. They hold for the shards that open from now on.
    pub fn with(self, options: ReadOptions) -> Self {
        self.map(|readers| readers.with(options))
    }

    /// Reads at most so many shards at once, in turn: see [`AllBatches::max_shards`].
    ///
    /// # Default
    ///
    /// No limit.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_shards(self, shards: usize) -> Self {
        self.map(|readers| readers.max_shards(shards))
    }

    /// Each shard that is being read, or waits for its turn, and its [lag](super::Batches::lag).
    pub fn lags(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        self.records.batches.lags()
    }

    #[track_caller]
    fn map(self, set: impl FnOnce(Readers<S>) -> Readers<S>) -> Self {
        Self { records: self.records.map_batches(set) }
    }
}

impl<S: Stream<Item: ReadShard>> Stream for AllRecords<S> {
    type Item = Result<<S::Item as Open>::Record, ReadError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().records.poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl<S: Stream<Item: ReadShard>> FusedStream for AllRecords<S> {
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}

impl<S: Stream<Item: ReadShard>> std::fmt::Debug for AllRecords<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AllRecords").field("options", &self.records.batches.options).finish_non_exhaustive()
    }
}
