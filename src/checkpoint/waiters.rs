//! The tasks that wait for one event.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::task::AtomicWaker;

/// One waker for each waiting task, however often the task is polled. The task owns its waker.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Weak<AtomicWaker>>>);

impl Waiters {
    /// Returns the waker of a new task. The task registers in it, and then checks for the event.
    pub(crate) fn subscribe(&self) -> Arc<AtomicWaker> {
        let waker = Arc::<AtomicWaker>::default();
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.retain(|waker| waker.strong_count() > 0);
        wakers.push(Arc::downgrade(&waker));
        waker
    }

    pub(crate) fn wake(&self) {
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for waker in wakers.iter().filter_map(Weak::upgrade) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn every_waiting_task_is_woken_and_those_that_are_gone_are_forgotten() {
        let waiters = Waiters::default();
        let waiting = [waiters.subscribe(), waiters.subscribe()];
        for _ in 0..100 {
            drop(waiters.subscribe());
        }
        assert!(waiters.0.lock().unwrap().len() <= 3);
        for waker in &waiting {
            waker.register(Waker::noop());
        }
        waiters.wake();
        assert!(waiting.iter().all(|waker| waker.take().is_none()));
    }
}
