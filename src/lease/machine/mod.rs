//! The decisions of one worker. Pure: no I/O, no clock, no randomness but that of a seed.
//!
//! [`Machine::on`] takes an [`Event`] at a time, and [`Machine::next_action`] returns what follows
//! from it. The driver carries the actions out and reports their results as events, and wakes the
//! machine at [`Machine::next_wake`]. A simulation does the same with many machines.
//!
//! * [`membership`]: joining, beats, fences, leaving.
//! * [`holding`]: the leases of this worker, their writes, ends and moves.
//! * [`placing`]: which free shard goes to which worker, and balance.
//! * [`view`], [`plan`]: the workers as they were read; assignments, as pure functions.

mod holding;
mod membership;
pub(crate) mod placing;
mod plan;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange};
use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::event::LeaseEventKind;
use crate::lease::machine::holding::Held;
use crate::lease::machine::holding::later_run::Doubtful;
use crate::lease::machine::membership::{Dying, OwnBeat, Phase, Reading};
use crate::lease::machine::placing::Audit;
use crate::lease::machine::placing::creating::AncestorRequest;
use crate::lease::machine::view::View;
use crate::lease::table::{LeaseRow, LeaseWrite, Permission, Request, Response};

/// The time since the machine was created, by a monotonic clock.
pub(crate) type Time = Duration;

/// The configuration of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) worker: String,
    pub(crate) stream: String,
    /// A worker whose beat does not move for this long is fenced.
    pub(crate) failover: Duration,
    /// How long the workers must stay the same before leases are moved for balance.
    pub(crate) settle: Duration,
    /// How long a lease stays after a move before it is moved for balance.
    pub(crate) rest: Duration,
    /// How long a move waits for the records in flight.
    pub(crate) move_timeout: Duration,
    pub(crate) max_leases: Option<u64>,
    /// Whether workers of the Kinesis Client Library may use the table at the same time.
    pub(crate) beside_kcl: bool,
}

/// The number of a request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// The number of a save, by which its result is returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SaveId(pub(crate) u64);

/// The failure of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whether no retry mends it.
    pub(crate) is_permanent: bool,
    pub(crate) text: String,
}

/// An event that a machine takes in.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The time of [`Machine::next_wake`] has come.
    Tick,
    Responded(Ticket, Result<Response, Failure>),
    /// The stream of shards sets where the fleet starts, unless the fleet has started before.
    Start(Checkpoint),
    /// The lineage offers a shard to this worker, which has no lease of it.
    Offered(Offered),
    /// The lineage has closed shards that it may have offered: descendants of theirs were read, so
    /// that all their records were processed.
    Closed(Vec<String>),
    /// The ancestors of [`Action::CloseAncestors`] are closed.
    AncestorsClosed {
        number: u64,
    },
    /// Kinesis no longer lists a shard.
    Unlisted(String),
    /// Another subscriber has taken over the events of a shard of this worker.
    TakenOver(String),
    /// A checkpoint is to be saved. At most one save of a shard is in flight.
    Save {
        shard_id: String,
        id: SaveId,
        checkpoint: Checkpoint,
        children: Vec<ChildShard>,
    },
    /// No record of the shard is in flight, and none is delivered any longer: the reply to
    /// [`Action::Drain`].
    Drained {
        shard_id: String,
        checkpoint: Checkpoint,
    },
    /// All leases are given away, within this time.
    Shutdown {
        limit: Duration,
    },
}

/// A shard that the lineage offers: all its parents are closed, as far as this worker knows.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) shard_id: String,
    pub(crate) start: Checkpoint,
    pub(crate) parents: Vec<String>,
    pub(crate) hash_range: Option<HashKeyRange>,
}

/// An action that the driver carries out for a machine.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Send(Ticket, Request),
    /// The worker has joined.
    Joined,
    /// The fleet starts to read here.
    Started(Checkpoint),
    /// This worker has got a lease: the shard is read from the row's checkpoint.
    Grant(LeaseRow),
    /// The delivery of the shard's records ends. The reply is [`Event::Drained`], once no record is
    /// in flight, or at once with `cut`.
    Drain {
        shard_id: String,
        cut: bool,
    },
    /// The delivery of the shard's records continues.
    Resume {
        shard_id: String,
    },
    /// The lease has ended: nothing of the shard is delivered or saved from now on.
    Revoke {
        shard_id: String,
        end: LeaseEnd,
    },
    /// All records of an offered shard were processed: its children may be offered.
    Finished {
        shard_id: String,
    },
    /// The lineage closes the ancestors of shards that were read. The reply is
    /// [`Event::AncestorsClosed`] with the request's number.
    CloseAncestors(AncestorRequest),
    /// The result of a save.
    Saved {
        id: SaveId,
        result: Result<(), SaveError>,
    },
    Report(LeaseEventKind),
    /// All leases were given away, and the worker's row was removed.
    Left,
    /// The worker stops for good.
    Die(Death),
}

