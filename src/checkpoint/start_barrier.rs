//! No shard of a timed run is read before the starts of all of them are durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::checkpoint::waiters::Waiters;
use crate::shard::position::StartPosition;

/// Holds the readers of shards that start at a time until the starts of all such shards are
/// durable.
///
/// Otherwise a crash would leave the starts of some shards in the store and not those of others,
/// and the next run would start these at its own, later time.
#[derive(Debug, Default)]
pub(crate) struct StartBarrier {
    pending: AtomicUsize,
    readers: Waiters,
}

impl StartBarrier {
    /// Returns whether a shard with this start is one that others wait for, and that waits for
    /// others.
    pub(crate) fn applies_to(start: &StartPosition) -> bool {
        matches!(start, StartPosition::Timestamp(_))
    }

    /// Adds a start, which closes the barrier until it is dropped.
    pub(crate) fn add_start(self: &Arc<Self>) -> PendingStart {
        self.pending.fetch_add(1, Ordering::SeqCst);
        PendingStart(Arc::clone(self))
    }

    /// Returns the wait of one reader for the barrier to open.
    pub(crate) fn wait(self: &Arc<Self>) -> BarrierWait {
        BarrierWait { waker: self.readers.subscribe(), barrier: Arc::clone(self) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0
    }
}

/// A start that is not durable yet. The save task drops it when it is, or never will be.
#[derive(Debug)]
pub(crate) struct PendingStart(Arc<StartBarrier>);

impl Drop for PendingStart {
    fn drop(&mut self) {
        if self.0.pending.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.readers.wake();
        }
    }
}

/// The wait of one reader for the barrier to open.
#[derive(Debug)]
pub(crate) struct BarrierWait {
    barrier: Arc<StartBarrier>,
    waker: Arc<AtomicWaker>,
}

impl BarrierWait {
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.barrier.is_open() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    #[test]
    fn the_barrier_opens_when_the_last_pending_start_is_dropped() {
        let barrier = Arc::<StartBarrier>::default();
        let reader = barrier.wait();
        let mut cx = Context::from_waker(noop_waker_ref());
        assert!(reader.poll_open(&mut cx).is_ready());
        let (first, second) = (barrier.add_start(), barrier.add_start());
        drop(first);
        assert!(reader.poll_open(&mut cx).is_pending());
        drop(second);
        assert!(reader.poll_open(&mut cx).is_ready());
    }
}
