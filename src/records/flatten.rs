//! Over a stream of batches, one of single records.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;

use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::Read;
use crate::shard::handle::ShardHandle;

/// A shard's records, one by one, in order: see
/// [`ShardHandle::records`](crate::ShardHandle::records), and
/// [`CheckpointedShard::records`](crate::checkpoint::CheckpointedShard::records), whose records are
/// to be acknowledged.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream before its end abandons the handle; what
/// was acknowledged stays so.
#[must_use = "streams do nothing unless polled, and a reader that is dropped hands its shard back"]
pub struct Records<H: ReadShard = ShardHandle> {
    records: FlattenPages<H::Reader, H::Page>,
}

impl<H: ReadShard> Records<H> {
    pub(crate) fn new(shard: H, client: &Client) -> Self {
        Self {
            records: FlattenPages::new(shard.open(
                client,
                Arc::default(),
                RequestPermits::default(),
            )),
        }
    }

    /// Reads with these options.
    ///
    /// # Panics
    ///
    /// If the stream was polled already.
    #[track_caller]
    pub fn with_options(mut self, options: ReadOptions) -> Self {
        self.records.batches.set_options(Arc::new(options));
        self
    }

    /// `MillisBehindLatest` of the last answer: how far the end of the page that the last record
    /// came with was behind the tip of the shard then. It does not grow while reads fail, or while
    /// nobody polls. `None` before the first answer, and if the server does not tell.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.records.batches.lag()
    }

    /// The id of the shard; `None` once the reader has ended.
    #[must_use]
    pub fn shard_id(&self) -> Option<&str> {
        self.records.batches.shard_id()
    }

    /// Why the reader has ended; `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&EndReason> {
        self.records.batches.ended()
    }
}

impl<H: ReadShard> Unpin for Records<H> {}

impl<H: ReadShard> Stream for Records<H> {
    type Item = Result<H::Record, H::Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.records).poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl<H: ReadShard> FusedStream for Records<H> {
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}

impl<H: ReadShard> std::fmt::Debug for Records<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("records", &self.records).finish()
    }
}

/// The records of the pages of `S`.
#[pin_project::pin_project]
pub(crate) struct FlattenPages<S, P: IntoIterator> {
    #[pin]
    pub(crate) batches: S,
    in_hand: Option<P::IntoIter>,
}

impl<S, P: IntoIterator> FlattenPages<S, P> {
    pub(crate) fn new(batches: S) -> Self {
        Self { batches, in_hand: None }
    }

    /// Takes the next page in hand; an error is the end, or the reason that there is none.
    fn poll_page<E>(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Option<E>>>
    where
        S: Stream<Item = Result<P, E>>,
    {
        let this = self.project();
        // The page is let go of before the next is awaited.
        *this.in_hand = None;
        *this.in_hand = match ready!(this.batches.poll_next(cx)) {
            Some(Ok(page)) => Some(page.into_iter()),
            Some(Err(error)) => return Poll::Ready(Err(Some(error))),
            None => return Poll::Ready(Err(None)),
        };
        Poll::Ready(Ok(()))
    }
}

impl<S, P: IntoIterator, E> Stream for FlattenPages<S, P>
where
    S: Stream<Item = Result<P, E>>,
{
    type Item = Result<P::Item, E>;

    // A record that is in hand comes at the price of a vector's next.
    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(in_hand) = self.as_mut().project().in_hand
                && let Some(record) = in_hand.next()
            {
                return Poll::Ready(Some(Ok(record)));
            }
            if let Err(end) = ready!(self.as_mut().poll_page(cx)) {
                return Poll::Ready(end.map(Err));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.in_hand.as_ref().map_or(0, |in_hand| in_hand.size_hint().0), None)
    }
}

impl<S, P: IntoIterator, E> FusedStream for FlattenPages<S, P>
where
    S: FusedStream<Item = Result<P, E>>,
{
    fn is_terminated(&self) -> bool {
        self.in_hand.is_none() && self.batches.is_terminated()
    }
}

impl<S: std::fmt::Debug, P: IntoIterator> std::fmt::Debug for FlattenPages<S, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlattenPages").field("batches", &self.batches).finish_non_exhaustive()
    }
}
