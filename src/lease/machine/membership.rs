//! Joining, beats, fences and leaving.

use std::collections::BTreeSet;

use tokio::time::Duration;

use crate::checkpoint::value::Checkpoint;
use crate::lease::event::LeaseEventKind;
use crate::lease::machine::{Action, Death, Failure, Machine, Purpose, SaveError, SaveId, Time};
use crate::lease::table::{Beat, Request, Response, WorkerRow, WorkerState};

/// How far a worker is in joining or leaving.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// The worker requests its run.
    Joining,
    /// A worker with this id may be running: its beat is read at `until`, and compared.
    Looking {
        until: Time,
        beat: Option<(u64, u64)>,
        is_reading: bool,
    },
    /// The worker writes its row. With `has_past`, an earlier run may have left leases.
    Registering {
        sent_at: Time,
        has_past: bool,
    },
    Up {
        since: Time,
    },
    /// The worker gives its leases away. It reads the workers first, until `give_at` at the latest:
    /// in a rolling deploy, one may have joined just now, and take no leases yet.
    Leaving {
        since: Time,
        give_at: Time,
        cut_at: Time,
        is_removing: bool,
    },
    /// The worker stops for good.
    Dead,
}

/// A worker that leaves since a request fails, and no retry mends it.
#[derive(Debug)]
pub(crate) struct Dying {
    death: Death,
    /// The leases that are left are dropped at this time. After that, the worker stops at this
    /// time, whether its row is removed or not.
    until: Time,
    has_dropped: bool,
}

/// The beats of this worker.
#[derive(Debug, Default)]
pub(crate) struct OwnBeat {
    last: u64,
    sent_at: Time,
    next_at: Time,
    /// The time at which the last confirmed beat was sent.
    confirmed: Time,
    is_paused: bool,
    /// The time since which the row says that this worker is leaving.
    leaving_since: Option<Time>,
}

/// Returns for how long records may be delivered after the last proof was sent.
pub(crate) fn delivery_limit(failover: Duration) -> Duration {
    failover.mul_f64(0.8)
}

impl OwnBeat {
    /// Returns the time until which records may be delivered: no other worker can have seen the
    /// last confirmed beat before it was sent, and none fences this one before a full failover time
    /// after that. A fifth of it is left for clocks that run at other speeds.
    pub(crate) fn deadline(&self, failover: Duration) -> Time {
        self.confirmed + delivery_limit(failover)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }
}

/// The reads of the workers table.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    next_at: Time,
    /// The time at which the last one was sent.
    sent_at: Time,
    pub(crate) is_in_flight: bool,
    pub(crate) is_reading_coming: bool,
    /// The time of the last read of overdue leases.
    pub(crate) overdue_at: Time,
}

/// Several workers may fence, each this much later than the one before it in age.
const FENCE_STEP: Duration = Duration::from_secs(1);
const MAX_FENCERS: usize = 5;
/// The number of workers above which most read the workers table less often.
const MANY_WORKERS: u32 = 40;
/// The workers that read the workers table most often.
const WATCHERS: usize = 3;
/// A worker beats fast for this long after it has joined.
const HURRY_AFTER_JOIN: Duration = Duration::from_secs(15);
const FAST_BEAT: Duration = Duration::from_millis(250);
/// The share of a shutdown's limit that is left for the last writes, up to [`MAX_LAST_WRITES`].
const LAST_WRITES: f64 = 0.2;
const MAX_LAST_WRITES: Duration = Duration::from_secs(2);
/// The time that a worker has to give its leases away if a request fails for good.
const DYING_LIMIT: Duration = Duration::from_secs(5);
/// The time that it has after that to remove its row.
const REMOVAL_LIMIT: Duration = Duration::from_secs(1);

impl Machine {
    /// Returns for how long the beat of a worker may stand still before it is suspect.
    pub(crate) fn suspect_after(&self) -> Duration {
        self.config.failover.mul_f64(0.7)
    }

    /// Takes in the row of another worker that a write's response shows.
    pub(crate) fn note_worker(&mut self, response: &Response) {
        if let Response::Worker(row) | Response::RefusedWorker(Some(row)) = response {
            self.view.note(row.clone(), self.now);
        }
    }

    /// Beats at once: others need to know what has changed.
    pub(crate) fn beat_now(&mut self) {
        self.beat.next_at = self.beat.next_at.min(self.now);
    }

