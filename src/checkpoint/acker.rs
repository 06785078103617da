//! A record and its acknowledgement.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_kinesis::types::ChildShard;
use futures::task::AtomicWaker;
use tokio::time::Instant;

use crate::checkpoint::ack_run::RunProgress;
use crate::checkpoint::ack_window::{AckWindow, RecordRange};
use crate::checkpoint::event::CheckpointEventKind;
use crate::checkpoint::lease::Lease;
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease_lost::LeaseLost;
use crate::checkpoint::page_contents::PageContents;
use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
use crate::checkpoint::shard_state::{Incarnation, ShardState, Urgency};
use crate::checkpoint::shared::Shared;
use crate::checkpoint::value::Checkpoint;
use crate::records::record::Record;

/// One session of reading one shard: the delivered records, and which of them were acknowledged.
pub(crate) struct ReadSession {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: Arc<ShardState>,
    pub(crate) incarnation: Incarnation,
    window: Arc<Mutex<AckWindow>>,
    /// Whether the reader has ended.
    has_ended: AtomicBool,
    /// Whether the reader has delivered all records, and waits for their acknowledgement.
    awaits_acks: AtomicBool,
    /// The rest of a page whose delivery was interrupted: the lease may not deliver now.
    undelivered: Mutex<Option<PageContents>>,
}

impl ReadSession {
    pub(crate) fn new(
        shared: Arc<Shared>,
        state: Arc<ShardState>,
        incarnation: Incarnation,
    ) -> Self {
        let window = Arc::default();
        state.track_window(&window, &incarnation);
        Self {
            shared,
            state,
            incarnation,
            window,
            has_ended: AtomicBool::new(false),
            awaits_acks: AtomicBool::new(false),
            undelivered: Mutex::default(),
        }
    }

    fn window(&self) -> MutexGuard<'_, AckWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the arrival of a page, whose records are delivered next.
    pub(crate) fn receive_page(&self) {
        self.window().receive_page(Instant::now());
    }

    /// Returns whether every delivered record was acknowledged or dropped.
    pub(crate) fn is_settled(&self) -> bool {
        self.window().is_settled()
    }

