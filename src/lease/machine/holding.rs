//! The leases of this worker: their writes, ends and moves.

pub(crate) mod beside_kcl;

use std::collections::BTreeSet;

use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::event::LeaseEventKind;
use crate::lease::machine::membership::Phase;
use crate::lease::machine::plan::{Load, fill};
use crate::lease::machine::{
    Action, Failure, Machine, Offered, Purpose, RETRY_DELAY, SaveError, SaveId, Time,
};
use crate::lease::table::{
    Change, Condition, LeaseRow, LeaseWrite, NewLease, Request, Response, WorkerRow, WorkerState,
    Writer,
};

/// A lease of this worker.
#[derive(Debug)]
pub(crate) struct Held {
    /// The counter of the row, as this worker knows it.
    counter: u64,
    pub(crate) since: Time,
    /// The write in flight, whose result decides the counter.
    write: Option<Write>,
    /// The save that waits for the write in flight.
    save: Option<(SaveId, Checkpoint)>,
    /// The end that is being saved.
    ending: Option<Ending>,
    /// The move under way.
    moving: Option<Move>,
    /// A leader of KCL 3 has given the lease to another worker, for which this one drains it.
    is_handed_over: bool,
    /// When a write whose result is open is sent again.
    retry_at: Option<Time>,
    /// When the row was written last.
    written_at: Time,
    /// When the write in flight was sent.
    sent_at: Time,
    /// When the last write that was applied was sent.
    confirmed: Time,
    /// The delivery is paused: a KCL may soon take the lease.
    is_paused: bool,
    /// Kinesis no longer lists the shard: the row is to be deleted.
    is_unlisted: bool,
}

impl Held {
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Returns when the next step of a move or a retry is due.
    fn due(&self) -> Option<Time> {
        let moving = match &self.moving {
            Some(Move::Announced { until, .. }) => Some(*until),
            // A worker that leaves waits without a limit of its own.
            Some(Move::Draining { until, .. }) if *until > Time::ZERO && *until < Time::MAX => {
                Some(*until)
            }
            _ => None,
        };
        moving.into_iter().chain(self.retry_at).min()
    }
}

#[derive(Clone, Debug)]
enum Write {
    Save(SaveId, Checkpoint),
    End(SaveId),
    Give,
    Renew,
    /// Kinesis no longer lists the shard.
    Delete,
}

/// The end of a shard: first the rows of its children, then the end itself.
#[derive(Debug, Default)]
struct Ending {
    id: SaveId,
    children: Vec<ChildShard>,
    /// The children whose row is known to exist, or is left to another shard's end. They are not
    /// written again after a failure.
    done: BTreeSet<String>,
    /// The shards that are known to have a row.
    known: BTreeSet<String>,
    has_read_parents: bool,
    /// Requests in flight.
    open: usize,
    /// The rows of the children exist.
    is_ready: bool,
    /// A request has failed: the end is saved again later.
    has_failed: bool,
}

/// A lease that is being given away.
#[derive(Clone, Debug)]
enum Move {
    /// The receiver is being told.
    Reserving { to: Receiver },
    /// The receiver was told, and reads it in the response to its next beat.
    Announced { to: Option<Receiver>, until: Time },
    /// The records in flight are waited for.
    Draining { to: Option<Receiver>, until: Time },
    /// No record is in flight: the lease may be given.
    Settled { to: Option<Receiver>, checkpoint: Checkpoint },
}

impl Held {
    /// Returns whether Kinesis lists the shard, as far as this worker knows.
    pub(crate) fn is_listed(&self) -> bool {
        !self.is_unlisted
    }
}

/// The worker that a lease is given to. Another run of it would not know of the lease.
#[derive(Clone, Debug)]
struct Receiver {
    worker: String,
    run: u64,
}

/// How long a lease is looked for that was announced and has not come. After that, an audit finds
/// it.
const MAX_OVERDUE: Duration = Duration::from_mins(1);

/// The number of shards that one request announces.
pub(crate) const MAX_RESERVED: usize = 100;

impl Machine {
    /// Returns the number of leases that are not about to be given away.
    pub(crate) fn staying(&self) -> u64 {
        self.held.values().filter(|held| held.moving.is_none()).count() as u64
    }

    pub(crate) fn has_room(&self) -> bool {
        let leases = self.held.len() + self.claiming.len();
        self.max_leases().is_none_or(|max| (leases as u64) < max)
    }

