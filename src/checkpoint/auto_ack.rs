//! Acknowledges each record when the next one is polled for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use crate::checkpoint::acker::{AckToken, UnackedRecord};
use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
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
    /// Dropped after the readers, which then have ended: an unacknowledged record is expected.
    last: LastRecord,
}

/// The record that was taken last, if its page does not acknowledge it: if the page arrived before
/// `auto_ack` was called. The buffer of the position is reused, so that a record costs no
/// allocation.
#[derive(Default)]
struct LastRecord {
    token: Option<AckToken>,
    position: ExtendedSequenceNumber<'static>,
}

impl<S> AutoAck<S> {
    pub(crate) fn new(records: S) -> Self {
        Self { records, last: LastRecord::default() }
    }

    /// Returns the stream of records inside, such as for its lag.
    pub fn get_ref(&self) -> &S {
        &self.records
    }
}

impl LastRecord {
    fn set(&mut self, record: &Record, token: AckToken) {
        self.position.assign(&ExtendedSequenceNumber::of(record));
        self.token = Some(token);
    }

    #[inline]
    fn ack(&mut self) {
        if let Some(token) = self.token.take() {
            token.acknowledge(self.position.borrowed());
        }
    }
}

impl std::fmt::Debug for LastRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.token.as_ref().map(|_| self.position.sequence_number()).fmt(f)
    }
}

impl<S, E> Stream for AutoAck<S>
where
    S: Stream<Item = Result<UnackedRecord, E>>,
{
    type Item = Result<Record, E>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        this.last.ack();
        match ready!(this.records.poll_next(cx)) {
            Some(Ok(UnackedRecord { record, token })) => {
                if !token.is_of_run() {
                    this.last.set(&record, token);
                }
                Poll::Ready(Some(Ok(record)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(None),
        }
    }
}

impl<S, E> FusedStream for AutoAck<S>
where
    S: FusedStream<Item = Result<UnackedRecord, E>>,
{
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}
