//! Shards and records: lists, readers, consumers and saves.

use std::collections::BTreeSet;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::placing::creating::AncestorRequest;
use crate::lease::machine::{Event as MachineEvent, Offered, SaveError, SaveId};
use crate::lease::simulation::event::Event;
use crate::lease::simulation::mutation::Mutation;
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::process::{Process, Reader, Saving};
use crate::lease::simulation::setup::Expiry;
use crate::lease::simulation::stream::{NEVER, index_of};
use crate::lease::simulation::world::World;
use crate::lease::simulation::{At, MILLISECOND, SECOND};
use crate::shard::position::StartPosition;

/// How long the save task waits for a save.
const SAVE_TIMEOUT: At = 20 * SECOND;

impl World {
    /// Offers the shards that are ready to the machine.
    pub(super) fn offer_ready(&mut self, index: usize) {
        if !self.processes[index].is_polled {
            return;
        }
        for shard in self.processes[index].lineage.take_ready(&self.stream) {
            self.offer(index, shard);
        }
    }

    pub(super) fn offer(&mut self, index: usize, shard: usize) {
        let offered = Offered {
            shard_id: self.stream.shards[shard].id.clone(),
            start: Checkpoint::Start(StartPosition::TrimHorizon),
            parents: self.stream.ids(&self.stream.shards[shard].parents),
            hash_range: None,
        };
        self.tell(index, MachineEvent::Offered(offered));
    }

    /// The interval of the listings of a process has passed.
    pub(super) fn list(&mut self, index: usize) {
        let interval = self.setup.list_interval;
        self.after(interval, Event::List { process: index });
        self.begin_listing(index);
    }

    fn begin_listing(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if !process.is_polled || std::mem::replace(&mut process.is_listing, true) {
            return;
        }
        let is_slow = !self.is_calm && self.draw.chance(self.setup.fault_rate);
        let delay = if is_slow { self.draw.secs(0.1, 10.0) } else { self.draw.secs(0.005, 0.1) };
        let (begun, at) = (self.now, self.now + delay / 2);
        self.after(delay, Event::Listed { process: index, begun, at });
    }

    pub(super) fn listed(&mut self, index: usize, begun: At, at: At) {
        let process = &mut self.processes[index];
        if !process.is_polled {
            process.unpolled_list = Some((begun, at));
            return;
        }
        process.is_listing = false;
        self.log(|| format!("p{index} has listed the shards of {:.3}", at as f64 / SECOND as f64));
        let unlisted = self.processes[index].lineage.list(&self.stream, begun, at);
        for shard in unlisted {
            let shard_id = self.stream.shards[shard].id.clone();
            self.tell(index, MachineEvent::Unlisted(shard_id));
        }
        self.take_over(index);
        self.close_ancestors(index);
        if !self.setup.only_first_lists || index == 0 {
            self.offer_ready(index);
        }
    }

    /// The stream of shards of a process is polled, for the first time or again.
    pub(super) fn poll(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if process.is_gone() || std::mem::replace(&mut process.is_polled, true) {
            return;
        }
        if !std::mem::replace(&mut process.was_polled, true) {
            let start = Checkpoint::Start(StartPosition::TrimHorizon);
            self.tell(index, MachineEvent::Start(start));
        }
        let process = &mut self.processes[index];
        let unpolled_list = process.unpolled_list.take();
        let mut parked = Vec::new();
        for (shard, reader) in &mut process.readers {
            if std::mem::take(&mut reader.is_parked) {
                parked.push(*shard);
            }
        }
        for shard in parked {
            self.schedule_read(index, shard, MILLISECOND);
        }
        if let Some((begun, at)) = unpolled_list {
            self.listed(index, begun, at);
        }
        self.take_over(index);
        self.close_ancestors(index);
        self.offer_ready(index);
        self.tell(index, MachineEvent::Tick);
    }

    /// Closes the ancestors of the shards that a process was granted.
    pub(super) fn take_over(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if process.lineage.listed_at.is_none() || !process.is_polled {
            return;
        }
        for shard in std::mem::take(&mut process.lineage.taken) {
            let process = &mut self.processes[index];
            if process.machine.holds(&self.stream.shards[shard].id) {
                let closed = process.lineage.take_over(&self.stream, shard);
                self.closed(index, &closed);
            }
        }
    }

    /// Closes the ancestors that the machine asks for, after a list if it must be newer.
    pub(super) fn close_ancestors(&mut self, index: usize) {
        let Process { lineage, is_polled, .. } = &mut self.processes[index];
        if !*is_polled {
            return;
        }
        let Some(request) = lineage.take_to_close() else {
            if lineage.to_close.is_some() {
                self.begin_listing(index);
            }
            return;
        };
        let AncestorRequest { number, started, unfinished, .. } = request;
        let index_all = |ids: &[String]| ids.iter().filter_map(|id| index_of(id)).collect();
        let started: Vec<(usize, Vec<usize>)> = started
            .iter()
            .filter_map(|(id, parents)| Some((index_of(id)?, index_all(parents))))
            .collect();
        let unfinished = unfinished.iter().filter_map(|id| index_of(id)).collect();
        let closed = lineage.close_ancestors(&self.stream, &started, &unfinished);
        self.closed(index, &closed);
        self.tell(index, MachineEvent::AncestorsClosed { number });
    }