    /// Takes up a lease that this worker owns by the row.
    pub(crate) fn hold(&mut self, row: LeaseRow) {
        let shard_id = row.shard_id.clone();
        self.arrive(&shard_id);
        if row.has_ended() || self.held.contains_key(&shard_id) {
            return;
        }
        self.offered.remove(&shard_id);
        let held = Held {
            counter: row.counter,
            since: self.now,
            write: None,
            save: None,
            ending: None,
            moving: None,
            is_handed_over: false,
            retry_at: None,
            written_at: self.now,
            sent_at: self.now,
            confirmed: self.now,
            is_paused: false,
            is_unlisted: false,
        };
        self.held.insert(shard_id.clone(), held);
        let token = row.counter;
        self.note_row(&shard_id, |known| known.clone_from(&row));
        self.act(Action::Grant(row));
        self.report(LeaseEventKind::Granted { shard_id: shard_id.clone(), token });
        if matches!(self.phase, Phase::Leaving { .. }) {
            self.give_away([shard_id].into());
        }
    }

    /// Notes that a shard has come to this worker, or will not.
    pub(crate) fn arrive(&mut self, shard_id: &str) {
        self.overdue.remove(shard_id);
        if self.coming.remove(shard_id).is_some() {
            self.arrived.insert(shard_id.to_owned());
        }
    }

    /// Drops a lease that another worker has taken.
    pub(crate) fn lose(&mut self, shard_id: &str, to: Option<String>) {
        self.drop_lease(shard_id, LeaseEnd::Lost { to });
    }

    fn drop_lease(&mut self, shard_id: &str, end: LeaseEnd) {
        let Some(held) = self.held.remove(shard_id) else { return };
        let writing = match held.write {
            Some(Write::Save(id, _) | Write::End(id)) => Some(id),
            _ => None,
        };
        let saves = [writing, held.save.map(|(id, _)| id), held.ending.map(|ending| ending.id)];
        for id in saves.into_iter().flatten().collect::<BTreeSet<_>>() {
            self.act(Action::Saved { id, result: Err(SaveError::NoLease) });
        }
        self.note_row(shard_id, |row| match &end {
            LeaseEnd::Finished => row.checkpoint = Checkpoint::End,
            LeaseEnd::Moved { to } | LeaseEnd::Lost { to } => row.owner.clone_from(to),
        });
        self.act(Action::Revoke { shard_id: shard_id.to_owned(), end: end.clone() });
        self.report(LeaseEventKind::Ended { shard_id: shard_id.to_owned(), end });
    }

    /// Returns the condition that this worker has the lease.
    fn owned(&self, held: &Held) -> Condition {
        let (counter, me) = (held.counter, self.config.worker.clone());
        if held.is_handed_over {
            Condition::HandoverFrom { counter, checkpoint_owner: me }
        } else {
            Condition::Owned { counter, owner: me, checkpoint_owner: None }
        }
    }

    fn lease_write(&self, shard_id: &str, condition: Condition, change: Change) -> LeaseWrite {
        LeaseWrite { shard_id: shard_id.to_owned(), condition, change, run: self.run }
    }

    /// Claims a lease for this worker.
    pub(crate) fn claim(&mut self, write: LeaseWrite) {
        let shard_id = write.shard_id.clone();
        if self.claiming.insert(shard_id.clone()) {
            self.send(Purpose::Claim { shard_id }, Request::Write(write));
        }
    }

    /// Returns the claim of a lease for a worker, by the row as it was read.
    pub(crate) fn claim_of(
        &self,
        shard_id: &str,
        row: Option<&LeaseRow>,
        owner: &str,
    ) -> Option<LeaseWrite> {
        let owner = owner.to_owned();
        Some(match row {
            None => {
                let Offered { start, parents, hash_range, .. } =
                    self.offered.get(shard_id)?.clone();
                let new = NewLease { owner: Some(owner), checkpoint: start, parents, hash_range };
                self.lease_write(shard_id, Condition::Absent, Change::Create(new))
            }
            Some(row) => {
                let counter = row.counter;
                let condition = match &row.owner {
                    None => Condition::Unowned { counter },
                    Some(from) => Condition::Owned {
                        counter,
                        owner: from.clone(),
                        checkpoint_owner: row.checkpoint_owner.clone(),
                    },
                };
                self.lease_write(shard_id, condition, Change::Claim { owner })
            }
        })
    }

