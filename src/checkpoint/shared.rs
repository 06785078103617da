//! What the parts of one consumer share: its shards' checkpoints, and the saver's work.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aws_sdk_kinesis::types::Shard;
use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

use crate::checkpoint::claims::Claims;
use crate::checkpoint::event::{CheckpointEvent, CheckpointEventKind};
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::shard_state::{Incarnation, ShardState, Want};
use crate::checkpoint::store::CheckpointStore;
use crate::checkpoint::value::Checkpoint;
use crate::checkpoint::waiters::Waiters;
use crate::shard::stream_id::StreamId;

pub(crate) struct Shared {
    pub(crate) stream: StreamId,
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) options: CheckpointOptions,
    pub(crate) claims: Arc<Claims>,
    /// The ARN that the stream was first named by, of checkpoints loaded by the bare name.
    arn: OnceLock<StreamId>,
    /// In order, so that a simulation comes out the same each time.
    entries: Mutex<BTreeMap<String, Arc<ShardState>>>,
    queue: Mutex<Queue>,
    pub(crate) saver: AtomicWaker,
    has_saver: AtomicBool,
    /// The number of the saver that is in charge. It is locked while that is polled, so that
    /// another takes over only between its polls.
    saver_number: Mutex<u64>,
    /// When the saver is to be polled again, at the latest.
    saver_due: Mutex<Option<Instant>>,
    /// Shards that are to be read from the tip, or from a time, and whose start is not durable yet.
    /// None that begins so is read before all are: otherwise a crash would leave some of them named
    /// and some not, and the next run would start those at its own, later tip.
    starts: AtomicUsize,
    /// Records that were delivered, and neither acknowledged nor dropped.
    in_flight: AtomicU64,
    stopping: AtomicBool,
    /// Those who wait for the end.
    pub(crate) stopped: Waiters,
    /// Those who wait for nothing to be in flight, or for something to be durable.
    pub(crate) quiet: Waiters,
}

/// A saver that is not polled for this time after it should have been is taken for one whose
/// runtime is not driven.
pub(crate) const SAVER_GRACE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Queue {
    now: VecDeque<Arc<ShardState>>,
    in_time: BTreeMap<(Instant, u64), Arc<ShardState>>,
    next: u64,
}

impl Queue {
    /// True if it is now the first.
    fn put(&mut self, at: Instant, entry: Arc<ShardState>) -> bool {
        let key = (at, self.next);
        self.next += 1;
        self.in_time.insert(key, entry);
        self.in_time.first_key_value().is_some_and(|(first, _)| *first == key)
    }
}