    fn closed(&mut self, index: usize, closed: &[usize]) {
        if closed.is_empty() {
            return;
        }
        self.log(|| format!("p{index} closes {closed:?}"));
        self.figures.closed += closed.len() as u64;
        self.tell(index, MachineEvent::Closed(self.stream.ids(closed)));
        self.offer_ready(index);
    }

    pub(super) fn schedule_read(&mut self, process: usize, shard: usize, delay: At) {
        let now = self.now;
        let Some(reader) = self.processes[process].readers.get_mut(&shard) else { return };
        if !reader.is_scheduled {
            reader.is_scheduled = true;
            let life = reader.life;
            self.at(now + delay, Event::Read { process, shard, life });
        }
    }

    pub(super) fn reader(
        &mut self,
        process: usize,
        shard: usize,
        life: u64,
    ) -> Option<&mut Reader> {
        let reader = self.processes[process].readers.get_mut(&shard);
        reader.filter(|reader| reader.life == life)
    }

    pub(super) fn read(&mut self, index: usize, shard: usize, life: u64) -> Check {
        let now = self.now;
        let local = self.local(index);
        let Some(reader) = self.reader(index, shard, life) else { return Ok(()) };
        reader.is_scheduled = false;
        loop {
            let process = &mut self.processes[index];
            let consumer = process.consumer;
            let Some(reader) = process.readers.get_mut(&shard) else { return Ok(()) };
            let known = &self.stream.shards[shard];
            let is_full = reader.in_flight.len() >= consumer.limit;
            let is_stopped = reader.is_draining || reader.is_ending || reader.is_parked;
            if is_stopped || is_full || now >= known.expired {
                return Ok(());
            }
            let Some(arrival) = known.records.get(reader.position).copied() else {
                if now >= known.closed {
                    self.end_if_processed(index, shard);
                } else if known.closed != NEVER {
                    let delay = known.closed - now;
                    self.schedule_read(index, shard, delay);
                }
                return Ok(());
            };
            if arrival > now {
                self.schedule_read(index, shard, arrival - now);
                return Ok(());
            }
            let mut deadline = process.machine.delivery_deadline();
            if self.tables.mutation == Some(Mutation::LateDeadline) {
                deadline += self.setup.failover.mul_f64(0.4);
            }
            if local >= deadline {
                self.schedule_read(index, shard, 250 * MILLISECOND);
                return Ok(());
            }
            let record = reader.position;
            let token = reader.token;
            reader.position += 1;
            reader.in_flight.insert(record);
            let failover = self.setup.failover;
            let is_excused = process.has_stood_still(now, failover)
                || process.was_superseded_lately(now, failover);
            self.oracle
                .deliver(&self.stream, shard, record, token, is_excused)
                .map_err(|violation| format!("process {index}: {violation}"))?;
            let delay = if !self.is_calm && self.draw.chance(self.setup.slow_records) {
                self.draw.secs(1.0, 40.0)
            } else {
                self.draw.0.u64(..=consumer.delay)
            };
            self.after(delay, Event::Acked { process: index, shard, life, record });
        }
    }

    pub(super) fn acked(&mut self, index: usize, shard: usize, life: u64, record: usize) {
        let Some(reader) = self.reader(index, shard, life) else { return };
        if reader.is_cut || !reader.in_flight.remove(&record) {
            return;
        }
        let (is_idle, is_draining) = (reader.in_flight.is_empty(), reader.is_draining);
        self.oracle.ack(shard, record);
        if is_draining {
            if is_idle {
                self.drained(index, shard);
            }
        } else {
            self.schedule_read(index, shard, MILLISECOND);
        }
    }

    pub(super) fn drained(&mut self, index: usize, shard: usize) {
        let Some(reader) = self.processes[index].readers.get_mut(&shard) else { return };
        if reader.is_drained || reader.is_ending {
            return;
        }
        reader.is_drained = true;
        let checkpoint = reader.checkpoint(shard);
        let shard_id = self.stream.shards[shard].id.clone();
        self.tell(index, MachineEvent::Drained { shard_id, checkpoint });
    }

    /// Saves the end of a shard once all its records are acknowledged.
    pub(super) fn end_if_processed(&mut self, index: usize, shard: usize) {
        let Some(reader) = self.processes[index].readers.get_mut(&shard) else { return };
        if !reader.in_flight.is_empty() || reader.is_ending || reader.is_drained {
            return;
        }
        reader.is_ending = true;
        let life = reader.life;
        self.save(index, shard, life);
    }

