//! The true state of the stream, whatever listings show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use aws_sdk_kinesis::types::Shard;
use tokio::time::Instant;

use crate::id::{Id, number};

#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// The number of times that the stream was deleted and created again.
    pub(crate) generation: u32,
    shards: BTreeMap<Id, TrueShard>,
}

#[derive(Debug)]
struct TrueShard {
    /// The starting sequence number.
    first: String,
    parents: Vec<Id>,
    born: Instant,
    closed: Option<SystemTime>,
    listed: bool,
    /// Whether the consumer closed it while it was open in Kinesis.
    closed_early: bool,
}

impl Truth {
    /// Updates the shards, and returns those that have expired since.
    pub(crate) fn update(&mut self, shards: &[Shard], now: SystemTime) -> Vec<Id> {
        let mut gone: BTreeSet<Id> =
            self.shards.iter().filter(|(_, shard)| shard.listed).map(|(id, _)| *id).collect();
        for shard in shards {
            let of_this = |id| Some(Id { generation: self.generation, index: number(id)? });
            let Some(id) = of_this(shard.shard_id()) else { continue };
            gone.remove(&id);
            let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
            let range = shard.sequence_number_range();
            let known = self.shards.entry(id).or_insert_with(|| TrueShard {
                first: range
                    .map(|range| range.starting_sequence_number().to_owned())
                    .unwrap_or_default(),
                parents: parents.into_iter().flatten().filter_map(of_this).collect(),
                born: Instant::now(),
                closed: None,
                listed: true,
                closed_early: false,
            });
            let is_closed = range.is_some_and(|range| range.ending_sequence_number().is_some());
            if is_closed && known.closed.is_none() {
                known.closed = Some(now);
            }
        }
        for id in &gone {
            if let Some(shard) = self.shards.get_mut(id) {
                shard.listed = false;
            }
        }
        gone.into_iter().collect()
    }

    /// Deletes the stream, and returns the shards that were listed. The next stream of this name is
    /// another one.
    pub(crate) fn delete(&mut self, now: SystemTime) -> BTreeSet<Id> {
        let gone = self.update(&[], now).into_iter().collect();
        for shard in self.shards.values_mut() {
            shard.closed.get_or_insert(now);
        }
        self.generation += 1;
        gone
    }

    /// Returns the shard of this name with this starting sequence number.
    pub(crate) fn id_of(&self, index: u64, first: &str) -> Id {
        let mut same_name = self.shards.iter().filter(|(id, _)| id.index == index);
        let id = same_name.find(|(_, shard)| shard.first == first).map(|(id, _)| *id);
        id.unwrap_or(Id { generation: self.generation, index })
    }

    pub(crate) fn parents(&self, id: Id) -> Option<&[Id]> {
        self.shards.get(&id).map(|shard| shard.parents.as_slice())
    }

    pub(crate) fn born(&self, id: Id) -> Option<Instant> {
        self.shards.get(&id).map(|shard| shard.born)
    }

    pub(crate) fn is_open(&self, id: Id) -> bool {
        self.shards.get(&id).is_some_and(|shard| shard.closed.is_none())
    }

    pub(crate) fn is_listed(&self, id: Id) -> bool {
        self.shards.get(&id).is_some_and(|shard| shard.listed)
    }

    /// Returns the listed shards that were not closed before this time.
    pub(crate) fn listed(&self, since: Option<SystemTime>) -> impl Iterator<Item = Id> {
        let listed = self.shards.iter().filter(move |(_, shard)| {
            shard.listed && shard.closed.zip(since).is_none_or(|(closed, since)| closed >= since)
        });
        listed.map(|(id, _)| *id)
    }

    /// Returns the listed closed shards, in the order in which they were closed.
    pub(crate) fn closed(&self) -> Vec<Id> {
        let listed = self.shards.iter().filter(|(_, shard)| shard.listed);
        let mut closed: Vec<_> =
            listed.filter_map(|(id, shard)| Some((shard.closed?, *id))).collect();
        closed.sort();
        closed.into_iter().map(|(_, id)| id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn close_early(&mut self, id: Id) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.closed_early = true;
        }
    }

    pub(crate) fn was_open_when_completed(&self, id: Id) -> bool {
        self.shards.get(&id).is_some_and(|shard| shard.closed_early)
    }

    /// Returns whether an ancestor is among these.
    pub(crate) fn descends(&self, id: Id, from: &BTreeSet<Id>) -> bool {
        let parents = self.parents(id).unwrap_or_default();
        parents.iter().any(|parent| from.contains(parent) || self.descends(*parent, from))
    }
}
