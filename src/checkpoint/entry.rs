//! What is known of one shard's checkpoint: how far it is, and how much of that is durable.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

use super::Checkpoint;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    state: Mutex<State>,
    /// The reader that waits for something to be durable, or acknowledged.
    pub(super) reader: AtomicWaker,
    /// How many shards have something that is not durable.
    dirty: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    /// None before the shard is first read, and once it is forgotten.
    checkpoint: Option<Checkpoint>,
    shard: Option<Shard>,
    children: Vec<ChildShard>,
    /// It changes when the shard is forgotten: what is acknowledged later is of another life.
    life: u32,
    /// Counts the changes.
    revision: u64,
    /// The last that is durable.
    durable: u64,
    /// Until this one is, the shards that begin at the tip wait: see `Shared::starts`.
    start: Option<u64>,
    /// Acknowledged since the last save began.
    records: u32,
    saving: bool,
    /// A save is to come: at its time, or at once.
    due: Due,
    /// When it is due in time, and whether the saver has that in its queue.
    due_at: Option<Instant>,
    is_queued: bool,
    failures: u32,
    /// When that was tried first which is not durable yet.
    tried_since: Option<Instant>,
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
pub(super) enum Want {
    Nothing,
    InTime,
    Now,
}

/// A change that is to be made durable.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    /// None: forget it.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) shard: Option<Shard>,
    pub(super) children: Vec<ChildShard>,
}

/// How a save came out, for whoever counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) want: Want,
    /// A start became durable, or will never be.
    pub(super) started: bool,
    /// All is durable.
    pub(super) is_clean: bool,
}

impl Entry {
    pub(super) fn new(id: String, checkpoint: Option<Checkpoint>, dirty: Arc<AtomicUsize>) -> Self {
        let state = Mutex::new(State { checkpoint, ..State::default() });
        Self { id, state, reader: AtomicWaker::new(), dirty }
    }

    fn change(&self, state: &mut State, due: Due) -> Want {
        if state.is_clean() {
            self.dirty.fetch_add(1, Ordering::SeqCst);
        }
        state.revision += 1;
        state.want(due)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().checkpoint.clone()
    }

    pub(super) fn is_clean(&self) -> bool {
        self.lock().is_clean()
    }

    /// A reader begins: its life, and the checkpoint it begins at.
    pub(super) fn open(&self, shard: &Shard) -> (u32, Option<Checkpoint>) {
        let mut state = self.lock();
        state.shard.get_or_insert_with(|| shard.clone());
        (state.life, state.checkpoint.clone())
    }

    /// The shard is to be read from here for the first time. `is_start`: others wait for it to be durable.
    pub(super) fn begin(&self, shard: &Shard, checkpoint: Checkpoint, is_start: bool) -> Want {
        let mut state = self.lock();
        state.shard = Some(shard.clone());
        state.checkpoint = Some(checkpoint);
        let want = self.change(&mut state, Due::Now);
        state.start = is_start.then_some(state.revision);
        want
    }

    /// The shard is another than it was taken for: its new life, which begins here.
    pub(super) fn start_over(&self, checkpoint: Checkpoint) -> (u32, Want) {
        let mut state = self.lock();
        state.life += 1;
        state.checkpoint = Some(checkpoint);
        let want = self.change(&mut state, Due::Now);
        (state.life, want)
    }

    pub(super) fn life(&self) -> u32 {
        self.lock().life
    }

    /// All records up to this one were acknowledged. It never goes back.
    pub(super) fn advance(&self, life: u32, sequence_number: &str, sub: Option<u64>, most: u32) -> Want {
        let mut state = self.lock();
        if state.life != life || !state.is_passed_by(sequence_number, sub) {
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
            state.checkpoint = Some(Checkpoint::After { sequence_number, sub_sequence_number: sub });
        }
        state.records = state.records.saturating_add(1);
        // While the store fails, its own pace holds.
        let due = if state.records >= most && state.failures == 0 { Due::Now } else { Due::InTime };
        self.change(&mut state, due)
    }

    /// All its records were acknowledged, and there will be no more.
    pub(super) fn finish(&self, life: u32, children: &[ChildShard]) -> Want {
        let mut state = self.lock();
        if state.life != life || state.checkpoint == Some(Checkpoint::End) {
            return Want::Nothing;
        }
        state.checkpoint = Some(Checkpoint::End);
        state.children = children.to_vec();
        self.change(&mut state, Due::Now)
    }

