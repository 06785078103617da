//! One worker: the machine, and the actions that are carried out at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use futures::channel::oneshot;
use tokio::time::{Duration, Instant};

use crate::checkpoint::checkpoints::LeaseShutdown;
use crate::checkpoint::lease::{DeliveryDeadline, DriverSignal, Lease, LeaseEnd};
use crate::checkpoint::shard_state::ShardState;
use crate::checkpoint::shared::Shared;
use crate::checkpoint::value::Checkpoint;
use crate::checkpoint::waiters::Waiters;
use crate::lease::error::LeaseError;
use crate::lease::event::{LeaseEvent, LeaseEventKind};
use crate::lease::machine::placing::creating::AncestorRequest;
use crate::lease::machine::{
    Action, Config, Death, Event, Machine, SaveError, SaveId, Ticket, Time,
};
use crate::lease::options::LeaseOptions;
use crate::lease::stalls::Stalls;
use crate::lease::status::WorkerStatus;
use crate::lease::table::{LeaseRow, LeaseTables, Request};
use crate::shard::stream_id::StreamId;
use crate::util::lock::lock;
#[cfg(feature = "metrics")]
use crate::util::metrics::LeaseFigures;

/// One worker, as its driver, its store and its stream of shards share it.
pub(crate) struct Worker {
    pub(crate) id: String,
    pub(crate) stream: StreamId,
    pub(crate) tables: Arc<dyn LeaseTables>,
    pub(crate) options: LeaseOptions,
    origin: Instant,
    machine: Mutex<Machine>,
    /// The checkpoints of the leased shards.
    shared: OnceLock<Arc<Shared>>,
    deadline: DeliveryDeadline,
    /// The task that sends requests and keeps the time.
    pub(crate) driver: DriverSignal,
    work: Mutex<Work>,
    saves: Mutex<Saves>,
    inbox: Mutex<Inbox>,
    stalls: Mutex<Stalls>,
    /// The time of the last poll of the stream of shards, in seconds from the origin and rounded
    /// up; 0 for never.
    stream_polled_at: AtomicU64,
    /// Whether a stream of shards takes the grants.
    has_stream: AtomicBool,
    #[cfg(feature = "metrics")]
    figures: LeaseFigures,
    /// The streams of shards, and those who wait for this worker to join or leave.
    pub(crate) waiting: Waiters,
}

/// The work of the driver.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) requests: VecDeque<(Ticket, Request)>,
    /// The shards whose records in flight are waited for.
    draining: BTreeSet<String>,
    /// The shards that are given away as they are.
    cut: Vec<String>,
}

#[derive(Default)]
struct Saves {
    next: u64,
    waiting: BTreeMap<SaveId, oneshot::Sender<Result<(), SaveError>>>,
}

/// The decisions that the stream of shards carries out.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) started: Option<Checkpoint>,
    /// The rows of leases that were granted, by shard.
    pub(crate) grants: BTreeMap<String, LeaseRow>,
    /// The shards that were processed elsewhere.
    pub(crate) finished: Vec<String>,
    pub(crate) close_ancestors: Option<AncestorRequest>,
    pub(crate) has_joined: bool,
    pub(crate) has_left: bool,
    pub(crate) death: Option<LeaseError>,
    /// The rows of the leases that are held, as they were granted.
    pub(crate) held: BTreeMap<String, LeaseRow>,
    /// The leases that have ended since the shutdown began.
    pub(crate) shutdown: Option<LeaseShutdown>,
}

/// A stream of shards that is not polled for this long does not offer shards. While it is read, it
/// is polled at least once in each interval of its listings.
const STREAM_POLL_LIMIT: Duration = Duration::from_mins(3);
/// The leases that are given away before the driver sends its next requests.
const MAX_DRAINED: usize = 64;
/// Longer times of the options count as this.
const MAX_TIME: Duration = Duration::from_hours(24 * 365);

/// The right of one stream of shards to take the grants, until it is dropped.
pub(crate) struct StreamClaim(Arc<Worker>);

impl Drop for StreamClaim {
    fn drop(&mut self) {
        self.0.has_stream.store(false, Ordering::SeqCst);
    }
}

