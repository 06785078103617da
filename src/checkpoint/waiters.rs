//! The tasks that wait for one event.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::task::AtomicWaker;

/// One waker for each waiting task, however often it is polled. A slot is dropped with its task.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Weak<AtomicWaker>>>);

impl Waiters {
    /// Returns a slot. Register the waker in it, and then check for the event.
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