    /// Kinesis does not list it any more.
    pub(super) fn forget(&self) -> Want {
        let mut state = self.lock();
        state.life += 1;
        state.shard = None;
        state.children = Vec::new();
        if state.checkpoint.take().is_none() {
            return Want::Nothing;
        }
        let want = self.change(&mut state, Due::InTime);
        drop(state);
        self.reader.wake();
        want
    }

    /// What is not durable is wanted now.
    pub(super) fn hurry(&self) -> Want {
        let mut state = self.lock();
        if state.is_clean() { Want::Nothing } else { state.want(Due::Now) }
    }

    /// It is due after this. The time, unless the saver looks at it earlier in any case.
    pub(super) fn due_in(&self, wait: Duration) -> Option<Instant> {
        let mut state = self.lock();
        let at = Instant::now() + wait;
        state.due_at = Some(at);
        (!std::mem::replace(&mut state.is_queued, true)).then_some(at)
    }

    /// The saver looks at what was in time: the time to look again, if it is too early.
    pub(super) fn not_before(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let later = state.due_at.filter(|at| *at > now && state.due != Due::No);
        state.is_queued = later.is_some();
        later
    }

    /// The saver begins with it; none if there is nothing to do.
    pub(super) fn begin_save(&self) -> Option<Change> {
        let mut state = self.lock();
        if state.saving || state.is_clean() {
            return None;
        }
        state.saving = true;
        state.due = Due::No;
        state.records = 0;
        state.tried_since.get_or_insert_with(Instant::now);
        let State { revision, checkpoint, shard, children, .. } = &*state;
        Some(Change {
            revision: *revision,
            checkpoint: checkpoint.clone(),
            shard: shard.clone(),
            children: children.clone(),
        })
    }

    pub(super) fn end_save(&self, revision: u64) -> Outcome {
        let mut state = self.lock();
        state.saving = false;
        state.failures = 0;
        state.tried_since = None;
        state.durable = revision;
        let started = state.start.take_if(|start| *start <= revision).is_some();
        let is_clean = state.is_clean();
        if is_clean {
            self.dirty.fetch_sub(1, Ordering::SeqCst);
        }
        // What was wanted at once meanwhile still is.
        let due = state.due.max(Due::InTime);
        state.due = Due::No;
        let want = if is_clean { Want::Nothing } else { state.want(due) };
        drop(state);
        self.reader.wake();
        Outcome { want, started, is_clean }
    }

    /// It failed; how often now.
    pub(super) fn fail_save(&self) -> u32 {
        let mut state = self.lock();
        state.saving = false;
        state.due = Due::InTime;
        state.failures = state.failures.saturating_add(1);
        state.failures
    }

    /// Waits until all that is known is durable.
    pub(super) fn poll_durable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.register(cx.waker());
        if self.is_clean() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// For how long nothing could be saved.
    pub(super) fn unsaved_for(&self) -> Option<Duration> {
        let state = self.lock();
        Some(state.tried_since?.elapsed())
    }

    /// It was offered in this run.
    pub(super) fn is_opened(&self) -> bool {
        self.lock().shard.is_some()
    }

    pub(super) fn is_forgotten(&self) -> bool {
        let state = self.lock();
        state.checkpoint.is_none() && state.is_clean()
    }
}

impl State {
    fn is_passed_by(&self, sequence_number: &str, sub: Option<u64>) -> bool {
        match &self.checkpoint {
            None | Some(Checkpoint::End) => false,
            Some(Checkpoint::Start(_)) => true,
            Some(Checkpoint::After { sequence_number: number, sub_sequence_number }) => {
                super::position::compare((number, *sub_sequence_number), (sequence_number, sub)).is_lt()
            }
        }
    }

    fn is_clean(&self) -> bool {
        self.revision == self.durable
    }

    /// What to ask of the saver that was not asked before.
    fn want(&mut self, due: Due) -> Want {
        if due <= self.due {
            return Want::Nothing;
        }
        self.due = due;
        match due {
            // It looks again when the save under way has ended.
            _ if self.saving => Want::Nothing,
            Due::No => Want::Nothing,
            Due::InTime => Want::InTime,
            Due::Now => Want::Now,
        }
    }
}
