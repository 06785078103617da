//! The task that saves the newest checkpoint of each shard, one save of a shard at a time.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::time::{Duration, Sleep, sleep_until};

use crate::checkpoint::deadline::deadline_in;
use crate::checkpoint::event::CheckpointEventKind;
use crate::checkpoint::save_queue::NextSave;
use crate::checkpoint::shard_state::{Change, SaveFailure, ShardState};
use crate::checkpoint::shared::Shared;
use crate::checkpoint::store::{Save, StoreError, respond_within};
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::backoff::backoff;

const MAX_CONCURRENT_SAVES: usize = 16;
const MIN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Saves until it is dropped or its runtime is shut down. The saves in flight may or may not take
/// effect then.
pub(crate) struct SaveTask {
    shared: Arc<Shared>,
    term: u64,
    saves: FuturesUnordered<BoxFuture<'static, Saved>>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Saved {
    state: Arc<ShardState>,
    change: Change,
    result: Result<(), StoreError>,
}

impl SaveTask {
    /// Spawns the task in the current runtime.
    pub(crate) fn spawn(shared: &Arc<Shared>) -> AbortOnDrop<()> {
        let term = shared.saver.begin();
        let shared = Arc::clone(shared);
        let task = Self { shared, term, saves: FuturesUnordered::new(), timer: None };
        AbortOnDrop::spawn(&Handle::current(), task)
    }

    fn begin_save(&self, state: Arc<ShardState>) {
        self.shared.count_run(&state);
        let Some(change) = state.begin_save() else { return };
        let shared = Arc::clone(&self.shared);
        let save = async move {
            let limit = shared.options.save_timeout;
            let save = AssertUnwindSafe(apply(&shared, &state, &change)).catch_unwind();
            let save = save.map(|saved| saved.unwrap_or_else(|_| Err("the store panicked".into())));
            let result = respond_within(limit, save).await;
            Saved { state, change, result }
        };
        self.saves.push(save.boxed());
    }

    fn end_save(&self, saved: Saved) {
        let Saved { state, change, result } = saved;
        let shared = &*self.shared;
        if let Err(error) = result {
            if state.lease.as_ref().is_some_and(|lease| lease.end_reason().is_some()) {
                // Another worker saves the shard now.
                state.abandon_save();
            } else {
                self.retry(&state, &error);
            }
            return;
        }
        shared.schedule(&state, state.confirm_save(&change));
        if state.has_open_run() {
            // From here on, the reader reports the next acknowledgement. One that it makes at this
            // very moment may be missed, so the run is counted once more.
            shared.count_run(&state);
            shared.schedule_in(&state, shared.options.save_interval);
        }
        let kind = match &change.checkpoint {
            Some(checkpoint) => {
                let stream = shared.stream.name();
                tracing::debug!(stream, shard = state.id, %checkpoint, "checkpoint saved");
                CheckpointEventKind::Saved { checkpoint }
            }
            None => CheckpointEventKind::Forgotten,
        };
        shared.report(&state.id, kind);
        shared.shards.remove_forgotten(&state);
        shared.waiting_flushes.wake();
    }

    fn retry(&self, state: &Arc<ShardState>, error: &StoreError) {
        let shared = &*self.shared;
        let SaveFailure { failures, is_urgent } = state.fail_save();
        let attempts = if is_urgent { 0 } else { failures - 1 };
        let wait = backoff(MIN_RETRY_DELAY, MAX_RETRY_DELAY, attempts);
        let (stream, id) = (shared.stream.name(), state.id.as_str());
        // Not `%error`, so that its sources are logged, too.
        let cause: &(dyn std::error::Error + 'static) = &**error;
        tracing::warn!(
            stream,
            shard = id,
            error = cause,
            failures,
            ?wait,
            "cannot save a checkpoint; retrying"
        );
        shared.report(id, CheckpointEventKind::SaveFailed { error, failures, wait });
        shared.schedule_in(state, wait);
    }

    /// Begins the saves that are due, up to the limit, and sets the timer for the next.
    fn begin_due_saves(&mut self) {
        self.timer = None;
        while self.saves.len() < MAX_CONCURRENT_SAVES {
            match self.shared.queue.pop() {
                NextSave::Now(state) => self.begin_save(state),
                NextSave::At(at) => {
                    self.timer = Some(Box::pin(sleep_until(at)));
                    return;
                }
                NextSave::Never => return,
            }
        }
    }
}

async fn apply(consumer: &Shared, state: &ShardState, change: &Change) -> Result<(), StoreError> {
    if state.lease.as_ref().is_some_and(|lease| lease.end_reason().is_some()) {
        // The lease of the next grant is another, and its checkpoint may be further on.
        return Err("the lease has ended".into());
    }
    let (store, stream) = (&consumer.store, &consumer.stream);
    match (&change.checkpoint, &change.shard) {
        (Some(checkpoint), Some(shard)) => {
            let children = change.children.as_slice();
            store.save(Save { stream, shard, checkpoint, children }).await
        }
        (None, _) => store.forget(stream, &state.id).await,
        (Some(_), None) => Err("the shard of this checkpoint was not offered".into()),
    }
}

impl Drop for SaveTask {
    fn drop(&mut self) {
        self.saves.clear();
        self.shared.end_saver(self.term);
    }
}

impl Future for SaveTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.shared);
        let Some(_in_charge) = shared.saver.begin_poll(self.term, cx.waker()) else {
            return Poll::Ready(());
        };
        loop {
            while let Poll::Ready(Some(saved)) = self.saves.poll_next_unpin(cx) {
                self.end_save(saved);
            }
            let saves = self.saves.len();
            self.begin_due_saves();
            if self.saves.len() > saves {
                // The new saves must be polled before this returns.
                continue;
            }
            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(cx).is_ready()
            {
                continue;
            }
            let timeout =
                (!self.saves.is_empty()).then(|| deadline_in(shared.options.save_timeout));
            let timer = self.timer.as_ref().map(|timer| timer.deadline());
            shared.saver.end_poll(timeout.into_iter().chain(timer).min());
            return Poll::Pending;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::checkpoint::memory::MemoryStore;
    use crate::checkpoint::options::CheckpointOptions;

    #[tokio::test(start_paused = true)]
    async fn a_task_without_a_save_is_never_late() {
        let store = Arc::new(MemoryStore::new());
        let shared =
            Arc::new(Shared::new("orders".into(), store, CheckpointOptions::new(), Vec::new()));
        let _task = SaveTask::spawn(&shared);
        tokio::task::yield_now().await;
        advance(Duration::from_hours(1)).await;
        assert!(!shared.saver.is_late());
    }
}
