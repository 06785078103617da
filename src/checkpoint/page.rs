//! Delivers the records of a page.

use std::iter::FusedIterator;
use std::sync::Arc;

use crate::checkpoint::ack_run::RunProgress;
use crate::checkpoint::acker::{ReadSession, UnackedRecord};
use crate::checkpoint::page_contents::PageContents;
use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
use crate::records::record::Record;
use crate::util::received_record::ReceivedRecord;

/// A page of one session, whose records are delivered one by one or together.
///
/// A lease that may not deliver ends the page early. Its session keeps the contents, and the reader
/// yields them again.
pub struct UnackedPage {
    /// `None` once the session keeps them.
    contents: Option<PageContents>,
    session: Arc<ReadSession>,
    /// `None` until a record is taken [in order](Self::next_in_order).
    run: Option<AckRun>,
}

/// The run of a page that acknowledges each record when the next one is taken.
#[derive(Default)]
struct AckRun {
    progress: Arc<RunProgress>,
    /// The records that were delivered, of all runs of the page. While the run is open, the last of
    /// them is in flight.
    delivered: u64,
    is_open: bool,
    /// After how many acknowledgements the session must count them.
    acks_until_report: u64,
}

impl UnackedPage {
    pub(crate) fn new(contents: PageContents, session: Arc<ReadSession>) -> Self {
        Self { contents: Some(contents), session, run: None }
    }

    /// Acknowledges the record that was taken last, since the consumer polls for a record of
    /// another page.
    pub(crate) fn leave(&mut self) {
        if let Some(run) = &mut self.run {
            run.acknowledge_last(&self.session);
            run.close(&self.session);
        }
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
        let mut records = Vec::with_capacity(contents.max_len().unwrap_or(0));
        records.extend(std::iter::from_fn(|| self.session.next_of(&mut contents)));
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

    /// Acknowledges the record that was taken last, and takes the next one.
    #[inline]
    pub(crate) fn next_in_order(&mut self) -> Option<Record> {
        let contents = self.contents.as_mut()?;
        let run = self.run.get_or_insert_default();
        run.acknowledge_last(&self.session);
        if !self.session.may_continue_run() {
            run.close(&self.session);
            self.interrupt();
            return None;
        }
        // Nearly all records are noted where they are, so that each is moved once.
        let Some(next) = contents.peek() else { return self.next_searched() };
        if !run.deliver(next, None, &self.session) {
            self.interrupt();
            return None;
        }
        contents.take_peeked()
    }

    /// Takes the next record, where [`PageContents::peek`] does not know it.
    fn next_searched(&mut self) -> Option<Record> {
        let (contents, run) = (self.contents.as_mut()?, self.run.as_mut()?);
        let Some(record) = self.session.next_of(contents) else {
            run.close(&self.session);
            return None;
        };
        let sub = ExtendedSequenceNumber::sub_sequence_number_of(&record);
        if !run.deliver(&record.received, sub, &self.session) {
            contents.put_back(vec![record]);
            self.interrupt();
            return None;
        }
        Some(record)
    }
}

impl AckRun {
    /// Acknowledges the record in flight, if there is one.
    #[inline]
    fn acknowledge_last(&mut self, session: &ReadSession) {
        if !self.is_open {
            return;
        }
        let is_watched = self.progress.acknowledge(self.delivered);
        self.acks_until_report = self.acks_until_report.saturating_sub(1);
        if is_watched || self.acks_until_report == 0 {
            self.acks_until_report = session.report_run();
        }
    }

    /// Delivers a record. Returns whether it may be delivered.
    #[inline]
    fn deliver(
        &mut self,
        record: &ReceivedRecord,
        sub: Option<u64>,
        session: &ReadSession,
    ) -> bool {
        self.progress.deliver(self.delivered + 1, record, sub);
        if !self.is_open {
            let Some(acks_until_report) = session.open_run(&self.progress) else { return false };
            (self.is_open, self.acks_until_report) = (true, acks_until_report);
        }
        self.delivered += 1;
        true
    }

    /// Closes the run. A record in flight is dropped.
    fn close(&mut self, session: &ReadSession) {
        if std::mem::take(&mut self.is_open) {
            session.close_run();
        }
    }
}

impl Drop for UnackedPage {
    /// Drops the record in flight without a report: the stream of records was dropped.
    fn drop(&mut self) {
        if let Some(run) = &mut self.run
            && run.is_open
        {
            self.session.end();
            run.close(&self.session);
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
        let record = self.session.next_of(contents)?;
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
        (0, self.contents.as_ref().map_or(Some(0), PageContents::max_len))
    }
}

impl FusedIterator for UnackedPage {}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_sdk_kinesis::primitives::Blob;
    use aws_sdk_kinesis::types::{self, Shard};
    use tokio::time::{Duration, Instant};

