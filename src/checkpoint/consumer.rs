//! One consumer, and the save task that lives with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use tokio::runtime::Handle;

use crate::checkpoint::active_saver::GRACE;
use crate::checkpoint::save_task::SaveTask;
use crate::checkpoint::shared::Shared;
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::runtime::Timer;

/// The state of one consumer, and its save task, which is aborted with the last clone.
#[derive(Clone)]
pub(crate) struct Consumer {
    pub(crate) shared: Arc<Shared>,
    task: Arc<Mutex<AbortOnDrop<()>>>,
}

impl Consumer {
    /// Spawns the save task in the current runtime.
    pub(crate) fn new(shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let task = Arc::new(Mutex::new(SaveTask::spawn(&shared)));
        Self { shared, task }
    }

    /// Ensures that a save task runs: spawns one in this runtime if the last one ended with its
    /// runtime, or its runtime is not driven.
    pub(crate) fn ensure_save_task(&self) {
        let shared = &self.shared;
        if shared.saver.exists() && !shared.saver.is_late() {
            return;
        }
        let mut task = self.lock_task();
        let reason = if !shared.saver.exists() {
            "was shut down"
        } else if shared.saver.is_late()
            && is_elsewhere(&task)
            && shared.saver.depose(|| shared.abandon_saves())
        {
            "is not driven"
        } else {
            return;
        };
        tracing::warn!(
            stream = shared.stream.name(),
            "the runtime of the save task {reason}; the task moves to this runtime"
        );
        *task = SaveTask::spawn(shared);
        shared.save_all_now();
    }

    /// Ensures that a save task runs while the calling task waits for the store. If the save task
    /// is in another runtime, the calling task is woken to check again.
    pub(crate) fn watch_save_task(&self, watch: &mut Timer, cx: &mut Context<'_>) {
        loop {
            self.ensure_save_task();
            let is_elsewhere = is_elsewhere(&self.lock_task());
            if !is_elsewhere || watch.poll(cx, GRACE).is_pending() {
                return;
            }
        }
    }

    fn lock_task(&self) -> MutexGuard<'_, AbortOnDrop<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether the save task is in another runtime than the caller.
fn is_elsewhere(task: &AbortOnDrop<()>) -> bool {
    Handle::try_current().is_ok_and(|here| here.id() != task.runtime())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_is_elsewhere_if_it_runs_in_another_runtime() {
        let task = AbortOnDrop::spawn(&Handle::current(), async {});
        assert!(!is_elsewhere(&task));
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let task = AbortOnDrop::spawn(other.handle(), async {});
        assert!(is_elsewhere(&task));
        other.shutdown_background();
    }
}