    /// Returns the interval of beats.
    pub(crate) fn beat_interval(&self) -> Duration {
        self.config.failover / 5
    }

    fn next_beat_in(&self) -> Duration {
        let now = self.now;
        let suspect = self.suspect_after();
        let is_new = matches!(self.phase, Phase::Up { since } if now < since + HURRY_AFTER_JOIN);
        let is_hurried = is_new
            || !self.coming.is_empty()
            || matches!(self.phase, Phase::Leaving { .. })
            || self.view.live().any(|seen| {
                seen.row.state == WorkerState::Leaving || self.view.age(seen) >= suspect
            });
        let interval = self.beat_interval();
        if is_hurried { interval.min(FAST_BEAT) } else { interval }
    }

    /// Beats sooner if this worker must be fast from now on.
    pub(crate) fn hurry(&mut self) {
        let next_at = self.beat.sent_at + self.next_beat_in();
        self.beat.next_at = self.beat.next_at.min(next_at);
    }

    fn next_read_in(&self) -> Duration {
        let workers = u32::try_from(self.view.live().count()).unwrap_or(u32::MAX);
        let interval = self.beat_interval();
        if workers <= MANY_WORKERS {
            return interval;
        }
        let older = self.view.live().filter(|seen| seen.row.run < self.run).count();
        if older < WATCHERS { interval } else { interval * workers / MANY_WORKERS }
    }

    pub(crate) fn membership_wake(&self) -> Option<Time> {
        match self.phase {
            Phase::Looking { until, is_reading: false, .. } => Some(until),
            Phase::Up { .. } | Phase::Leaving { .. } => {
                let mut wake = self.beat.next_at;
                if !self.reading.is_in_flight {
                    wake = wake.min(self.reading.next_at);
                }
                if !self.beat.is_paused {
                    wake = wake.min(self.beat.deadline(self.config.failover));
                }
                if let Phase::Leaving { give_at, cut_at, .. } = self.phase {
                    let ahead = [give_at, cut_at].into_iter().filter(|at| *at > self.now);
                    wake = ahead.fold(wake, Time::min);
                }
                if let Some(dying) = &self.dying {
                    wake = wake.min(dying.until);
                }
                Some(wake)
            }
            Phase::Joining | Phase::Looking { .. } | Phase::Registering { .. } | Phase::Dead => {
                None
            }
        }
    }

    pub(crate) fn tick_membership(&mut self) {
        match &mut self.phase {
            Phase::Looking { until, is_reading, .. } if self.now >= *until && !*is_reading => {
                *is_reading = true;
                self.send(Purpose::Look, Request::Workers { is_consistent: true });
            }
            Phase::Up { .. } | Phase::Leaving { .. } => {
                self.tick_beat();
                if self.now >= self.reading.next_at && !self.reading.is_in_flight {
                    self.reading.is_in_flight = true;
                    self.reading.sent_at = self.now;
                    self.reading.next_at = self.now + self.next_read_in();
                    let is_consistent = self.is_looking_for_receivers();
                    self.send(Purpose::Workers, Request::Workers { is_consistent });
                }
            }
            _ => {}
        }
        if let Phase::Leaving { cut_at, is_removing, .. } = self.phase {
            self.tick_leaving(cut_at, is_removing);
        }
        self.tick_dying();
    }

    fn tick_beat(&mut self) {
        if self.now >= self.beat.next_at {
            self.beat.last += 1;
            self.beat.sent_at = self.now;
            self.beat.next_at = self.now + self.next_beat_in();
            let state = if matches!(self.phase, Phase::Leaving { .. }) {
                WorkerState::Leaving
            } else {
                WorkerState::Up
            };
            let beat = Beat {
                worker: self.config.worker.clone(),
                run: self.run,
                beat: self.beat.last,
                state,
                held: self.staying(),
                max: self.max_leases(),
                audits: self.audit.completed,
                arrived: self.arrived.clone(),
            };
            let purpose = Purpose::Beat {
                beat: self.beat.last,
                sent_at: self.now,
                arrived: self.arrived.clone(),
            };
            self.send(purpose, Request::Beat(beat));
        }
        let failover = self.config.failover;
        if self.now.saturating_sub(self.beat.confirmed) > failover / 2 {
            self.healthy_since = None;
        }
        if self.now >= self.beat.deadline(failover) && !self.beat.is_paused {
            self.beat.is_paused = true;
            self.report(LeaseEventKind::Paused);
        }
    }

