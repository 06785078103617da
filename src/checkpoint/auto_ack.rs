//! Acknowledges each record when the next one is polled for.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use crate::checkpoint::acker::UnackedRecord;
use crate::checkpoint::shard::CheckpointedShard;
use crate::records::all::AllRecords;
use crate::records::error::ReadError;
use crate::records::flatten::Records;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::Open;
use crate::records::record::Record;

/// A stream that acknowledges each record when the next one is polled for. It suits a loop that
/// processes one record after the other.
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, all_shards};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kinesis = FakeKinesis::new();
/// # kinesis.create_stream("orders", 1).put("customer 1", "an order");
/// # let client = kinesis.client();
/// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
/// let mut records = all_shards(&client, "orders")
///     .checkpoints(&checkpoints)
///     .records(&client)
///     .auto_ack();
/// # let stop = checkpoints.clone();
/// # tokio::spawn(async move {
/// #     tokio::time::sleep(std::time::Duration::from_secs(10)).await;
/// #     assert_eq!(stop.shutdown(std::time::Duration::from_secs(1)).await.unacknowledged(), 0);
/// # });
/// while let Some(record) = records.try_next().await? {
///     println!("{}: {} bytes", record.sequence_number(), record.data().len());
/// } // The next poll acknowledges the record.
/// # Ok(())
/// # }
/// ```
///
/// A record is acknowledged as soon as the stream is *polled* again. Do not wrap it in a combinator
/// that polls for more records before the last is processed, such as `buffer_unordered`, `chunks`,
/// `peekable` or a channel. There, acknowledge each record with
/// [`UnackedRecord::ack`](super::UnackedRecord::ack), or call
/// [`for_each_by_key`](crate::records::AllRecords::for_each_by_key) or
/// [`chunks`](crate::records::AllRecords::chunks) in place of `auto_ack`.
///
/// # Cancel safety
///
/// Dropping `next()` loses no record; once polled, it has acknowledged the previous one. The record
/// that was taken last before the stream is dropped is not acknowledged, and comes again.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AutoAck<S> {
    #[pin]
    records: S,
}

impl<S> AutoAck<S> {
    pub(crate) fn new(records: S) -> Self {
        Self { records }
    }

    /// Returns the stream of records inside, such as for its lag.
    pub fn get_ref(&self) -> &S {
        &self.records
    }
}

impl<S> Stream for AutoAck<AllRecords<S>>
where
    S: Stream<Item: ReadShard<Record = UnackedRecord>>,
{
    type Item = Result<Record, <S::Item as Open>::Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().records.poll_next_by(cx, S::Item::next_in_order)
    }
}

impl Stream for AutoAck<Records<CheckpointedShard>> {
    type Item = Result<Record, ReadError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().records.poll_next_by(cx, CheckpointedShard::next_in_order)
    }
}

impl<S: FusedStream> FusedStream for AutoAck<S>
where
    Self: Stream,
{
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}
