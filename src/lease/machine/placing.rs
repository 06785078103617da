//! The placing of free shards, and the balance of the workers.
//!
//! One worker places: the oldest, by each one's own view. Two that both believe to be the oldest do
//! no harm, since every claim is one conditional write.

pub(crate) mod creating;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Duration;

use crate::lease::event::LeaseEventKind;
use crate::lease::machine::holding::beside_kcl::HAND_OVER_LIMIT;
use crate::lease::machine::holding::moves::MAX_RESERVED;
use crate::lease::machine::membership::Phase;
use crate::lease::machine::placing::creating::Closing;
use crate::lease::machine::plan::{Load, fill, flows};
use crate::lease::machine::{Action, Machine, Offered, Purpose, Time};
use crate::lease::table::{
    Change, Condition, LeaseRow, LeaseWrite, Request, Response, WorkerRow, WorkerState,
};

/// The audits of the placer: scans of the lease table.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    next_at: Time,
    is_in_flight: bool,
    /// The time at which the last one was sent.
    sent_at: Time,
    closing: Closing,
    /// The rows of the shards that have none are created once no claim is in flight.
    is_creating: bool,
    /// The time of one more audit, after the next one.
    again_at: Option<Time>,
    /// An audit became due while one was in flight.
    is_wanted: bool,
    pub(crate) completed: u64,
    /// The rows of the last audit.
    rows: BTreeMap<String, LeaseRow>,
    /// Claims in the name of others that are in flight, or wait for their announcement.
    pub(crate) placing: usize,
    /// The claims that are announced and sent after that.
    queue: Vec<(Load, Vec<LeaseWrite>)>,
    /// Owners that are no workers of the fleet: the counter of each of their leases, and since when
    /// it has not moved.
    foreign: BTreeMap<String, (u64, Time)>,
    told_foreign: BTreeSet<String>,
    /// The shards that Kinesis no longer lists and whose row may be left, and since when.
    unlisted: BTreeMap<String, Time>,
    /// The shards that have a processed record and whose ancestors were closed, among those of the
    /// last audit.
    closed_ancestors_of: BTreeSet<String>,
    told_no_room_at: Option<Time>,
    /// The number of shards for which no worker had room.
    unplaced: usize,
}