    pub(crate) fn join(&mut self) {
        self.phase = Phase::Joining;
        self.send(Purpose::Join, Request::Join);
    }

    pub(crate) fn has_run(&mut self, run: u64, stream: Option<String>) {
        if let Some(stream) = stream.filter(|stream| *stream != self.config.stream) {
            self.die(Death::OtherStream(stream));
            return;
        }
        self.run = run;
        self.phase = Phase::Looking { until: self.now, beat: None, is_reading: false };
    }

    /// Takes in the workers while joining: a live one of the same id is not disturbed.
    pub(crate) fn looked(&mut self, rows: &[WorkerRow]) {
        let Phase::Looking { beat, .. } = self.phase else { return };
        let row = rows.iter().find(|row| row.id == self.config.worker);
        let row = row.filter(|row| row.state != WorkerState::Dead);
        match (row, beat) {
            (Some(row), Some(before)) if (row.run, row.beat) != before => {
                self.die(Death::TwinIsAlive);
            }
            (Some(row), None) => {
                let until = self.now + self.beat_interval() + Duration::from_millis(500);
                let beat = Some((row.run, row.beat));
                self.phase = Phase::Looking { until, beat, is_reading: false };
            }
            _ => {
                let has_past = rows.iter().any(|row| row.id == self.config.worker);
                self.register(has_past);
            }
        }
    }

    fn register(&mut self, has_past: bool) {
        self.phase = Phase::Registering { sent_at: self.now, has_past };
        let row = WorkerRow {
            id: self.config.worker.clone(),
            run: self.run,
            max: self.max_leases(),
            ..WorkerRow::default()
        };
        self.send(Purpose::Register, Request::Register(row));
    }

    /// Returns whether the row may be written once more. An earlier attempt may have been applied
    /// long ago: then others have seen the row stand still, and may fence it at once.
    pub(crate) fn may_register_again(&self) -> bool {
        let Phase::Registering { sent_at, .. } = self.phase else { return true };
        self.now.saturating_sub(sent_at) < self.config.failover / 2
    }

    pub(crate) fn registered(&mut self, row: WorkerRow) {
        let Phase::Registering { sent_at, has_past } = self.phase else { return };
        let now = self.now;
        self.phase = Phase::Up { since: now };
        self.beat =
            OwnBeat { last: row.beat, next_at: now, confirmed: sent_at, ..OwnBeat::default() };
        self.reading = Reading { next_at: now, ..Reading::default() };
        self.healthy_since = Some(now);
        self.view.note(row, now);
        if has_past {
            self.send(Purpose::OwnRows, Request::Scan);
        }
        self.act(Action::Joined);
    }

    pub(crate) fn beat_responded(
        &mut self,
        beat: u64,
        sent_at: Time,
        arrived: &BTreeSet<String>,
        response: Response,
    ) {
        match response {
            Response::Worker(row) if row.run == self.run => {
                for shard_id in arrived {
                    if !row.coming.contains(shard_id) {
                        self.arrived.remove(shard_id);
                    }
                }
                self.confirm_beat(sent_at);
                if row.state == WorkerState::Leaving {
                    self.beat.leaving_since.get_or_insert(self.now);
                }
                self.take_coming(row);
            }
            Response::RefusedWorker(Some(row)) if row.run > self.run => {
                self.die(Death::Superseded);
            }
            Response::RefusedWorker(Some(row))
                if row.run == self.run && row.state != WorkerState::Dead && row.beat >= beat =>
            {
                // A later beat has been applied before this one, or this one was, and its response
                // was lost. `sent_at` was before either, so it proves no more than this beat.
                self.confirm_beat(sent_at);
            }
            Response::RefusedWorker(Some(row))
                if row.run == self.run && row.state != WorkerState::Dead => {}
            Response::RefusedWorker(_) => self.was_fenced(),
            _ => {}
        }
    }

    fn confirm_beat(&mut self, sent_at: Time) {
        self.beat.confirmed = self.beat.confirmed.max(sent_at);
        self.claim_after_beat(sent_at);
        if self.now.saturating_sub(self.beat.confirmed) <= self.config.failover / 2 {
            self.healthy_since.get_or_insert(self.now);
        }
        if self.beat.is_paused && self.now < self.beat.deadline(self.config.failover) {
            self.beat.is_paused = false;
            self.report(LeaseEventKind::Resumed);
        }
    }