    pub(crate) fn claim_refused(
        &mut self,
        shard_id: &str,
        row: Option<LeaseRow>,
        request: &Request,
    ) {
        self.claiming.remove(shard_id);
        let Request::Write(write) = request else { return };
        let counter = match &write.condition {
            Condition::Absent => 1,
            Condition::Unowned { counter } | Condition::Owned { counter, .. } => counter + 1,
            _ => return,
        };
        let mine = Writer { run: self.run.to_string(), counter };
        match row {
            // The claim was applied before, and its response was lost.
            Some(row)
                if row.was_written_by(&mine)
                    && row.owner.as_deref() == Some(&*self.config.worker) =>
            {
                self.hold(row);
            }
            _ => self.audit_soon(),
        }
    }

    pub(crate) fn own_rows_read(&mut self, rows: Vec<LeaseRow>) {
        let me = self.config.worker.clone();
        for row in rows {
            let is_mine = row.owner.as_deref() == Some(&*me) && row.checkpoint_owner.is_none();
            if is_mine && !row.has_ended() && !self.holds(&row.shard_id) {
                // The counter moves, so that a write of the earlier run is refused.
                if let Some(claim) = self.claim_of(&row.shard_id, Some(&row), &me) {
                    self.claim(claim);
                }
            }
        }
    }
}

/// Shards that are coming to this worker.
impl Machine {
    pub(crate) fn take_coming(&mut self, row: WorkerRow) {
        let now = self.now;
        for shard_id in &row.coming {
            if self.arrived.contains(shard_id) {
                continue;
            }
            if self.held.contains_key(shard_id) {
                self.arrived.insert(shard_id.clone());
            } else {
                self.coming.entry(shard_id.clone()).or_insert(now);
            }
        }
        self.view.note(row, now);
        self.read_coming();
        self.hurry();
    }

    /// Reads the leases that are coming, and now and then those that are overdue.
    fn read_coming(&mut self) {
        let (now, interval) = (self.now, self.beat_interval());
        self.overdue.retain(|_, since| now.saturating_sub(*since) < MAX_OVERDUE);
        let is_due = now.saturating_sub(self.reading.overdue_at) >= interval;
        let with_overdue = is_due && !self.overdue.is_empty();
        if (self.coming.is_empty() && !with_overdue) || self.reading.is_reading_coming {
            return;
        }
        self.reading.is_reading_coming = true;
        let mut ids: BTreeSet<_> = self.coming.keys().cloned().collect();
        if with_overdue {
            self.reading.overdue_at = now;
            ids.extend(self.overdue.keys().cloned());
        }
        self.send(Purpose::Coming, Request::Get(ids.into_iter().collect()));
    }

    pub(crate) fn coming_read(&mut self, rows: Vec<LeaseRow>) {
        self.reading.is_reading_coming = false;
        let me = self.config.worker.clone();
        for row in rows {
            let shard_id = row.shard_id.clone();
            let is_coming = self.coming.contains_key(&shard_id);
            let is_expected = is_coming || self.overdue.contains_key(&shard_id);
            if !is_expected || self.claiming.contains(&shard_id) || self.holds(&shard_id) {
                continue;
            }
            if row.has_ended() {
                self.arrive(&shard_id);
                continue;
            }
            let is_mine = row.owner.as_deref() == Some(&*me) && row.checkpoint_owner.is_none();
            // The worker that was to give it has left.
            let is_unowned =
                is_coming && row.holder().is_none() && matches!(self.phase, Phase::Up { .. });
            // Even its own lease is claimed: the row names a worker but not its run, so that a
            // placer may take it for that of an earlier run. The claim moves the counter.
            if (is_mine || is_unowned)
                && let Some(claim) = self.claim_of(&shard_id, Some(&row), &me)
            {
                self.claim(claim);
            }
        }
        // A move that was called off, or a giver that died before its write.
        let limit = self.config.move_timeout + self.config.failover * 2;
        let now = self.now;
        let late: Vec<_> = self
            .coming
            .iter()
            .filter(|(_, since)| now.saturating_sub(**since) > limit)
            .map(|(shard_id, _)| shard_id.clone())
            .collect();
        for shard_id in late {
            self.arrive(&shard_id);
            self.overdue.insert(shard_id, now);
        }
    }

    /// Returns whether no live worker owns a lease. The owner of a lease without a row of its own
    /// may be a worker of the KCL.
    pub(crate) fn is_free(&self, row: &LeaseRow) -> bool {
        let Some(owner) = row.checkpoint_owner.as_ref().or(row.owner.as_ref()) else { return true };
        let owner = self.view.workers.get(owner);
        owner.is_some_and(|seen| seen.row.state == WorkerState::Dead)
    }
}