    /// Returns whether every delivered record was acknowledged.
    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.window().is_all_acknowledged()
    }

    /// Returns whether records may be delivered now, as far as the lease is concerned.
    #[inline]
    pub(crate) fn may_deliver(&self) -> bool {
        self.state.lease.as_ref().is_none_or(Lease::may_deliver)
    }

    /// Returns whether there is no lease, or it is neither being given away nor over.
    pub(crate) fn is_delivering(&self) -> bool {
        self.state.lease.as_ref().is_none_or(Lease::is_delivering)
    }

    /// Takes the next record of a page that was not acknowledged before. Reports a gap before it.
    #[inline]
    pub(crate) fn next_of(&self, page: &mut PageContents) -> Option<Record> {
        page.next(|expired, first| self.report_gap(expired, Some(first.sequence_number())))
    }

    /// Reports that records after a checkpoint have expired unread, up to the `first` that has not.
    pub(crate) fn report_gap(&self, after: &Checkpoint, first: Option<&str>) {
        self.shared.report_gap(&self.state.id, after, first);
    }

    /// Delivers a record. Returns the record after a shutdown, and if the lease may not deliver.
    #[expect(clippy::result_large_err, reason = "the record goes back into its page")]
    pub(crate) fn deliver(self: &Arc<Self>, record: Record) -> Result<UnackedRecord, Record> {
        match self.take_token(1) {
            Some(token) => Ok(UnackedRecord { record, token }),
            None => Err(record),
        }
    }

    /// Counts `records` as delivered. Returns `None` after a shutdown, and if the lease may not
    /// deliver.
    pub(crate) fn take_token(self: &Arc<Self>, records: u64) -> Option<AckToken> {
        let range = self.deliver_by(records, |window| window.deliver(records))?;
        Some(AckToken { session: Some(Arc::clone(self)), range })
    }

    /// Counts `records` as delivered, by `deliver`. Returns `None` after a shutdown, and if the
    /// lease may not deliver.
    fn deliver_by<T>(&self, records: u64, deliver: impl FnOnce(&mut AckWindow) -> T) -> Option<T> {
        if !self.shared.in_flight.add(records) {
            return None;
        }
        let mut window = self.window();
        // Under the lock: a lease that drains counts the records in flight under it, too.
        if self.state.lease.as_ref().is_some_and(|lease| !lease.is_delivering()) {
            drop(window);
            self.shared.in_flight.remove(records);
            return None;
        }
        let delivered = deliver(&mut window);
        self.incarnation.note_delivered(window.delivered());
        Some(delivered)
    }

    /// Returns whether a further record of an open run may be delivered.
    #[inline]
    pub(crate) fn may_continue_run(&self) -> bool {
        !self.shared.is_shut_down() && self.may_deliver()
    }

    /// Opens a run with the record that its page has delivered last: each record is acknowledged
    /// when the next one is delivered. Returns after how many acknowledgements the page must report
    /// the run, or `None` as [`take_token`](Self::take_token) does.
    pub(crate) fn open_run(&self, progress: &Arc<RunProgress>) -> Option<u64> {
        self.deliver_by(1, |window| window.open_run(progress))?;
        Some(self.state.acks_until_report(self.shared.options.save_records))
    }

    /// Reports the acknowledgements of the open run. Returns after how many more of them the page
    /// must report it again.
    pub(crate) fn report_run(&self) -> u64 {
        let mut window = self.window();
        let position = window.count_run(false);
        let urgency = self.advance(&window, position);
        drop(window);
        self.shared.schedule(&self.state, urgency);
        self.state.acks_until_report(self.shared.options.save_records)
    }

    /// Closes the open run. A record in flight is dropped.
    pub(crate) fn close_run(&self) {
        let mut window = self.window();
        let position = window.close_run();
        let urgency = self.advance(&window, position);
        let is_settled = window.is_settled();
        drop(window);
        self.shared.schedule(&self.state, urgency);
        self.settle(1, is_settled);
    }

    /// Moves the checkpoint to the end of the prefix, if that has grown. The window is locked, so
    /// that prefixes arrive in their order.
    fn advance(&self, window: &AckWindow, position: Option<ExtendedSequenceNumber<'_>>) -> Urgency {
        let save_records = self.shared.options.save_records;
        self.state.advance_to_prefix(&self.incarnation, window, position, save_records)
    }

    /// Keeps the rest of a page until the lease may deliver again.
    pub(crate) fn keep_undelivered(&self, page: PageContents) {
        if self.state.lease.is_some() {
            *self.undelivered.lock().unwrap_or_else(PoisonError::into_inner) = Some(page);
        }
    }

    /// Takes the rest of a page that was kept.
    pub(crate) fn take_undelivered(&self) -> Option<PageContents> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that all records were delivered, and that the reader waits for their acknowledgement.
    pub(crate) fn await_acks(&self) {
        self.awaits_acks.store(true, Ordering::Relaxed);
    }

    /// Returns whether nothing is delivered before the records in flight are acknowledged: the
    /// shard has ended, or its lease is given away.
    fn awaits_acks(&self) -> bool {
        let is_draining = self.state.lease.as_ref().is_some_and(Lease::is_draining);
        self.awaits_acks.load(Ordering::Relaxed) || is_draining
    }

    /// Ends the session. Records that are dropped after this are expected, and not reported.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Ends the shard: all its records were acknowledged, and Kinesis has closed it.
    pub(crate) fn finish(&self, children: &[ChildShard]) {
        let urgency = self.state.finish(&self.incarnation, children);
        self.shared.schedule(&self.state, urgency);
    }

    fn acknowledge(&self, range: RecordRange, position: ExtendedSequenceNumber<'_>) {
        let mut window = self.window();
        let last = window.acknowledge(range, position);
        let urgency = self.advance(&window, last);
        let is_settled = window.is_settled();
        drop(window);
        self.shared.schedule(&self.state, urgency);
        self.settle(range.len, is_settled);
    }

    fn drop_range(&self, range: RecordRange) {
        let mut window = self.window();
        let is_first = window.drop_range(range);
        let is_settled = window.is_settled();
        drop(window);
        if is_first && !self.has_ended.load(Ordering::Relaxed) {
            let (stream, shard) = (self.shared.stream.name(), self.state.id.as_str());
            let number = range.first;
            tracing::warn!(
                stream,
                shard,
                number,
                "a record was dropped without acknowledgement: the checkpoint of its shard stays \
                 before it"
            );
            self.shared.report(shard, CheckpointEventKind::Unacknowledged { number });
        }
        self.settle(range.len, is_settled);
    }

    fn settle(&self, records: u64, is_settled: bool) {
        self.shared.in_flight.remove(records);
        if !is_settled {
            return;
        }
        // The reader sets this before it locks the window: either it has found the window settled,
        // or this finds the flag set.
        if self.awaits_acks.load(Ordering::Relaxed) {
            self.state.reader_waker.wake();
        }
        if let Some(lease) = &self.state.lease {
            lease.settled();
        }
    }
}

