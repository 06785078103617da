//! Checks of the whole fleet.

use std::collections::BTreeMap;

use crate::lease::simulation::event::Event;
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::process::Process;
use crate::lease::simulation::world::{INSPECT_INTERVAL, World};
use crate::lease::simulation::{At, SECOND, seconds};
use crate::lease::table::{LeaseRow, LeaseWrite, Permission, WorkerRow, WorkerState};

impl World {
    /// Returns whether a process holds a shard by its own lights and by the row.
    pub(super) fn has_owner(&self, shard: usize) -> bool {
        let id = &self.stream.shards[shard].id;
        let Some(row) = self.tables.row(id) else { return false };
        if self.kcl_has(shard) {
            return true;
        }
        self.processes.iter().any(|process| {
            process.is_running()
                && row.owner.as_ref() == Some(&process.name)
                && process.machine.holds(id)
        })
    }

    pub(super) fn is_ready(&self, shard: usize) -> bool {
        let known = &self.oracle.shards[shard];
        let id = &self.stream.shards[shard].id;
        if !self.stream.is_listed(shard, self.now) {
            return false;
        }
        if known.ended.is_some() && (known.is_tainted || self.tables.row(id).is_none()) {
            // Its row was deleted after its end, by hand or by a KCL: workers that read its
            // children ignore it.
            return false;
        }
        if known.is_tainted && self.tables.row(id).is_none() {
            // The owner reads on, and learns it when it saves.
            return !self.processes.iter().any(|it| it.machine.holds(id))
                && !self.kcls.iter().any(|kcl| kcl.owns(shard));
        }
        !self.tables.row(id).is_some_and(LeaseRow::has_ended)
            && self.stream.shards[shard].parents.iter().all(|parent| {
                let row = self.tables.row(&self.stream.shards[*parent].id);
                !self.stream.is_listed(*parent, self.now)
                    || match row {
                        Some(row) => row.has_ended(),
                        None => self.oracle.shards[*parent].ended.is_some(),
                    }
            })
    }

    /// Returns whether a shard that had an owner waits for another, though nothing has failed.
    pub(super) fn is_left_behind(&self, shard: usize, since: At) -> bool {
        let is_settled = |process: &Process| {
            process.is_running()
                && !process.is_leaving
                && process.started_at + INSPECT_INTERVAL < since
        };
        self.now > since + 8 * SECOND
            && self.oracle.was_granted(shard)
            && self.processes.iter().any(is_settled)
    }

    /// Returns whether a child waits for an audit, though the worker that ended the last of its
    /// parents should have opened it.
    pub(super) fn is_left_unopened(&self, shard: usize) -> bool {
        let row = self.tables.row(&self.stream.shards[shard].id);
        let parents = &self.stream.shards[shard].parents;
        let last = parents.iter().filter_map(|parent| self.oracle.shards[*parent].ended).max();
        let Some(last) = last else { return false };
        let lives = |parent: &usize| {
            self.oracle.shards[*parent].ended_by.is_some_and(|index| {
                let process = &self.processes[index];
                process.is_running() && !process.leaves() && process.impaired_at < last
            }) && self.tables.row(&self.stream.shards[*parent].id).is_some()
        };
        row.is_some_and(|row| row.counter == 0 && row.owner.is_none())
            && self.setup.max_leases.is_none()
            && (self.setup.is_smooth || last > self.setup.chaos + 30 * SECOND)
            && self.now > last + 5 * SECOND
            && parents.iter().all(lives)
    }