/// Saves and ends.
impl Machine {
    pub(crate) fn save(
        &mut self,
        shard_id: &str,
        id: SaveId,
        checkpoint: Checkpoint,
        children: Vec<ChildShard>,
    ) {
        let Some(held) = self.held.get_mut(shard_id) else {
            self.act(Action::Saved { id, result: Err(SaveError::NoLease) });
            return;
        };
        if checkpoint != Checkpoint::End {
            held.save = Some((id, checkpoint));
            self.pump(shard_id);
            return;
        }
        if held.moving.take().is_some() {
            // A shard that ends is not moved: its children are opened here.
            self.resume(shard_id);
        }
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let known = held.ending.take().map(|ending| (ending.done, ending.known));
        let (done, known) = known.unwrap_or_default();
        held.ending = Some(Ending { id, children, done, known, ..Ending::default() });
        self.continue_end(shard_id);
    }

    /// Sends the next requests of an end: reads the other parents of children, creates the rows of
    /// children, and then ends the shard.
    fn continue_end(&mut self, shard_id: &str) {
        let Some(ending) = self.held.get_mut(shard_id).and_then(|held| held.ending.as_mut()) else {
            return;
        };
        if ending.open > 0 || ending.has_failed {
            return;
        }
        let id = ending.id;
        let others: BTreeSet<String> = ending
            .children
            .iter()
            .filter(|child| !ending.done.contains(child.shard_id()))
            .flat_map(|child| child.parent_shards().iter().cloned())
            .filter(|parent| parent != shard_id && !ending.known.contains(parent))
            .collect();
        if !others.is_empty() && !ending.has_read_parents {
            ending.open = 1;
            self.send(
                Purpose::OtherParents { shard_id: shard_id.to_owned(), id },
                Request::Get(others.into_iter().collect()),
            );
            return;
        }
        // The KCL takes a parent without a row for finished. So the child of a merge gets its row
        // only when each of its parents has one: at the end of the other parent, or when it starts.
        let is_known =
            |ending: &Ending, parent: &String| parent == shard_id || ending.known.contains(parent);
        let missing: Vec<_> = ending
            .children
            .iter()
            .filter(|child| !ending.done.contains(child.shard_id()))
            .filter(|child| child.parent_shards().iter().all(|parent| is_known(ending, parent)))
            .map(|child| (child.shard_id().to_owned(), NewLease::child(child)))
            .collect();
        if !missing.is_empty() {
            ending.open = missing.len();
            for (child, new) in missing {
                let write = self.lease_write(&child, Condition::Absent, Change::Create(new));
                self.send(
                    Purpose::CreateChild { shard_id: shard_id.to_owned(), id, child },
                    Request::Write(write),
                );
            }
            return;
        }
        ending.is_ready = true;
        self.pump(shard_id);
    }

    fn ending(&mut self, shard_id: &str) -> Option<&mut Ending> {
        self.held.get_mut(shard_id)?.ending.as_mut()
    }

    pub(crate) fn other_parents_read(&mut self, shard_id: &str, id: SaveId, rows: &[LeaseRow]) {
        let Some(ending) = self.ending(shard_id) else { return };
        ending.known.extend(rows.iter().map(|row| row.shard_id.clone()));
        if ending.id == id {
            ending.open = 0;
            ending.has_read_parents = true;
            self.continue_end(shard_id);
        }
    }

    pub(crate) fn child_created(&mut self, shard_id: &str, id: SaveId, child: String) {
        let Some(ending) = self.ending(shard_id) else { return };
        ending.done.insert(child);
        if ending.id == id {
            ending.open -= 1;
            self.continue_end(shard_id);
        }
    }

    pub(crate) fn end_failed(&mut self, shard_id: &str, id: SaveId, failure: Failure) {
        let ending = self.ending(shard_id).filter(|ending| ending.id == id);
        // Others of its requests may have failed before.
        if ending.is_some_and(|ending| !std::mem::replace(&mut ending.has_failed, true)) {
            self.fail_save(id, failure);
        }
    }

