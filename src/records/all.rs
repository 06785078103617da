//! The streams of the records and pages of all shards.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use tokio::time::Duration;

use crate::records::by_key::{ForEachByKey, TryForEachByKey};
use crate::records::chunks::Chunks;
use crate::records::merge::MergeRecords;
use crate::records::options::ReadOptions;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::{Open, PageRecords, Read};
use crate::records::readers::Readers;
use crate::records::record::Record;

/// An extension trait that reads the shards of any stream of shards, such as
/// [`AllShards`](crate::AllShards).
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
///     println!("{} {:?}", record.shard_id(), record.partition_key());
/// }
/// # Ok(())
/// # }
/// ```
pub trait ShardStreamExt: Stream<Item: ReadShard> + Sized {
    /// Returns a stream of the records of all shards.
    ///
    /// The shards are read concurrently, each from its [`start`](crate::ShardHandle::start). The
    /// records of one partition key arrive in the order in which they were written, also across
    /// splits and merges: a child opens when the last record of its parents was taken. Records of
    /// different shards have no order; see [`max_run`](AllRecords::max_run) for how they alternate.
    ///
    /// The stream ends when the stream of shards has ended and every open shard is read to its end.
    ///
    /// The stream works only while it is polled: a slow consumer delays all shards, and loses
    /// nothing. [`ReadOptions::spawn_on`] reads ahead in the meantime.
    ///
    /// # Errors
    ///
    /// A shard that cannot be read yields one `Err`, and is abandoned. The other shards continue.
    /// See [`ShardHandle::records`](crate::ShardHandle::records).
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    fn records(self, client: &Client) -> AllRecords<Self> {
        AllRecords { records: MergeRecords::new(Readers::new(self, client)) }
    }

    /// Returns a stream of the pages of all shards, without empty ones.
    ///
    /// # Errors
    ///
    /// The same as those of [`records`](Self::records).
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    fn batches(self, client: &Client) -> AllBatches<Self> {
        AllBatches { readers: Readers::new(self, client) }
    }
}

impl<S: Stream<Item: ReadShard>> ShardStreamExt for S {}

fn lags<'a, R: Read + 'a>(
    readers: impl Iterator<Item = &'a R>,
) -> impl Iterator<Item = (&'a str, Option<Duration>)> {
    readers.filter_map(|reader| Some((reader.shard_id()?, reader.lag())))
}

/// A stream of the pages of all shards: see [`ShardStreamExt::batches`], and the example of
/// [`records`](crate::records).
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream abandons the shards that are being read.
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AllBatches<S: Stream<Item: ReadShard>> {
    #[pin]
    readers: Readers<S>,
}

impl<S: Stream<Item: ReadShard>> AllBatches<S> {
    /// Sets the options of the shards that open from now on.
    pub fn with_options(self, options: ReadOptions) -> Self {
        Self { readers: self.readers.with_options(options) }
    }

    /// Limits the number of shards with a request in flight to `reads`.
    ///
    /// All shards stay open. A shard whose next read is due waits for a permit, in the order in
    /// which the reads fell due, and each waiting shard is read before another is read twice. A
    /// shard needs no permit while it pauses at its tip or after a failure, or while its page is
    /// not taken. A shard that starts at `Latest` and waits for a permit skips nothing: it is read
    /// from the time at which it was offered.
    ///
    /// The limit does not bound memory: each shard may hold one page, or two with
    /// [`spawn_on`](ReadOptions::spawn_on). See [`max_records`](ReadOptions::max_records) for the
    /// size of a page.
    ///
    /// The limit applies to the shards that open from now on: set it before the first poll.
    ///
    /// # Default
    ///
    /// No limit.
    ///
    /// # Panics
    ///
    /// If `reads` is zero.
    #[track_caller]
    pub fn max_concurrent_reads(self, reads: usize) -> Self {
        Self { readers: self.readers.max_concurrent_reads(reads) }
    }

    /// Returns the id and the [lag](super::Batches::lag) of each open shard.
    pub fn lags(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        lags(self.readers.readers())
    }
}

impl<S: Stream<Item: ReadShard>> Stream for AllBatches<S> {
    type Item = Result<<S::Item as Open>::Batch, <S::Item as Open>::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut readers = self.project().readers;
        loop {
            let Some((page, reader)) = ready!(readers.as_mut().poll_next(cx)) else {
                return Poll::Ready(None);
            };
            readers.as_mut().resume(reader);
            match page.map(<S::Item as Open>::batch) {
                Ok(Some(batch)) => return Poll::Ready(Some(Ok(batch))),
                // The page is empty: its records were filtered out.
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl<S: Stream<Item: ReadShard>> FusedStream for AllBatches<S> {
    fn is_terminated(&self) -> bool {
        self.readers.is_terminated()
    }
}

impl<S: Stream<Item: ReadShard>> std::fmt::Debug for AllBatches<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AllBatches")
            .field("options", self.readers.options())
            .finish_non_exhaustive()
    }
}

/// A stream of the records of all shards: see [`ShardStreamExt::records`], and the example of
/// [`ShardStreamExt`].
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream abandons the shards that are being read.
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AllRecords<S: Stream<Item: ReadShard>> {
    #[pin]
    records: MergeRecords<S>,
}

impl<S: Stream<Item: ReadShard>> AllRecords<S> {
    /// Sets the options of the shards that open from now on.
    pub fn with_options(self, options: ReadOptions) -> Self {
        self.map(|readers| readers.with_options(options))
    }

