//! The records of a shard: an append-only log that is trimmed at its oldest end.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::testing::model::sequence::SequenceNumber;
use crate::testing::model::time::Millis;

/// A stored record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) sequence: SequenceNumber,
    pub(crate) arrived: Millis,
    pub(crate) partition_key: String,
    /// Shared, so that a clone of the record does not copy its bytes.
    pub(crate) data: Arc<[u8]>,
}

impl Record {
    /// Returns the bytes that the record counts for in every limit: its data and its partition key.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// A log addressed by offset. The first record ever written has offset 0, and no offset is reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    kept: VecDeque<Record>,
    trimmed: u64,
}

impl Records {
    pub(crate) fn push(&mut self, record: Record) {
        self.kept.push_back(record);
    }

    /// Returns the offset of the oldest record that is not trimmed.
    pub(crate) fn first(&self) -> u64 {
        self.trimmed
    }

    /// Returns the offset of the next record to be written.
    pub(crate) fn next(&self) -> u64 {
        self.trimmed + self.kept.len() as u64
    }

    /// Trims the records that arrived at `horizon` or before.
    pub(crate) fn trim(&mut self, horizon: Millis) {
        while self.kept.front().is_some_and(|record| record.arrived <= horizon) {
            self.kept.pop_front();
            self.trimmed += 1;
        }
    }

    /// Returns the records from `offset` on, without the trimmed ones.
    pub(crate) fn from(&self, offset: u64) -> impl Iterator<Item = &Record> {
        let skip = usize::try_from(offset.saturating_sub(self.trimmed)).unwrap_or(usize::MAX);
        self.kept.range(skip.min(self.kept.len())..)
    }

    /// Returns the offset of the first record at or after `sequence`.
    pub(crate) fn at_sequence(&self, sequence: SequenceNumber) -> u64 {
        self.trimmed + self.kept.partition_point(|record| record.sequence < sequence) as u64
    }

    /// Returns the offset of the first record that arrived at or after `time`.
    pub(crate) fn at_time(&self, time: Millis) -> u64 {
        self.trimmed + self.kept.partition_point(|record| record.arrived < time) as u64
    }
}
