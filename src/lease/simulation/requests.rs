//! Requests of the processes to the tables, and their faults.

use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::{Failure, Ticket};
use crate::lease::simulation::event::{Event, Reply};
use crate::lease::simulation::mutation::Mutation;
use crate::lease::simulation::oracle::{Check, Written};
use crate::lease::simulation::setup::Expiry;
use crate::lease::simulation::stream::index_of;
use crate::lease::simulation::world::World;
use crate::lease::simulation::{At, MILLISECOND, SECOND};
use crate::lease::table::{Change, LeaseWrite, Request, Response, WorkerState};

impl World {
    pub(super) fn send(&mut self, index: usize, ticket: Ticket, request: Box<Request>) {
        self.figures.requests += 1;
        let mut latency = self.draw.secs(0.002, 0.04);
        let has_faults = !self.is_calm && self.setup.fault_rate > 0.0;
        if self.tables.mutation == Some(Mutation::ParentsBeforeEnd)
            && let Request::Write(LeaseWrite { shard_id, change: Change::End { .. }, .. }) =
                &*request
        {
            let rows = self.tables.model.rows().cloned().collect();
            self.processes[index].read_early.insert(shard_id.clone(), rows);
        }
        if has_faults && self.setup.has_slow_requests && self.draw.chance(0.02) {
            latency = self.draw.secs(0.04, 5.0);
        }
        let kills = self.setup.expiry == Expiry::WithKills && !self.is_calm;
        let is_deletion =
            matches!(&*request, Request::Write(LeaseWrite { change: Change::Delete, .. }));
        if (has_faults || kills) && is_deletion && self.draw.chance(0.5) {
            // A worker whose list is older may claim the lease meanwhile.
            latency = self.draw.secs(0.04, 10.0);
        }
        if kills && is_deletion {
            self.kill_meanwhile(Some(index), latency / 4);
        }
        if let Request::Write(write) = &*request
            && !self.is_calm
            && self.setup.asks_fleet()
            && !matches!(write.change, Change::Renew)
            && self.draw.chance(0.1)
        {
            self.ask_meanwhile(&write.shard_id, latency / 2);
        }
        let is_creation = request.is_creation();
        if !self.is_calm && self.setup.late_copies > 0.0 && !is_creation {
            // The first of two attempts comes last. A creation may come after a KCL has deleted the
            // row, which no condition prevents.
            if request.is_write() && self.draw.chance(self.setup.late_copies) {
                let late = self.draw.secs(0.0, 10.0);
                let (request, reply) = (request.clone(), Reply::None);
                self.after(late, Event::Apply { process: index, ticket, request, reply });
            }
        }
        let there = latency / 2;
        let back = latency - there;
        let process = index;
        let reply = if has_faults && self.draw.chance(self.setup.fault_rate) {
            match self.draw.0.u32(..8) {
                0..3 => Reply::RefusedAfter(back),
                3..5 => Reply::ErrorAfter(back),
                5 => Reply::AgainAfter(back),
                _ => {
                    // It comes late or never, after the client has given up or before.
                    if self.draw.chance(0.7) {
                        let late = self.draw.secs(0.0, 10.0);
                        let reply = Reply::None;
                        let request = request.clone();
                        self.after(late, Event::Apply { process, ticket, request, reply });
                    }
                    self.give_up(process, ticket);
                    return;
                }
            }
        } else {
            Reply::After(back)
        };
        self.after(there, Event::Apply { process, ticket, request, reply });
    }

    pub(super) fn give_up(&mut self, process: usize, ticket: Ticket) {
        let limit = if self.draw.chance(0.8) { 5 * SECOND } else { 60 * SECOND };
        self.after(limit, Event::Respond { process, ticket, result: Box::new(Err(no_response())) });
    }

    pub(super) fn apply(
        &mut self,
        index: usize,
        ticket: Ticket,
        request: Box<Request>,
        reply: Reply,
    ) -> Check {
        let process = &self.processes[index];
        let now = self.now;
        if now < process.requests_cut_until {
            if !matches!(reply, Reply::None) {
                self.give_up(index, ticket);
            }
            return Ok(());
        }
        if let Some((_, until, hangs)) = self.outage
            && now < until
        {
            if matches!(reply, Reply::None) {
            } else if hangs {
                self.give_up(index, ticket);
            } else {
                let result = Box::new(Err(unavailable()));
                self.after(5 * MILLISECOND, Event::Respond { process: index, ticket, result });
            }
            return Ok(());
        }
        if process
            .forbidden
            .is_some_and(|(lacks, until)| now < until && lacks == request.permission())
            && !matches!(reply, Reply::None)
        {
            let failure = Failure { is_permanent: true, text: "no permission".to_owned() };
            let result = Box::new(Err(failure));
            self.after(5 * MILLISECOND, Event::Respond { process: index, ticket, result });
            return Ok(());
        }
        if let Reply::RefusedAfter(back) = reply {
            let result = Box::new(Err(unavailable()));
            self.after(back, Event::Respond { process: index, ticket, result });
            return Ok(());
        }
        let response = self.change(index, &request)?;
        let (back, result) = match reply {
            Reply::None | Reply::RefusedAfter(_) => return Ok(()),
            Reply::After(back) => (back, Ok(response)),
            Reply::ErrorAfter(back) => (back, Err(unavailable())),
            Reply::AgainAfter(back) => {
                let reply = Reply::After(back);
                self.after(back, Event::Apply { process: index, ticket, request, reply });
                return Ok(());
            }
        };
        if now < self.processes[index].responses_cut_until {
            self.give_up(index, ticket);
        } else {
            let result = Box::new(result);
            self.after(back, Event::Respond { process: index, ticket, result });
        }
        Ok(())
    }