    /// Sends the next write of a lease, if none is in flight.
    fn pump(&mut self, shard_id: &str) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        if held.write.is_some() || held.retry_at.is_some() {
            return;
        }
        let (write, change) = if held.is_unlisted {
            (Write::Delete, Change::Delete)
        } else if let Some(ending) = &held.ending {
            if !ending.is_ready || ending.has_failed {
                return;
            }
            let children = ending.children.iter().map(|child| child.shard_id().to_owned());
            (Write::End(ending.id), Change::End { children: children.collect() })
        } else if let Some(Move::Settled { to, checkpoint }) = &held.moving {
            // A save that waits is part of it.
            let checkpoint = checkpoint.clone();
            let change = if held.is_handed_over {
                Change::HandOver { checkpoint }
            } else {
                let to = to.as_ref().map(|to| to.worker.clone());
                Change::Give { checkpoint, to }
            };
            (Write::Give, change)
        } else if let Some((id, checkpoint)) = held.save.take() {
            (Write::Save(id, checkpoint.clone()), Change::Save { checkpoint })
        } else {
            return;
        };
        self.write(shard_id, write, change);
    }

    fn write(&mut self, shard_id: &str, write: Write, change: Change) {
        let condition = self.held.get(shard_id).map(|held| self.owned(held));
        if let (Some(held), Some(condition)) = (self.held.get_mut(shard_id), condition) {
            held.write = Some(write);
            held.sent_at = self.now;
            let request = self.lease_write(shard_id, condition, change);
            let purpose = Purpose::Held { shard_id: shard_id.to_owned() };
            self.send(purpose, Request::Write(request));
        }
    }

    /// A write to a lease of this worker was applied. Without a row, the row was deleted.
    pub(crate) fn written(&mut self, shard_id: &str, row: Option<LeaseRow>) {
        let now = self.now;
        let Some(held) = self.held.get_mut(shard_id) else { return };
        if let Some(row) = &row {
            held.counter = row.counter;
        }
        held.written_at = now;
        held.confirmed = held.sent_at;
        self.unpause(shard_id);
        let Some(held) = self.held.get_mut(shard_id) else { return };
        match held.write.take() {
            Some(Write::Save(id, _)) => {
                self.act(Action::Saved { id, result: Ok(()) });
                self.pump(shard_id);
            }
            Some(Write::End(id)) => self.ended(shard_id, id),
            Some(Write::Give) => {
                let to = row.and_then(|row| row.owner);
                if to.is_none() {
                    self.released.insert(shard_id.to_owned());
                }
                self.drop_lease(shard_id, LeaseEnd::Moved { to });
                self.announce_released();
            }
            Some(Write::Delete) => {
                self.drop_lease(shard_id, LeaseEnd::Finished);
                self.deleted(shard_id);
            }
            Some(Write::Renew) | None => self.pump(shard_id),
        }
    }

    /// The end of a shard is durable. Its children are opened here, unless another shard's end
    /// opens them.
    fn ended(&mut self, shard_id: &str, id: SaveId) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let ending = held.ending.take();
        held.save = None;
        // The save task may have given the first save of the end up, and sent another.
        let ids = ending.iter().map(|ending| ending.id).chain([id]);
        for id in ids.collect::<BTreeSet<_>>() {
            self.act(Action::Saved { id, result: Ok(()) });
        }
        let children = ending.map(|ending| ending.children).unwrap_or_default();
        self.drop_lease(shard_id, LeaseEnd::Finished);
        self.open_children(children);
    }

    /// Reads the rows of children, and of their other parents. The end of this shard was written
    /// before, so that of two workers that end both parents at once, at least one sees both ends.
    fn open_children(&mut self, children: Vec<ChildShard>) {
        if children.is_empty() {
            // Which shards are its children is seen by the placer, in a list.
            self.audit_soon();
            return;
        }
        let ids: BTreeSet<String> = children
            .iter()
            .flat_map(|child| {
                let parents = child.parent_shards().iter().cloned();
                parents.chain([child.shard_id().to_owned()])
            })
            .collect();
        self.send(Purpose::Opening { children }, Request::Get(ids.into_iter().collect()));
    }

    /// Returns whether this worker is about to claim a child.
    pub(crate) fn is_opening(&self, child: &str) -> bool {
        self.pending.values().any(|pending| {
            matches!(&pending.0, Purpose::Opening { children }
                if children.iter().any(|opening| opening.shard_id() == child))
        })
    }

    pub(crate) fn opening_read(&mut self, children: &[ChildShard], rows: &[LeaseRow]) {
        let me = self.config.worker.clone();
        let is_up = matches!(self.phase, Phase::Up { .. });
        let find = |id: &str| rows.iter().find(|row| row.shard_id == id);
        for child in children {
            let has_ended = |parent: &String| find(parent).is_some_and(LeaseRow::has_ended);
            let Some(row) = find(child.shard_id()) else { continue };
            let is_ready = child.parent_shards().iter().all(has_ended);
            if !is_ready || row.has_ended() || row.owner.is_some() {
                continue;
            }
            if is_up && self.has_room() {
                if let Some(claim) = self.claim_of(child.shard_id(), Some(row), &me) {
                    self.claim(claim);
                }
            } else {
                self.audit_soon();
            }
        }
    }

    pub(crate) fn write_refused(&mut self, shard_id: &str, row: Option<LeaseRow>) {
        let (me, run) = (self.config.worker.clone(), self.run.to_string());
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let Some(row) = row else {
            // The row was deleted, or the response does not show it.
            self.lose(shard_id, None);
            return;
        };
        let mine = Writer { run, counter: held.counter + 1 };
        if row.was_written_by(&mine) {
            // A write of this worker was applied before, and its response was lost.
            held.counter = row.counter;
            let is_applied = match &held.write {
                Some(Write::Give) => row.holder() != Some(&*me),
                Some(Write::End(_)) => row.has_ended(),
                _ => false,
            };
            if is_applied {
                self.written(shard_id, Some(row));
                return;
            }
        } else if row.counter != held.counter || row.checkpoint_owner.as_ref() != Some(&me) {
            self.lose(shard_id, row.owner.filter(|owner| *owner != me));
            return;
        }
        if row.holder() != Some(&*me) {
            self.lose(shard_id, row.owner);
            return;
        }
        if let Some(Write::Save(id, checkpoint)) = held.write.take() {
            // The earlier write may have been an older save.
            held.save = Some((id, checkpoint));
        }
        if row.checkpoint_owner.is_some() {
            self.hand_over(shard_id);
        }
        self.pump(shard_id);
    }

    /// The result of a write is open.
    pub(crate) fn write_failed(&mut self, shard_id: &str, failure: Failure) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        match held.write.take() {
            Some(Write::Save(id, _)) => {
                // A newer save comes from the save task.
                self.fail_save(id, failure);
                self.pump(shard_id);
            }
            Some(Write::End(id)) => {
                if let Some(ending) = held.ending.as_mut().filter(|ending| ending.id == id) {
                    ending.has_failed = true;
                }
                self.fail_save(id, failure);
                self.pump(shard_id);
            }
            // Until it is decided, the shard is neither read here nor given to another worker.
            Some(Write::Give | Write::Delete) => {
                held.retry_at = Some(self.now + RETRY_DELAY.mul_f64(0.5 + self.rng.f64()));
                self.timed.insert(shard_id.to_owned());
            }
            Some(Write::Renew) | None => self.pump(shard_id),
        }
    }

    /// Kinesis no longer lists a shard: its row is deleted.
    pub(crate) fn unlist(&mut self, shard_id: &str) {
        self.offered.remove(shard_id);
        match self.held.get_mut(shard_id) {
            Some(held) => {
                held.is_unlisted = true;
                self.pump(shard_id);
            }
            None => self.delete_unlisted(shard_id),
        }
    }
}