    use super::*;
    use crate::checkpoint::event::CheckpointEventKind;
    use crate::checkpoint::lease::{DeliveryDeadline, DriverSignal, Lease};
    use crate::checkpoint::memory::MemoryStore;
    use crate::checkpoint::options::CheckpointOptions;
    use crate::checkpoint::resume::ResumePoint;
    use crate::checkpoint::shard_state::{Incarnation, ShardState};
    use crate::checkpoint::shared::Shared;
    use crate::checkpoint::unacked_batch::UnackedBatch;
    use crate::checkpoint::value::Checkpoint;
    use crate::records::batch::Batch;
    use crate::shard::offer::Offer;
    use crate::shard::position::StartPosition;
    use crate::shard::stream_context::StreamContext;

    const SHARD: &str = "shardId-000000000000";

    /// Returns a session whose lease drains when a gap is reported.
    fn session() -> (Arc<ReadSession>, Lease) {
        let deadline = DeliveryDeadline::new(Instant::now());
        let _ = deadline.set(Duration::from_hours(1));
        let lease = Lease::new(SHARD.to_owned(), 7, deadline, DriverSignal::default());
        let options = CheckpointOptions::new().on_event({
            let lease = lease.clone();
            move |event| {
                if matches!(event.kind, CheckpointEventKind::Gap { .. }) {
                    lease.drain();
                }
            }
        });
        let store = Arc::new(MemoryStore::new());
        let shared = Shared::new("orders".into(), store, options, Vec::new());
        let mut state = ShardState::new(SHARD.to_owned(), None);
        state.lease = Some(lease.clone());
        let session = ReadSession::new(Arc::new(shared), Arc::new(state), Incarnation::default());
        (Arc::new(session), lease)
    }

    fn page(numbers: &[&str], resume: ResumePoint, session: &Arc<ReadSession>) -> UnackedPage {
        let record = |number: &&str| {
            let record = types::Record::builder().sequence_number(*number).partition_key("a");
            record.data(Blob::new("data")).build().unwrap().into()
        };
        let shard = Shard::builder().shard_id(SHARD).build().unwrap();
        let context = Arc::new(StreamContext::new("orders".into()));
        let batch = Batch {
            records: numbers.iter().map(record).collect(),
            offer: Arc::new(Offer::new(shard, context, StartPosition::TrimHorizon, [None, None])),
            lag: None,
            received_at: SystemTime::UNIX_EPOCH,
            progress: None,
            #[cfg(feature = "kpl")]
            deaggregation: crate::records::kpl::Deaggregation::Off,
        };
        let records = batch.into_iter();
        let contents = PageContents::new(None, SystemTime::UNIX_EPOCH, records, Arc::new(resume));
        UnackedPage::new(contents, Arc::clone(session))
    }

    /// Returns a resume point whose record has expired.
    fn expired() -> ResumePoint {
        let first = Checkpoint::After { sequence_number: "1".into(), sub_sequence_number: None };
        ResumePoint::from(&first)
    }

    /// Returns the rest of an interrupted page, once the lease delivers again.
    fn rest(session: &Arc<ReadSession>, lease: &Lease) -> UnackedPage {
        lease.resume();
        UnackedPage::new(session.take_undelivered().unwrap(), Arc::clone(session))
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_was_taken_and_may_not_be_delivered_comes_first_in_the_rest() {
        let (session, lease) = session();
        let mut interrupted = page(&["3", "4"], expired(), &session);
        assert!(interrupted.next().is_none());
        assert_eq!(interrupted.size_hint(), (0, Some(0)), "the session keeps the page");
        let rest = rest(&session, &lease);
        assert_eq!(rest.size_hint(), (0, Some(2)));
        let numbers = rest.map(|record| record.ack().sequence_number().to_owned());
        assert_eq!(numbers.collect::<Vec<_>>(), ["3", "4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_cannot_be_delivered_in_order_comes_first_in_the_rest() {
        let (session, lease) = session();
        let mut interrupted = page(&["3", "4"], expired(), &session);
        assert!(interrupted.next_in_order().is_none());
        let mut rest = rest(&session, &lease);
        let mut numbers = Vec::new();
        while let Some(record) = rest.next_in_order() {
            numbers.push(record.sequence_number().to_owned());
        }
        assert_eq!(numbers, ["3", "4"]);
        assert!(session.is_all_acknowledged());
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_was_taken_and_may_not_be_delivered_stays_whole() {
        let (session, lease) = session();
        assert!(UnackedBatch::deliver(page(&["3", "4"], expired(), &session)).is_none());
        let batch = UnackedBatch::deliver(rest(&session, &lease)).unwrap();
        let numbers: Vec<_> = batch.records().iter().map(Record::sequence_number).collect();
        assert_eq!(numbers, ["3", "4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_has_at_most_the_records_that_are_left() {
        let (session, _) = session();
        let mut page = page(&["3", "4", "5"], ResumePoint::default(), &session);
        for left in [2, 1, 0] {
            assert_eq!(page.size_hint(), (0, Some(left + 1)));
            page.next().unwrap().ack();
            assert_eq!(page.size_hint(), (0, Some(left)));
        }
        assert!(page.next().is_none());
    }
}