/// The right to acknowledge one record or page, once.
pub(crate) struct AckToken {
    /// `None` once the range is acknowledged, or has joined the one before it.
    session: Option<Arc<ReadSession>>,
    range: RecordRange,
}

impl AckToken {
    /// Acknowledges the range, whose last record is at `position`.
    pub(crate) fn acknowledge(mut self, position: ExtendedSequenceNumber<'_>) {
        if let Some(session) = self.session.take() {
            session.acknowledge(self.range, position);
        }
    }

    /// Adds the range that was delivered next. Returns its token if that is of another session, or
    /// does not follow.
    pub(crate) fn join(&mut self, mut next: Self) -> Option<Self> {
        let is_next = match (&self.session, &next.session) {
            (Some(session), Some(other)) => {
                Arc::ptr_eq(session, other) && self.range.end() == next.range.first
            }
            _ => false,
        };
        if !is_next {
            return Some(next);
        }
        self.range.len += next.range.len;
        next.session = None;
        None
    }

    /// Returns whether the shard waits for the acknowledgement.
    pub(crate) fn is_awaited(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.awaits_acks())
    }

    /// Waits until the records may be processed, and returns whether they may. They may not once
    /// the lease has ended: they come again at its new owner, and their drop is expected.
    pub(crate) fn poll_permit(
        &self,
        waker: &mut Option<Arc<AtomicWaker>>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let Some(session) = &self.session else { return Poll::Ready(true) };
        let Some(lease) = &session.state.lease else { return Poll::Ready(true) };
        let permit = lease.poll_held(waker, cx);
        if permit == Poll::Ready(false) {
            session.end();
        }
        permit
    }

    /// Returns the lease of the shard, where many workers share the stream.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.session.as_ref()?.state.lease.as_ref()
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.drop_range(self.range);
        }
    }
}

/// A record to be acknowledged when it is processed. It derefs to the [`Record`].
///
/// A shard's checkpoint is the last record up to which all records are acknowledged. Records may
/// be acknowledged in any order, from any task. A record that is dropped without acknowledgement
/// holds the checkpoint of its shard: after a restart, that record and all that follow it come
/// again. If the shard ends first, it is read again from its checkpoint at once, and its children
/// wait.
///
/// So acknowledge the records that you filter out, too.
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, all_shards};
/// # use kinesis_shards::checkpoint::Checkpoint;
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kinesis = FakeKinesis::new();
/// # let orders = kinesis.create_stream("orders", 1);
/// # orders.put("customer 1", "an order");
/// # orders.put("customer 1", "another");
/// # let client = kinesis.client();
/// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
/// let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
///
/// let first = records.try_next().await?.expect("an order");
/// let second = records.try_next().await?.expect("another");
/// let second = second.ack(); // the checkpoint stays before the first record
/// # let checkpoint = || checkpoints.get("shardId-000000000000");
/// # assert!(matches!(checkpoint(), Some(Checkpoint::Start(_))));
///
/// let (record, acker) = first.into_parts();
/// println!("{} {} bytes", record.sequence_number(), record.data().len());
/// acker.ack(); // the checkpoint moves past both records
/// # let last = second.sequence_number();
/// # assert_eq!(checkpoint().unwrap().to_string(), last);
/// # Ok(())
/// # }
/// ```
#[must_use = "a record that is dropped without `ack` holds the checkpoint of its shard"]
pub struct UnackedRecord {
    pub(crate) record: Record,
    pub(crate) token: AckToken,
}