    /// The save task of a shard comes round.
    pub(super) fn save(&mut self, index: usize, shard: usize, life: u64) {
        let interval = self.processes[index].consumer.save_interval;
        let Some(reader) = self.reader(index, shard, life) else { return };
        let is_ending = reader.is_ending;
        if reader.saving.is_some() || (reader.is_cut && !is_ending) {
            return;
        }
        let (saving, checkpoint) = if is_ending {
            (Saving::End, Checkpoint::End)
        } else if reader.prefix() > reader.saved {
            (Saving::Records(reader.prefix()), reader.checkpoint(shard))
        } else {
            self.after(interval, Event::Save { process: index, shard, life });
            return;
        };
        let process = &mut self.processes[index];
        let id = SaveId(process.next_save);
        process.next_save += 1;
        process.saves.insert(id, (shard, life, saving));
        if let Some(reader) = process.readers.get_mut(&shard) {
            reader.saving = Some(id);
        }
        self.after(SAVE_TIMEOUT, Event::GiveUpSave { process: index, shard, life, id });
        let children = if is_ending { self.stream.child_shards(shard) } else { Vec::new() };
        let shard_id = self.stream.shards[shard].id.clone();
        self.tell(index, MachineEvent::Save { shard_id, id, checkpoint, children });
    }

    /// The save task waits no longer, and sends another save later.
    pub(super) fn give_up_save(&mut self, index: usize, shard: usize, life: u64, id: SaveId) {
        let Some(reader) = self.reader(index, shard, life) else { return };
        if reader.saving != Some(id) {
            return;
        }
        reader.saving = None;
        if let Some((.., saving)) = self.processes[index].saves.get_mut(&id) {
            *saving = Saving::GivenUp;
        }
        let backoff = self.draw.secs(0.5, 3.0);
        self.after(backoff, Event::Save { process: index, shard, life });
    }

    pub(super) fn saved(&mut self, index: usize, id: SaveId, result: &Result<(), SaveError>) {
        let Some((shard, life, saving)) = self.processes[index].saves.remove(&id) else { return };
        let interval = self.processes[index].consumer.save_interval;
        let backoff = self.draw.secs(0.5, 3.0);
        if saving == Saving::GivenUp {
            return;
        }
        let Some(reader) = self.reader(index, shard, life) else { return };
        if reader.saving == Some(id) {
            reader.saving = None;
        }
        let is_ending = reader.is_ending;
        match (result, saving) {
            (Ok(()), Saving::Records(upto)) => {
                reader.saved = reader.saved.max(upto);
                let delay = if is_ending { 0 } else { interval };
                self.after(delay, Event::Save { process: index, shard, life });
            }
            (Err(SaveError::Failed(_)), _) => {
                self.after(backoff, Event::Save { process: index, shard, life });
            }
            (Ok(()), Saving::End | Saving::GivenUp) | (Err(SaveError::NoLease), _) => {}
        }
    }

    pub(super) fn revoked(&mut self, index: usize, shard: usize, end: &LeaseEnd) {
        let process = &mut self.processes[index];
        if process.readers.remove(&shard).is_none() {
            return;
        }
        match end {
            LeaseEnd::Finished => {
                let children = self.stream.shards[shard].children.clone();
                process.lineage.close(shard, &children);
                self.offer_ready(index);
            }
            LeaseEnd::Moved { .. } | LeaseEnd::Lost { .. } => {
                self.figures.losses += u64::from(matches!(end, LeaseEnd::Lost { .. }));
                // The handle is parked again.
                if process.lineage.nodes.contains_key(&shard) {
                    self.offer(index, shard);
                }
            }
        }
    }

    /// The time has come from which on Kinesis may stop to list a shard.
    pub(super) fn expire(&mut self, shard: usize) {
        if !self.stream.is_listed(shard, self.now) {
            return;
        }
        // The parents of a merge were closed at the same time. The KCL does not end one of them
        // while the other has no row.
        let mut shards = BTreeSet::from([shard]);
        if self.setup.kcl.is_some() {
            let children = self.stream.shards[shard].children.iter();
            shards.extend(children.flat_map(|child| &self.stream.shards[*child].parents));
        }
        let ended = |shard: &usize| {
            self.oracle.shards[*shard].ended.is_some_and(|at| at + 20 * SECOND < self.now)
        };
        let is_processed = shards.iter().all(ended);
        let is_early = self.setup.expiry != Expiry::Processed;
        let mut parents = shards.iter().flat_map(|shard| &self.stream.shards[*shard].parents);
        let has_parent = parents.any(|parent| self.stream.is_listed(*parent, self.now));
        if has_parent || (!is_processed && !is_early) {
            self.after(20 * SECOND, Event::Expire(shard));
            return;
        }
        for shard in shards {
            self.log(|| format!("shard {shard} expires"));
            if self.setup.expiry == Expiry::WithKills {
                let id = &self.stream.shards[shard].id;
                let owner = self.processes.iter().position(|process| process.machine.holds(id));
                self.kill_meanwhile(owner, 0);
            }
            self.stream.shards[shard].expired = self.now;
            self.oracle.shards[shard].is_lost |= self.oracle.shards[shard].ended.is_none();
        }
    }
}
