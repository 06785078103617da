//! The readers of many shards, polled concurrently.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{Fuse, FusedStream, FuturesUnordered, StreamFuture};
use futures::{Stream, StreamExt};
use pin_project::pin_project;

use crate::records::permits::RequestPermits;

/// The maximum number of shards that one poll takes before it polls the readers: a stream of shards
/// that is always ready must not block the task.
const MAX_SHARDS_A_POLL: usize = 256;

/// A set of readers `R`, one for each shard of `S`.
#[pin_project]
pub(crate) struct ReaderSet<S: Stream, R> {
    #[pin]
    shards: Fuse<S>,
    readers: FuturesUnordered<StreamFuture<R>>,
    permits: RequestPermits,
}

impl<S: Stream, R: Stream + Unpin> ReaderSet<S, R> {
    pub(crate) fn new(shards: S) -> Self {
        Self {
            shards: shards.fuse(),
            readers: FuturesUnordered::new(),
            permits: RequestPermits::for_many_readers(),
        }
    }

    #[track_caller]
    pub(crate) fn max_concurrent_reads(self, reads: usize) -> Self {
        let reads =
            NonZeroUsize::new(reads).expect("max_concurrent_reads is 0: nothing would be read");
        Self { permits: self.permits.with_max_requests(reads.get()), ..self }
    }

    /// Returns the readers that are not [set aside](Self::poll_next).
    pub(crate) fn readers(&self) -> impl Iterator<Item = &R> {
        self.readers.iter().filter_map(StreamFuture::get_ref)
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.shards.is_terminated() && self.readers.is_empty()
    }

    /// Yields the next item, and sets its reader aside: it is not polled again before it is
    /// [resumed](Self::resume).
    ///
    /// A reader is created as soon as its shard arrives, even if it must wait for a permit, so that
    /// one that starts at `LATEST` skips nothing.
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut open: impl FnMut(S::Item, RequestPermits) -> R,
    ) -> Poll<Option<(R::Item, R)>> {
        let mut this = self.project();
        let mut opened = 0;
        while opened < MAX_SHARDS_A_POLL
            && let Poll::Ready(Some(shard)) = this.shards.as_mut().poll_next(cx)
        {
            this.readers.push(open(shard, this.permits.clone()).into_future());
            opened += 1;
        }
        loop {
            match this.readers.poll_next_unpin(cx) {
                Poll::Ready(Some((Some(item), reader))) => {
                    return Poll::Ready(Some((item, reader)));
                }
                Poll::Ready(Some((None, _ended))) => {}
                // An empty set of readers is ready with `None`, but more shards may arrive.
                Poll::Ready(None) if this.shards.is_terminated() => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if opened == MAX_SHARDS_A_POLL {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Returns a reader to the set. The next poll polls it again.
    pub(crate) fn resume(self: Pin<&mut Self>, reader: R) {
        self.project().readers.push(reader.into_future());
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future, stream};

    use super::*;

    #[test]
    fn a_stream_of_shards_that_is_always_ready_does_not_block_the_task() {
        let mut reader_set = std::pin::pin!(ReaderSet::new(stream::repeat(())));
        let mut opened = 0;
        for polls in 1..4 {
            let next = future::poll_fn(|cx| {
                reader_set.as_mut().poll_next(cx, |(), _| {
                    opened += 1;
                    stream::pending::<()>()
                })
            });
            assert!(next.now_or_never().is_none());
            assert_eq!(opened, polls * MAX_SHARDS_A_POLL);
        }
    }

    #[tokio::test]
    async fn more_shards_than_one_poll_takes_need_no_further_wake() {
        let mut reader_set = std::pin::pin!(ReaderSet::new(stream::iter(0..1_000)));
        let mut seen = 0;
        while let Some(((), reader)) = future::poll_fn(|cx| {
            reader_set.as_mut().poll_next(cx, |_, _| stream::once(future::ready(())))
        })
        .await
        {
            reader_set.as_mut().resume(reader);
            seen += 1;
        }
        assert_eq!(seen, 1_000);
        assert!(reader_set.is_terminated());
    }
}