/// Moves.
impl Machine {
    /// Begins to move leases for balance. `seen` is how many leases the receiver holds and expects.
    pub(crate) fn begin_moves(
        &mut self,
        shards: BTreeSet<String>,
        to: &str,
        run: u64,
        seen: (u64, usize),
    ) {
        for shard_id in &shards {
            if let Some(held) = self.held.get_mut(shard_id) {
                let to = Receiver { worker: to.to_owned(), run };
                held.moving = Some(Move::Reserving { to });
            }
        }
        let worker = to.to_owned();
        self.send(
            Purpose::Reserve { shards: shards.clone() },
            Request::Reserve { worker, run, seen: Some(seen), shards },
        );
    }

    pub(crate) fn is_busy(&self, shard_id: &str) -> bool {
        self.held.get(shard_id).is_some_and(|held| held.ending.is_some() || held.moving.is_some())
    }

    pub(crate) fn reserved(&mut self, shards: &BTreeSet<String>, response: &Response) {
        let is_accepted = matches!(response, Response::Worker(_));
        if let Response::Worker(row) | Response::RefusedWorker(Some(row)) = response {
            self.view.note(row.clone(), self.now);
        }
        let is_leaving = matches!(self.phase, Phase::Leaving { .. });
        let until = self.now + self.announcement();
        let mut refused = BTreeSet::new();
        for shard_id in shards {
            let Some(held) = self.held.get_mut(shard_id) else { continue };
            let Some(Move::Reserving { to }) = &held.moving else { continue };
            if is_accepted {
                held.moving = Some(Move::Announced { to: Some(to.clone()), until });
                self.timed.insert(shard_id.clone());
            } else {
                held.moving = None;
                refused.insert(shard_id.clone());
            }
        }
        if is_leaving && !refused.is_empty() {
            // The receiver does not take leases any longer: without one, they are released.
            self.release(refused);
        }
    }