    pub(super) fn inspect(&mut self) -> Check {
        let failover = self.setup.failover.as_secs_f64();
        let mut bound = seconds(1.2 * (failover * 1.8 + 60.0) + 5.0) + self.setup.list_interval;
        if self.setup.kcl.is_some() {
            // A KCL looks for leases every two failover times.
            bound += seconds(6.0 * failover + 40.0);
        }
        let mut is_full = false;
        if let Some(max) = self.setup.max_leases {
            let room =
                self.processes.iter().filter(|process| process.is_running()).count() as u64 * max;
            is_full = room < self.stream.shards.len() as u64;
        }
        for shard in 0..self.stream.shards.len() {
            if !self.is_ready(shard) || self.has_owner(shard) || is_full {
                self.oracle.shards[shard].bad_since = None;
                continue;
            }
            let since = *self.oracle.shards[shard].bad_since.get_or_insert(self.now);
            if self.setup.is_smooth && self.is_left_behind(shard, since) {
                let row = self.tables.row(&self.stream.shards[shard].id);
                return Err(format!("I8: shard {shard} was given to nobody: {row:?}"));
            }
            if self.is_left_unopened(shard) {
                return Err(format!(
                    "I8: shard {shard} was not opened when the last of its parents had ended"
                ));
            }
            if self.now - since > bound {
                let row = self.tables.row(&self.stream.shards[shard].id);
                return Err(format!(
                    "I8: shard {shard} is ready and has no live owner since {} s: {row:?}",
                    since / SECOND
                ));
            }
        }
        self.after(INSPECT_INTERVAL, Event::Inspect);
        Ok(())
    }

    pub(super) fn check_end(&self) -> Check {
        let was_cut = self.processes.iter().any(|process| process.was_cut);
        if self.setup.is_smooth && self.oracle.repeats > 0 && !was_cut {
            return Err(format!(
                "I6: {} records were delivered again, though nothing has failed",
                self.oracle.repeats
            ));
        }
        for (shard, known) in self.oracle.shards.iter().enumerate() {
            if known.is_lost {
                continue;
            }
            if known.prefix < known.acked.len() {
                return Err(format!(
                    "I1: of the {} records of shard {shard}, only {} were acknowledged; its row is \
                     {:?}",
                    known.acked.len(),
                    known.prefix,
                    self.tables.row(&self.stream.shards[shard].id)
                ));
            }
        }
        self.check_saves()?;
        self.check_balance()
    }