impl UnackedRecord {
    /// Acknowledges the record: it was processed and need not come again.
    ///
    /// An acknowledgement sends no request and does not wait. The checkpoint is saved later: see
    /// [`CheckpointOptions`](super::CheckpointOptions).
    pub fn ack(self) -> Record {
        let Self { record, token } = self;
        token.acknowledge(ExtendedSequenceNumber::of(&record));
        record
    }

    /// Acknowledges the record as [`ack`](Self::ack) does, and reports if that has no effect. A
    /// record of a shard without a lease is always acknowledged.
    ///
    /// `Ok` means that the lease had not ended as far as this worker knew. The checkpoint is saved
    /// later, and a loss of the lease before that repeats the record.
    ///
    /// ```
    /// # use kinesis_shards::checkpoint::UnackedRecord;
    /// # fn example(record: UnackedRecord) {
    /// if let Err(lost) = record.try_ack() {
    ///     eprintln!("{lost}"); // ... has no effect: the lease was taken by worker worker-2
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LeaseLost`] with the record, if the lease has ended: the record comes again at the new
    /// owner.
    #[cfg(feature = "dynamodb")]
    pub fn try_ack(self) -> Result<Record, LeaseLost<Record>> {
        let lease = self.lease().cloned();
        LeaseLost::check(lease, self.ack())
    }

    /// Returns the lease of the record's shard, where many workers share the stream
    /// ([`AllShards::leased`](crate::AllShards::leased)).
    #[cfg(feature = "dynamodb")]
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.token.lease()
    }

    /// Splits this into the record and its acknowledgement, which may go to different tasks.
    pub fn into_parts(self) -> (Record, Acker) {
        let Self { record, token } = self;
        let acker = Acker::new(&record, token);
        (record, acker)
    }
}

impl Deref for UnackedRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl fmt::Debug for UnackedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnackedRecord").field(&self.record).finish()
    }
}

/// The acknowledgement of a record or a page: see [`UnackedRecord::into_parts`] and
/// [`UnackedBatch::into_parts`](super::UnackedBatch::into_parts).
///
/// See the example of [`UnackedRecord`].
#[must_use = "a record whose acknowledgement is dropped holds the checkpoint of its shard"]
pub struct Acker {
    /// The position of the record, or of the last record of the page.
    position: ExtendedSequenceNumber<'static>,
    token: AckToken,
}

impl Acker {
    pub(crate) fn new(last: &Record, token: AckToken) -> Self {
        Self { position: ExtendedSequenceNumber::of(last).into_owned(), token }
    }

    /// Acknowledges the record or the page: it was processed and need not come again.
    pub fn ack(self) {
        self.token.acknowledge(self.position);
    }

    /// Acknowledges the record or the page as [`ack`](Self::ack) does, and reports if that has no
    /// effect: see [`UnackedRecord::try_ack`].
    ///
    /// # Errors
    ///
    /// [`LeaseLost`], if the lease of the shard has ended.
    #[cfg(feature = "dynamodb")]
    pub fn try_ack(self) -> Result<(), LeaseLost<()>> {
        let lease = self.lease().cloned();
        self.ack();
        LeaseLost::check(lease, ())
    }

    /// Returns the lease of the shard, where many workers share the stream: see
    /// [`UnackedRecord::lease`].
    #[cfg(feature = "dynamodb")]
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.token.lease()
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acker")
            .field("shard_id", &self.token.session.as_ref().map(|session| &session.state.id))
            .field("sequence_number", &self.position.sequence_number())
            .finish_non_exhaustive()
    }
}
