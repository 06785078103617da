//! What is true of the stream, whatever any listing says, and which of its records are owed to the
//! consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use aws_sdk_kinesis::types::Shard;
use tokio::time::Instant;

use crate::id::{Id, number};
use crate::life::Life;

#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// How often the stream was deleted and created again.
    pub(crate) generation: u32,
    shards: BTreeMap<Id, True>,
}

#[derive(Debug)]
struct True {
    /// The number that it starts at.
    first: String,
    parents: Vec<Id>,
    born: Instant,
    closed: Option<SystemTime>,
    listed: bool,
    /// The consumer closed it while Kinesis still took writes to it.
    closed_early: bool,
}

impl Truth {
    /// Looks at the stream; gives the shards that have expired since.
    pub(crate) fn update(&mut self, shards: &[Shard], now: SystemTime) -> Vec<Id> {
        let mut gone: BTreeSet<Id> =
            self.shards.iter().filter(|(_, shard)| shard.listed).map(|(id, _)| *id).collect();
        for shard in shards {
            let of_this = |id| Some(Id { generation: self.generation, index: number(id)? });
            let Some(id) = of_this(shard.shard_id()) else { continue };
            gone.remove(&id);
            let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
            let range = shard.sequence_number_range();
            let known = self.shards.entry(id).or_insert_with(|| True {
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

    /// All its shards are gone; gives those that were listed. What comes under its name is another
    /// stream.
    pub(crate) fn delete(&mut self, now: SystemTime) -> BTreeSet<Id> {
        let gone = self.update(&[], now).into_iter().collect();
        for shard in self.shards.values_mut() {
            shard.closed.get_or_insert(now);
        }
        self.generation += 1;
        gone
    }

    /// The shard of this name that starts at this number.
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

    /// The shards that were listed since this time.
    pub(crate) fn listed(&self, since: Option<SystemTime>) -> impl Iterator<Item = Id> {
        let listed = self.shards.iter().filter(move |(_, shard)| {
            shard.listed && shard.closed.zip(since).is_none_or(|(closed, since)| closed >= since)
        });
        listed.map(|(id, _)| *id)
    }

    /// The closed shards that are listed, in the order in which they were closed.
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

    /// Whether an ancestor is among these.
    pub(crate) fn descends(&self, id: Id, from: &BTreeSet<Id>) -> bool {
        let parents = self.parents(id).unwrap_or_default();
        parents.iter().any(|parent| from.contains(parent) || self.descends(*parent, from))
    }
}

/// Every record that was written, and whether it was delivered or need not be.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: Vec<Record>,
    owed: BTreeMap<u8, BTreeSet<usize>>,
    /// Closed by a consumer that had not read all of them: the rest is its loss.
    forfeited: BTreeSet<Id>,
    pub(crate) delivered: u64,
}

#[derive(Debug)]
struct Record {
    key: u8,
    shard: Id,
    written: SystemTime,
}

impl Ledger {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn write(&mut self, key: u8, shard: Id, written: SystemTime) {
        if !self.forfeited.contains(&shard) {
            self.owed.entry(key).or_default().insert(self.records.len());
        }
        self.records.push(Record { key, shard, written });
    }

    /// Notes a delivery; an error if it was the turn of another.
    pub(crate) fn deliver(&mut self, record: usize, shard: Id, life: &Life) -> Result<(), String> {
        self.delivered += 1;
        let Some(Record { key, shard: written_to, .. }) = self.records.get(record) else {
            return Err(format!("record {record} was never written"));
        };
        if written_to.is_under_the_name_of(shard) {
            // Through the handle of a shard that is gone: its own will bring it.
            return Ok(());
        }
        if *written_to != shard {
            return Err(format!("record {record} came from shard {shard}, not from {written_to}"));
        }
        let Some(owed) = self.owed.get_mut(key) else { return Ok(()) };
        if !owed.remove(&record) {
            return Ok(());
        }
        for earlier in owed.range(..record) {
            let before = self.records[*earlier].shard;
            if life.is_firmly_before(before, shard) {
                return Err(format!(
                    "key {key}: record {record} of shard {shard} came before {earlier} of shard {before}"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn excuse(&mut self, mut excused: impl FnMut(Id, SystemTime) -> bool) {
        for owed in self.owed.values_mut() {
            owed.retain(|record| {
                let Record { shard, written, .. } = self.records[*record];
                !excused(shard, written)
            });
        }
    }

    pub(crate) fn forfeit(&mut self, shard: Id) {
        self.excuse(|of, _| of == shard);
        self.forfeited.insert(shard);
    }

    /// The records that were owed and never delivered.
    pub(crate) fn owed(&self) -> impl Iterator<Item = (usize, Id)> {
        self.owed.values().flatten().map(|record| (*record, self.records[*record].shard))
    }
}
