//! Records, each to be acknowledged.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use tokio::time::Duration;

use super::reader::{Reader, UnackedPage};
use super::{AutoAck, CheckpointedShard, UnackedRecord};
use crate::records::one_by_one::OneByOne;
use crate::records::side_by_side::SideBySide;
use crate::records::turns::Turns;
use crate::{ReadError, ReadOptions, ReaderEnd};

/// One shard's records, each to be acknowledged: see [`CheckpointedShard::records`].
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream before its end hands the shard back; what was acknowledged stays so.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled, and a reader that is dropped hands its shard back"]
pub struct CheckpointedRecords {
    records: OneByOne<Reader, UnackedPage>,
}

impl CheckpointedRecords {
    pub(super) fn new(shard: CheckpointedShard, client: &Client, options: Arc<ReadOptions>) -> Self {
        Self { records: OneByOne::new(Reader::new(shard, client, options, Turns::default())) }
    }

    /// Reads with these options.
    ///
    /// # Panics
    ///
    /// If the stream was polled already.
    #[track_caller]
    pub fn with(mut self, options: ReadOptions) -> Self {
        self.records.batches.set_options(Arc::new(options));
        self
    }

    /// Acknowledges each record when the next is asked for: see [`AutoAck`].
    pub fn auto_ack(self) -> AutoAck<Self> {
        AutoAck::new(self)
    }

    /// `MillisBehindLatest` of the last answer; see [`Batches::lag`](crate::Batches::lag).
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.records.batches.lag()
    }

    /// Why the reader has ended; `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&ReaderEnd> {
        self.records.batches.ended()
    }
}

impl Stream for CheckpointedRecords {
    type Item = Result<UnackedRecord, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.records).poll_next(cx)
    }
}

impl FusedStream for CheckpointedRecords {
    fn is_terminated(&self) -> bool {
        self.ended().is_some()
    }
}

/// Reads the shards of any stream of [`CheckpointedShard`]s.
pub trait CheckpointedShardStreamExt: Stream<Item = CheckpointedShard> + Sized {
    /// All records of all shards, each to be acknowledged. Apart from that it is [`ShardStreamExt::records`](crate::ShardStreamExt::records).
    ///
    /// A shard ends, and its children open, once all its records were acknowledged and that is durable. So do not hold back acknowledgements for
    /// more records to come, as `chunks` would: the last records of a shard may be the last there are. Let a chunk be closed by time too, or by `ready_chunks`.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use kinesis_shards::{CheckpointedShardStreamExt, Checkpoints, MemoryStore, all_shards};
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kinesis = FakeKinesis::new();
    /// # let stream = kinesis.create_stream("orders", 1);
    /// # for n in 0..10 { stream.put("customer 1", format!("order {n}")); }
    /// # let client = kinesis.client();
    /// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
    /// let records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
    /// # let records = { use futures::StreamExt; records.take(10) };
    ///
    /// // Up to 8 at a time, done in any order.
    /// records
    ///     .try_for_each_concurrent(8, |record| async move {
    ///         println!("{}: {} bytes", record.sequence_number(), record.data().len());
    ///         record.ack();
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # assert_eq!(checkpoints.stop(std::time::Duration::from_secs(1)).await.checkpoints().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    fn records(self, client: &Client) -> AllCheckpointedRecords<Self> {
        let readers =
            Readers { side_by_side: SideBySide::new(self), client: client.clone(), options: Arc::default() };
        AllCheckpointedRecords { records: OneByOne::new(readers) }
    }
}

impl<S: Stream<Item = CheckpointedShard>> CheckpointedShardStreamExt for S {}

/// All records of a stream of shards, each to be acknowledged: see [`CheckpointedShardStreamExt::records`].
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream hands the shards back that are being read; what was acknowledged stays so.
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AllCheckpointedRecords<S: Stream> {
    #[pin]
    records: OneByOne<Readers<S>, UnackedPage>,
}

#[pin_project]
struct Readers<S: Stream> {
    #[pin]
    side_by_side: SideBySide<S, Reader>,
    client: Client,
    options: Arc<ReadOptions>,
}

impl<S: Stream<Item = CheckpointedShard>> AllCheckpointedRecords<S> {
    /// Reads with these options. They hold for the shards that open from now on.
    pub fn with(self, options: ReadOptions) -> Self {
        self.map(|readers| Readers { options: Arc::new(options), ..readers })
    }

    /// Asks for the records of at most so many shards at once, in turn: see [`AllBatches::max_shards`](crate::AllBatches::max_shards). A shard that waits for acknowledgements, or for the store, takes no turn.
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
        self.map(|readers| Readers { side_by_side: readers.side_by_side.max_shards(shards), ..readers })
    }

    /// Acknowledges each record when the next is asked for: see [`AutoAck`].
    pub fn auto_ack(self) -> AutoAck<Self> {
        AutoAck::new(self)
    }

    /// Each shard that is being read, or waits for its turn, and its [lag](crate::Batches::lag).
    pub fn lags(&self) -> impl Iterator<Item = (&str, Option<Duration>)> {
        let readers = self.records.batches.side_by_side.readers();
        readers.filter_map(|reader| Some((reader.shard_id()?, reader.lag())))
    }

    #[track_caller]
    fn map(self, set: impl FnOnce(Readers<S>) -> Readers<S>) -> Self {
        Self { records: self.records.map_batches(set) }
    }
}

impl<S: Stream<Item = CheckpointedShard>> Stream for Readers<S> {
    type Item = Result<UnackedPage, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let (client, options) = (this.client, this.options);
        this.side_by_side.poll_next(cx, |shard, turns| Reader::new(shard, client, Arc::clone(options), turns))
    }
}

impl<S: Stream<Item = CheckpointedShard>> Stream for AllCheckpointedRecords<S> {
    type Item = Result<UnackedRecord, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().records.poll_next(cx)
    }
}

impl<S: Stream<Item = CheckpointedShard>> FusedStream for AllCheckpointedRecords<S> {
    fn is_terminated(&self) -> bool {
        self.records.batches.side_by_side.is_terminated()
    }
}

impl<S: Stream> std::fmt::Debug for AllCheckpointedRecords<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AllCheckpointedRecords").finish_non_exhaustive()
    }
}
