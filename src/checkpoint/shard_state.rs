//! What is known of one shard's checkpoint: how far it is, and how much of that is durable.

pub(crate) mod saving;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

use crate::checkpoint::value::Checkpoint;
use crate::shard::position::{Progress, StartPosition};

/// Where a shard is read from after Kinesis has refused its checkpoint.
pub(crate) const START_OVER: Checkpoint = Checkpoint::Start(StartPosition::TrimHorizon);

#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) id: String,
    state: Mutex<State>,
    /// The reader that waits for something to be durable, or acknowledged.
    pub(crate) reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// None before the shard is first read, and once it is forgotten.
    checkpoint: Option<Checkpoint>,
    shard: Option<Shard>,
    children: Vec<ChildShard>,
    /// The checkpoint that the store holds although Kinesis refused it. It stays there until a
    /// record is acknowledged after the new start; the save of that begins with the start.
    refused: Option<Checkpoint>,
    /// It changes when the shard is forgotten: what is acknowledged later is of another
    /// incarnation.
    incarnation: Incarnation,
    /// Counts the changes.
    revision: u64,
    /// The last that is durable.
    durable: u64,
    /// Until this one is, the shards that begin at a time wait: see `Shared::starts`.
    start: Option<u64>,
    /// Acknowledged since the last save began.
    records: u64,
    saving: bool,
    /// A save is to come: at its time, or at once.
    due: Due,
    /// When it is due in time, and whether the saver has that in its queue.
    due_at: Option<Instant>,
    is_queued: bool,
    failures: u32,
    /// When that was due first which is not durable yet.
    overdue_since: Option<Instant>,
}

/// From the first reading of a shard until it is forgotten, or is found to be another. Its records
/// are counted as they are first delivered; a later reading begins with the first that the
/// checkpoint has not passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incarnation {
    delivered: Arc<AtomicU64>,
    /// How many of them the checkpoint has passed: now, or when a reading began.
    passed: u64,
}

impl Incarnation {
    /// The reading that began with this has delivered so many.
    pub(crate) fn has_delivered(&self, records: u64) {
        self.delivered.fetch_max(self.passed + records, Ordering::Relaxed);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.delivered, &other.delivered)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    #[default]
    No,
    InTime,
    Now,
}

/// What a change asks of the saver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    InTime,
    Now,
}

impl ShardState {
    pub(crate) fn new(id: String, checkpoint: Option<Checkpoint>) -> Self {
        let state = Mutex::new(State { checkpoint, ..State::default() });
        Self { id, state, reader: AtomicWaker::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().checkpoint.clone()
    }

    /// Returns the checkpoint that the store holds once all is durable.
    pub(crate) fn stored(&self) -> Option<Checkpoint> {
        let state = self.lock();
        state.refused.as_ref().or(state.checkpoint.as_ref()).cloned()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.lock().is_clean()
    }

    /// How far it is, for whoever offers shards: what counts as finished frees its children, so an
    /// end that is not durable does not.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let state = self.lock();
        match &state.checkpoint {
            Some(Checkpoint::End) if !state.is_clean() => {
                Some(Progress::At(StartPosition::TrimHorizon))
            }
            checkpoint => checkpoint.clone().map(Progress::from),
        }
    }

    /// A reader begins: its incarnation, and the checkpoint it begins at. Under the lock of the
    /// entries, so that the entry is not dropped meanwhile.
    pub(crate) fn open(&self, shard: &Shard) -> (Incarnation, Option<Checkpoint>) {
        let mut state = self.lock();
        state.shard.get_or_insert_with(|| shard.clone());
        (state.incarnation.clone(), state.checkpoint.clone())
    }

    /// The shard is to be read from here for the first time. `is_start`: others wait for it to be
    /// durable. True if there is one more to wait for.
    pub(crate) fn begin(
        &self,
        incarnation: &Incarnation,
        shard: &Shard,
        checkpoint: Checkpoint,
        is_start: bool,
    ) -> (Want, bool) {
        let mut state = self.lock();
        if !state.incarnation.is(incarnation) {
            return (Want::Nothing, false);
        }
        state.shard = Some(shard.clone());
        state.checkpoint = Some(checkpoint);
        let want = state.change(Due::Now);
        let revision = state.revision;
        (want, is_start && state.start.replace(revision).is_none())
    }

    /// Starts the shard over, since Kinesis refused its checkpoint, and returns its new
    /// incarnation; `None` if `incarnation` is over. It is pending until that checkpoint is
    /// durable.
    ///
    /// Nothing is saved yet: the refusal may come from another stream of the same name.
    pub(crate) fn poll_start_over(&self, incarnation: &Incarnation) -> Poll<Option<Incarnation>> {
        let mut state = self.lock();
        if !state.incarnation.is(incarnation) {
            return Poll::Ready(None);
        }
        if !state.is_clean() {
            return Poll::Pending;
        }
        state.incarnation = Incarnation::default();
        let refused = state.checkpoint.replace(START_OVER);
        state.refused = state.refused.take().or(refused);
        Poll::Ready(Some(state.incarnation.clone()))
    }

