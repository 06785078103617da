//! A page of records that are not delivered yet.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Duration;

use crate::checkpoint::acker::{ReadSession, UnackedRecord};
use crate::checkpoint::resume::ResumePoint;
use crate::records::batch::BatchRecords;
use crate::records::record::Record;

/// A page of one session, whose records are delivered one by one or together.
///
/// A lease that may not deliver ends the page early. Its session keeps the contents, and the reader
/// yields them again.
pub struct UnackedPage {
    /// `None` once the session keeps them.
    contents: Option<PageContents>,
    session: Arc<ReadSession>,
}

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

    /// Returns the next record that was not acknowledged before.
    #[inline]
    fn next(&mut self, session: &ReadSession) -> Option<Record> {
        if let Some(record) = self.taken.next() {
            return Some(record);
        }
        let Self { records, resume, .. } = self;
        records.find(|record| !resume.skips(record, session))
    }

    /// Puts records back that were taken last.
    fn put_back(&mut self, records: Vec<Record>) {
        let rest: Vec<_> = self.taken.by_ref().collect();
        self.taken = [records, rest].concat().into_iter();
    }
}

impl UnackedPage {
    pub(crate) fn new(contents: PageContents, session: Arc<ReadSession>) -> Self {
        Self { contents: Some(contents), session }
    }

    /// Takes all records for one acknowledgement, with the lag and the time of arrival. Returns
    /// `None` if none is left, after a shutdown, and if the lease may not deliver.
    pub(crate) fn take_all<T, F>(mut self, deliver: F) -> Option<T>
    where
        F: FnOnce(Vec<Record>, &PageContents, &Arc<ReadSession>) -> Result<T, Vec<Record>>,
    {
        let mut contents = self.contents.take()?;
        if !self.session.may_deliver() {
            self.session.keep_undelivered(contents);
            return None;
        }
        let records: Vec<_> = std::iter::from_fn(|| contents.next(&self.session)).collect();
        if records.is_empty() {
            return None;
        }
        match deliver(records, &contents, &self.session) {
            Ok(delivered) => Some(delivered),
            Err(records) => {
                contents.put_back(records);
                self.session.keep_undelivered(contents);
                None
            }
        }
    }

    /// Leaves the rest of the page to the session.
    fn interrupt(&mut self) {
        if let Some(contents) = self.contents.take() {
            self.session.keep_undelivered(contents);
        }
    }
}

impl Iterator for UnackedPage {
    type Item = UnackedRecord;

    #[inline]
    fn next(&mut self) -> Option<UnackedRecord> {
        let contents = self.contents.as_mut()?;
        if !self.session.may_deliver() {
            self.interrupt();
            return None;
        }
        let record = contents.next(&self.session)?;
        match self.session.deliver(record) {
            Ok(delivered) => Some(delivered),
            Err(record) => {
                contents.put_back(vec![record]);
                self.interrupt();
                None
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let Some(contents) = &self.contents else { return (0, Some(0)) };
        let records = contents.records.size_hint().1;
        (0, records.map(|records| records + contents.taken.len()))
    }
}

impl FusedIterator for UnackedPage {}
