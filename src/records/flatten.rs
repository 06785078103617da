//! The stream of one shard's records, made of a stream of pages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;

use crate::records::by_key::{ForEachByKey, TryForEachByKey};
use crate::records::chunks::Chunks;
use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::{PageRecords, Read};
use crate::records::record::Record;
use crate::shard::handle::ShardHandle;

/// A stream of the records of one shard, in order: see
/// [`ShardHandle::records`](crate::ShardHandle::records), and
/// [`CheckpointedShard::records`](crate::checkpoint::CheckpointedShard::records), whose records
/// must be acknowledged.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream before its end abandons the handle; what
/// was acknowledged stays acknowledged.
///
/// See the example of [`ShardHandle::records`](crate::ShardHandle::records).
#[must_use = "streams do nothing unless polled, and a reader that is dropped abandons its shard"]
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

    /// Sets the options to read with.
    ///
    /// # Panics
    ///
    /// If the stream was polled already.
    #[track_caller]
    pub fn with_options(mut self, options: ReadOptions) -> Self {
        self.records.pages.set_options(Arc::new(options));
        self
    }

    /// Polls for the next record, which `next` takes from its page.
    #[inline]
    pub(crate) fn poll_next_by<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        next: impl Fn(&mut PageRecords<H>) -> Option<T>,
    ) -> Poll<Option<Result<T, H::Error>>> {
        Pin::new(&mut self.records).poll_next_by(cx, next)
    }

    /// Returns `MillisBehindLatest` of the last response: how far the end of the current page was
    /// behind the tip of the shard then. It does not grow while reads fail, or while the stream is
    /// not polled. It is `None` before the first response, and if the server does not report it.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.records.pages.lag()
    }

    /// Processes up to `limit` records concurrently, and those of one partition key one after
    /// another: see [`AllRecords::for_each_by_key`](super::AllRecords::for_each_by_key).
    ///
    /// # Panics
    ///
    /// If `limit` is zero. Polling it panics if `f` or a future panics.
    #[track_caller]
    pub fn for_each_by_key<F, Fut>(self, limit: usize, f: F) -> ForEachByKey<Self, F, Fut>
    where
        F: FnMut(Result<Record, H::Error>) -> Fut,
        Fut: Future<Output = ()>,
    {
        ForEachByKey::new(self, limit, f)
    }

    /// Processes records as [`for_each_by_key`](Self::for_each_by_key) does, until the first error:
    /// see [`AllRecords::try_for_each_by_key`](super::AllRecords::try_for_each_by_key).
    ///
    /// # Errors
    ///
    /// The first error of a future or of the stream.
    ///
    /// # Panics
    ///
    /// As [`for_each_by_key`](Self::for_each_by_key) does.
    #[track_caller]
    pub fn try_for_each_by_key<F, Fut, E>(self, limit: usize, f: F) -> TryForEachByKey<Self, F, Fut>
    where
        F: FnMut(Record) -> Fut,
        Fut: Future<Output = Result<(), E>>,
        E: From<H::Error>,
    {
        TryForEachByKey::new(self, limit, f)
    }

    /// Collects the records into chunks of up to `max` records, each yielded at most `wait` after
    /// its first record: see [`AllRecords::chunks`](super::AllRecords::chunks).
    ///
    /// # Panics
    ///
    /// If `max` is zero.
    #[track_caller]
    pub fn chunks(self, max: usize, wait: Duration) -> Chunks<Self> {
        Chunks::new(self, max, wait)
    }

    /// Returns the id of the shard, and `None` once the reader has ended.
    #[must_use]
    pub fn shard_id(&self) -> Option<&str> {
        self.records.pages.shard_id()
    }

    /// Returns why the reader has ended, and `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&EndReason> {
        self.records.pages.ended()
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

/// A stream of the records of the pages of `S`.
#[pin_project::pin_project]
pub(crate) struct FlattenPages<S, P: IntoIterator> {
    #[pin]
    pub(crate) pages: S,
    current: Option<P::IntoIter>,
}

impl<S, P: IntoIterator> FlattenPages<S, P> {
    pub(crate) fn new(pages: S) -> Self {
        Self { pages, current: None }
    }

    /// Polls for the next record, which `next` takes from the current page.
    // A record of the current page costs as much as the `next` of a vector.
    #[inline]
    fn poll_next_by<T, E>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        next: impl Fn(&mut P::IntoIter) -> Option<T>,
    ) -> Poll<Option<Result<T, E>>>
    where
        S: Stream<Item = Result<P, E>>,
    {
        loop {
            if let Some(current) = self.as_mut().project().current
                && let Some(record) = next(current)
            {
                return Poll::Ready(Some(Ok(record)));
            }
            if let Err(end) = ready!(self.as_mut().poll_page(cx)) {
                return Poll::Ready(end.map(Err));
            }
        }
    }

    /// Polls for the next page. `Err(None)` is the end of the stream.
    fn poll_page<E>(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Option<E>>>
    where
        S: Stream<Item = Result<P, E>>,
    {
        let this = self.project();
        // The page is dropped before the next one is polled for.
        *this.current = None;
        *this.current = match ready!(this.pages.poll_next(cx)) {
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

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_by(cx, Iterator::next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.current.as_ref().map_or(0, |current| current.size_hint().0), None)
    }
}

impl<S, P: IntoIterator, E> FusedStream for FlattenPages<S, P>
where
    S: FusedStream<Item = Result<P, E>>,
{
    fn is_terminated(&self) -> bool {
        self.current.is_none() && self.pages.is_terminated()
    }
}

impl<S: std::fmt::Debug, P: IntoIterator> std::fmt::Debug for FlattenPages<S, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlattenPages").field("pages", &self.pages).finish_non_exhaustive()
    }
}
