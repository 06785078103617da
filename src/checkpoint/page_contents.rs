//! The records of a page that are not delivered yet.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Duration;

use crate::checkpoint::resume::ResumePoint;
use crate::checkpoint::value::Checkpoint;
use crate::records::batch::BatchRecords;
use crate::records::record::Record;

/// The records of a page that were not delivered.
pub(crate) struct PageContents {
    pub(crate) lag: Option<Duration>,
    pub(crate) received_at: SystemTime,
    /// Records that were taken and could not be delivered.
    taken: std::vec::IntoIter<Record>,
    records: BatchRecords,
    resume: Arc<ResumePoint>,
}

impl PageContents {
    pub(crate) fn new(
        lag: Option<Duration>,
        received_at: SystemTime,
        records: BatchRecords,
        resume: Arc<ResumePoint>,
    ) -> Self {
        Self { lag, received_at, taken: Vec::new().into_iter(), records, resume }
    }

    /// Returns the next record that was not acknowledged before. If the record of the checkpoint
    /// has expired, `on_gap` gets that checkpoint and the first record after it.
    #[inline]
    pub(crate) fn next(&mut self, on_gap: impl Fn(&Checkpoint, &Record)) -> Option<Record> {
        // Nearly all records take the first way, which moves them once.
        if self.taken.len() == 0 && !self.resume.is_searching() {
            return self.records.next();
        }
        let Self { taken, records, resume, .. } = self;
        taken.next().or_else(|| {
            records.find(|record| !resume.skips(record, &|expired| on_gap(expired, record)))
        })
    }

    /// Puts records back that were taken last.
    pub(crate) fn put_back(&mut self, records: Vec<Record>) {
        let rest: Vec<_> = self.taken.by_ref().collect();
        self.taken = [records, rest].concat().into_iter();
    }

    /// Returns how many records are left, at most.
    pub(crate) fn max_len(&self) -> Option<usize> {
        let records = self.records.size_hint().1;
        records.map(|records| records + self.taken.len())
    }
}
