//! What the parts of one consumer share: its shards' checkpoints, and the saver's work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

use super::entry::{Entry, Want};
use super::{Checkpoint, CheckpointEvent, CheckpointEventKind, CheckpointOptions, CheckpointStore};
use crate::StreamId;

pub(super) struct Shared {
    pub(super) stream: StreamId,
    pub(super) store: Arc<dyn CheckpointStore>,
    pub(super) options: CheckpointOptions,
    /// In order, so that a simulation comes out the same each time.
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    queue: Mutex<Queue>,
    pub(super) saver: AtomicWaker,
    /// Shards that are to be read from the tip, and whose start is not durable yet. None of them is read before all are: otherwise a crash would leave some of them named and some not,
    /// and the next run would start those at its own, later tip.
    starts: AtomicUsize,
    /// Records that were delivered, and neither acknowledged nor dropped.
    in_flight: AtomicUsize,
    stopping: AtomicBool,
    /// How many shards have something that is not durable.
    dirty: Arc<AtomicUsize>,
    /// Those who wait for the starts.
    started: Waiters,
    /// Those who wait for the end.
    stopped: Waiters,
    /// Those who wait for nothing to be in flight, or dirty.
    quiet: Waiters,
}

/// Tasks that wait for something.
#[derive(Default)]
struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    /// Waits until `is_so`. Whoever makes it so calls [`wake`](Self::wake).
    fn poll(&self, cx: &mut Context<'_>, is_so: impl Fn() -> bool) -> Poll<()> {
        if is_so() {
            return Poll::Ready(());
        }
        let mut waiting = lock(&self.0);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        drop(waiting);
        // It may have become so before the waker was there.
        if is_so() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake(&self) {
        for waker in std::mem::take(&mut *lock(&self.0)) {
            waker.wake();
        }
    }
}

#[derive(Default)]
struct Queue {
    now: VecDeque<Arc<Entry>>,
    in_time: BTreeMap<(Instant, u64), Arc<Entry>>,
    next: u64,
}

impl Queue {
    /// True if it is now the first.
    fn put(&mut self, at: Instant, entry: Arc<Entry>) -> bool {
        let key = (at, self.next);
        self.next += 1;
        self.in_time.insert(key, entry);
        self.in_time.first_key_value().is_some_and(|(first, _)| *first == key)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        stream: StreamId,
        store: Arc<dyn CheckpointStore>,
        options: CheckpointOptions,
        loaded: Vec<(String, Checkpoint)>,
    ) -> Self {
        let dirty = Arc::<AtomicUsize>::default();
        let entries = loaded.into_iter().map(|(id, checkpoint)| {
            let entry = Arc::new(Entry::new(id.clone(), Some(checkpoint), Arc::clone(&dirty)));
            (id, entry)
        });
        Self {
            stream,
            store,
            options,
            entries: Mutex::new(entries.collect()),
            queue: Mutex::default(),
            saver: AtomicWaker::new(),
            starts: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            dirty,
            started: Waiters::default(),
            stopped: Waiters::default(),
            quiet: Waiters::default(),
        }
    }

    pub(super) fn entry(&self, id: &str) -> Arc<Entry> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(id) {
            return Arc::clone(entry);
        }
        let entry = Arc::new(Entry::new(id.to_owned(), None, Arc::clone(&self.dirty)));
        entries.insert(id.to_owned(), Arc::clone(&entry));
        entry
    }

    pub(super) fn known(&self, id: &str) -> Option<Arc<Entry>> {
        lock(&self.entries).get(id).cloned()
    }

    /// What is not durable is saved now.
    pub(super) fn hurry(&self) {
        for entry in self.entries() {
            self.want(&entry, entry.hurry());
        }
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.entries).values().cloned().collect()
    }

    pub(super) fn forget(&self, id: &str) {
        if let Some(entry) = self.known(id) {
            self.want(&entry, entry.forget());
            self.drop_forgotten(&entry);
        }
    }

    /// An entry of which nothing is known is not kept.
    pub(super) fn drop_forgotten(&self, entry: &Arc<Entry>) {
        let mut entries = lock(&self.entries);
        if entry.is_forgotten() && entries.get(&entry.id).is_some_and(|known| Arc::ptr_eq(known, entry)) {
            entries.remove(&entry.id);
        }
    }

    /// Asks the saver for what a change wants.
    pub(super) fn want(&self, entry: &Arc<Entry>, want: Want) {
        match want {
            Want::Nothing => return,
            Want::Now => lock(&self.queue).now.push_back(Arc::clone(entry)),
            Want::InTime => {
                self.save_after(entry, self.options.save_interval);
                return;
            }
        }
        self.saver.wake();
    }

    pub(super) fn save_after(&self, entry: &Arc<Entry>, wait: Duration) {
        if let Some(at) = entry.due_in(wait)
            && lock(&self.queue).put(at, Arc::clone(entry))
        {
            self.saver.wake();
        }
    }

    /// What is to be saved now, or the time of the next.
    pub(super) fn next(&self) -> Result<Arc<Entry>, Option<Instant>> {
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

    pub(super) fn add_start(&self) {
        self.starts.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn remove_start(&self) {
        if self.starts.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.started.wake();
        }
    }

    pub(super) fn poll_starts(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.started.poll(cx, || self.starts.load(Ordering::SeqCst) == 0)
    }

    /// Counts one more, unless all is stopped. It is counted before that is looked at, and `stop` looks the other way round: so none slips past it.
    pub(super) fn add_in_flight(&self) -> bool {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let is_stopping = self.is_stopping();
        if is_stopping {
            self.remove_in_flight();
        }
        !is_stopping
    }

    pub(super) fn remove_in_flight(&self) {
        let was = self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if was == 1 && self.is_stopping() {
            self.quiet.wake();
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.stopped.wake();
        for entry in self.entries() {
            entry.reader.wake();
        }
    }

    pub(super) fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stopped.poll(cx, || self.is_stopping())
    }

    /// Waits until every record that was delivered is acknowledged or dropped.
    pub(super) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.quiet.poll(cx, || self.in_flight() == 0)
    }

    /// Waits until all is durable.
    pub(super) fn poll_durable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.quiet.poll(cx, || self.dirty.load(Ordering::SeqCst) == 0)
    }

    /// A shard's last change became durable.
    pub(super) fn is_clean(&self) {
        if self.dirty.load(Ordering::SeqCst) == 0 {
            self.quiet.wake();
        }
    }

    pub(super) fn tell(&self, shard_id: &str, kind: CheckpointEventKind<'_>) {
        if let Some(on_event) = &self.options.on_event {
            on_event(&CheckpointEvent { stream: &self.stream, shard_id, kind });
        }
    }
}