    /// This worker was declared dead: it has lost all leases, and joins as a new one.
    fn was_fenced(&mut self) {
        let is_leaving = matches!(self.phase, Phase::Leaving { .. });
        self.lose_all();
        let is_start = |purpose: &Purpose| matches!(purpose, Purpose::Start);
        self.pending.retain(|_, pending| is_start(&pending.0));
        self.retries.retain(|(_, purpose, _)| is_start(purpose));
        if is_leaving {
            self.leave();
            return;
        }
        self.report(LeaseEventKind::WasFenced);
        self.healthy_since = None;
        self.audit.reset();
        self.join();
    }

    /// Drops all leases. Their saves in flight may or may not take effect.
    pub(crate) fn lose_all(&mut self) {
        let held: Vec<_> = self.held.keys().cloned().collect();
        for shard_id in held {
            self.lose(&shard_id, None);
        }
        self.claiming.clear();
        self.coming.clear();
        self.overdue.clear();
        self.doubtful.clear();
        self.arrived.clear();
        self.released.clear();
        self.announcing = 0;
    }

    pub(crate) fn workers_read(&mut self, rows: Vec<WorkerRow>) {
        self.reading.is_in_flight = false;
        let placer_before = self.is_placer();
        let owners_before = self.live_runs();
        let departures_before = self.view.departures;
        // An eventually consistent read may not show the row of this worker yet.
        let own = self.view.workers.get(&self.config.worker).map(|seen| seen.row.clone());
        let own = own.filter(|own| own.run == self.run && rows.iter().all(|row| row.id != own.id));
        let rows = rows.into_iter().chain(own).collect();
        self.view.update(rows, self.now);
        if owners_before.difference(&self.live_runs()).next().is_some()
            || (self.is_placer() && !placer_before)
        {
            self.audit_soon();
        }
        if self.view.departures > departures_before {
            self.audit_again();
        }
        if self.is_looking_for_receivers()
            && let Phase::Leaving { since, give_at, .. } = &mut self.phase
            && self.reading.sent_at >= *since
        {
            if self.view.expects_receiver(self.run, HURRY_AFTER_JOIN) {
                let again_at = self.now + FAST_BEAT.min(self.config.failover / 40);
                self.reading.next_at = self.reading.next_at.min(again_at);
            } else {
                *give_at = self.now;
                self.give_all_away();
            }
        } else if matches!(self.phase, Phase::Leaving { .. }) {
            self.announce_released();
        }
        self.place_left();
        self.fence_the_still();
        self.balance();
        self.hurry();
    }

    fn live_runs(&self) -> BTreeSet<u64> {
        self.view.live().map(|seen| seen.row.run).collect()
    }

    /// Fences the workers whose beat does not move. The oldest worker fences first.
    fn fence_the_still(&mut self) {
        if !matches!(self.phase, Phase::Up { .. }) {
            return;
        }
        let failover = self.config.failover;
        let suspect = self.suspect_after();
        let older = self.view.beating(suspect).filter(|seen| seen.row.run < self.run).count();
        if older >= MAX_FENCERS {
            return;
        }
        let limit = failover + FENCE_STEP * u32::try_from(older).unwrap_or(u32::MAX);
        let still: Vec<_> = self
            .view
            .live()
            .filter(|seen| seen.row.run != self.run)
            .filter(|seen| self.view.is_still(seen, limit, self.healthy_since))
            .map(|seen| (seen.row.id.clone(), seen.row.run, seen.row.beat))
            .collect();
        for (worker, run, beat) in still {
            let is_fencing = self.pending.values().any(
                |pending| matches!(pending.0, Purpose::Fence { run: other, .. } if other == run),
            );
            if !is_fencing {
                let purpose = Purpose::Fence { worker: worker.clone(), run };
                self.send(purpose, Request::Fence { worker, run, beat, by: self.run });
            }
        }
    }

    pub(crate) fn fenced(&mut self, worker: &str, run: u64) {
        self.view.note_dead(worker, run, self.now);
        self.report(LeaseEventKind::Fenced { worker: worker.to_owned() });
        self.audit_soon();
    }

    pub(crate) fn request_start(&mut self, start: Checkpoint) {
        let request = Request::Start { start, stream: self.config.stream.clone() };
        self.send(Purpose::Start, request);
    }

    pub(crate) fn started(&mut self, start: Checkpoint, stream: String) {
        if stream == self.config.stream {
            self.act(Action::Started(start));
        } else {
            self.leave_and_die(Death::OtherStream(stream));
        }
    }

