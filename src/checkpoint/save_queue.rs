//! The shards that wait for a save, and until when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use crate::checkpoint::shard_state::ShardState;

/// The shards that wait for the save task.
#[derive(Debug, Default)]
pub(crate) struct SaveQueue(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    now: VecDeque<Arc<ShardState>>,
    /// The shards by time, and then in the order in which they were queued.
    later: BTreeMap<(Instant, u64), Arc<ShardState>>,
    queued: u64,
}

impl Queue {
    /// Queues a shard. Returns whether it is now the first.
    fn push(&mut self, at: Instant, shard: Arc<ShardState>) -> bool {
        let key = (at, self.queued);
        self.queued += 1;
        self.later.insert(key, shard);
        self.later.first_key_value().is_some_and(|(first, _)| *first == key)
    }
}

/// The next save.
#[derive(Debug)]
pub(crate) enum NextSave {
    Now(Arc<ShardState>),
    At(Instant),
    /// The queue is empty.
    Never,
}

impl SaveQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push_now(&self, shard: Arc<ShardState>) {
        self.lock().now.push_back(shard);
    }

    /// Queues a shard for `wait` from now. Returns whether it is due before all others.
    pub(crate) fn push_later(&self, shard: &Arc<ShardState>, wait: Duration) -> bool {
        let Some(at) = shard.queue_in(wait) else { return false };
        self.lock().push(at, Arc::clone(shard))
    }

    /// Takes the next shard, if one is due.
    pub(crate) fn pop(&self) -> NextSave {
        let mut queue = self.lock();
        if let Some(shard) = queue.now.pop_front() {
            return NextSave::Now(shard);
        }
        let now = Instant::now();
        while let Some(first) = queue.later.first_entry() {
            if first.key().0 > now {
                return NextSave::At(first.key().0);
            }
            let shard = first.remove();
            match shard.dequeue(now) {
                Some(later) => queue.push(later, shard),
                None => return NextSave::Now(shard),
            };
        }
        NextSave::Never
    }
}
