//! Taking the next acknowledges the last.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use crate::checkpoint::acker::{AckToken, UnackedRecord, sub_sequence_number};
use crate::records::record::Record;

/// Acknowledges each record when the next is asked for: for the simple loop, that processes one
/// record after the other.
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
/// let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client).auto_ack();
/// # let stop = checkpoints.clone();
/// # tokio::spawn(async move {
/// #     tokio::time::sleep(std::time::Duration::from_secs(10)).await;
/// #     assert_eq!(stop.shutdown(std::time::Duration::from_secs(1)).await.unacknowledged(), 0);
/// # });
/// while let Some(record) = records.try_next().await? {
///     println!("{}: {} bytes", record.sequence_number(), record.data().len());
/// } // Here it is acknowledged.
/// # Ok(())
/// # }
/// ```
///
/// A record is acknowledged as soon as the stream is *polled* again. Do not put a combinator over
/// it that asks for more before it is done with what it has: `buffer_unordered`, `chunks`,
/// `peekable`, a channel. For these, acknowledge each record by itself.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing, but as it was polled, the record before is acknowledged. The
/// record that was taken last before the stream is dropped is not, and comes again.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct AutoAck<S> {
    #[pin]
    records: S,
    last: Last,
}

/// The record that was taken last. The text is kept between records, so that nothing is allocated
/// for each.
#[derive(Default)]
struct Last {
    token: Option<AckToken>,
    sequence_number: String,
    sub_sequence_number: Option<u64>,
}

impl<S> AutoAck<S> {
    pub(crate) fn new(records: S) -> Self {
        Self { records, last: Last::default() }
    }

    /// The stream of records inside: for its lag.
    pub fn get_ref(&self) -> &S {
        &self.records
    }
}

impl Last {
    fn take(&mut self, record: UnackedRecord) -> Record {
        let (record, token) = record.into_token();
        self.sequence_number.clear();
        self.sequence_number.push_str(record.sequence_number());
        self.sub_sequence_number = sub_sequence_number(&record);
        self.token = Some(token);
        record
    }

    fn ack(&mut self) {
        if let Some(token) = self.token.take() {
            token.acknowledge(&self.sequence_number, self.sub_sequence_number);
        }
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            token.give_up();
        }
    }
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.token.as_ref().map(|_| &self.sequence_number).fmt(f)
    }
}

impl<S, E> Stream for AutoAck<S>
where
    S: Stream<Item = Result<UnackedRecord, E>>,
{
    type Item = Result<Record, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        this.last.ack();
        let record = ready!(this.records.poll_next(cx));
        Poll::Ready(record.map(|record| record.map(|record| this.last.take(record))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
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
