//! A task that ends with the future that awaits it.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::runtime::{Handle, Id};
use tokio::task::{JoinHandle, unconstrained};

/// A spawned task, as a future. Dropping it aborts the task.
pub(crate) struct AbortOnDrop<T> {
    task: JoinHandle<T>,
    runtime: Id,
}

impl<T: Send + 'static> AbortOnDrop<T> {
    pub(crate) fn spawn(
        runtime: &Handle,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self { task: runtime.spawn(future), runtime: runtime.id() }
    }
}

impl<T> AbortOnDrop<T> {
    /// Returns the id of the runtime that the task runs in.
    pub(crate) fn runtime(&self) -> Id {
        self.runtime
    }
}

/// Panics if the task panicked, or if its runtime was shut down before this future was dropped.
impl<T> Future for AbortOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // One task may await thousands of others: with tokio's cooperative budget, each beyond it
        // would be polled in vain, repeatedly.
        match ready!(pin!(unconstrained(&mut self.task)).poll(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is shutting down, and drops the waiting task too.
            Err(_) if Handle::try_current().is_ok_and(|here| here.id() == self.runtime) => {
                Poll::Pending
            }
            Err(error) => panic!(
                "a tokio runtime was shut down before the tasks on it had ended ({error}): the one \
                 given to ReadOptions::spawn_on must outlive the readers, and the one that \
                 Checkpoints::load ran in must outlive the checkpoints"
            ),
        }
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::StreamExt;
    use futures::stream::FuturesUnordered;
    use tokio::sync::Semaphore;

    use super::*;

    /// With tokio's budget, all tasks would be polled again for every 128 that end.
    #[tokio::test]
    async fn thousands_of_tasks_that_end_together_are_polled_a_few_times_each() {
        const TASKS: usize = 5_000;
        let gate = std::sync::Arc::new(Semaphore::new(0));
        let polls = Cell::new(0);
        let mut tasks: FuturesUnordered<_> = (0..TASKS)
            .map(|_| {
                let gate = std::sync::Arc::clone(&gate);
                let mut task = AbortOnDrop::spawn(&Handle::current(), async move {
                    drop(gate.acquire().await);
                });
                let polls = &polls;
                std::future::poll_fn(move |cx| {
                    polls.set(polls.get() + 1);
                    Pin::new(&mut task).poll(cx)
                })
            })
            .collect();
        assert!(futures::poll!(tasks.next()).is_pending());
        tokio::task::yield_now().await;
        gate.add_permits(TASKS);
        while tasks.next().await.is_some() {}
        assert!(polls.get() <= 3 * TASKS, "{} polls", polls.get());
    }
}
