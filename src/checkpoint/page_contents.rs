//! The records of a page that are not delivered yet.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Duration;

use crate::checkpoint::resume::ResumePoint;
use crate::checkpoint::value::Checkpoint;
use crate::records::batch::BatchRecords;
use crate::records::record::Record;
use crate::util::received_record::ReceivedRecord;

/// The records of a page that were not delivered.
pub(crate) struct PageContents {
    pub(crate) lag: Option<Duration>,
    pub(crate) received_at: SystemTime,
    /// Records that were taken and could not be delivered.
    taken: std::vec::IntoIter<Record>,
    records: BatchRecords,
    resume: Arc<ResumePoint>,
    /// Whether the rest of the records is known to be neither searched nor taken.
    is_plain: bool,
}

impl PageContents {
    pub(crate) fn new(
        lag: Option<Duration>,
        received_at: SystemTime,
        records: BatchRecords,
        resume: Arc<ResumePoint>,
    ) -> Self {
        let taken = Vec::new().into_iter();
        Self { lag, received_at, taken, records, resume, is_plain: false }
    }

    /// Returns the next record, if it is delivered as it was received, and was not acknowledged
    /// before. [`take_peeked`](Self::take_peeked) takes it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<&ReceivedRecord> {
        if !self.is_plain {
            if self.is_searched() {
                return None;
            }
            self.is_plain = true;
        }
        self.records.peek()
    }

    /// Takes the record that [`peek`](Self::peek) has returned.
    #[inline]
    pub(crate) fn take_peeked(&mut self) -> Option<Record> {
        self.records.next()
    }

    /// Returns whether the next record is not simply that of the page.
    #[inline]
    fn is_searched(&self) -> bool {
        self.taken.len() > 0 || self.resume.is_searching()
    }

    /// Returns the next record that was not acknowledged before. If the record of the checkpoint
    /// has expired, `on_gap` gets that checkpoint and the first record after it.
    #[inline]
    pub(crate) fn next(&mut self, on_gap: impl Fn(&Checkpoint, &Record)) -> Option<Record> {
        // Nearly all records take the first way, which moves them once.
        if !self.is_searched() {
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
        self.is_plain = false;
    }

    /// Returns how many records are left, at most.
    pub(crate) fn max_len(&self) -> Option<usize> {
        let records = self.records.size_hint().1;
        records.map(|records| records + self.taken.len())
    }
}