    /// The shard starts earlier than was known, if no record of it was acknowledged yet.
    pub(crate) fn start_earlier(&self, incarnation: &Incarnation, start: StartPosition) -> Want {
        let mut state = self.lock();
        if !state.incarnation.is(incarnation)
            || !matches!(state.checkpoint, Some(Checkpoint::Start(_)))
        {
            return Want::Nothing;
        }
        state.checkpoint = Some(Checkpoint::Start(start));
        state.change(Due::Now)
    }

    pub(crate) fn is_of(&self, incarnation: &Incarnation) -> bool {
        self.lock().incarnation.is(incarnation)
    }

    /// The first records of a reading were all acknowledged, so many of them, up to this one. It
    /// never goes back.
    pub(crate) fn advance(
        &self,
        incarnation: &Incarnation,
        records: u64,
        sequence_number: &str,
        sub: Option<u64>,
        most: u32,
    ) -> Want {
        let mut state = self.lock();
        if !state.incarnation.is(incarnation) || !state.is_passed_by(sequence_number, sub) {
            return Want::Nothing;
        }
        if let Some(Checkpoint::After { sequence_number: number, sub_sequence_number }) =
            &mut state.checkpoint
        {
            number.clear();
            number.push_str(sequence_number);
            *sub_sequence_number = sub;
        } else {
            let sequence_number = sequence_number.to_owned();
            state.checkpoint =
                Some(Checkpoint::After { sequence_number, sub_sequence_number: sub });
        }
        let passed = incarnation.passed + records;
        // After a gap, a later reading has fewer than the one before.
        state.records += passed.saturating_sub(state.incarnation.passed).max(1);
        state.incarnation.passed = state.incarnation.passed.max(passed);
        // While the store fails, its own pace holds.
        let is_due = state.records >= u64::from(most) && state.failures == 0;
        state.change(if is_due { Due::Now } else { Due::InTime })
    }

    /// All its records were acknowledged, and there will be no more.
    pub(crate) fn finish(&self, incarnation: &Incarnation, children: &[ChildShard]) -> Want {
        let mut state = self.lock();
        if !state.incarnation.is(incarnation) || state.checkpoint == Some(Checkpoint::End) {
            return Want::Nothing;
        }
        state.checkpoint = Some(Checkpoint::End);
        state.children = children.to_vec();
        state.change(Due::Now)
    }

    /// Kinesis does not list it any more.
    pub(crate) fn forget(&self) -> Want {
        let mut state = self.lock();
        state.incarnation = Incarnation::default();
        state.shard = None;
        state.children = Vec::new();
        state.refused = None;
        if state.checkpoint.take().is_none() {
            return Want::Nothing;
        }
        let want = state.change(Due::InTime);
        drop(state);
        self.reader.wake();
        want
    }

    /// Waits until all that is known is durable.
    pub(crate) fn poll_durable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        if self.is_clean() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What is not durable yet, if anything.
    pub(crate) fn unsaved(&self) -> Option<u64> {
        let state = self.lock();
        (!state.is_clean()).then_some(state.revision)
    }

    pub(crate) fn is_durable(&self, revision: u64) -> bool {
        self.lock().durable >= revision
    }

    /// For how long that was due which could not be saved.
    pub(crate) fn unsaved_for(&self) -> Option<Duration> {
        Some(Instant::now().saturating_duration_since(self.lock().overdue_since?))
    }

    /// Whether records come again that were delivered: the checkpoint stays before one that was
    /// dropped, or is in flight.
    pub(crate) fn is_held(&self) -> bool {
        let state = self.lock();
        let is_behind =
            state.incarnation.passed < state.incarnation.delivered.load(Ordering::Relaxed);
        is_behind && state.checkpoint != Some(Checkpoint::End)
    }

    /// It was offered in this run.
    pub(crate) fn is_opened(&self) -> bool {
        self.lock().shard.is_some()
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        let state = self.lock();
        state.checkpoint.is_none() && state.shard.is_none() && state.is_clean()
    }
}

impl State {
    fn is_passed_by(&self, sequence_number: &str, sub: Option<u64>) -> bool {
        match &self.checkpoint {
            None | Some(Checkpoint::End) => false,
            Some(Checkpoint::Start(_)) => true,
            Some(Checkpoint::After { sequence_number: number, sub_sequence_number }) => {
                crate::checkpoint::value::compare(
                    (number, *sub_sequence_number),
                    (sequence_number, sub),
                )
                .is_lt()
            }
        }
    }

    fn is_clean(&self) -> bool {
        self.revision == self.durable
    }

    fn change(&mut self, due: Due) -> Want {
        self.revision += 1;
        self.want(due)
    }

    fn falls_due(&mut self) {
        let now = Instant::now();
        self.overdue_since = Some(self.overdue_since.map_or(now, |since| since.min(now)));
    }

    /// What to ask of the saver that was not asked before.
    fn want(&mut self, due: Due) -> Want {
        if due <= self.due {
            return Want::Nothing;
        }
        self.due = due;
        if due == Due::Now {
            self.falls_due();
        }
        match due {
            // It looks again when the save under way has ended.
            _ if self.saving => Want::Nothing,
            Due::No => Want::Nothing,
            Due::InTime => Want::InTime,
            Due::Now => Want::Now,
        }
    }
}
