//! How far one shard was processed, and how much of that is durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

use crate::checkpoint::ack_window::AckWindow;
use crate::checkpoint::deadline::deadline_in;
use crate::checkpoint::lease::Lease;
use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
use crate::checkpoint::start_barrier::PendingStart;
use crate::checkpoint::value::Checkpoint;
use crate::shard::position::{Progress, StartPosition};
use crate::util::received_shard::ReceivedShard;

/// The checkpoint of a shard that starts over after Kinesis has refused its checkpoint.
const TRIM_HORIZON: Checkpoint = Checkpoint::Start(StartPosition::TrimHorizon);

/// The checkpoint of one shard: the newest, which the readers move, and the durable one, which the
/// save task moves after it.
///
/// Each change has a revision; the shard is *clean* when the last revision is durable. At most one
/// save of a shard is in flight. A change is reported to the save task only if it makes the shard
/// more urgent than it was: the methods that change the checkpoint return that [`Urgency`].
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) id: String,
    state: Mutex<State>,
    /// Wakes the reader, which waits for a save, for its lease, for a shutdown, or at the end of
    /// its shard for the last acknowledgement.
    pub(crate) reader_waker: AtomicWaker,
    /// The records of the last reader.
    session: Mutex<SessionWindow>,
    /// The lease of the shard, where many workers share the stream.
    pub(crate) lease: Option<Lease>,
}

/// The records of one session, and the incarnation that they count for.
#[derive(Clone, Debug, Default)]
struct SessionWindow {
    window: Weak<Mutex<AckWindow>>,
    incarnation: Incarnation,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before the shard is first read, and after it is forgotten.
    checkpoint: Option<Checkpoint>,
    /// The shard as Kinesis described it, once it is opened in this run.
    shard: Option<Shard>,
    /// The children that the end of the shard named.
    children: Vec<ChildShard>,
    /// A checkpoint that Kinesis refused. The store keeps it until a record is acknowledged after
    /// the new start, and the save of that record begins with the start.
    refused: Option<Checkpoint>,
    /// Replaced when the shard is forgotten or started over: later acknowledgements of records of
    /// the replaced incarnation do not count.
    incarnation: Incarnation,
    /// The number of the last change.
    revision: u64,
    /// The number of the last change that is durable.
    durable_revision: u64,
    /// The revision of a start that other readers wait for.
    pending_start: Option<(u64, PendingStart)>,
    /// Records acknowledged since the last save began.
    records_since_save: u64,
    is_saving: bool,
    /// How soon the next save is due.
    urgency: Urgency,
    /// When a save with [`Urgency::Later`] is due.
    due_at: Option<Instant>,
    /// Whether the save queue holds the shard for that time.
    is_queued: bool,
    /// Failed saves in a row.
    failures: u32,
    /// When the oldest change that is not durable was due.
    overdue_since: Option<Instant>,
}

/// A shard from its first read session until it is forgotten or started over.
///
/// Its records are counted as they are first delivered. A later session begins with the first
/// record that the checkpoint has not passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incarnation {
    delivered: Arc<AtomicU64>,
    /// How many records the checkpoint had passed when the session began. In [`State`], how many
    /// it has passed by now.
    passed: u64,
}

impl Incarnation {
    /// Notes that the session has delivered this many records so far.
    pub(crate) fn note_delivered(&self, records: u64) {
        let delivered = self.passed + records;
        // Each acknowledgement comes here too, and nearly always finds it noted.
        if self.delivered.load(Ordering::Relaxed) < delivered {
            self.delivered.fetch_max(delivered, Ordering::Relaxed);
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.delivered, &other.delivered)
    }
}

/// How soon a shard should be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// No save is due, or the save task knows already how soon the next one is.
    #[default]
    None,
    /// A save is due when the save interval has passed.
    Later,
    /// A save is due now.
    Now,
}

