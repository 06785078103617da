//! Which shards have a checkpoint or a reader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::shard_state::{Incarnation, ShardState};
use crate::checkpoint::value::Checkpoint;
use crate::util::received_shard::ReceivedShard;

/// The shards of one stream that have a checkpoint or a reader, by id.
///
/// The map is ordered, so that a simulation takes the same course each time.
#[derive(Debug)]
pub(crate) struct Registry(Mutex<BTreeMap<String, Arc<ShardState>>>);

impl Registry {
    pub(crate) fn new(loaded: Vec<(String, Checkpoint)>) -> Self {
        let shards = loaded.into_iter().map(|(id, checkpoint)| {
            let shard = Arc::new(ShardState::new(id.clone(), Some(checkpoint)));
            (id, shard)
        });
        Self(Mutex::new(shards.collect()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ShardState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a shard for a reader. Returns its state, its incarnation, and the checkpoint that the
    /// reader continues from.
    pub(crate) fn open(
        &self,
        shard: &ReceivedShard,
    ) -> (Arc<ShardState>, Incarnation, Option<Checkpoint>) {
        let mut shards = self.lock();
        let id = shard.shard_id();
        let state = shards
            .get(id)
            .map_or_else(|| Arc::new(ShardState::new(id.to_owned(), None)), Arc::clone);
        // Under the lock, so that `remove_forgotten` does not remove it first.
        let (incarnation, checkpoint) = state.open(shard);
        shards.entry(id.to_owned()).or_insert_with(|| Arc::clone(&state));
        (state, incarnation, checkpoint)
    }

    /// Puts in the state of a shard whose lease was granted.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn insert(&self, shard: Arc<ShardState>) {
        self.lock().insert(shard.id.clone(), shard);
    }

    /// Removes a shard whose lease has ended.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn remove(&self, id: &str) -> Option<Arc<ShardState>> {
        self.lock().remove(id)
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<ShardState>> {
        self.lock().get(id).cloned()
    }

    /// Returns all shards, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<ShardState>> {
        self.lock().values().cloned().collect()
    }

    /// Removes a shard that was forgotten, unless another with its id was opened since.
    pub(crate) fn remove_forgotten(&self, shard: &Arc<ShardState>) {
        let mut shards = self.lock();
        let is_current = shards.get(&shard.id).is_some_and(|current| Arc::ptr_eq(current, shard));
        if is_current && shard.is_forgotten() {
            shards.remove(&shard.id);
        }
    }

    /// Wakes all readers, and what waits for the leases of their shards.
    pub(crate) fn wake_readers(&self) {
        for shard in self.all() {
            shard.reader_waker.wake();
            if let Some(lease) = &shard.lease {
                lease.wake();
            }
        }
    }

    /// Returns the changes that are not durable now.
    pub(crate) fn unsaved(&self) -> Unsaved {
        let unsaved =
            |shard: Arc<ShardState>| shard.unsaved_revision().map(|revision| (shard, revision));
        Unsaved(self.all().into_iter().filter_map(unsaved).collect())
    }
}

/// Changes that were not durable at one moment: a revision of each shard.
pub(crate) struct Unsaved(Vec<(Arc<ShardState>, u64)>);

impl Unsaved {
    /// Returns whether all of them are durable by now.
    pub(crate) fn are_durable(&mut self) -> bool {
        // Those found durable are popped, so that none is checked twice.
        while self.0.last().is_some_and(|(shard, revision)| shard.is_durable(*revision)) {
            self.0.pop();
        }
        self.0.is_empty()
    }
}