/// The reason why a checkpoint was not saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SaveError {
    /// This worker has no lease of the shard.
    NoLease,
    Failed(Failure),
}

/// The reason why a worker stops for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// A worker with the same id is running.
    TwinIsAlive,
    /// Another worker has joined with the same id.
    Superseded,
    /// The tables are of this other stream.
    OtherStream(String),
    /// The leases have another stream of shards already. Only that stream ends.
    StreamInUse,
    /// A request fails, and no retry mends it.
    Failed(String),
}

/// The purpose of a request in flight.
#[derive(Clone, Debug)]
enum Purpose {
    Join,
    Look,
    Register,
    Start,
    Beat {
        beat: u64,
        sent_at: Time,
        arrived: BTreeSet<String>,
    },
    Workers,
    Fence {
        worker: String,
        run: u64,
    },
    RemoveWorker,
    /// The audit of the placer.
    Audit,
    /// The owners of the leases of an audit.
    Owners,
    /// The leases of an earlier run of this worker.
    OwnRows,
    /// The leases that are coming to this worker.
    Coming,
    /// The children of a shard that has ended here, and their other parents.
    Opening {
        children: Vec<ChildShard>,
    },
    /// Shards for another worker are announced to it, and then claimed for it.
    Place {
        claims: Vec<LeaseWrite>,
    },
    /// A claim in the name of another worker.
    ClaimForOther,
    /// A claim for this worker.
    Claim {
        shard_id: String,
        sent_at: Time,
    },
    /// Announces a move to its receiver.
    Reserve {
        shards: BTreeSet<String>,
    },
    /// Announces leases that were released.
    Released {
        shards: BTreeSet<String>,
    },
    /// The other parents of the children that a shard has at its end.
    OtherParents {
        shard_id: String,
        id: SaveId,
    },
    CreateChild {
        shard_id: String,
        id: SaveId,
        child: String,
    },
    /// A write to a lease of this worker.
    Held {
        shard_id: String,
    },
    DeleteLease,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Machine {
    config: Config,
    now: Time,
    /// The time at which the machine expects its next tick.
    due: Time,
    phase: Phase,
    dying: Option<Dying>,
    run: u64,
    view: View,
    beat: OwnBeat,
    reading: Reading,
    /// The time since which this worker has beaten and ticked without a gap. Before that it fences
    /// no worker.
    healthy_since: Option<Time>,
    /// The shards that the lineage offers here and that this worker has no lease of.
    offered: BTreeMap<String, Offered>,
    held: BTreeMap<String, Held>,
    /// The leases of which a move or a retry waits for its time.
    timed: BTreeSet<String>,
    /// The leases that this worker has released, and that no other was told of.
    released: BTreeSet<String>,
    /// Requests in flight that tell others of released leases.
    announcing: usize,
    /// The time of the next renewals, in a table that a KCL uses, too.
    renew_at: Time,
    /// The shards whose claim for this worker is not decided yet.
    claiming: BTreeSet<String>,
    /// The shards that others are giving to this worker, and since when.
    coming: BTreeMap<String, Time>,
    /// The shards that others were to give, and that have not come in time: since when.
    overdue: BTreeMap<String, Time>,
    doubtful: Doubtful,
    /// The shards to be removed from what is coming.
    arrived: BTreeSet<String>,
    audit: Audit,
    /// Whether the stream of shards is polled. Without it, a placer would not see which shards are
    /// offered, so another worker takes its place.
    is_consumer_polling: bool,
    /// The time since which the leases are out of balance.
    unbalanced_since: Option<Time>,
    pending: BTreeMap<Ticket, Box<(Purpose, Request)>>,
    /// The requests to be sent again.
    retries: Vec<(Time, Purpose, Request)>,
    /// Consecutive failures that no retry mends. The other permissions of the worker may be good.
    permanent_failures: BTreeMap<Permission, u32>,
    next_ticket: u64,
    actions: VecDeque<Action>,
    rng: fastrand::Rng,
}

/// A request whose result is open is sent again after this time.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// A worker that has stopped has nothing to do.
const DEAD_WAKE: Duration = Duration::from_hours(1);
const MIN_WAKE: Duration = Duration::from_millis(1);
/// Consecutive failures that no retry mends, before the worker stops for good.
const MAX_PERMANENT_FAILURES: u32 = 3;

/// Returns how long to wait before a request whose result is open is sent again.
fn retry_delay(rng: &mut fastrand::Rng) -> Duration {
    RETRY_DELAY.mul_f64(0.5 + rng.f64())
}

impl Machine {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let mut machine = Self {
            config,
            now: Time::ZERO,
            due: Time::ZERO,
            phase: Phase::Joining,
            dying: None,
            run: 0,
            view: View::default(),
            beat: OwnBeat::default(),
            reading: Reading::default(),
            healthy_since: None,
            offered: BTreeMap::new(),
            held: BTreeMap::new(),
            timed: BTreeSet::new(),
            released: BTreeSet::new(),
            announcing: 0,
            renew_at: Time::ZERO,
            claiming: BTreeSet::new(),
            coming: BTreeMap::new(),
            overdue: BTreeMap::new(),
            doubtful: Doubtful::new(),
            arrived: BTreeSet::new(),
            audit: Audit::default(),
            is_consumer_polling: true,
            unbalanced_since: None,
            pending: BTreeMap::new(),
            retries: Vec::new(),
            permanent_failures: BTreeMap::new(),
            next_ticket: 0,
            actions: VecDeque::new(),
            rng: fastrand::Rng::with_seed(seed),
        };
        machine.join();
        machine
    }

    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when the machine is to be woken by [`Event::Tick`].
    pub(crate) fn next_wake(&mut self) -> Time {
        self.due = self.compute_wake();
        self.due
    }