/// So much later, or never.
pub(crate) fn later(wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_hours(24 * 365 * 30);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + NEVER)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        stream: StreamId,
        store: Arc<dyn CheckpointStore>,
        options: CheckpointOptions,
        loaded: Vec<(String, Checkpoint)>,
    ) -> Self {
        let entries = loaded.into_iter().map(|(id, checkpoint)| {
            let entry = Arc::new(ShardState::new(id.clone(), Some(checkpoint)));
            (id, entry)
        });
        Self {
            claims: Claims::of(store.identity(), &stream),
            arn: OnceLock::new(),
            stream,
            store,
            options,
            entries: Mutex::new(entries.collect()),
            queue: Mutex::default(),
            saver: AtomicWaker::new(),
            has_saver: AtomicBool::new(false),
            saver_number: Mutex::default(),
            saver_due: Mutex::default(),
            starts: AtomicUsize::new(0),
            in_flight: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stopped: Waiters::default(),
            quiet: Waiters::default(),
        }
    }

    /// Returns the ARN of the stream, or its name where no ARN was told: `other` is the stream by
    /// what its shards are read by, which may tell it.
    pub(crate) fn learn(&self, other: &StreamId) -> &StreamId {
        if self.stream.arn().is_some() {
            return &self.stream;
        }
        if other.arn().is_some() && other.name() == self.stream.name() {
            return self.arn.get_or_init(|| other.clone());
        }
        self.arn.get().unwrap_or(&self.stream)
    }

    /// A reader is to begin: the shard's entry, its incarnation, and the checkpoint it begins at.
    pub(crate) fn open(&self, shard: &Shard) -> (Arc<ShardState>, Incarnation, Option<Checkpoint>) {
        let mut entries = lock(&self.entries);
        let id = shard.shard_id();
        let entry = entries
            .get(id)
            .map_or_else(|| Arc::new(ShardState::new(id.to_owned(), None)), Arc::clone);
        // Under the lock, so that the entry is not dropped as one of which nothing is known.
        let (incarnation, checkpoint) = entry.open(shard);
        entries.entry(id.to_owned()).or_insert_with(|| Arc::clone(&entry));
        (entry, incarnation, checkpoint)
    }

    /// It is to be read from here for the first time. `is_start`: those that begin at a time wait
    /// for it to be durable.
    pub(crate) fn begin(
        &self,
        entry: &Arc<ShardState>,
        incarnation: &Incarnation,
        shard: &Shard,
        checkpoint: Checkpoint,
        is_start: bool,
    ) {
        if is_start {
            // Before the saver can know of it.
            self.starts.fetch_add(1, Ordering::SeqCst);
        }
        let (want, is_one_more) = entry.begin(incarnation, shard, checkpoint, is_start);
        if is_start && !is_one_more {
            self.remove_start();
        }
        self.want(entry, want);
    }

    pub(crate) fn known(&self, id: &str) -> Option<Arc<ShardState>> {
        lock(&self.entries).get(id).cloned()
    }

    /// What is not durable is saved now.
    pub(crate) fn hurry(&self) {
        for entry in self.entries() {
            self.want(&entry, entry.hurry());
        }
    }

    pub(crate) fn entries(&self) -> Vec<Arc<ShardState>> {
        lock(&self.entries).values().cloned().collect()
    }

    pub(crate) fn forget(&self, id: &str) {
        self.claims.revoke(id);
        if let Some(entry) = self.known(id) {
            self.want(&entry, entry.forget());
            self.drop_forgotten(&entry);
        }
    }

    /// Kinesis does not list it any more: what was not read of it by then is lost.
    pub(crate) fn expire(&self, id: &str) {
        let checkpoint = self.known(id).and_then(|entry| entry.checkpoint());
        if let Some(after) = checkpoint.filter(|checkpoint| *checkpoint != Checkpoint::End) {
            self.tell_gap(id, &after, None);
        }
        self.forget(id);
    }

    /// An entry of which nothing is known is not kept.
    pub(crate) fn drop_forgotten(&self, entry: &Arc<ShardState>) {
        let mut entries = lock(&self.entries);
        if entry.is_forgotten()
            && entries.get(&entry.id).is_some_and(|known| Arc::ptr_eq(known, entry))
        {
            entries.remove(&entry.id);
        }
    }

    /// Asks the saver for what a change wants.
    pub(crate) fn want(&self, entry: &Arc<ShardState>, want: Want) {
        match want {
            Want::Nothing => return,
            Want::Now => lock(&self.queue).now.push_back(Arc::clone(entry)),
            Want::InTime => {
                self.save_after(entry, self.options.save_interval);
                return;
            }
        }
        self.wake_saver();
    }

    fn wake_saver(&self) {
        self.saver_rests(Some(Instant::now()));
        self.saver.wake();
    }

    pub(crate) fn save_after(&self, entry: &Arc<ShardState>, wait: Duration) {
        if let Some(at) = entry.due_in(wait)
            && lock(&self.queue).put(at, Arc::clone(entry))
        {
            self.wake_saver();
        }
    }

    /// What is to be saved now, or the time of the next.
    pub(crate) fn next(&self) -> Result<Arc<ShardState>, Option<Instant>> {
        let mut queue = lock(&self.queue);
        if let Some(entry) = queue.now.pop_front() {
            return Ok(entry);
        }
        let now = Instant::now();
        while let Some(first) = queue.in_time.first_entry() {
            if first.key().0 > now {
                return Err(Some(first.key().0));
            }
            let entry = first.remove();
            match entry.not_before(now) {
                Some(later) => queue.put(later, entry),
                None => return Ok(entry),
            };
        }
        Err(None)
    }

    pub(crate) fn remove_start(&self) {
        if self.starts.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.wake_readers();
        }
    }

    /// Whether a reader that begins at a time is to wait. Its waker is registered.
    pub(crate) fn has_starts(&self) -> bool {
        self.starts.load(Ordering::SeqCst) > 0
    }

    fn wake_readers(&self) {
        for entry in self.entries() {
            entry.reader.wake();
        }
    }

    /// Counts one more, unless all is stopped. It is counted before that is looked at, and `stop`
    /// looks the other way round: so none slips past it.
    pub(crate) fn add_in_flight(&self, records: u64) -> bool {
        self.in_flight.fetch_add(records, Ordering::SeqCst);
        let is_stopping = self.is_stopping();
        if is_stopping {
            self.remove_in_flight(records);
        }
        !is_stopping
    }

    pub(crate) fn remove_in_flight(&self, records: u64) {
        let was = self.in_flight.fetch_sub(records, Ordering::SeqCst);
        if was == records && self.is_stopping() {
            self.quiet.wake();
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.in_flight.load(Ordering::SeqCst)).unwrap_or(usize::MAX)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stopped.wake();
        self.wake_readers();
    }

    /// What is not durable now, for `are_durable`.
    pub(crate) fn unsaved(&self) -> Vec<(Arc<ShardState>, u64)> {
        let unsaved = |entry: Arc<ShardState>| entry.unsaved().map(|revision| (entry, revision));
        self.entries().into_iter().filter_map(unsaved).collect()
    }

    pub(crate) fn has_saver(&self) -> bool {
        self.has_saver.load(Ordering::SeqCst)
    }

    /// Returns the number of a new saver.
    pub(crate) fn saver_begins(&self) -> u64 {
        let mut number = lock(&self.saver_number);
        *number += 1;
        *lock(&self.saver_due) = None;
        self.has_saver.store(true, Ordering::SeqCst);
        *number
    }

    /// A saver is polled: it is in charge for as long as it holds this. `None` if another took
    /// over.
    pub(crate) fn saver_polls(&self, number: u64) -> Option<MutexGuard<'_, u64>> {
        let in_charge = lock(&self.saver_number);
        if *in_charge != number {
            return None;
        }
        *lock(&self.saver_due) = None;
        Some(in_charge)
    }

    /// The saver is to be polled again by then.
    pub(crate) fn saver_rests(&self, until: Option<Instant>) {
        let mut due = lock(&self.saver_due);
        *due = due.into_iter().chain(until).min();
    }

    /// Returns whether the saver should have been polled for some time.
    pub(crate) fn is_saver_late(&self) -> bool {
        lock(&self.saver_due).is_some_and(|due| Instant::now() > due + SAVER_GRACE)
    }

    /// Takes the charge from the saver; false if it is being polled.
    pub(crate) fn stop_saver(&self) -> bool {
        let Ok(mut number) = self.saver_number.try_lock() else { return false };
        *number += 1;
        self.lose_saves();
        true
    }

    fn lose_saves(&self) {
        for entry in self.entries() {
            entry.lose_save();
        }
    }

    /// What it was doing may or may not have become durable. Whoever waits for it makes another.
    pub(crate) fn saver_ends(&self, number: u64) {
        let in_charge = lock(&self.saver_number);
        if *in_charge != number {
            return;
        }
        self.lose_saves();
        self.has_saver.store(false, Ordering::SeqCst);
        drop(in_charge);
        self.quiet.wake();
        self.wake_readers();
    }

    pub(crate) fn tell(&self, shard_id: &str, kind: CheckpointEventKind<'_>) {
        let Some(on_event) = &self.options.on_event else { return };
        let event = CheckpointEvent { stream: &self.stream, shard_id, kind };
        // It is not to take along the task that saves, nor who drops a record while it panics
        // itself.
        if catch_unwind(AssertUnwindSafe(|| on_event(&event))).is_err() {
            let stream = self.stream.name();
            tracing::error!(stream, shard = shard_id, ?event.kind, "on_event panicked: what it was told is lost");
        }
    }

    pub(crate) fn tell_gap(&self, shard: &str, after: &Checkpoint, first: Option<&str>) {
        let stream = self.stream.name();
        tracing::warn!(
            stream,
            shard,
            %after,
            first,
            "what followed the checkpoint has expired, up to the first that is left, or all of it"
        );
        self.tell(shard, CheckpointEventKind::Gap { after, first });
    }
}

/// Whether these are durable by now.
pub(crate) fn are_durable(unsaved: &mut Vec<(Arc<ShardState>, u64)>) -> bool {
    // From the end, so that each is looked at once, and none that was found.
    while unsaved.last().is_some_and(|(entry, revision)| entry.is_durable(*revision)) {
        unsaved.pop();
    }
    unsaved.is_empty()
}