    /// Stops for good. A worker of the fleet gives its leases away before, and removes its row, as
    /// far as it still can: else the others would wait for the failover time.
    pub(crate) fn leave_and_die(&mut self, death: Death) {
        let now = self.now;
        match &mut self.phase {
            Phase::Up { .. } | Phase::Leaving { .. } if self.dying.is_some() => return,
            Phase::Up { .. } => self.shut_down(DYING_LIMIT),
            Phase::Leaving { cut_at, .. } => *cut_at = (*cut_at).min(now + DYING_LIMIT),
            _ => {
                self.die(death);
                return;
            }
        }
        self.dying = Some(Dying { death, until: now + DYING_LIMIT, has_dropped: false });
    }

    fn tick_dying(&mut self) {
        let now = self.now;
        let Some(dying) = self.dying.as_mut().filter(|dying| now >= dying.until) else { return };
        if std::mem::replace(&mut dying.has_dropped, true) {
            self.leave();
            return;
        }
        // No record is delivered any longer: the others may take what is left once the row is gone.
        dying.until = now + REMOVAL_LIMIT;
        self.lose_all();
        self.pending.clear();
        self.retries.clear();
        if let Phase::Leaving { cut_at, .. } = self.phase {
            self.tick_leaving(cut_at, false);
        }
    }

    /// Stops: this worker is no longer one of the fleet, or cannot change that.
    fn leave(&mut self) {
        if let Some(Dying { death, .. }) = self.dying.take() {
            self.die(death);
        } else {
            self.phase = Phase::Dead;
            self.act(Action::Left);
        }
    }

    /// Returns whether this worker gives its leases away.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    pub(crate) fn shut_down(&mut self, limit: Duration) {
        match self.phase {
            Phase::Up { .. } => {}
            Phase::Leaving { .. } | Phase::Dead => return,
            _ => {
                self.phase = Phase::Dead;
                self.pending.clear();
                self.retries.clear();
                self.act(Action::Left);
                return;
            }
        }
        let now = self.now;
        let last_writes = limit.mul_f64(LAST_WRITES).min(MAX_LAST_WRITES);
        let cut_at = now + limit.saturating_sub(last_writes);
        let give_at = cut_at.min(now + self.beat_interval() / 2);
        self.phase = Phase::Leaving { since: now, give_at, cut_at, is_removing: false };
        self.beat.next_at = now;
        self.reading.next_at = now;
    }

    /// Returns whether this worker is leaving, and has not read yet which others are there.
    pub(crate) fn is_looking_for_receivers(&self) -> bool {
        matches!(self.phase, Phase::Leaving { give_at, .. } if self.now < give_at)
    }

    /// Returns whether no other worker gives a lease to this one, which is leaving. They may until
    /// they have read so; after that, only reservations that were called off are left.
    fn gets_no_lease(&self) -> bool {
        let wait =
            if self.coming.is_empty() { Duration::ZERO } else { self.beat_interval() * 5 / 2 };
        self.beat.leaving_since.is_some_and(|since| self.now >= since + wait)
    }

    fn tick_leaving(&mut self, cut_at: Time, is_removing: bool) {
        if self.now >= cut_at {
            self.cut_all();
        }
        let is_empty = self.held.is_empty() && self.claiming.is_empty() && self.announcing == 0;
        if is_empty && !is_removing && (self.gets_no_lease() || self.now >= cut_at) {
            if let Phase::Leaving { is_removing, .. } = &mut self.phase {
                *is_removing = true;
            }
            let (worker, run) = (self.config.worker.clone(), self.run);
            self.send(Purpose::RemoveWorker, Request::RemoveWorker { worker, run, is_own: true });
        }
    }

    pub(crate) fn worker_removed(&mut self, request: &Request, response: &Response) {
        let Request::RemoveWorker { worker, run, is_own } = request else { return };
        if *is_own {
            self.leave();
        } else if matches!(response, Response::Worker(_) | Response::RefusedWorker(None)) {
            let is_it = self.view.workers.get(worker).is_some_and(|seen| seen.row.run == *run);
            if is_it {
                self.view.workers.remove(worker);
            }
        }
    }

    pub(crate) fn fail_save(&mut self, id: SaveId, failure: Failure) {
        self.act(Action::Saved { id, result: Err(SaveError::Failed(failure)) });
    }
}