impl Worker {
    pub(crate) fn new(
        tables: Arc<dyn LeaseTables>,
        #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "a label"))]
        application: &str,
        stream: StreamId,
        options: LeaseOptions,
    ) -> Self {
        let id = options.worker_id();
        let origin = Instant::now();
        let config = Config {
            worker: id.clone(),
            stream: stream.as_str().to_owned(),
            failover: options.failover,
            settle: options.settle.min(MAX_TIME),
            rest: options.rest.min(MAX_TIME),
            move_timeout: options.move_timeout.min(MAX_TIME),
            max_leases: options.max_leases,
            beside_kcl: options.beside_kcl,
        };
        Self {
            #[cfg(feature = "metrics")]
            figures: LeaseFigures::new(stream.name(), application, &id),
            id,
            stream,
            tables,
            options,
            origin,
            machine: Mutex::new(Machine::new(config, fastrand::u64(..))),
            shared: OnceLock::new(),
            deadline: DeliveryDeadline::new(origin),
            driver: DriverSignal::default(),
            work: Mutex::default(),
            saves: Mutex::default(),
            inbox: Mutex::default(),
            stalls: Mutex::default(),
            stream_polled_at: AtomicU64::new(0),
            has_stream: AtomicBool::new(false),
            waiting: Waiters::default(),
        }
    }

    pub(crate) fn set_shared(&self, shared: Arc<Shared>) {
        let _ = self.shared.set(shared);
    }

    fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.get()
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    /// Notes that the stream of shards was polled.
    pub(crate) fn note_stream_poll(&self) {
        let seconds = self.now().as_secs() + 1;
        self.stream_polled_at.store(seconds, Ordering::Relaxed);
    }

    fn is_stream_polled(&self, now: Time) -> bool {
        let at = self.stream_polled_at.load(Ordering::Relaxed);
        at > 0 && now.saturating_sub(Duration::from_secs(at)) < STREAM_POLL_LIMIT
    }

    /// Returns the time of a time of the machine.
    fn instant(&self, time: Time) -> Instant {
        self.origin.checked_add(time).unwrap_or_else(|| self.origin + Duration::from_hours(24))
    }

    /// Claims the grants for one stream of shards. Returns `None` while another stream has them.
    pub(crate) fn claim_stream(self: &Arc<Self>) -> Option<StreamClaim> {
        let is_free = !self.has_stream.swap(true, Ordering::SeqCst);
        is_free.then(|| StreamClaim(Arc::clone(self)))
    }

