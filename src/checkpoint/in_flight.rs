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

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Returns a waker that is woken when the count of a closed counter reaches zero.
    pub(crate) fn subscribe(&self) -> Arc<AtomicWaker> {
        self.shutdowns.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_last_record_wakes_the_shutdowns() {
        let in_flight = InFlight::default();
        let waker = in_flight.subscribe();
        let is_woken = || waker.take().is_none();
        assert!(in_flight.add(3) && in_flight.add(1));
        waker.register(Waker::noop());
        in_flight.remove(1);
        assert_eq!(in_flight.count(), 3);
        assert!(!is_woken());
        in_flight.close();
        waker.register(Waker::noop());
        in_flight.remove(2);
        assert!(!is_woken(), "a record is in flight");
        waker.register(Waker::noop());
        in_flight.remove(1);
        assert!(is_woken());
        assert!(!in_flight.add(5), "it is closed");
        assert_eq!(in_flight.count(), 0);
    }

    #[test]
    fn nothing_is_woken_without_a_shutdown() {
        let in_flight = InFlight::default();
        let waker = in_flight.subscribe();
        waker.register(Waker::noop());
        assert!(in_flight.add(1));
        in_flight.remove(1);
        assert!(waker.take().is_some());
    }
}