impl Audit {
    pub(crate) fn reset(&mut self) {
        let closing = self.closing.forgotten();
        *self = Self { completed: self.completed, closing, ..Self::default() };
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn sizes(&self) -> [(&'static str, usize); 6] {
        [
            ("audit.rows", self.rows.len()),
            ("audit.queue", self.queue.len()),
            ("audit.foreign", self.foreign.len()),
            ("audit.told_foreign", self.told_foreign.len()),
            ("audit.unlisted", self.unlisted.len()),
            ("audit.closed_ancestors_of", self.closed_ancestors_of.len()),
        ]
    }
}

/// The interval of audits.
const AUDIT_INTERVAL: Duration = Duration::from_mins(1);
/// A row that is left of an unlisted shard for longer belongs to a new shard of its id.
const UNLISTED_LIMIT: Duration = Duration::from_mins(15);
const AUDIT_RETRY: Duration = Duration::from_secs(2);
/// The time for which no worker may have joined before a placer of a new fleet with more than
/// [`FEW_SHARDS`] shards places them.
const COLD_START_QUIET: Duration = Duration::from_secs(3);
const COLD_START_LIMIT: Duration = Duration::from_secs(15);
const FEW_SHARDS: usize = 64;
/// Leases are balanced after this time even if workers come and go.
const MAX_UNBALANCED: Duration = Duration::from_mins(5);
const NO_ROOM_INTERVAL: Duration = Duration::from_mins(1);

impl Machine {
    pub(crate) fn is_placer(&self) -> bool {
        let Phase::Up { .. } = self.phase else { return false };
        let suspect = self.suspect_after();
        let is_self = |run: Option<u64>| run == Some(self.run);
        // The oldest is the placer in its own eyes even if it has completed no audit for long: else
        // it would never complete one again.
        is_self(self.view.oldest_up(suspect))
            || is_self(self.view.placer(suspect, AUDIT_INTERVAL * 3))
    }

    pub(crate) fn audit_soon(&mut self) {
        if self.audit.is_in_flight || self.audit.placing > 0 {
            self.audit.is_wanted = true;
        } else {
            self.audit.next_at = self.audit.next_at.min(self.now);
        }
    }

    /// Audits the leases after a pause: a request has failed.
    pub(crate) fn audit_later(&mut self) {
        self.audit.next_at = self.audit.next_at.min(self.now + AUDIT_RETRY);
    }

    /// Audits the leases twice: a worker that has just left may still be given one by another that
    /// has not read so.
    pub(crate) fn audit_again(&mut self) {
        self.audit.again_at = Some(self.now + self.beat_interval() * 2);
    }

    pub(crate) fn placing_wake(&self) -> Option<Time> {
        self.may_audit().then_some(self.audit.next_at)
    }

    fn may_audit(&self) -> bool {
        let is_idle = !self.audit.is_in_flight && self.audit.placing == 0;
        is_idle && self.is_consumer_polling && self.is_placer()
    }

    pub(crate) fn tick_placing(&mut self) {
        if self.now < self.audit.next_at || !self.may_audit() {
            return;
        }
        if let Some(wait) = self.cold_start_wait() {
            self.audit.next_at = self.now + wait;
            return;
        }
        self.audit.is_in_flight = true;
        self.audit.is_wanted = false;
        self.audit.is_creating = false;
        self.audit.closing = self.audit.closing.forgotten();
        self.audit.sent_at = self.now;
        self.audit.next_at = self.now + AUDIT_INTERVAL;
        self.send(Purpose::Audit, Request::Scan);
    }

    /// Returns how long a placer of a new fleet still waits for other workers.
    fn cold_start_wait(&self) -> Option<Duration> {
        let Phase::Up { since } = self.phase else { return None };
        let up_for = self.now.saturating_sub(since);
        if self.audit.completed > 0 || up_for >= COLD_START_LIMIT {
            return None;
        }
        if self.offered.is_empty() {
            // No list of shards has come yet.
            return Some(COLD_START_LIMIT.saturating_sub(up_for));
        }
        if self.offered.len() <= FEW_SHARDS {
            return None;
        }
        let has_older = self.view.live().any(|seen| seen.row.run < self.run);
        let quiet = self.now.saturating_sub(self.view.members_since);
        (!has_older && quiet < COLD_START_QUIET).then(|| COLD_START_QUIET.saturating_sub(quiet))
    }

    pub(crate) fn offer(&mut self, offered: Offered) {
        let shard_id = offered.shard_id.clone();
        if self.holds(&shard_id) {
            return;
        }
        // A lease that is left is of a shard of the same id that Kinesis no longer lists: the
        // stream was created again.
        self.offered.insert(shard_id.clone(), offered);
        if !self.is_placer() || self.claiming.contains(&shard_id) || self.is_opening(&shard_id) {
            return;
        }
        if self.audit.unlisted.contains_key(&shard_id) {
            self.audit_soon();
            return;
        }
        match self.audit.rows.get(&shard_id) {
            Some(row) if row.has_ended() => {
                self.offered.remove(&shard_id);
                self.act(Action::Finished { shard_id });
            }
            // A worker that lives has it.
            Some(row) if !self.is_free(row) && !row.is_owned_by(&self.config.worker) => {}
            _ => self.audit_soon(),
        }
    }

    /// Notes that the row of a shard was deleted. If the stream was created again, the new shard
    /// with this id is placed.
    pub(crate) fn deleted(&mut self, shard_id: &str) {
        self.audit.rows.remove(shard_id);
        if self.offered.contains_key(shard_id) {
            self.audit_soon();
        }
    }

    /// Notes in the rows of the last audit what this worker has written or learned since.
    pub(crate) fn note_row(&mut self, shard_id: &str, note: impl FnOnce(&mut LeaseRow)) {
        if let Some(row) = self.audit.rows.get_mut(shard_id) {
            note(row);
        }
    }

    pub(crate) fn audit_failed(&mut self) {
        self.audit.is_in_flight = false;
        self.audit.next_at = self.now + AUDIT_RETRY;
    }

    pub(crate) fn audited(&mut self, rows: Vec<LeaseRow>) {
        self.audit.is_in_flight = false;
        self.audit.completed += 1;
        self.audit.rows = rows.into_iter().map(|row| (row.shard_id.clone(), row)).collect();
        let Audit { rows, closed_ancestors_of, told_foreign, .. } = &mut self.audit;
        closed_ancestors_of.retain(|shard_id| rows.contains_key(shard_id));
        told_foreign.retain(|owner| rows.values().any(|row| row.holder() == Some(owner)));
        self.close_then_place();
    }

    /// Places the free shards, once it is known which owners live. A dead worker may have joined
    /// again under its id since its row was read last: only if its row is read after the leases
    /// were, and consistently, each lease that it has got since has a greater counter.
    fn judge(&mut self) {
        let is_doubtful = |row: &LeaseRow| {
            let owner = row.holder().map(|owner| self.view.workers.get(owner));
            owner.is_some_and(|seen| seen.is_none_or(|seen| seen.row.state == WorkerState::Dead))
        };
        if self.audit.rows.values().any(|row| !row.has_ended() && is_doubtful(row)) {
            self.audit.is_in_flight = true;
            self.send(Purpose::Owners, Request::Workers { is_consistent: true });
        } else {
            self.place();
        }
    }

    pub(crate) fn owners_read(&mut self, rows: Vec<WorkerRow>) {
        self.audit.is_in_flight = false;
        self.view.update(rows, self.now);
        self.place();
    }

    /// Returns whether no live worker owns a lease. The owner of a lease without a row of its own
    /// may be a worker of the KCL.
    pub(crate) fn is_free(&self, row: &LeaseRow) -> bool {
        let Some(owner) = row.holder() else { return true };
        let owner = self.view.workers.get(owner);
        owner.is_some_and(|seen| seen.row.state == WorkerState::Dead)
    }

    /// Returns the workers that take leases, with this worker's own numbers as they are now.
    fn loads(&self) -> Vec<Load> {
        let suspect = self.suspect_after();
        let up = self.view.beating(suspect).filter(|seen| seen.row.state == WorkerState::Up);
        up.map(|seen| {
            let row = &seen.row;
            let max = if row.run == self.run { self.max_leases() } else { row.max };
            let leases = if row.run == self.run {
                // A lease that is coming is claimed, too.
                let is_new = |shard_id: &&String| !self.coming.contains_key(*shard_id);
                let claiming = self.claiming.iter().filter(is_new).count();
                self.staying() + (self.coming.len() + claiming) as u64
            } else {
                row.held + row.coming.len() as u64
            };
            Load { worker: row.id.clone(), run: row.run, leases, max }
        })
        .collect()
    }

    /// Places again once a worker has room for the shards that are left.
    pub(crate) fn place_left(&mut self) {
        if self.audit.unplaced > 0 && self.is_placer() && self.loads().iter().any(Load::takes_more)
        {
            self.audit.unplaced = 0;
            self.audit_soon();
        }
    }

    /// Returns the other workers that take leases.
    pub(crate) fn receivers(&self) -> Vec<Load> {
        self.loads().into_iter().filter(|load| load.run != self.run).collect()
    }

    /// Places the free shards that the last audit shows.
    fn place(&mut self) {
        if !self.is_placer() {
            self.audit.next_at = self.now + AUDIT_RETRY;
            return;
        }
        self.audit.unplaced = 0;
        let rows = std::mem::take(&mut self.audit.rows);
        if self.delete_rows(&rows) {
            self.audit.is_wanted = true;
        }
        let mut free = Vec::new();
        let mut finished = Vec::new();
        let mut doubtful = Vec::new();
        for shard_id in self.offered.keys().filter(|shard_id| !self.is_placed_elsewhere(shard_id)) {
            match rows.get(shard_id) {
                Some(row) if row.has_ended() => finished.push(shard_id.clone()),
                Some(row) if self.is_free(row) => free.push(shard_id.clone()),
                Some(row) if self.is_doubtful(row) => doubtful.push(row.clone()),
                // A claim of an earlier run, or one whose response was lost.
                Some(row) if row.is_owned_by(&self.config.worker) => free.push(shard_id.clone()),
                // Those without a row come last.
                Some(_) | None => {}
            }
        }
        free.extend(self.still_foreign(&rows));
        for row in doubtful {
            self.wait_for_beat(row);
        }
        for shard_id in finished {
            self.offered.remove(&shard_id);
            self.act(Action::Finished { shard_id });
        }
        self.assign(&free, &rows);
        self.remind_owners(&rows);
        self.remove_dead_workers(&rows);
        self.audit.rows = rows;
        self.place_next();
        self.begin_creating();
        if std::mem::take(&mut self.audit.is_wanted) {
            let wait = if self.audit.unlisted.is_empty() { Duration::ZERO } else { AUDIT_RETRY };
            self.audit.next_at = self.now + wait;
        }
        if let Some(at) = self.audit.again_at.take() {
            self.audit.next_at = self.audit.next_at.min(at.max(self.now));
        }
    }

    /// Returns whether a shard is on its way to a worker, or its row is that of an older shard of
    /// the same id.
    fn is_placed_elsewhere(&self, shard_id: &str) -> bool {
        self.claiming.contains(shard_id)
            || self.coming.contains_key(shard_id)
            || self.audit.unlisted.contains_key(shard_id)
    }

    /// Returns the offered shards whose owner is no worker of the fleet, and whose counter has not
    /// moved for the failover time: a worker of the KCL that has died, or of another fleet. A
    /// hand-over to a KCL that a worker of the fleet does not complete is one of them, too.
    ///
    /// While the counters of others move, the placer scans once in each failover time, which is
    /// twice as often as a KCL does.
    fn still_foreign(&mut self, rows: &BTreeMap<String, LeaseRow>) -> Vec<String> {
        let (now, failover) = (self.now, self.config.failover);
        let mut still = Vec::new();
        let mut foreign = BTreeMap::new();
        let mut look_again_at = None;
        for row in rows.values().filter(|row| !row.has_ended()) {
            let Some(owner) = row.holder() else { continue };
            let is_ours = self.view.workers.contains_key(owner) || owner == self.config.worker;
            if is_ours && row.checkpoint_owner.is_none() {
                continue;
            }
            let limit = if is_ours { failover + HAND_OVER_LIMIT } else { failover };
            let known = self.audit.foreign.get(&row.shard_id).copied();
            let (counter, since) =
                known.filter(|(counter, _)| *counter == row.counter).unwrap_or((row.counter, now));
            if known.is_some_and(|(counter, _)| counter != row.counter)
                && !is_ours
                && self.audit.told_foreign.insert(owner.to_owned())
            {
                self.actions.push_back(Action::Report(LeaseEventKind::ForeignWorker {
                    worker: owner.to_owned(),
                }));
            }
            if self.view.has_departed(owner) || now.saturating_sub(since) >= limit {
                if self.offered.contains_key(&row.shard_id)
                    && !self.claiming.contains(&row.shard_id)
                {
                    still.push(row.shard_id.clone());
                }
            } else if !is_ours {
                look_again_at = look_again_at.max(Some(since + limit));
            }
            foreign.insert(row.shard_id.clone(), (counter, since));
        }
        self.audit.foreign = foreign;
        if let Some(at) = look_again_at {
            self.audit.next_at = self.audit.next_at.min(at.max(now + Duration::from_secs(1)));
        }
        still
    }

    /// Assigns free shards to workers. This worker claims its own at once; those of others are
    /// announced to them first.
    fn assign(&mut self, free: &[String], rows: &BTreeMap<String, LeaseRow>) {
        let loads = self.loads();
        let receivers = fill(&loads, free.len());
        let unplaced = free.len() - receivers.len();
        self.audit.unplaced += unplaced;
        if unplaced > 0 {
            let is_due = self
                .audit
                .told_no_room_at
                .is_none_or(|at| self.now.saturating_sub(at) >= NO_ROOM_INTERVAL);
            if is_due {
                self.audit.told_no_room_at = Some(self.now);
                self.report(LeaseEventKind::NoRoom { shards: self.audit.unplaced });
            }
        }
        let mut claims: Vec<Vec<LeaseWrite>> = vec![Vec::new(); loads.len()];
        for (shard_id, receiver) in free.iter().zip(receivers) {
            let worker = &loads[receiver].worker;
            if let Some(claim) = self.claim_of(shard_id, rows.get(shard_id), worker) {
                claims[receiver].push(claim);
            }
        }
        for (load, claims) in loads.into_iter().zip(claims) {
            if load.run == self.run {
                for claim in claims {
                    self.claim(claim);
                }
            } else if !claims.is_empty() {
                self.audit.queue.push((load, claims));
            }
        }
    }

    /// Announces the next shards to their receivers.
    fn place_next(&mut self) {
        if self.audit.placing > 0 {
            return;
        }
        let mut queue = std::mem::take(&mut self.audit.queue);
        for (load, claims) in &mut queue {
            let rest = claims.split_off(claims.len().min(MAX_RESERVED));
            let claims = std::mem::replace(claims, rest);
            let shards: BTreeSet<_> = claims.iter().map(|claim| claim.shard_id.clone()).collect();
            self.audit.placing += claims.len();
            let (worker, run) = (load.worker.clone(), load.run);
            self.send(
                Purpose::Place { claims },
                Request::Reserve { worker, run, seen: None, shards },
            );
        }
        queue.retain(|(_, claims)| !claims.is_empty());
        self.audit.queue = queue;
    }

    pub(crate) fn place_reserved(&mut self, claims: Vec<LeaseWrite>, response: &Response) {
        self.note_worker(response);
        let is_accepted = matches!(response, Response::Worker(_));
        let mut left = 0;
        for claim in claims.into_iter().map(Request::Write) {
            if is_accepted && (!claim.is_creation() || self.may_create()) {
                self.send(Purpose::ClaimForOther, claim);
            } else {
                left += 1;
            }
        }
        if !is_accepted || left > 0 {
            self.audit.placing -= left;
            self.audit.is_wanted = true;
            self.placed();
        }
    }

    /// A claim in the name of another worker was decided. If it was refused, or its result is open,
    /// the next audit shows what became of it.
    pub(crate) fn claim_for_other_decided(&mut self) {
        self.audit.placing -= 1;
        self.placed();
    }

    /// Continues once all claims of a round are decided.
    fn placed(&mut self) {
        if self.audit.placing > 0 {
            return;
        }
        self.place_next();
        self.create_rows();
        if self.audit.placing == 0 && std::mem::take(&mut self.audit.is_wanted) {
            self.audit.next_at = self.now + AUDIT_RETRY;
        }
    }

    /// Announces leases to live workers that own more than they say: their announcement, or the
    /// response to it, was lost.
    fn remind_owners(&mut self, rows: &BTreeMap<String, LeaseRow>) {
        let mut owned: BTreeMap<&str, Vec<&LeaseRow>> = BTreeMap::new();
        for row in rows.values().filter(|row| !row.has_ended()) {
            if let (Some(owner), None) = (&row.owner, &row.checkpoint_owner) {
                owned.entry(owner).or_default().push(row);
            }
        }
        let mut reminders = Vec::new();
        for (owner, leases) in owned {
            let Some(seen) = self.view.workers.get(owner) else { continue };
            let row = &seen.row;
            let is_short = (row.held + row.coming.len() as u64) < leases.len() as u64;
            if row.run == self.run || row.state != WorkerState::Up || !is_short {
                continue;
            }
            // A worker that has just joined may be about to take up its leases.
            if self.now.saturating_sub(seen.appeared_at) < self.beat_interval() {
                continue;
            }
            for leases in leases.chunks(MAX_RESERVED) {
                let shards: BTreeSet<_> = leases.iter().map(|row| row.shard_id.clone()).collect();
                reminders.push((row.id.clone(), row.run, shards));
            }
        }
        for (worker, run, shards) in reminders {
            let request = Request::Reserve { worker, run, seen: None, shards };
            self.send(Purpose::Place { claims: Vec::new() }, request);
        }
    }

    /// Removes the rows of dead workers that own no lease any longer.
    fn remove_dead_workers(&mut self, rows: &BTreeMap<String, LeaseRow>) {
        let owners: BTreeSet<_> = rows
            .values()
            .filter(|row| !row.has_ended())
            .flat_map(|row| [row.owner.as_ref(), row.checkpoint_owner.as_ref()])
            .flatten()
            .collect();
        let dead: Vec<_> = self
            .view
            .workers
            .values()
            .filter(|seen| seen.row.state == WorkerState::Dead && !owners.contains(&seen.row.id))
            .map(|seen| (seen.row.id.clone(), seen.row.run))
            .collect();
        for (worker, run) in dead {
            self.send(Purpose::RemoveWorker, Request::RemoveWorker { worker, run, is_own: false });
        }
    }

    /// Notes that Kinesis no longer lists a shard. If no live worker owns its row, the next audit
    /// deletes the row. Until then, a shard of this id that is offered is another: the stream was
    /// created again.
    pub(crate) fn delete_unlisted(&mut self, shard_id: &str) {
        let now = self.now;
        self.audit.rows.remove(shard_id);
        self.audit.unlisted.retain(|_, since| now.saturating_sub(*since) <= UNLISTED_LIMIT);
        self.audit.unlisted.insert(shard_id.to_owned(), now);
        self.audit_soon();
    }

    /// Deletes the rows of unlisted shards. Returns whether a deletion is under way.
    fn delete_rows(&mut self, rows: &BTreeMap<String, LeaseRow>) -> bool {
        let now = self.now;
        let mut unlisted = std::mem::take(&mut self.audit.unlisted);
        let mut is_deleting = false;
        unlisted.retain(|shard_id, since| {
            let Some(row) = rows.get(shard_id) else { return false };
            let is_old = now.saturating_sub(*since) > UNLISTED_LIMIT;
            if is_old || (!row.has_ended() && !self.is_free(row)) {
                return false;
            }
            let condition = if row.has_ended() {
                Condition::Ended { counter: row.counter }
            } else {
                Condition::as_read(row)
            };
            let write = self.lease_write(shard_id, condition, Change::Delete);
            self.send(Purpose::DeleteLease, Request::Write(write));
            is_deleting = true;
            true
        });
        self.audit.unlisted = unlisted;
        is_deleting
    }

    /// Moves leases away from this worker if it has more than its share.
    pub(crate) fn balance(&mut self) {
        let Phase::Up { .. } = self.phase else { return };
        let now = self.now;
        let loads = self.loads();
        let leases = || loads.iter().map(|load| load.leases);
        let moves = match (leases().min(), leases().max()) {
            (Some(least), Some(most)) if most >= least + 2 => flows(&loads),
            _ => Vec::new(),
        };
        if moves.is_empty() {
            self.unbalanced_since = None;
            return;
        }
        let unbalanced_since = *self.unbalanced_since.get_or_insert(now);
        let is_settled = now.saturating_sub(self.view.members_since) >= self.config.settle;
        if (!is_settled && now.saturating_sub(unbalanced_since) < MAX_UNBALANCED)
            || self.healthy_since.is_none()
            || self.beat.is_paused()
        {
            return;
        }
        let mine = moves.iter().filter(|(from, _)| loads[*from].run == self.run);
        let receivers: Vec<_> = mine.map(|(_, to)| *to).collect();
        let moving = self.held.values().filter(|held| held.is_moving()).count();
        let limit = self.held.len().div_ceil(4).max(1).saturating_sub(moving);
        let mut movable: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| {
                !held.is_busy() && now.saturating_sub(held.since) >= self.config.rest
            })
            .map(|(shard_id, held)| (held.since, shard_id.clone()))
            .collect();
        movable.sort();
        let mut given: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for ((_, shard_id), receiver) in movable.into_iter().zip(receivers).take(limit) {
            given.entry(receiver).or_default().insert(shard_id);
        }
        for (receiver, shards) in given {
            let load = &loads[receiver];
            let Some(seen) = self.view.workers.get(&load.worker) else { continue };
            let seen = (seen.row.held, seen.row.coming.len());
            self.begin_moves(shards, &load.worker, load.run, seen);
        }
    }
}