    pub(crate) fn reserve_failed(&mut self, shards: &BTreeSet<String>) {
        self.reserved(shards, &Response::RefusedWorker(None));
    }

    /// Returns for how long a receiver is told of a lease before its delivery ends here.
    fn announcement(&self) -> Duration {
        match self.phase {
            // The limit is short.
            Phase::Leaving { cut_at, .. } if cut_at < self.now + Duration::from_secs(4) => {
                Duration::ZERO
            }
            _ => self.beat_interval(),
        }
    }

    /// Gives all leases away: this worker is leaving.
    pub(crate) fn give_all_away(&mut self) {
        let shards: BTreeSet<_> = self.held.keys().cloned().collect();
        for held in self.held.values_mut() {
            if matches!(held.moving, Some(Move::Reserving { .. })) {
                // Its response decides nothing any longer.
                held.moving = None;
            }
        }
        self.give_away(shards);
    }

    /// Gives leases to the workers with the fewest, or releases them if there is no other worker.
    fn give_away(&mut self, shards: BTreeSet<String>) {
        let shards: Vec<_> = shards
            .into_iter()
            .filter(|shard_id| {
                self.held
                    .get(shard_id)
                    .is_some_and(|held| held.moving.is_none() && held.ending.is_none())
            })
            .collect();
        let loads = self.receivers();
        let receivers = fill(&loads, shards.len());
        let mut given: Vec<BTreeSet<String>> = vec![BTreeSet::new(); loads.len()];
        let mut released = BTreeSet::new();
        for (index, shard_id) in shards.into_iter().enumerate() {
            match receivers.get(index) {
                Some(receiver) => {
                    if let Some(held) = self.held.get_mut(&shard_id) {
                        let Load { worker, run, .. } = &loads[*receiver];
                        let to = Receiver { worker: worker.clone(), run: *run };
                        held.moving = Some(Move::Reserving { to });
                    }
                    given[*receiver].insert(shard_id);
                }
                None => {
                    released.insert(shard_id);
                }
            }
        }
        for (load, shards) in loads.into_iter().zip(given) {
            let shards: Vec<_> = shards.into_iter().collect();
            for shards in shards.chunks(MAX_RESERVED) {
                let shards: BTreeSet<_> = shards.iter().cloned().collect();
                self.send(
                    Purpose::Reserve { shards: shards.clone() },
                    Request::Reserve {
                        worker: load.worker.clone(),
                        run: load.run,
                        seen: None,
                        shards,
                    },
                );
            }
        }
        self.release(released);
    }

    /// Begins to release leases: no worker is there to take them.
    fn release(&mut self, shards: BTreeSet<String>) {
        for shard_id in shards {
            if let Some(held) = self.held.get_mut(&shard_id) {
                held.moving = Some(Move::Announced { to: None, until: self.now });
                self.timed.insert(shard_id);
            }
        }
    }

    /// Tells other workers of leases that this one has released while none was there. They claim
    /// them.
    pub(crate) fn announce_released(&mut self) {
        let loads = self.receivers();
        let receivers = fill(&loads, self.released.len());
        let mut announced = vec![BTreeSet::new(); loads.len()];
        for receiver in receivers {
            announced[receiver].extend(self.released.pop_first());
        }
        for (load, shards) in loads.into_iter().zip(announced) {
            if !shards.is_empty() {
                self.announcing += 1;
                let (worker, run) = (load.worker, load.run);
                let purpose = Purpose::Released { shards: shards.clone() };
                self.send(purpose, Request::Reserve { worker, run, seen: None, shards });
            }
        }
    }

    pub(crate) fn released_announced(&mut self, shards: BTreeSet<String>, response: &Response) {
        self.announcing -= 1;
        if let Response::Worker(row) | Response::RefusedWorker(Some(row)) = response {
            self.view.note(row.clone(), self.now);
        }
        if !matches!(response, Response::Worker(_)) {
            self.released.extend(shards);
        }
    }

