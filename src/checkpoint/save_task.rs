//! The task that saves: each shard's newest checkpoint, one save of a shard at a time.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::time::{Duration, Instant, Sleep, sleep_until, timeout};

use crate::checkpoint::event::CheckpointEventKind;
use crate::checkpoint::shard_state::ShardState;
use crate::checkpoint::shard_state::saving::{Change, Failure};
use crate::checkpoint::shared::{Shared, later};
use crate::checkpoint::store::{Save, StoreError};
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::backoff::backoff;

const AT_ONCE: usize = 16;
const MIN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Runs until it is dropped, or its runtime is shut down. What it is doing then may or may not
/// become durable.
pub(crate) struct SaveTask {
    shared: Arc<Shared>,
    number: u64,
    saves: FuturesUnordered<BoxFuture<'static, Saved>>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Saved {
    entry: Arc<ShardState>,
    change: Change,
    result: Result<(), StoreError>,
}

impl SaveTask {
    /// In the runtime that this is called in.
    pub(crate) fn spawn(shared: &Arc<Shared>) -> AbortOnDrop<()> {
        let runtime = Handle::current();
        let number = shared.saver_begins();
        let shared = Arc::clone(shared);
        let saver = Self { shared, number, saves: FuturesUnordered::new(), timer: None };
        AbortOnDrop::spawn(&runtime, saver)
    }

    fn begin(&self, entry: Arc<ShardState>) {
        let Some(change) = entry.begin_save() else { return };
        let shared = Arc::clone(&self.shared);
        let save = async move {
            let limit = shared.options.save_timeout;
            let answer =
                timeout(limit, AssertUnwindSafe(apply(&shared, &entry, &change)).catch_unwind());
            let result = match answer.await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err("the store panicked".into()),
                Err(_) => Err(format!("the store has not answered within {limit:?}").into()),
            };
            Saved { entry, change, result }
        };
        self.saves.push(save.boxed());
    }

    fn end(&self, saved: Saved) {
        let Saved { entry, change, result } = saved;
        let shared = &*self.shared;
        if let Err(error) = result {
            let Failure { failures, is_hurried } = entry.fail_save();
            let wait = backoff(
                MIN_RETRY_DELAY,
                MAX_RETRY_DELAY,
                if is_hurried { 0 } else { failures - 1 },
            );
            let (stream, id) = (shared.stream.name(), entry.id.as_str());
            tracing::warn!(stream, shard = id, %error, failures, ?wait, "saving a checkpoint failed; it is tried again");
            shared
                .tell(&entry.id, CheckpointEventKind::SaveFailed { error: &error, failures, wait });
            shared.save_after(&entry, wait);
            return;
        }
        let outcome = entry.end_save(&change);
        shared.want(&entry, outcome.want);
        let kind = match &change.checkpoint {
            Some(checkpoint) => {
                tracing::debug!(stream = shared.stream.name(), shard = entry.id, %checkpoint, "saved");
                CheckpointEventKind::Saved { checkpoint }
            }
            None => CheckpointEventKind::Forgotten,
        };
        shared.tell(&entry.id, kind);
        if outcome.started {
            shared.remove_start();
        }
        shared.drop_forgotten(&entry);
        shared.quiet.wake();
    }

    /// Begins what is due, as far as there is room; then the timer is set to the next that will be.
    fn begin_due(&mut self) {
        self.timer = None;
        while self.saves.len() < AT_ONCE {
            match self.shared.next() {
                Ok(entry) => self.begin(entry),
                Err(next) => {
                    self.timer = next.map(|at: Instant| Box::pin(sleep_until(at)));
                    return;
                }
            }
        }
    }
}

async fn apply(shared: &Shared, entry: &ShardState, change: &Change) -> Result<(), StoreError> {
    match (&change.checkpoint, &change.shard) {
        (Some(checkpoint), Some(described)) => {
            let children = change.children.as_slice();
            shared
                .store
                .save(Save { stream: &shared.stream, shard: described, checkpoint, children })
                .await
        }
        (None, _) => shared.store.forget(&shared.stream, &entry.id).await,
        (Some(_), None) => Err("there is a checkpoint of a shard that was not offered".into()),
    }
}

impl Drop for SaveTask {
    fn drop(&mut self) {
        self.saves.clear();
        self.shared.saver_ends(self.number);
    }
}

impl Future for SaveTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.shared);
        let Some(_in_charge) = shared.saver_polls(self.number) else { return Poll::Ready(()) };
        shared.saver.register(cx.waker());
        loop {
            while let Poll::Ready(Some(saved)) = self.saves.poll_next_unpin(cx) {
                self.end(saved);
            }
            let saves = self.saves.len();
            self.begin_due();
            if self.saves.len() > saves {
                // They are polled before this waits.
                continue;
            }
            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(cx).is_ready()
            {
                continue;
            }
            let answered = (!self.saves.is_empty()).then(|| later(shared.options.save_timeout));
            let due = self.timer.as_ref().map(|timer| timer.deadline());
            shared.saver_rests(answered.into_iter().chain(due).min());
            return Poll::Pending;
        }
    }
}
