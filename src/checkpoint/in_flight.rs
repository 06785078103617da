//! How many records are in flight, and whether more may be delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::task::AtomicWaker;

use crate::checkpoint::waiters::Waiters;

/// Counts the records that were delivered and neither acknowledged nor dropped.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    records: AtomicU64,
    /// Set by a shutdown: no further record is delivered.
    is_closed: AtomicBool,
    /// The shutdowns that wait for the count to reach zero.
    shutdowns: Waiters,
}

impl InFlight {
    /// Counts records as delivered. Returns false once this is closed, and counts none then.
    ///
    /// The count changes before the flag is read; [`close`](Self::close) and then
    /// [`count`](Self::count) do it the other way round. So a shutdown misses no record.
    #[must_use]
    pub(crate) fn add(&self, records: u64) -> bool {
        self.records.fetch_add(records, Ordering::SeqCst);
        let is_closed = self.is_closed();
        if is_closed {
            self.remove(records);
        }
        !is_closed
    }

    /// Counts records as acknowledged or dropped.
    pub(crate) fn remove(&self, records: u64) {
        let before = self.records.fetch_sub(records, Ordering::SeqCst);
        if before == records && self.is_closed() {
            self.shutdowns.wake();
        }
    }

    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.records.load(Ordering::SeqCst)).unwrap_or(usize::MAX)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Returns a waker that is woken when the count of a closed counter reaches zero.
    pub(crate) fn subscribe(&self) -> Arc<AtomicWaker> {
        self.shutdowns.subscribe()
    }
}
