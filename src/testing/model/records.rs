//! The records of one shard: an append-only log whose oldest end is trimmed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::sequence::SequenceNumber;
use super::time::Millis;

/// One record as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) sequence: SequenceNumber,
    pub(crate) arrived: Millis,
    pub(crate) partition_key: String,
    /// Shared: a record that is read a thousand times is stored once.
    pub(crate) data: Arc<[u8]>,
}

impl Record {
    /// What the record counts for in every limit: its data and its key.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// A log addressed by offset: the first record ever written is 0, and an offset is never reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    kept: VecDeque<Record>,
    trimmed: u64,
}

impl Records {
    pub(crate) fn push(&mut self, record: Record) {
        self.kept.push_back(record);
    }

    /// The offset of the oldest record that is still there.
    pub(crate) fn first(&self) -> u64 {
        self.trimmed
    }

    /// The offset the next record will have.
    pub(crate) fn next(&self) -> u64 {
        self.trimmed + self.kept.len() as u64
    }

    /// Drops what arrived at `horizon` or before.
    pub(crate) fn trim(&mut self, horizon: Millis) {
        while self.kept.front().is_some_and(|record| record.arrived <= horizon) {
            self.kept.pop_front();
            self.trimmed += 1;
        }
    }

    /// The records from `offset` on; those that were trimmed are passed over.
    pub(crate) fn from(&self, offset: u64) -> impl Iterator<Item = &Record> {
        let skip = usize::try_from(offset.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        self.kept.range(skip.min(self.kept.len())..)
    }

    /// The offset of the first record at or after `sequence`.
    pub(crate) fn at_sequence(&self, sequence: SequenceNumber) -> u64 {
        self.trimmed + self.kept.partition_point(|record| record.sequence < sequence) as u64
    }

    /// The offset of the first record that arrived at or after `time`.
    pub(crate) fn at_time(&self, time: Millis) -> u64 {
        self.trimmed + self.kept.partition_point(|record| record.arrived < time) as u64
    }
}