/// The change of one shard that a save makes durable.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    /// `None` forgets the shard.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) shard: Option<Shard>,
    pub(crate) children: Vec<ChildShard>,
    /// Whether this is the start that precedes the first checkpoint after a refused one.
    is_start_over: bool,
}

/// A failed save.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SaveFailure {
    /// The number of failures in a row.
    pub(crate) failures: u32,
    /// Whether the shard became urgent during the save.
    pub(crate) is_urgent: bool,
}

impl ShardState {
    pub(crate) fn new(id: String, checkpoint: Option<Checkpoint>) -> Self {
        let state = Mutex::new(State { checkpoint, ..State::default() });
        let (reader_waker, session) = (AtomicWaker::new(), Mutex::default());
        Self { id, state, reader_waker, session, lease: None }
    }

    /// Creates the state of a shard whose lease was granted.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn leased(id: String, checkpoint: Checkpoint, lease: Lease) -> Self {
        Self { lease: Some(lease), ..Self::new(id, Some(checkpoint)) }
    }

    /// Ends the state of a shard whose lease has ended: nothing of it is saved any longer.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn retire(&self) {
        let mut state = self.lock();
        state.incarnation = Incarnation::default();
        state.durable_revision = state.revision;
        state.refused = None;
        let pending = state.pending_start.take();
        drop(state);
        drop(pending);
        self.reader_waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the records of a new reader.
    pub(crate) fn track_window(&self, window: &Arc<Mutex<AckWindow>>, incarnation: &Incarnation) {
        let (window, incarnation) = (Arc::downgrade(window), incarnation.clone());
        let session = SessionWindow { window, incarnation };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn session(&self) -> SessionWindow {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of records in flight, and since when the checkpoint is held by one that
    /// is not acknowledged.
    pub(crate) fn unacknowledged(&self) -> (u64, Option<Instant>) {
        let Some(window) = self.session().window.upgrade() else { return (0, None) };
        let window = window.lock().unwrap_or_else(PoisonError::into_inner);
        (window.in_flight(), window.held_since())
    }

    /// Counts the records of an open run, which its page does not report one by one.
    #[must_use]
    pub(crate) fn count_run(&self, save_records: u32) -> Urgency {
        let SessionWindow { window, incarnation } = self.session();
        let Some(window) = window.upgrade() else { return Urgency::None };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let position = window.count_run(true);
        self.advance_to_prefix(&incarnation, &window, position, save_records)
    }

    /// Notes what the window has delivered, and moves the checkpoint to the end of its prefix, if
    /// that has grown.
    #[must_use]
    pub(crate) fn advance_to_prefix(
        &self,
        incarnation: &Incarnation,
        window: &AckWindow,
        position: Option<ExtendedSequenceNumber<'_>>,
        save_records: u32,
    ) -> Urgency {
        incarnation.note_delivered(window.delivered());
        position.map_or(Urgency::None, |position| {
            self.advance(incarnation, window.acknowledged(), &position, save_records)
        })
    }

    /// Returns whether the reader delivers records that are acknowledged in order.
    pub(crate) fn has_open_run(&self) -> bool {
        let window = self.session().window.upgrade();
        window.is_some_and(|window| {
            window.lock().unwrap_or_else(PoisonError::into_inner).has_open_run()
        })
    }

    /// Returns how many acknowledgements of a run need no report: until one schedules a save, or
    /// makes it due now.
    pub(crate) fn acks_until_report(&self, save_records: u32) -> u64 {
        let state = self.lock();
        if state.is_clean() {
            return 1;
        }
        let left = u64::from(save_records).saturating_sub(state.records_since_save);
        if left == 0 { save_records.into() } else { left }
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.lock().checkpoint.clone()
    }

    /// Returns the checkpoint that the store holds once the shard is clean.
    pub(crate) fn stored(&self) -> Option<Checkpoint> {
        let state = self.lock();
        state.refused.as_ref().or(state.checkpoint.as_ref()).cloned()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.lock().is_clean()
    }

    /// Returns how far the shard is, for the stream of shards.
    ///
    /// A finished shard frees its children, so an end that is not durable does not count as one.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let state = self.lock();
        match &state.checkpoint {
            Some(Checkpoint::End) if !state.is_clean() => {
                Some(Progress::At(StartPosition::TrimHorizon))
            }
            checkpoint => checkpoint.clone().map(Progress::from),
        }
    }

    /// Opens the shard for a reader. Returns its incarnation and the checkpoint to continue from.
    pub(crate) fn open(&self, shard: &ReceivedShard) -> (Incarnation, Option<Checkpoint>) {
        let mut state = self.lock();
        state.shard.get_or_insert_with(|| shard.to_sdk());
        (state.incarnation.clone(), state.checkpoint.clone())
    }

    /// Sets the start of a shard that is read for the first time. `pending` is dropped when the
    /// start is durable, or never will be.
    pub(crate) fn set_start(
        &self,
        incarnation: &Incarnation,
        shard: &ReceivedShard,
        checkpoint: Checkpoint,
        pending: Option<PendingStart>,
    ) -> Urgency {
        let mut state = self.lock();
        if !state.incarnation.is_same_as(incarnation) {
            return Urgency::None;
        }
        state.shard = Some(shard.to_sdk());
        state.checkpoint = Some(checkpoint);
        let urgency = state.change(Urgency::Now);
        let revision = state.revision;
        let replaced = pending.and_then(|pending| state.pending_start.replace((revision, pending)));
        drop(state);
        drop(replaced);
        urgency
    }

    /// Starts the shard over, since Kinesis refused its checkpoint, and returns its new
    /// incarnation; `None` if `incarnation` is over. Pending until that checkpoint is durable.
    ///
    /// Nothing is saved yet: the refusal may come from another stream of the same name.
    pub(crate) fn poll_start_over(&self, incarnation: &Incarnation) -> Poll<Option<Incarnation>> {
        let mut state = self.lock();
        if !state.incarnation.is_same_as(incarnation) {
            return Poll::Ready(None);
        }
        if !state.is_clean() {
            return Poll::Pending;
        }
        state.incarnation = Incarnation::default();
        let refused = state.checkpoint.replace(TRIM_HORIZON);
        state.refused = state.refused.take().or(refused);
        Poll::Ready(Some(state.incarnation.clone()))
    }

    /// Moves the start of the shard back to an earlier time, unless a record was acknowledged.
    #[must_use]
    pub(crate) fn move_start_back(
        &self,
        incarnation: &Incarnation,
        start: StartPosition,
    ) -> Urgency {
        let mut state = self.lock();
        if !state.incarnation.is_same_as(incarnation)
            || !matches!(state.checkpoint, Some(Checkpoint::Start(_)))
        {
            return Urgency::None;
        }
        state.checkpoint = Some(Checkpoint::Start(start));
        state.change(Urgency::Now)
    }

    /// Returns whether the shard was not forgotten or started over since.
    pub(crate) fn is_current(&self, incarnation: &Incarnation) -> bool {
        self.lock().incarnation.is_same_as(incarnation)
    }

    /// Moves the checkpoint to `position`, the end of the acknowledged prefix of a session, which
    /// has `prefix_len` records. The checkpoint never moves back. With `save_records` records since
    /// the last save, the next is due now.
    #[must_use]
    pub(crate) fn advance(
        &self,
        incarnation: &Incarnation,
        prefix_len: u64,
        position: &ExtendedSequenceNumber<'_>,
        save_records: u32,
    ) -> Urgency {
        let mut state = self.lock();
        if !state.incarnation.is_same_as(incarnation) {
            return Urgency::None;
        }
        match &mut state.checkpoint {
            Some(checkpoint) if checkpoint.is_before(position) => checkpoint.move_to(position),
            _ => return Urgency::None,
        }
        let passed = incarnation.passed + prefix_len;
        // After a gap, a later session has fewer records than the one before.
        state.records_since_save += passed.saturating_sub(state.incarnation.passed).max(1);
        state.incarnation.passed = state.incarnation.passed.max(passed);
        // While the store fails, the backoff decides.
        let is_due = state.records_since_save >= u64::from(save_records) && state.failures == 0;
        state.change(if is_due { Urgency::Now } else { Urgency::Later })
    }

    /// Ends the shard: all its records were acknowledged, and Kinesis has closed it.
    #[must_use]
    pub(crate) fn finish(&self, incarnation: &Incarnation, children: &[ChildShard]) -> Urgency {
        let mut state = self.lock();
        if !state.incarnation.is_same_as(incarnation) || state.checkpoint == Some(Checkpoint::End) {
            return Urgency::None;
        }
        state.checkpoint = Some(Checkpoint::End);
        state.children = children.to_vec();
        state.change(Urgency::Now)
    }

    /// Forgets the shard, which Kinesis no longer lists.
    #[must_use]
    pub(crate) fn forget(&self) -> Urgency {
        let mut state = self.lock();
        state.incarnation = Incarnation::default();
        state.shard = None;
        state.children = Vec::new();
        state.refused = None;
        if state.checkpoint.take().is_none() {
            return Urgency::None;
        }
        let urgency = state.change(Urgency::Later);
        drop(state);
        self.reader_waker.wake();
        urgency
    }

    /// Waits until the shard is clean.
    pub(crate) fn poll_durable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader_waker.register(cx.waker());
        if self.is_clean() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the last revision, if it is not durable.
    pub(crate) fn unsaved_revision(&self) -> Option<u64> {
        let state = self.lock();
        (!state.is_clean()).then_some(state.revision)
    }

    pub(crate) fn is_durable(&self, revision: u64) -> bool {
        self.lock().durable_revision >= revision
    }

    /// Returns for how long a change has been due that is not durable.
    pub(crate) fn unsaved_for(&self) -> Option<Duration> {
        Instant::now().checked_duration_since(self.lock().overdue_since?)
    }

    /// Returns how many records were delivered, of those that this lease or run has read.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn delivered(&self) -> u64 {
        let SessionWindow { window, incarnation } = self.session();
        if let Some(window) = window.upgrade() {
            let window = window.lock().unwrap_or_else(PoisonError::into_inner);
            incarnation.note_delivered(window.delivered());
        }
        self.lock().incarnation.delivered.load(Ordering::Relaxed)
    }

    /// Returns whether delivered records come again: the checkpoint is before a record that was
    /// dropped or is in flight.
    pub(crate) fn is_held(&self) -> bool {
        let state = self.lock();
        let is_behind =
            state.incarnation.passed < state.incarnation.delivered.load(Ordering::Relaxed);
        is_behind && state.checkpoint != Some(Checkpoint::End)
    }

    /// Returns whether the shard was opened in this run.
    pub(crate) fn is_opened(&self) -> bool {
        self.lock().shard.is_some()
    }

    /// Returns whether the shard has neither a checkpoint nor a reader, durably.
    pub(crate) fn is_forgotten(&self) -> bool {
        let state = self.lock();
        state.checkpoint.is_none() && state.shard.is_none() && state.is_clean()
    }

    /// Makes a shard that is not clean due now.
    #[must_use]
    pub(crate) fn save_now(&self) -> Urgency {
        let mut state = self.lock();
        if state.is_clean() { Urgency::None } else { state.raise(Urgency::Now) }
    }

    /// Sets when the next save is due. Returns the time for the save queue, unless the queue holds
    /// the shard already.
    pub(crate) fn queue_in(&self, wait: Duration) -> Option<Instant> {
        let mut state = self.lock();
        let at = deadline_in(wait);
        state.due_at = Some(at);
        state.overdue_since.get_or_insert(at);
        (!std::mem::replace(&mut state.is_queued, true)).then_some(at)
    }

    /// Takes the shard from the save queue. Returns the time at which to queue it again, if its
    /// save was put off meanwhile.
    pub(crate) fn dequeue(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let later = state.due_at.filter(|at| *at > now && state.urgency != Urgency::None);
        state.is_queued = later.is_some();
        later
    }

    /// Begins a save. Returns `None` if the shard is clean, or a save is in flight.
    pub(crate) fn begin_save(&self) -> Option<Change> {
        let mut state = self.lock();
        if state.is_saving {
            return None;
        }
        if state.is_clean() {
            (state.urgency, state.overdue_since) = (Urgency::None, None);
            return None;
        }
        state.is_saving = true;
        state.urgency = Urgency::None;
        state.records_since_save = 0;
        state.mark_due();
        let State { revision, checkpoint, shard, children, .. } = &*state;
        if state.refused.is_some() {
            // The new sequence number may be less than the refused one, and only a start may take
            // the place of a greater one.
            return Some(Change {
                revision: state.durable_revision,
                checkpoint: Some(TRIM_HORIZON),
                shard: shard.clone(),
                children: Vec::new(),
                is_start_over: true,
            });
        }
        Some(Change {
            revision: *revision,
            checkpoint: checkpoint.clone(),
            shard: shard.clone(),
            children: children.clone(),
            is_start_over: false,
        })
    }

    /// Ends a save that the store has confirmed. Returns how soon the next one is due.
    #[must_use]
    pub(crate) fn confirm_save(&self, change: &Change) -> Urgency {
        let mut state = self.lock();
        state.is_saving = false;
        state.failures = 0;
        if change.is_start_over {
            state.refused = None;
            state.urgency = Urgency::None;
            // The checkpoint after the start follows at once.
            return state.raise(Urgency::Now);
        }
        state.overdue_since = None;
        state.durable_revision = change.revision;
        let started = state.pending_start.take_if(|(revision, _)| *revision <= change.revision);
        // A shard that became urgent during the save still is.
        let urgency = std::mem::take(&mut state.urgency).max(Urgency::Later);
        let urgency = if state.is_clean() { Urgency::None } else { state.raise(urgency) };
        drop(state);
        drop(started);
        self.reader_waker.wake();
        urgency
    }

    /// Ends a save that failed.
    pub(crate) fn fail_save(&self) -> SaveFailure {
        let mut state = self.lock();
        state.is_saving = false;
        let is_urgent = std::mem::replace(&mut state.urgency, Urgency::Later) == Urgency::Now;
        state.failures = state.failures.saturating_add(1);
        SaveFailure { failures: state.failures, is_urgent }
    }

    /// Ends a save whose save task is gone: it may have taken effect or not.
    pub(crate) fn abandon_save(&self) {
        let mut state = self.lock();
        state.is_saving = false;
        state.urgency = Urgency::None;
    }
}