    /// Applies a request to the tables, and checks what it does.
    pub(super) fn change(&mut self, index: usize, request: &Request) -> Result<Response, String> {
        let now = self.now;
        let before = match request {
            Request::Write(write) => self.tables.row(&write.shard_id).cloned(),
            _ => None,
        };
        let worker_before = match request {
            Request::Register(row) => self.tables.worker(&row.id).cloned(),
            Request::Beat(beat) => self.tables.worker(&beat.worker).cloned(),
            Request::Fence { worker, .. } => self.tables.worker(worker).cloned(),
            _ => None,
        };
        let response = match self.mutated_read(index, request) {
            Some(response) => response,
            None => self.tables.apply(now, request, &mut self.draw.0),
        };
        self.units.count(request, &response);
        match (request, &response) {
            (Request::Write(write), Response::Lease(row)) => {
                let shard = index_of(&write.shard_id);
                let reader = shard.and_then(|shard| self.processes[index].readers.get(&shard));
                let token = reader.filter(|reader| !reader.is_cut).map(|reader| reader.token);
                let worker = &self.processes[index].name;
                if let (Some(shard), Change::Create(_)) = (shard, &write.change)
                    && self.processes[index].has_stood_still(now, self.setup.failover)
                {
                    // It may have read the rows long ago, and a KCL has deleted one since.
                    self.oracle.taint(&self.stream, shard);
                }
                let written = Written { worker, write, before: before.as_ref(), row, token };
                self.oracle.written(&self.stream, now, &written)?;
                match &write.change {
                    Change::Give { .. } => {
                        self.figures.moves += 1;
                        let process = &self.processes[index];
                        // A row that was created again may have the counter of an older write.
                        let is_tainted =
                            shard.is_some_and(|shard| self.oracle.shards[shard].is_tainted);
                        if let (Some(reader), false, false) = (reader, process.leaves(), is_tainted)
                        {
                            let rest = self.setup.rest.as_micros() as At;
                            let held_for = now - reader.granted_at;
                            if held_for * 112 / 100 < rest {
                                return Err(format!(
                                    "I7: {} is moved for balance {held_for} µs after its grant",
                                    write.shard_id
                                ));
                            }
                        }
                    }
                    Change::HandOver { .. } => self.figures.kcl_handed_over += 1,
                    Change::End { .. } => {
                        self.figures.ends += 1;
                        if let Some(shard) = shard {
                            self.oracle.shards[shard].ended_by = Some(index);
                        }
                    }
                    _ => {}
                }
            }
            (Request::Write(write), Response::Deleted) => {
                if let Some(shard) = index_of(&write.shard_id) {
                    self.check_deletion(shard, write, before.as_ref())?;
                }
            }
            (Request::Beat(_) | Request::Register(_), Response::Worker(row)) => {
                self.beats.insert(row.id.clone(), now);
                let is_register = matches!(request, Request::Register(_));
                if let Some(before) = worker_before
                    && ((row.run, row.beat) < (before.run, before.beat)
                        || (!is_register && row.beat == before.beat))
                {
                    return Err(format!(
                        "I9: {} goes back from run {}, beat {} to run {}, beat {}",
                        row.id, before.run, before.beat, row.run, row.beat
                    ));
                }
                if let Request::Register(row) = request {
                    for process in &mut self.processes {
                        if process.name == row.id && process.machine.run() < row.run {
                            process.superseded_at.get_or_insert(now);
                        }
                    }
                }
            }
            (Request::Reserve { run, seen, .. }, Response::Worker(row)) => {
                self.check_reservation(index, *run, seen.is_some(), row)?;
            }
            (Request::RemoveWorker { worker, run, is_own: false }, Response::Worker(_)) => {
                self.check_removal(worker, *run)?;
            }
            (Request::Fence { worker, run, .. }, Response::Worker(_)) => {
                self.figures.fences += 1;
                if worker_before.is_some_and(|before| before.state == WorkerState::Dead) {
                    return Err(format!("I9: {worker} is fenced twice"));
                }
                self.check_fence(index, worker, *run)?;
            }
            _ => {}
        }
        Ok(response)
    }

    /// Returns the response to a read that a mutation does too early.
    pub(super) fn mutated_read(&mut self, index: usize, request: &Request) -> Option<Response> {
        let process = &mut self.processes[index];
        match (self.tables.mutation?, request) {
            (Mutation::OldOwners, Request::Workers { is_consistent: true }) => {
                let rows = process.machine.workers_seen();
                (!rows.is_empty()).then_some(Response::Workers(rows))
            }
            (Mutation::ParentsBeforeEnd, Request::Get(ids)) => {
                let has_ended = |id: &String| {
                    let shard = index_of(id).map(|shard| &self.oracle.shards[shard]);
                    shard.is_some_and(|known| known.ended_by == Some(index))
                };
                let ended =
                    ids.iter().find(|id| process.read_early.contains_key(*id) && has_ended(id))?;
                let mut rows = process.read_early.remove(ended)?;
                for row in &mut rows {
                    if row.shard_id == *ended {
                        row.checkpoint = Checkpoint::End;
                    }
                }
                rows.retain(|row| ids.contains(&row.shard_id));
                Some(Response::Leases(rows))
            }
            _ => None,
        }
    }
}

fn no_response() -> Failure {
    Failure { is_permanent: false, text: "no response".to_owned() }
}

fn unavailable() -> Failure {
    Failure { is_permanent: false, text: "unavailable".to_owned() }
}