    /// Returns the time until which records may be delivered.
    pub(crate) fn delivery_deadline(&self) -> Time {
        match self.phase {
            Phase::Up { .. } | Phase::Leaving { .. } => self.beat.deadline(self.config.failover),
            _ => Time::ZERO,
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// Returns the greatest number of leases that this worker takes: none while nobody would read
    /// them.
    pub(crate) fn max_leases(&self) -> Option<u64> {
        if self.is_consumer_polling { self.config.max_leases } else { Some(0) }
    }

    /// Sets whether the stream of shards is polled.
    pub(crate) fn set_consumer_polling(&mut self, is_polling: bool) {
        if std::mem::replace(&mut self.is_consumer_polling, is_polling) != is_polling {
            // The number of leases that this worker takes is another.
            self.beat_now();
            self.place_left();
        }
    }

    /// Returns whether this worker has the lease of a shard that Kinesis lists.
    pub(crate) fn holds(&self, shard_id: &str) -> bool {
        self.held.get(shard_id).is_some_and(Held::is_listed)
    }

    /// Returns the workers as they were read last: id, number of leases, and whether they take any.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &view::Seen> {
        self.view.live()
    }

    /// Judges other workers although this one may have been cut off: a fault for the simulation.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn assume_health(&mut self) {
        self.healthy_since = Some(Time::ZERO);
    }