impl State {
    fn is_clean(&self) -> bool {
        self.revision == self.durable_revision
    }

    /// Counts a change of the checkpoint, and raises the urgency to save it.
    fn change(&mut self, urgency: Urgency) -> Urgency {
        self.revision += 1;
        self.raise(urgency)
    }

    /// Notes that the oldest change that is not durable is due by now.
    fn mark_due(&mut self) {
        let now = Instant::now();
        self.overdue_since = Some(self.overdue_since.map_or(now, |since| since.min(now)));
    }

    /// Raises the urgency. Returns the new one if the save task does not know of it yet.
    fn raise(&mut self, urgency: Urgency) -> Urgency {
        if urgency <= self.urgency {
            return Urgency::None;
        }
        self.urgency = urgency;
        if urgency == Urgency::Now {
            self.mark_due();
        }
        // The save task checks again when the save in flight has ended.
        if self.is_saving { Urgency::None } else { urgency }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::DateTime;
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MANY: u32 = 1_000;

    fn at(number: &str) -> ExtendedSequenceNumber<'_> {
        ExtendedSequenceNumber::new(number, None)
    }

    /// Returns a shard whose start is durable, and its incarnation.
    fn started() -> (ShardState, Incarnation) {
        let shard = Shard::builder().shard_id("shardId-000000000000").build().unwrap();
        let shard = ReceivedShard::from(shard);
        let state = ShardState::new(shard.shard_id().to_owned(), None);
        let (incarnation, _) = state.open(&shard);
        assert_eq!(state.set_start(&incarnation, &shard, TRIM_HORIZON, None), Urgency::Now);
        save(&state);
        (state, incarnation)
    }

