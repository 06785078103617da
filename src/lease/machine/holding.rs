//! The leases of this worker: their claims, writes and ends.

pub(crate) mod beside_kcl;
mod coming;
pub(crate) mod later_run;
pub(crate) mod moves;

use std::collections::BTreeSet;

use aws_sdk_kinesis::types::ChildShard;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::event::LeaseEventKind;
use crate::lease::machine::holding::moves::Move;
use crate::lease::machine::membership::{Phase, delivery_limit};
use crate::lease::machine::{
    Action, Failure, Machine, Offered, Purpose, SaveError, SaveId, Time, retry_delay,
};
use crate::lease::table::{Change, Condition, LeaseRow, LeaseWrite, NewLease, Request, Writer};

/// A lease of this worker.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
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
    /// The time at which a write whose result is open is sent again.
    retry_at: Option<Time>,
    /// The time of the last write to the row.
    written_at: Time,
    /// The time at which the write in flight was sent.
    sent_at: Time,
    /// The time at which the last applied write was sent.
    confirmed: Time,
    /// The delivery is paused: a KCL may soon take the lease, or another worker has it already.
    is_paused: bool,
    /// Whether a write must confirm the lease: another subscriber reads the shard.
    is_doubted: bool,
    /// Kinesis no longer lists the shard: the row is to be deleted.
    is_unlisted: bool,
}

impl Held {
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Returns whether the lease is being given away, or its end is being saved.
    pub(crate) fn is_busy(&self) -> bool {
        self.moving.is_some() || self.ending.is_some()
    }

    /// Returns whether Kinesis lists the shard, as far as this worker knows.
    pub(crate) fn is_listed(&self) -> bool {
        !self.is_unlisted
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
    /// Confirms the lease, which another subscriber has called in question.
    Confirm,
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

impl Machine {
    /// Returns the number of leases that are not about to be given away.
    pub(crate) fn staying(&self) -> u64 {
        self.held.values().filter(|held| held.moving.is_none()).count() as u64
    }

    pub(crate) fn has_room(&self) -> bool {
        let leases = self.held.len() + self.claiming.len();
        self.max_leases().is_none_or(|max| (leases as u64) < max)
    }

    /// Takes up a lease that this worker owns by the row, which a claim that was sent at this time
    /// has written.
    pub(crate) fn hold(&mut self, row: LeaseRow, sent_at: Time) {
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
            written_at: sent_at,
            sent_at,
            confirmed: sent_at,
            is_paused: false,
            is_doubted: false,
            is_unlisted: false,
        };
        // A response that comes late leaves less time for the next write.
        self.renew_at = self.renew_at.min(self.renewal_due(&held));
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

    pub(crate) fn lease_write(
        &self,
        shard_id: &str,
        condition: Condition,
        change: Change,
    ) -> LeaseWrite {
        LeaseWrite { shard_id: shard_id.to_owned(), condition, change, run: self.run }
    }

    /// Claims a lease for this worker.
    pub(crate) fn claim(&mut self, write: LeaseWrite) {
        let shard_id = write.shard_id.clone();
        if self.claiming.insert(shard_id.clone()) {
            let sent_at = self.now;
            self.send(Purpose::Claim { shard_id, sent_at }, Request::Write(write));
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
                self.lease_write(shard_id, Condition::as_read(row), Change::Claim { owner })
            }
        })
    }

    pub(crate) fn claim_refused(
        &mut self,
        shard_id: &str,
        row: Option<LeaseRow>,
        request: &Request,
        sent_at: Time,
    ) {
        self.claiming.remove(shard_id);
        let Request::Write(write) = request else { return };
        match row {
            // The claim was applied before, and its response was lost.
            Some(row)
                if row.was_written_by(&write.writer()) && row.is_owned_by(&self.config.worker) =>
            {
                self.hold(row, sent_at);
            }
            _ => self.audit_soon(),
        }
    }

    pub(crate) fn own_rows_read(&mut self, rows: Vec<LeaseRow>) {
        let me = self.config.worker.clone();
        for row in rows {
            if row.is_owned_by(&me) {
                self.claim_own(row);
            }
        }
    }

    /// Claims a lease that is this worker's or nobody's by the row, unless this worker holds it.
    pub(crate) fn claim_own(&mut self, row: LeaseRow) {
        if row.has_ended() || self.holds(&row.shard_id) {
            return;
        }
        if self.is_doubtful(&row) {
            self.wait_for_beat(row);
        } else {
            self.claim_row(&row);
        }
    }