    /// Returns the number of leases that this worker has and expects.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn load(&self) -> u64 {
        self.staying() + (self.coming.len() + self.claiming.len()) as u64
    }

    /// Returns how many entries the collections have, by name.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let mut sizes = vec![
            ("offered", self.offered.len()),
            ("held", self.held.len()),
            ("timed", self.timed.len()),
            ("released", self.released.len()),
            ("claiming", self.claiming.len()),
            ("coming", self.coming.len()),
            ("overdue", self.overdue.len()),
            ("doubtful", self.doubtful.len()),
            ("arrived", self.arrived.len()),
            ("pending", self.pending.len()),
            ("retries", self.retries.len()),
        ];
        sizes.extend(self.view.sizes());
        sizes.extend(self.audit.sizes());
        sizes
    }

    /// Returns the rows of the workers, as this one has read them last.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn workers_seen(&self) -> Vec<crate::lease::table::WorkerRow> {
        self.view.workers.values().map(|seen| seen.row.clone()).collect()
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.phase, Phase::Dead)
    }

    /// Takes in an event.
    pub(crate) fn on(&mut self, now: Time, event: Event) {
        self.now = self.now.max(now);
        if self.is_dead() {
            if let Event::Save { id, .. } = event {
                self.act(Action::Saved { id, result: Err(SaveError::NoLease) });
            }
            return;
        }
        // The process was stopped, or its runtime was not driven.
        if self.now.saturating_sub(self.due) > self.config.failover / 5 {
            self.healthy_since = None;
        }
        match event {
            Event::Tick => {}
            Event::Responded(ticket, result) => self.responded(ticket, result),
            Event::Start(start) => self.request_start(start),
            Event::Offered(offered) => self.offer(offered),
            // A KCL may have deleted their rows. New ones would be read from their starts.
            Event::Closed(shards) => {
                self.offered.retain(|shard_id, _| !shards.contains(shard_id));
            }
            Event::AncestorsClosed { number } => self.ancestors_closed(number),
            Event::Unlisted(shard_id) => self.unlist(&shard_id),
            Event::TakenOver(shard_id) => self.confirm(&shard_id),
            Event::Save { shard_id, id, checkpoint, children } => {
                self.save(&shard_id, id, checkpoint, children);
            }
            Event::Drained { shard_id, checkpoint } => self.drained(&shard_id, checkpoint),
            Event::Shutdown { limit } => self.shut_down(limit),
        }
        self.tick();
        self.due = self.due.max(self.now);
    }

    fn tick(&mut self) {
        let now = self.now;
        let (due, later) =
            std::mem::take(&mut self.retries).into_iter().partition(|(at, ..)| *at <= now);
        self.retries = later;
        let due: Vec<(Time, Purpose, Request)> = due;
        for (_, purpose, request) in due {
            self.send(purpose, request);
        }
        self.tick_membership();
        self.tick_moves();
        self.tick_placing();
    }

    fn compute_wake(&self) -> Time {
        if self.is_dead() {
            return self.now + DEAD_WAKE;
        }
        let retries = self.retries.iter().map(|(at, ..)| *at);
        let wakes = [self.membership_wake(), self.moves_wake(), self.placing_wake()];
        let wake = wakes.into_iter().flatten().chain(retries).min();
        // All that is due now was done.
        wake.unwrap_or(self.now + self.config.failover).max(self.now + MIN_WAKE)
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn report(&mut self, event: LeaseEventKind) {
        self.act(Action::Report(event));
    }

    fn send(&mut self, purpose: Purpose, request: Request) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.pending.insert(ticket, Box::new((purpose, request.clone())));
        self.act(Action::Send(ticket, request));
    }

    fn retry(&mut self, purpose: Purpose, request: Request) {
        let wait = retry_delay(&mut self.rng);
        self.retries.push((self.now + wait, purpose, request));
    }

    fn die(&mut self, death: Death) {
        self.lose_all();
        self.phase = Phase::Dead;
        self.pending.clear();
        self.retries.clear();
        self.act(Action::Die(death));
    }

    fn responded(&mut self, ticket: Ticket, result: Result<Response, Failure>) {
        let Some(pending) = self.pending.remove(&ticket) else { return };
        let (purpose, request) = *pending;
        match result {
            Ok(response) => {
                self.permanent_failures.remove(&request.permission());
                self.succeeded(purpose, &request, response);
            }
            Err(failure) => {
                if failure.is_permanent {
                    let failures = self.permanent_failures.entry(request.permission()).or_default();
                    *failures += 1;
                    let is_joining =
                        !matches!(self.phase, Phase::Up { .. } | Phase::Leaving { .. });
                    if is_joining || *failures >= MAX_PERMANENT_FAILURES {
                        self.leave_and_die(Death::Failed(failure.text.clone()));
                    }
                }
                if !self.is_dead() {
                    self.failed(purpose, request, failure);
                }
            }
        }
    }

    fn succeeded(&mut self, purpose: Purpose, request: &Request, response: Response) {
        match (purpose, response) {
            (Purpose::Join, Response::Joined { run, stream }) => self.has_run(run, stream),
            (Purpose::Look, Response::Workers(rows)) => self.looked(&rows),
            (Purpose::Register, Response::Worker(row)) => self.registered(row),
            // It was applied before, and its response was lost.
            (Purpose::Register, Response::RefusedWorker(Some(row))) if row.run == self.run => {
                self.registered(row);
            }
            (Purpose::Register, _) => self.die(Death::Superseded),
            (Purpose::Start, Response::Started { start, stream }) => self.started(start, stream),
            (Purpose::Beat { beat, sent_at, arrived }, response) => {
                self.beat_responded(beat, sent_at, &arrived, response);
            }
            (Purpose::Workers, Response::Workers(rows)) => self.workers_read(rows),
            (Purpose::Fence { worker, run }, Response::Worker(_)) => self.fenced(&worker, run),
            (Purpose::Fence { .. }, Response::RefusedWorker(Some(row))) => {
                self.view.note(row, self.now);
            }
            (Purpose::Audit, Response::Leases(rows)) => self.audited(rows),
            (Purpose::Owners, Response::Workers(rows)) => self.owners_read(rows),
            (Purpose::OwnRows, Response::Leases(rows)) => self.own_rows_read(rows),
            (Purpose::Coming, Response::Leases(rows)) => self.coming_read(rows),
            (Purpose::Opening { children }, Response::Leases(rows)) => {
                self.opening_read(&children, &rows);
            }
            (Purpose::Place { claims }, response) => self.place_reserved(claims, &response),
            (Purpose::ClaimForOther, _) => self.claim_for_other_decided(),
            (Purpose::Claim { shard_id, sent_at }, Response::Lease(row)) => {
                self.claiming.remove(&shard_id);
                self.hold(row, sent_at);
            }
            (Purpose::Claim { shard_id, sent_at }, Response::RefusedLease(row)) => {
                self.claim_refused(&shard_id, row, request, sent_at);
            }
            (Purpose::Reserve { shards }, response) => self.reserved(&shards, &response),
            (Purpose::Released { shards }, response) => self.released_announced(shards, &response),
            (Purpose::OtherParents { shard_id, id }, Response::Leases(rows)) => {
                self.other_parents_read(&shard_id, id, &rows);
            }
            (Purpose::CreateChild { shard_id, id, child }, _) => {
                self.child_created(&shard_id, id, child);
            }
            (Purpose::Held { shard_id }, Response::Lease(row)) => {
                self.written(&shard_id, Some(row));
            }
            (Purpose::Held { shard_id }, Response::Deleted) => self.written(&shard_id, None),
            (Purpose::Held { shard_id }, Response::RefusedLease(row)) => {
                self.write_refused(&shard_id, row);
            }
            (Purpose::RemoveWorker, response) => self.worker_removed(request, &response),
            // A response of another kind cannot come.
            _ => {}
        }
    }

    fn failed(&mut self, purpose: Purpose, request: Request, failure: Failure) {
        match purpose {
            Purpose::Beat { .. } | Purpose::Fence { .. } | Purpose::DeleteLease => {}
            Purpose::Workers => self.reading.is_in_flight = false,
            Purpose::Audit | Purpose::Owners => self.audit_failed(),
            Purpose::Coming => self.reading.is_reading_coming = false,
            Purpose::ClaimForOther => self.claim_for_other_decided(),
            Purpose::Place { claims } => {
                self.place_reserved(claims, &Response::RefusedWorker(None));
            }
            Purpose::Reserve { shards } => self.reserve_failed(&shards),
            Purpose::Released { shards } => {
                self.released_announced(shards, &Response::RefusedWorker(None));
            }
            Purpose::Held { shard_id } => self.write_failed(&shard_id, failure),
            Purpose::OtherParents { shard_id, id } | Purpose::CreateChild { shard_id, id, .. } => {
                self.end_failed(&shard_id, id, failure);
            }
            // The row may have been created, read to its end and deleted meanwhile.
            Purpose::Claim { shard_id, .. } if request.is_creation() => {
                self.claiming.remove(&shard_id);
                self.audit_later();
            }
            Purpose::Register if !self.may_register_again() => self.join(),
            Purpose::Join
            | Purpose::Look
            | Purpose::Register
            | Purpose::Start
            | Purpose::RemoveWorker
            | Purpose::OwnRows
            | Purpose::Opening { .. }
            | Purpose::Claim { .. } => self.retry(purpose, request),
        }
    }
}