    /// Limits the number of shards with a request in flight to `reads`: see
    /// [`AllBatches::max_concurrent_reads`].
    ///
    /// # Default
    ///
    /// No limit.
    ///
    /// # Panics
    ///
    /// If `reads` is zero.
    #[track_caller]
    pub fn max_concurrent_reads(self, reads: usize) -> Self {
        self.map(|readers| readers.max_concurrent_reads(reads))
    }

    /// Sets the maximum number of records of one shard in a row while another shard has records
    /// too. A run lasts at least 10 ms, however many records the consumer takes in that time.
    ///
    /// Runs keep a shard with a large page, or one that is far behind, from delaying the others.
    /// Each user record of an aggregated record counts.
    ///
    /// While shards alternate, one page of each is in memory: see
    /// [`max_records`](ReadOptions::max_records) for its size. With 10,000, pages are delivered
    /// whole.
    ///
    /// # Default
    ///
    /// 100.
    ///
    /// # Panics
    ///
    /// If `records` is zero.
    #[track_caller]
    pub fn max_run(self, records: usize) -> Self {
        Self { records: self.records.max_run(records) }
    }

    /// Returns the id and the [lag](super::Batches::lag) of each open shard.
    pub fn lags(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        lags(self.records.readers())
    }

    /// Processes up to `limit` records concurrently, and those of one partition key one after
    /// another.
    ///
    /// Returns a future that is ready when the stream has ended and all its records are processed.
    /// `f` makes a future of each record. While the future of a record is in flight, the next
    /// records of its key wait, and those of other keys do not, whatever their shard. So the
    /// records of a key are processed in the order in which they were written, also across splits
    /// and merges. A record without a partition key waits for none.
    ///
    /// With [checkpoints](crate::checkpoint), each record is acknowledged when its future is ready.
    /// To leave a record that failed unacknowledged, use
    /// [`try_for_each_by_key`](Self::try_for_each_by_key).
    ///
    /// ```
    /// use kinesis_shards::{Checkpoints, MemoryStore, Record, ShardStreamExt, all_shards};
    /// # use std::time::Duration;
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// async fn process(record: Record) {
    ///     println!("{:?} {} bytes", record.partition_key(), record.data().len());
    /// #   tokio::time::sleep(Duration::from_secs(1)).await;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kinesis = FakeKinesis::new();
    /// # let orders = kinesis.create_stream("orders", 1);
    /// # for n in 0..20 { orders.put(&format!("customer {n}"), "an order"); }
    /// # let client = kinesis.client();
    /// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
    /// # let stop = checkpoints.clone();
    /// # let stopped = tokio::spawn(async move {
    /// #     tokio::time::sleep(Duration::from_secs(4)).await;
    /// #     stop.shutdown(Duration::from_secs(1)).await
    /// # });
    /// all_shards(&client, "orders")
    ///     .checkpoints(&checkpoints)
    ///     .records(&client)
    ///     .for_each_by_key(16, |record| async {
    ///         match record {
    ///             Ok(record) => process(record).await, // and is acknowledged
    ///             Err(error) => eprintln!("{error}"),  // the stream tries again
    ///         }
    ///     })
    ///     .await; // until a shutdown
    /// # let report = stopped.await?;
    /// # assert!(report.is_complete() && report.checkpoints().len() == 1, "{report}");
    /// # assert!(checkpoints.get("shardId-000000000000").unwrap().to_string().starts_with("4"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Memory
    ///
    /// Besides the pages of the readers, `limit` records are in flight, and up to ten times as many
    /// wait for their key ([`max_waiting`](super::ForEachByKey::max_waiting)). If more records of
    /// hot keys arrive, no further record is taken, and reading waits. A shutdown waits for the
    /// records in flight and for those that wait.
    ///
    /// # Errors
    ///
    /// `f` receives each error of the stream as an item. Errors have no key and no order.
    ///
    /// # Panics
    ///
    /// If `limit` is zero. Polling it panics if `f` or a future panics: the record is not
    /// acknowledged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops all futures in flight. Their records and those that wait are not
    /// acknowledged, and come again.
    #[track_caller]
    pub fn for_each_by_key<F, Fut>(self, limit: usize, f: F) -> ForEachByKey<Self, F, Fut>
    where
        F: FnMut(Result<Record, <S::Item as Open>::Error>) -> Fut,
        Fut: Future<Output = ()>,
    {
        ForEachByKey::new(self, limit, f)
    }

