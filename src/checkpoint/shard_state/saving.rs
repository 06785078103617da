//! The saver's side of an entry: what is due, and how it came out.

use aws_sdk_kinesis::types::{ChildShard, Shard};
use tokio::time::{Duration, Instant};

use crate::checkpoint::shard_state::{Due, START_OVER, ShardState, State, Want};
use crate::checkpoint::shared::later;
use crate::checkpoint::value::Checkpoint;

/// A change that is to be made durable.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    /// None: forget it.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) shard: Option<Shard>,
    pub(crate) children: Vec<ChildShard>,
    /// The start that goes before the first checkpoint after a refused one.
    is_start_over: bool,
}

/// How a save came out, for whoever counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) want: Want,
    /// A start became durable, or will never be.
    pub(crate) started: bool,
}

/// How a save failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How often in a row.
    pub(crate) failures: u32,
    /// Meanwhile somebody wants it at once.
    pub(crate) is_hurried: bool,
}

impl ShardState {
    /// What is not durable is wanted now.
    pub(crate) fn hurry(&self) -> Want {
        let mut state = self.lock();
        if state.is_clean() { Want::Nothing } else { state.want(Due::Now) }
    }

    /// It is due after this. The time, unless the saver looks at it earlier in any case.
    pub(crate) fn due_in(&self, wait: Duration) -> Option<Instant> {
        let mut state = self.lock();
        let at = later(wait);
        state.due_at = Some(at);
        state.overdue_since.get_or_insert(at);
        (!std::mem::replace(&mut state.is_queued, true)).then_some(at)
    }

    /// The saver looks at what was in time: the time to look again, if it is too early.
    pub(crate) fn not_before(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let later = state.due_at.filter(|at| *at > now && state.due != Due::No);
        state.is_queued = later.is_some();
        later
    }

    /// The saver begins with it; none if there is nothing to do.
    pub(crate) fn begin_save(&self) -> Option<Change> {
        let mut state = self.lock();
        if state.saving || state.is_clean() {
            return None;
        }
        state.saving = true;
        state.due = Due::No;
        state.records = 0;
        state.falls_due();
        let State { revision, checkpoint, shard, children, .. } = &*state;
        if state.refused.is_some() {
            // The new number may be less than the refused one, and only a start may go back.
            return Some(Change {
                revision: state.durable,
                checkpoint: Some(START_OVER),
                shard: shard.clone(),
                children: Vec::new(),
                is_start_over: true,
            });
        }
        Some(Change {
            revision: *revision,
            checkpoint: checkpoint.clone(),
            shard: shard.clone(),
            children: children.clone(),
            is_start_over: false,
        })
    }

    pub(crate) fn end_save(&self, change: &Change) -> Outcome {
        let mut state = self.lock();
        state.saving = false;
        state.failures = 0;
        if change.is_start_over {
            state.refused = None;
            state.due = Due::No;
            // The checkpoint that was wanted follows at once.
            let want = state.want(Due::Now);
            return Outcome { want, started: false };
        }
        state.overdue_since = None;
        state.durable = change.revision;
        let started = state.start.take_if(|start| *start <= change.revision).is_some();
        // What was wanted at once meanwhile still is.
        let due = state.due.max(Due::InTime);
        state.due = Due::No;
        let want = if state.is_clean() { Want::Nothing } else { state.want(due) };
        drop(state);
        self.reader.wake();
        Outcome { want, started }
    }

    pub(crate) fn fail_save(&self) -> Failure {
        let mut state = self.lock();
        state.saving = false;
        let is_hurried = std::mem::replace(&mut state.due, Due::InTime) == Due::Now;
        state.failures = state.failures.saturating_add(1);
        Failure { failures: state.failures, is_hurried }
    }

    /// Who was saving it is gone.
    pub(crate) fn lose_save(&self) {
        let mut state = self.lock();
        state.saving = false;
        state.due = Due::No;
    }
}
