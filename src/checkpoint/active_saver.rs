//! Which save task is in charge, and whether it makes progress.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

/// A save task that is not polled for this time after it is due counts as one whose runtime is not
/// driven.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The save task in charge. Another takes over when its runtime is shut down or not driven.
#[derive(Debug, Default)]
pub(crate) struct ActiveSaver {
    waker: AtomicWaker,
    exists: AtomicBool,
    /// The number of the task in charge. The lock is held while that task is polled, so that
    /// another takes over only between two polls.
    term: Mutex<u64>,
    /// When the task should be polled again, at the latest.
    due: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ActiveSaver {
    pub(crate) fn exists(&self) -> bool {
        self.exists.load(Ordering::SeqCst)
    }

    /// Puts a new task in charge, and returns its number.
    pub(crate) fn begin(&self) -> u64 {
        let mut term = lock(&self.term);
        *term += 1;
        *lock(&self.due) = None;
        self.exists.store(true, Ordering::SeqCst);
        *term
    }

    /// Begins a poll of a task, which stays in charge while it holds the guard. Returns `None` if
    /// another task took over.
    pub(crate) fn begin_poll(&self, term: u64, waker: &Waker) -> Option<MutexGuard<'_, u64>> {
        let current = lock(&self.term);
        if *current != term {
            return None;
        }
        *lock(&self.due) = None;
        self.waker.register(waker);
        Some(current)
    }

    /// Ends a poll of the task, which expects to be polled again at `due`.
    pub(crate) fn end_poll(&self, due: Option<Instant>) {
        let mut earliest = lock(&self.due);
        *earliest = earliest.into_iter().chain(due).min();
    }

    /// Wakes the task, which is then due at once.
    pub(crate) fn wake(&self) {
        self.end_poll(Some(Instant::now()));
        self.waker.wake();
    }

    /// Returns whether the task should have been polled some time ago.
    pub(crate) fn is_late(&self) -> bool {
        lock(&self.due).is_some_and(|due| Instant::now() > due + GRACE)
    }

    /// Takes the charge from the task. Returns false if the task is being polled.
    #[must_use]
    pub(crate) fn depose(&self, abandon_saves: impl FnOnce()) -> bool {
        let Ok(mut term) = self.term.try_lock() else { return false };
        *term += 1;
        abandon_saves();
        true
    }

    /// Ends a task. Returns whether it was in charge.
    pub(crate) fn end(&self, term: u64, abandon_saves: impl FnOnce()) -> bool {
        let current = lock(&self.term);
        if *current != term {
            return false;
        }
        abandon_saves();
        self.exists.store(false, Ordering::SeqCst);
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn saver() -> (ActiveSaver, u64) {
        let saver = ActiveSaver::default();
        assert!(!saver.exists());
        let term = saver.begin();
        assert!(saver.exists());
        (saver, term)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_not_polled_for_the_grace_after_it_is_due_is_late() {
        let (saver, term) = saver();
        advance(GRACE * 2).await;
        assert!(!saver.is_late(), "it is not due");
        saver.end_poll(Some(Instant::now() + GRACE));
        saver.wake();
        assert!(!saver.is_late());
        advance(GRACE).await;
        assert!(!saver.is_late(), "not yet");
        advance(TICK).await;
        assert!(saver.is_late());
        assert!(saver.begin_poll(term, Waker::noop()).is_some());
        assert!(!saver.is_late(), "it was polled");
        saver.wake();
        advance(GRACE + TICK).await;
        saver.begin();
        assert!(!saver.is_late(), "another one is in charge");
    }

    #[test]
    fn only_the_last_task_is_in_charge() {
        let (saver, first) = saver();
        let second = saver.begin();
        assert_ne!(first, second);
        assert!(saver.begin_poll(first, Waker::noop()).is_none());
        assert!(!saver.end(first, || panic!("the saves of the other task are abandoned")));
        assert!(saver.exists());
        let mut is_abandoned = false;
        assert!(saver.end(second, || is_abandoned = true));
        assert!(is_abandoned && !saver.exists());
    }

    #[test]
    fn a_task_is_deposed_between_two_polls() {
        let (saver, term) = saver();
        let poll = saver.begin_poll(term, Waker::noop());
        assert!(!saver.depose(|| panic!("the task is being polled")));
        drop(poll);
        let mut is_abandoned = false;
        assert!(saver.depose(|| is_abandoned = true));
        assert!(is_abandoned);
        assert!(saver.begin_poll(term, Waker::noop()).is_none());
        assert!(!saver.end(term, || panic!("it is not in charge")));
        let next = saver.begin();
        assert_ne!(next, term);
        assert!(saver.begin_poll(next, Waker::noop()).is_some());
    }
}