    /// Returns the error of a second stream of shards.
    pub(crate) fn stream_in_use(&self) -> LeaseError {
        LeaseError::new(&self.id, self.tables.names(), Death::StreamInUse)
    }

    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }

    pub(crate) fn work(&self) -> MutexGuard<'_, Work> {
        lock(&self.work)
    }

    pub(crate) fn expect_save(&self, sender: oneshot::Sender<Result<(), SaveError>>) -> SaveId {
        let mut saves = lock(&self.saves);
        let id = SaveId(saves.next);
        saves.next += 1;
        saves.waiting.insert(id, sender);
        id
    }

    pub(crate) fn holds(&self, shard_id: &str) -> bool {
        lock(&self.machine).holds(shard_id)
    }

    /// Returns the workers, as this one has read them last.
    pub(crate) fn workers(&self) -> Vec<WorkerStatus> {
        let machine = lock(&self.machine);
        machine.workers().map(|seen| WorkerStatus::of(&seen.row)).collect()
    }

    /// Takes the next time at which the machine is due.
    pub(crate) fn next_wake(&self) -> Instant {
        let wake = lock(&self.machine).next_wake();
        self.instant(wake)
    }

    /// Takes in an event, and carries out what follows.
    pub(crate) fn step(&self, event: Event) {
        let mut reports = Vec::new();
        let now = self.now();
        let mut machine = lock(&self.machine);
        machine.set_consumer_polling(self.is_stream_polled(now));
        machine.on(now, event);
        // Under the lock, so that actions are carried out in their order.
        while let Some(action) = machine.next_action() {
            if let Action::Report(event) = action {
                reports.push(event);
            } else {
                self.carry_out(action);
            }
        }
        #[cfg(feature = "metrics")]
        self.show(machine.workers().count());
        let resumes = self.deadline.set(machine.delivery_deadline());
        drop(machine);
        if let (true, Some(shared)) = (resumes, self.shared()) {
            shared.shards.wake_readers();
        }
        self.driver.wake();
        for event in reports {
            self.report(event);
        }
    }

    /// Sets the gauges, to 0 for a worker that has left or stopped.
    #[cfg(feature = "metrics")]
    fn show(&self, workers: usize) {
        let inbox = self.inbox();
        let is_member = !inbox.has_left && inbox.death.is_none();
        self.figures.show(inbox.held.len(), if is_member { workers } else { 0 });
    }

    fn carry_out(&self, action: Action) {
        match action {
            Action::Send(ticket, request) => self.work().requests.push_back((ticket, request)),
            Action::Joined => self.tell(|inbox| inbox.has_joined = true),
            Action::Started(start) => self.tell(|inbox| inbox.started = Some(start)),
            Action::Grant(row) => self.grant(row),
            Action::Drain { shard_id, cut } => self.drain(shard_id, cut),
            Action::Resume { shard_id } => {
                self.work().draining.remove(&shard_id);
                if let Some((state, lease)) = self.leased(&shard_id) {
                    lease.resume();
                    state.reader_waker.wake();
                }
            }
            Action::Revoke { shard_id, end } => self.revoke(&shard_id, end),
            Action::Finished { shard_id } => self.tell(|inbox| inbox.finished.push(shard_id)),
            Action::CloseAncestors(request) => {
                self.tell(|inbox| inbox.close_ancestors = Some(request));
            }
            Action::Saved { id, result } => {
                if let Some(sender) = lock(&self.saves).waiting.remove(&id) {
                    let _ = sender.send(result);
                }
            }
            Action::Left => self.tell(|inbox| inbox.has_left = true),
            Action::Die(death) => self.die(death),
            Action::Report(_) => {}
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Inbox)) {
        tell(&mut self.inbox());
        self.waiting.wake();
    }

    fn die(&self, death: Death) {
        if self.inbox().death.is_some() {
            return;
        }
        let error = LeaseError::new(&self.id, self.tables.names(), death);
        tracing::error!(stream = self.stream.name(), worker = self.id, %error, "the worker stops");
        self.tell(|inbox| inbox.death = Some(error));
    }

    fn leased(&self, shard_id: &str) -> Option<(Arc<ShardState>, Lease)> {
        let state = self.shared()?.shards.get(shard_id)?;
        let lease = state.lease.clone()?;
        Some((state, lease))
    }

    /// Opens the state of a shard whose lease was granted: it is read from the row's checkpoint.
    fn grant(&self, row: LeaseRow) {
        let Some(shared) = self.shared() else { return };
        let id = row.shard_id.clone();
        let driver = self.driver.clone();
        let lease = Lease::new(id.clone(), row.counter, self.deadline.clone(), driver);
        let state = ShardState::leased(id.clone(), row.checkpoint.clone(), lease);
        shared.claims.revoke(&id);
        shared.shards.insert(Arc::new(state));
        self.tell(|inbox| {
            inbox.held.insert(id.clone(), row.clone());
            inbox.grants.insert(id, row);
        });
    }

    fn drain(&self, shard_id: String, cut: bool) {
        let Some((state, lease)) = self.leased(&shard_id) else { return };
        lease.drain();
        state.reader_waker.wake();
        let mut work = self.work();
        if cut {
            work.cut.push(shard_id);
        } else {
            work.draining.insert(shard_id);
        }
    }

    /// Takes the shards of which no record is in flight any longer, with their checkpoints.
    ///
    /// The result has at most [`MAX_DRAINED`] shards, so that a worker that gives thousands away
    /// beats in between.
    pub(crate) fn take_drained(&self) -> Vec<(String, Checkpoint)> {
        let mut work = self.work();
        let count = work.cut.len().min(MAX_DRAINED);
        let rest = work.cut.split_off(count);
        let cut = std::mem::replace(&mut work.cut, rest);
        let mut drained = Vec::new();
        work.draining.retain(|shard_id| {
            if drained.len() >= MAX_DRAINED {
                return true;
            }
            let Some((state, _)) = self.leased(shard_id) else { return false };
            let is_settled = state.unacknowledged().0 == 0;
            if is_settled {
                drained.extend(state.stored().map(|checkpoint| (shard_id.clone(), checkpoint)));
            }
            !is_settled
        });
        for shard_id in cut {
            work.draining.remove(&shard_id);
            let (Some(shared), Some((state, _))) = (self.shared(), self.leased(&shard_id)) else {
                continue;
            };
            shared.count_run(&state);
            let checkpoint = state.stored();
            drained.extend(checkpoint.map(|checkpoint| (shard_id, checkpoint)));
        }
        drained
    }

    fn revoke(&self, shard_id: &str, end: LeaseEnd) {
        let Some(shared) = self.shared() else { return };
        self.work().draining.remove(shard_id);
        let Some((state, lease)) = self.leased(shard_id) else { return };
        let is_finished = end == LeaseEnd::Finished;
        shared.count_run(&state);
        if let Some(shutdown) = &mut self.inbox().shutdown {
            shutdown.note(shard_id, state.stored(), state.is_held(), &end);
        }
        lease.end(end);
        if !is_finished {
            // A finished shard stays, so that its reader ends with its children.
            shared.shards.remove(shard_id);
            shared.claims.revoke(shard_id);
            state.retire();
        }
        self.tell(|inbox| {
            inbox.grants.remove(shard_id);
            inbox.held.remove(shard_id);
        });
    }

    /// Ends all leases: the driver is gone, and proves no longer that this worker lives.
    pub(crate) fn abandon(&self) {
        let held: Vec<_> = self.inbox().held.keys().cloned().collect();
        for shard_id in held {
            self.revoke(&shard_id, LeaseEnd::Lost { to: None });
        }
        let death = Death::Failed("its task has ended".to_owned());
        let error = LeaseError::new(&self.id, self.tables.names(), death);
        self.tell(|inbox| {
            if !inbox.has_left {
                inbox.death.get_or_insert(error);
            }
        });
        #[cfg(feature = "metrics")]
        self.show(0);
    }

    /// Reports the leased shards whose reader nobody polls.
    pub(crate) fn check_for_stalls(&self) {
        let Some(shared) = self.shared() else { return };
        let stalled = lock(&self.stalls).check(&shared.shards);
        for shard_id in stalled {
            self.report(LeaseEventKind::Stalled { shard_id });
        }
    }

    fn report(&self, kind: LeaseEventKind) {
        let (stream, worker) = (self.stream.name(), self.id.as_str());
        match &kind {
            LeaseEventKind::Granted { shard_id, token } => {
                tracing::debug!(stream, worker, shard = shard_id, token, "lease granted");
            }
            LeaseEventKind::Ended { shard_id, end: end @ LeaseEnd::Lost { .. } } => {
                tracing::warn!(stream, worker, shard = shard_id, %end, "lease lost");
            }
            LeaseEventKind::Ended { shard_id, end } => {
                tracing::debug!(stream, worker, shard = shard_id, %end, "lease ended");
            }
            LeaseEventKind::Fenced { worker: other } => {
                tracing::warn!(stream, worker, other, "declared a worker dead: it did not beat");
            }
            LeaseEventKind::Paused => tracing::error!(
                stream,
                worker,
                "delivery is paused: the workers table did not confirm that this worker lives"
            ),
            LeaseEventKind::Resumed => tracing::warn!(stream, worker, "delivery continues"),
            LeaseEventKind::WasFenced => tracing::error!(
                stream,
                worker,
                "another worker has declared this one dead; all leases are lost, and it joins again"
            ),
            LeaseEventKind::Stalled { shard_id } => tracing::warn!(
                stream,
                worker,
                shard = shard_id,
                "the reader of a leased shard was not polled for a minute; the lease stays"
            ),
            LeaseEventKind::ForeignWorker { worker: other } if self.options.beside_kcl => {
                tracing::info!(stream, worker, other, "a worker of the KCL moves leases");
            }
            LeaseEventKind::ForeignWorker { worker: other } => tracing::warn!(
                stream,
                worker,
                other,
                "another application moves leases in this table: a worker of the KCL needs \
                 `beside_kcl`, and any other consumer must be stopped"
            ),
            LeaseEventKind::NoRoom { shards } => tracing::warn!(
                stream,
                worker,
                shards,
                "shards are not read: all workers hold as many leases as they take"
            ),
        }
        #[cfg(feature = "metrics")]
        self.figures.record_event(kind.name());
        let event = LeaseEvent { stream: &self.stream, worker: &self.id, kind };
        for on_event in &self.options.on_event {
            if catch_unwind(AssertUnwindSafe(|| on_event(&event))).is_err() {
                tracing::error!(stream, worker, kind = ?event.kind, "on_event panicked");
            }
        }
    }
}