    /// Ends all moves of a worker that leaves with the checkpoints as they are.
    pub(crate) fn cut_all(&mut self) {
        let mut cut = Vec::new();
        for (shard_id, held) in &mut self.held {
            let to = match &held.moving {
                Some(Move::Settled { .. }) => continue,
                Some(Move::Draining { to, until }) if *until == Time::ZERO => {
                    // It was cut already.
                    let _ = to;
                    continue;
                }
                Some(Move::Draining { to, .. } | Move::Announced { to, .. }) => to.clone(),
                Some(Move::Reserving { to }) => Some(to.clone()),
                None => None,
            };
            if held.ending.is_some() {
                continue;
            }
            held.moving = Some(Move::Draining { to, until: Time::ZERO });
            cut.push(shard_id.clone());
        }
        for shard_id in cut {
            self.act(Action::Drain { shard_id, cut: true });
        }
    }

    pub(crate) fn drained(&mut self, shard_id: &str, checkpoint: Checkpoint) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let Some(Move::Draining { to, .. }) = &held.moving else { return };
        let mut to = to.clone();
        let is_up = |to: &Receiver| {
            let row = self.view.workers.get(&to.worker).map(|seen| &seen.row);
            row.is_some_and(|row| row.run == to.run && row.state == WorkerState::Up)
        };
        if !held.is_handed_over && to.as_ref().is_some_and(|to| !is_up(to)) {
            if matches!(self.phase, Phase::Leaving { .. }) {
                to = None;
            } else {
                held.moving = None;
                self.resume(shard_id);
                return;
            }
        }
        held.moving = Some(Move::Settled { to, checkpoint });
        self.pump(shard_id);
    }

    pub(crate) fn moves_wake(&self) -> Option<Time> {
        let wakes = self.timed.iter().filter_map(|shard_id| self.held.get(shard_id)?.due());
        wakes.chain(self.config.beside_kcl.then_some(self.renew_at)).min()
    }

    pub(crate) fn tick_moves(&mut self) {
        let now = self.now;
        let is_leaving = matches!(self.phase, Phase::Leaving { .. });
        for shard_id in std::mem::take(&mut self.timed) {
            self.tick_move(&shard_id, is_leaving);
            if self.held.get(&shard_id).is_some_and(|held| held.due().is_some()) {
                self.timed.insert(shard_id);
            }
        }
        if is_leaving && !self.is_looking_for_receivers() {
            let idle: BTreeSet<_> = self
                .held
                .iter()
                .filter(|(_, held)| held.moving.is_none() && held.ending.is_none())
                .map(|(shard_id, _)| shard_id.clone())
                .collect();
            if !idle.is_empty() {
                self.give_away(idle);
            }
        }
        if self.config.beside_kcl && now >= self.renew_at {
            self.renew_all();
        }
    }

    /// Takes the next step of a move or a retry, if it is due.
    fn tick_move(&mut self, shard_id: &str, is_leaving: bool) {
        let now = self.now;
        let Some(held) = self.held.get_mut(shard_id) else { return };
        match &held.moving {
            Some(Move::Announced { to, until }) if *until <= now => {
                let limit = if is_leaving { Duration::MAX } else { self.config.move_timeout };
                let until = now.saturating_add(limit);
                held.moving = Some(Move::Draining { to: to.clone(), until });
                self.act(Action::Drain { shard_id: shard_id.to_owned(), cut: false });
            }
            Some(Move::Draining { to, until }) if *until <= now && *until > Time::ZERO => {
                if held.is_handed_over {
                    held.moving = Some(Move::Draining { to: to.clone(), until: Time::ZERO });
                    self.act(Action::Drain { shard_id: shard_id.to_owned(), cut: true });
                } else {
                    held.moving = None;
                    self.resume(shard_id);
                }
            }
            _ => {}
        }
        if let Some(held) = self.held.get_mut(shard_id)
            && held.retry_at.take_if(|at| *at <= now).is_some()
        {
            self.pump(shard_id);
        }
    }

    /// Continues the delivery of a shard, unless something else still stops it.
    fn resume(&mut self, shard_id: &str) {
        let is_stopped = self.held.get(shard_id).is_some_and(|held| {
            held.is_paused
                || matches!(held.moving, Some(Move::Draining { .. } | Move::Settled { .. }))
        });
        if !is_stopped {
            self.act(Action::Resume { shard_id: shard_id.to_owned() });
        }
    }
}