    /// Each save gets its result, even if the save task no longer waits for it.
    fn check_saves(&self) -> Check {
        for (index, process) in self.processes.iter().enumerate() {
            let mut counts = BTreeMap::new();
            for (shard, life, _) in process.saves.values().filter(|_| process.is_running()) {
                let reader = process.readers.get(shard).filter(|reader| reader.life == *life);
                let count = counts.entry(*shard).or_insert(0);
                *count += 1;
                if reader.is_none() || *count > 2 {
                    return Err(format!("I12: process {index} has no result of a save of {shard}"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_balance(&self) -> Check {
        if !self.kcl_is_gone() {
            return Ok(());
        }
        let counts: Vec<(usize, usize)> = self
            .processes
            .iter()
            .enumerate()
            .filter(|(_, process)| process.is_running() && !process.is_leaving)
            .map(|(index, process)| (process.readers.len(), index))
            .collect();
        let max = self.setup.max_leases.map_or(usize::MAX, |max| max as usize);
        let (Some(least), Some(most)) =
            (counts.iter().filter(|(count, _)| *count < max).min(), counts.iter().max())
        else {
            return Ok(());
        };
        if most.0 > least.0 + 1 {
            return Err(format!(
                "I7: process {} has {} leases, and process {} has {}",
                most.1, most.0, least.1, least.0
            ));
        }
        Ok(())
    }

    /// A process stops for good, since it lacks a permission. The others take its leases at once if
    /// it could remove its row.
    pub(super) fn check_death(&self, index: usize) -> Check {
        let process = &self.processes[index];
        let Some((lacks, _)) = process.forbidden else { return Ok(()) };
        let had_outage = self.outage.is_some_and(|(_, until, _)| until + 10 * SECOND > self.now);
        let was_cut_off = process.requests_cut_until.max(process.responses_cut_until) > 0;
        let may_fail = lacks == Permission::DeleteWorkers || self.setup.fault_rate > 0.0;
        if had_outage || was_cut_off || may_fail {
            return Ok(());
        }
        match self.tables.worker(&process.name) {
            Some(row) if row.run == process.machine.run() && row.state != WorkerState::Dead => {
                Err(format!("I15: process {index} stops, and leaves {row:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The row of a shard was deleted by a worker, since Kinesis no longer lists the shard.
    pub(super) fn check_deletion(
        &mut self,
        shard: usize,
        write: &LeaseWrite,
        before: Option<&LeaseRow>,
    ) -> Check {
        let is_other =
            |holder: &u64| *holder != write.run && before.is_some_and(|before| !before.has_ended());
        let holder = self.oracle.holder(shard).filter(is_other);
        let lives = |row: &WorkerRow| Some(row.run) == holder && row.state != WorkerState::Dead;
        if let Some(row) = self.tables.model.workers().find(|row| lives(row)) {
            return Err(format!("I14: the row of shard {shard} is deleted, but {row:?} has it"));
        }
        let has_kcl = before.filter(|before| !before.has_ended()).is_some_and(|before| {
            self.kcls.iter().any(|kcl| kcl.is_running() && before.is_owned_by(&kcl.name))
        });
        if has_kcl {
            return Err(format!("I14: the row of shard {shard} is deleted, but a KCL has it"));
        }
        self.oracle.has_no_holder(shard);
        Ok(())
    }

    /// Leases were announced to a worker with this run, for its balance or since they are free.
    pub(super) fn check_reservation(
        &self,
        index: usize,
        run: u64,
        is_for_balance: bool,
        row: &WorkerRow,
    ) -> Check {
        if row.run != run || row.state != WorkerState::Up {
            return Err(format!("I7: leases are announced to {row:?}, which takes none"));
        }
        let from = self.processes[index].machine.load();
        let to = row.held + row.coming.len() as u64;
        let is_even = to <= from + 2 + from / 20;
        // A worker that leaves gives its leases away, however few it has left.
        let is_quiet = self.is_calm || (self.setup.is_smooth && !self.processes[index].leaves());
        if !is_for_balance || is_even || !is_quiet || self.setup.kcl.is_some() {
            return Ok(());
        }
        Err(format!(
            "I7: process {index} has {from} leases, and moves some to {}, which then has {to}",
            row.id
        ))
    }

    /// The row of a dead worker was removed.
    pub(super) fn check_removal(&self, worker: &str, run: u64) -> Check {
        let age = self.now - self.beats.get(worker).copied().unwrap_or_default();
        let limit = self.setup.failover.as_micros() as At * 9 / 10;
        if age < limit && !self.has_left(worker, run) {
            return Err(format!("I9: {worker} is removed {age} µs after its beat"));
        }
        Ok(())
    }

    /// Returns whether a worker has left by itself. Late copies of its first write and of its beats
    /// create its row again.
    pub(super) fn has_left(&self, worker: &str, run: u64) -> bool {
        self.process_of(worker, run).is_some_and(|process| process.has_left)
    }

    fn process_of(&self, worker: &str, run: u64) -> Option<&Process> {
        self.processes.iter().find(|process| process.name == worker && process.machine.run() == run)
    }

    /// A worker is fenced by the process of this index.
    pub(super) fn check_fence(&self, by: usize, worker: &str, run: u64) -> Check {
        let failover = self.setup.failover.as_micros() as At * 9 / 10;
        let beat = self.beats.get(worker).copied().unwrap_or_default();
        if self.now - beat < failover && !self.has_left(worker, run) {
            return Err(format!(
                "I9: {worker} is fenced {} µs after its beat has moved",
                self.now - beat
            ));
        }
        let Some((from, until, _)) = self.outage else { return Ok(()) };
        let Some(target) = self.process_of(worker, run) else { return Ok(()) };
        // A worker that the tables were away from for long must have noticed it. One that reached
        // them again soon has seen that another did not.
        let was_long = self.processes[by].requests_cut_until.max(until).saturating_sub(from)
            > failover * 2 / 3;
        let was_well = target.is_running()
            && was_long
            && target.impaired_at + 3 * SECOND < from
            && beat + seconds(self.setup.failover.as_secs_f64() * 0.25) > from;
        if was_well && self.setup.fault_rate == 0.0 && self.now < until + failover {
            return Err(format!("I9: {worker} is fenced after an outage, during which it lived"));
        }
        Ok(())
    }
}