    fn save(state: &ShardState) {
        let change = state.begin_save().unwrap();
        assert_eq!(state.confirm_save(&change), Urgency::None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_moves_back_until_a_record_is_acknowledged() {
        let earlier = StartPosition::Timestamp(DateTime::from_secs(7));
        let (state, incarnation) = started();
        let move_back = |of: &Incarnation| state.move_start_back(of, earlier.clone());
        assert_eq!(move_back(&Incarnation::default()), Urgency::None);
        assert_eq!(state.checkpoint(), Some(TRIM_HORIZON));
        assert_eq!(move_back(&incarnation), Urgency::Now);
        assert_eq!(state.checkpoint(), Some(Checkpoint::Start(earlier.clone())));
        save(&state);
        assert_eq!(state.advance(&incarnation, 1, &at("8"), MANY), Urgency::Later);
        assert_eq!(move_back(&incarnation), Urgency::None);
        assert_eq!(state.checkpoint().unwrap().to_string(), "8");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_current_incarnation_ends_a_shard_and_once() {
        let (state, incarnation) = started();
        assert!(state.is_current(&incarnation) && !state.is_current(&Incarnation::default()));
        assert_eq!(state.finish(&Incarnation::default(), &[]), Urgency::None);
        assert_eq!(state.checkpoint(), Some(TRIM_HORIZON));
        assert_eq!(state.finish(&incarnation, &[]), Urgency::Now);
        save(&state);
        assert_eq!(state.finish(&incarnation, &[]), Urgency::None);
        assert!(state.is_clean() && state.checkpoint() == Some(Checkpoint::End));
        assert_eq!(state.forget(), Urgency::Later);
        assert!(!state.is_current(&incarnation));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_unsaved_since_it_was_due() {
        let (state, incarnation) = started();
        assert_eq!(state.unsaved_for(), None);
        assert_eq!(state.advance(&incarnation, 1, &at("7"), MANY), Urgency::Later);
        assert!(state.queue_in(5 * SECOND).is_some());
        advance(4 * SECOND).await;
        assert_eq!(state.unsaved_for(), None, "it is not due");
        advance(3 * SECOND).await;
        assert_eq!(state.unsaved_for(), Some(2 * SECOND));
        save(&state);
        assert_eq!(state.unsaved_for(), None);

        assert_eq!(state.advance(&incarnation, 2, &at("8"), MANY), Urgency::Later);
        state.queue_in(50 * SECOND);
        advance(SECOND).await;
        assert_eq!(state.save_now(), Urgency::Now);
        advance(SECOND).await;
        assert_eq!(state.unsaved_for(), Some(SECOND));
        assert!(state.begin_save().is_some());
        advance(SECOND).await;
        assert_eq!(state.unsaved_for(), Some(2 * SECOND), "it is due until it is confirmed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_save_that_was_put_off_is_queued_again_and_one_that_was_made_is_not() {
        let (state, incarnation) = started();
        assert_eq!(state.advance(&incarnation, 1, &at("7"), MANY), Urgency::Later);
        let first = state.queue_in(SECOND).unwrap();
        assert_eq!(state.queue_in(5 * SECOND), None, "it is queued already");
        let later = first + 4 * SECOND;
        assert_eq!(state.dequeue(first), Some(later));
        assert_eq!(state.dequeue(later), None);
        assert!(state.queue_in(SECOND).is_some());
        save(&state);
        assert_eq!(state.dequeue(first), None);
    }
}
