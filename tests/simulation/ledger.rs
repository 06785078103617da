//! The records that are owed to the consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::id::Id;
use crate::life::Life;

/// Every record that was written, and those that must still be delivered.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: Vec<Record>,
    owed: BTreeMap<u8, BTreeSet<usize>>,
    /// The shards that the consumer closed before it had read all their records.
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

    /// Notes a delivery. Returns an error if an earlier record of the key is still owed.
    pub(crate) fn deliver(&mut self, record: usize, shard: Id, life: &Life) -> Result<(), String> {
        self.delivered += 1;
        let Some(Record { key, shard: written_to, .. }) = self.records.get(record) else {
            return Err(format!("record {record} was never written"));
        };
        if written_to.is_namesake_of(shard) {
            // The handle is that of an old shard. The new one must deliver the record.
            return Ok(());
        }
        if *written_to != shard {
            return Err(format!(
                "record {record} was delivered from shard {shard} instead of {written_to}"
            ));
        }
        let Some(owed) = self.owed.get_mut(key) else { return Ok(()) };
        if !owed.remove(&record) {
            return Ok(());
        }
        for earlier in owed.range(..record) {
            let before = self.records[*earlier].shard;
            if life.is_known_ancestor(before, shard) {
                return Err(format!(
                    "key {key}: record {record} of shard {shard} was delivered before {earlier} of \
                     shard {before}"
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

    /// Returns the records that are owed and were not delivered.
    pub(crate) fn owed(&self) -> impl Iterator<Item = (usize, Id)> {
        self.owed.values().flatten().map(|record| (*record, self.records[*record].shard))
    }
}
