//! Tasks that wait for something.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::task::AtomicWaker;

/// Each has one waker, however often it is polled, and by whomever; it is gone with who waits.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Weak<AtomicWaker>>>);

impl Waiters {
    /// Somebody who waits: register with it, and then look whether it is so.
    pub(crate) fn join(&self) -> Arc<AtomicWaker> {
        let slot = Arc::<AtomicWaker>::default();
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    pub(crate) fn wake(&self) {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for slot in slots.iter().filter_map(Weak::upgrade) {
            slot.wake();
        }
    }
}