    /// Processes records as [`for_each_by_key`](Self::for_each_by_key) does, until the first error.
    ///
    /// The record whose future fails is not acknowledged. The other futures in flight are dropped,
    /// as those of `try_for_each_concurrent` of the crate `futures` are, with the stream of
    /// records. Their records come again in the next run, or from a stream that is made with the
    /// same [`Checkpoints`](crate::Checkpoints). To retry or skip a record that failed, handle its
    /// error in `f`: see
    /// [When a record fails](crate::checkpoint#when-a-record-fails).
    ///
    /// ```
    /// use kinesis_shards::{Checkpoints, MemoryStore, Record, ShardStreamExt, all_shards};
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// type Error = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// async fn process(record: Record) -> Result<(), Error> {
    ///     let order: u32 = std::str::from_utf8(record.data())?.parse()?;
    ///     println!("order {order}");
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Error> {
    /// # let kinesis = FakeKinesis::new();
    /// # let orders = kinesis.create_stream("orders", 1);
    /// # orders.put("customer 1", "17");
    /// # orders.put("customer 1", "not a number");
    /// # let client = kinesis.client();
    /// # let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
    /// let processed = all_shards(&client, "orders")
    ///     .checkpoints(&checkpoints)
    ///     .records(&client)
    ///     .try_for_each_by_key(16, process)
    ///     .await;
    /// # let error = processed.unwrap_err();
    /// # assert!(error.is::<std::num::ParseIntError>());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The first error of a future or of the stream, also one that the stream would retry, such as
    /// a failed listing of [`try_all_shards`](crate::try_all_shards).
    /// [`all_shards`](crate::all_shards) logs these, and yields only errors of readers, which no
    /// retry resolves.
    ///
    /// # Panics
    ///
    /// As [`for_each_by_key`](Self::for_each_by_key) does.
    #[track_caller]
    pub fn try_for_each_by_key<F, Fut, E>(self, limit: usize, f: F) -> TryForEachByKey<Self, F, Fut>
    where
        F: FnMut(Record) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: From<<S::Item as Open>::Error>,
    {
        TryForEachByKey::new(self, limit, f)
    }

    /// Collects the records of all shards into chunks of up to `max` records.
    ///
    /// A chunk is yielded once it is full, or `wait` after its first record, or as soon as a shard
    /// waits for it: a shard that has ended, whose children open when its last records are
    /// acknowledged, or one whose lease is given away. With a `wait` of zero, a chunk holds the
    /// records that are ready. `chunks` of the crate `futures` has neither of the two, and
    /// `chunks_timeout` of `tokio-stream` delays the children by its timeout.
    ///
    /// With [checkpoints](crate::checkpoint), a chunk is an
    /// [`UnackedChunk`](crate::checkpoint::UnackedChunk), with one acknowledgement. Otherwise it is
    /// a `Vec<Record>`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
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
    /// # let orders = kinesis.create_stream("orders", 4);
    /// # for n in 0..10 { orders.put(&format!("customer {n}"), format!("order {n}")); }
    /// # let client = kinesis.client();
    /// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
    /// let mut chunks = all_shards(&client, "orders")
    ///     .checkpoints(&checkpoints)
    ///     .records(&client)
    ///     .chunks(500, Duration::from_secs(1));
    /// while let Some(chunk) = chunks.try_next().await? {
    ///     database.insert(chunk.records()).await?; // of any shards
    ///     chunk.ack();
    /// #   break;
    /// }
    /// # let report = checkpoints.shutdown(Duration::from_secs(1)).await;
    /// # assert!(report.is_complete());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Acknowledge a chunk before the next one is polled for, or concurrently with it. A consumer
    /// that keeps chunks until more arrive delays the children of a shard that has ended.
    ///
    /// # Errors
    ///
    /// The errors of the stream are items of their own, each after the chunk of the records before
    /// it.
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    #[track_caller]
    pub fn chunks(self, max: usize, wait: Duration) -> Chunks<Self> {
        Chunks::new(self, max, wait)
    }

    /// Polls for the next record, which `next` takes from its page.
    #[inline]
    pub(crate) fn poll_next_by<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        next: impl Fn(&mut PageRecords<S::Item>) -> Option<T>,
    ) -> Poll<Option<Result<T, <S::Item as Open>::Error>>> {
        self.project().records.poll_next_by(cx, next)
    }

    #[track_caller]
    fn map(self, set: impl FnOnce(Readers<S>) -> Readers<S>) -> Self {
        Self { records: self.records.map_readers(set) }
    }
}

impl<S: Stream<Item: ReadShard>> Stream for AllRecords<S> {
    type Item = Result<<S::Item as Open>::Record, <S::Item as Open>::Error>;

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
        f.debug_struct("AllRecords")
            .field("options", self.records.inner().options())
            .finish_non_exhaustive()
    }
}