    /// Claims a lease for this worker by the row as it was read. The counter moves, so that a write
    /// of an earlier run is refused.
    pub(crate) fn claim_row(&mut self, row: &LeaseRow) {
        let me = self.config.worker.clone();
        if let Some(claim) = self.claim_of(&row.shard_id, Some(row), &me) {
            self.claim(claim);
        }
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
            let older = held.save.replace((id, checkpoint));
            self.replace_save(older.map(|(id, _)| id));
            self.pump(shard_id);
            return;
        }
        if held.moving.take().is_some() {
            // A shard that ends is not moved: its children are opened here.
            self.resume(shard_id);
        }
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let earlier = held.ending.take();
        // The result of a write in flight, and of a failed one, is returned elsewhere.
        let is_waiting = |ending: &&Ending| {
            let is_writing = matches!(held.write, Some(Write::End(id)) if id == ending.id);
            !is_writing && !ending.has_failed
        };
        let replaced = earlier.as_ref().filter(is_waiting).map(|ending| ending.id);
        let known = earlier.map(|ending| (ending.done, ending.known));
        let (done, known) = known.unwrap_or_default();
        held.ending = Some(Ending { id, children, done, known, ..Ending::default() });
        self.replace_save(replaced);
        self.continue_end(shard_id);
    }

    /// Returns the result of a save in whose place a newer one came.
    fn replace_save(&mut self, id: Option<SaveId>) {
        if let Some(id) = id {
            let text = "a newer save took its place".to_owned();
            self.fail_save(id, Failure { is_permanent: false, text });
        }
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
        if !missing.is_empty() && !self.is_proven(shard_id) {
            // Another worker may have ended the shard, and a KCL may have deleted these rows since.
            let text = "this worker has not proved lately that it lives".to_owned();
            self.end_failed(shard_id, id, Failure { is_permanent: false, text });
            return;
        }
        let Some(ending) = self.ending(shard_id) else { return };
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

    /// Returns whether no other worker can have a lease of this one yet.
    fn is_proven(&self, shard_id: &str) -> bool {
        let held = self.held.get(shard_id);
        self.now < self.delivery_deadline()
            && held.is_some_and(|held| !self.config.beside_kcl || self.now < self.pause_at(held))
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
        } else if held.is_doubted {
            (Write::Confirm, Change::Renew)
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
        let Some(held) = self.held.get(shard_id) else { return };
        let (now, pause_at) = (self.now, held.sent_at + delivery_limit(self.config.failover));
        let Some(held) = self.held.get_mut(shard_id) else { return };
        if let Some(row) = &row {
            held.counter = row.counter;
        }
        held.written_at = now;
        held.confirmed = held.sent_at;
        // A response that comes late confirms nothing.
        held.is_doubted &= !matches!(held.write, Some(Write::Confirm)) || now >= pause_at;
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
            Some(Write::Renew | Write::Confirm) | None => self.pump(shard_id),
        }
    }

    /// The end of a shard is durable. Its children are opened here, unless another shard's end
    /// opens them.
    fn ended(&mut self, shard_id: &str, id: SaveId) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let ending = held.ending.take();
        // The save task may have given the first save of the end up, and sent another.
        let save = held.save.take().map(|(id, _)| id);
        let ids = ending.iter().map(|ending| ending.id).chain([id]).chain(save);
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
            // The earlier write may have been an older save, and a newer one may wait.
            if held.save.is_none() {
                held.save = Some((id, checkpoint));
            } else {
                self.replace_save(Some(id));
            }
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
            // A lease in question is neither read nor free until then.
            Some(Write::Give | Write::Delete | Write::Confirm) => {
                let at = self.now + retry_delay(&mut self.rng);
                held.retry_at = Some(at);
                self.timed.insert(shard_id.to_owned());
            }
            Some(Write::Renew) | None => self.pump(shard_id),
        }
    }

    /// Pauses the delivery of a shard until a write confirms its lease: another subscriber of the
    /// same consumer has the shard, and is a worker that has taken the lease, or a stranger.
    pub(crate) fn confirm(&mut self, shard_id: &str) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        held.is_doubted = true;
        if !std::mem::replace(&mut held.is_paused, true) {
            self.act(Action::Drain { shard_id: shard_id.to_owned(), cut: false });
        }
        self.pump(shard_id);
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
