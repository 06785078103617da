//! The readers of many shards, side by side.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{Fuse, FusedStream, SelectAll};
use futures::{Stream, StreamExt};
use pin_project::pin_project;

/// For each shard of `S` a reader, `R`.
#[pin_project]
pub(crate) struct SideBySide<S: Stream, R> {
    #[pin]
    shards: Fuse<S>,
    readers: SelectAll<R>,
    /// Above the limit, in their order. They are made when their shards come, so that none begins later than it should.
    waiting: VecDeque<R>,
    max_shards: usize,
}

impl<S: Stream, R: Stream + Unpin> SideBySide<S, R> {
    pub(crate) fn new(shards: S) -> Self {
        Self {
            shards: shards.fuse(),
            readers: SelectAll::new(),
            waiting: VecDeque::new(),
            max_shards: usize::MAX,
        }
    }

    #[track_caller]
    pub(crate) fn max_shards(self, shards: usize) -> Self {
        let shards = NonZeroUsize::new(shards).expect("max_shards is 0: nothing would ever be read");
        Self { max_shards: shards.get(), ..self }
    }

    pub(crate) fn readers(&self) -> impl Iterator<Item = &R> {
        self.readers.iter()
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.shards.is_terminated() && self.readers.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut open: impl FnMut(S::Item) -> R,
    ) -> Poll<Option<R::Item>> {
        let mut this = self.project();
        while let Poll::Ready(Some(shard)) = this.shards.as_mut().poll_next(cx) {
            this.waiting.push_back(open(shard));
        }
        let room = this.max_shards.saturating_sub(this.readers.len()).min(this.waiting.len());
        this.readers.extend(this.waiting.drain(..room));
        let readers = this.readers.len();
        match this.readers.poll_next_unpin(cx) {
            Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
            // The set of readers says so when it is empty; the next shard may come at any time.
            Poll::Ready(None) if this.shards.is_terminated() && this.waiting.is_empty() => {
                return Poll::Ready(None);
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        if this.readers.len() < readers && !this.waiting.is_empty() {
            // There is room now.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
