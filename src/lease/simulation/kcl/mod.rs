//! Workers of the Kinesis Client Library (KCL) in the same lease table, as a model of their code.
//!
//! * 2.x: each worker reads all leases, takes those that have expired in its eyes, and steals one
//!   from the worker with the most if it has fewer than its share.
//! * 3.x: one leader assigns the leases that have expired, and moves others by graceful hand-overs.
//!
//! All of them renew each lease by its counter, read a shard once the rows of its parents have
//! ended or do not exist, and delete the rows of ended shards.

pub(super) mod event;
mod leases;
mod reading;
pub(super) mod worker;

use crate::lease::simulation::event::Event;
use crate::lease::simulation::kcl::event::{KclEvent, KclWrite};
use crate::lease::simulation::kcl::worker::{Kcl, is_of_fleet};
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::process::{Consumer, State};
use crate::lease::simulation::setup::{KclStep, Step};
use crate::lease::simulation::world::World;
use crate::lease::simulation::{At, MILLISECOND, SECOND, seconds};

impl World {
    pub(super) fn kcl_step(&mut self, step: &KclStep) {
        let running: Vec<usize> =
            (0..self.kcls.len()).filter(|index| self.kcls[*index].is_running()).collect();
        if let KclStep::Start(worker) = *step {
            self.start_kcl(worker);
            return;
        }
        if running.is_empty() {
            return;
        }
        let index = running[self.draw.0.usize(..running.len())];
        match *step {
            KclStep::Start(_) => {}
            KclStep::End { back_after } => {
                self.end_kcl(index);
                if let Some(back) = back_after {
                    let worker = self.kcls[index].worker;
                    self.after(back, Event::Step(Step::Kcl(KclStep::Start(worker))));
                }
            }
            KclStep::EndAll => {
                for index in running {
                    self.end_kcl(index);
                }
            }
            KclStep::Pause { length } => {
                self.kcls[index].state = State::Paused;
                self.kcl_after(length, index, KclEvent::Resume);
            }
            KclStep::Cut { length } => self.kcls[index].cut_until = self.now + length,
        }
    }

    /// Its leases stay owned, whether it is killed or stopped.
    fn end_kcl(&mut self, index: usize) {
        self.log(|| format!("k{index} ends"));
        self.kcls[index].state = State::Gone;
        self.kcls[index].ended_at = self.now;
    }

    pub(super) fn kcl_after(&mut self, length: At, kcl: usize, event: KclEvent) {
        self.after(length, Event::Kcl { kcl, event: Box::new(event) });
    }

    fn start_kcl(&mut self, worker: usize) {
        let Some(setup) = &self.setup.kcl else { return };
        let name = format!("kcl-{worker}");
        if setup.has_left(self.now)
            || self.kcls.iter().any(|kcl| kcl.name == name && kcl.state != State::Gone)
        {
            return;
        }
        let version = setup.version;
        let rate = 1.0 + self.setup.skew * (2.0 * self.draw.0.f64() - 1.0);
        let consumer = Consumer {
            delay: self.draw.pick(&[50 * MILLISECOND, 500 * MILLISECOND]),
            limit: self.draw.pick(&[5, 50]),
            save_interval: seconds(0.5 + 5.0 * self.draw.0.f64()),
        };
        let index = self.kcls.len();
        self.log(|| format!("k{index} starts as {name}, {version:?}, rate {rate:.3}"));
        self.kcls.push(Kcl::new(self.now, worker, name, version, rate, consumer));
        self.create_first_rows();
        // The leases of an earlier run under its id.
        self.discover(index);
        let delay = self.draw.secs(0.1, 2.0);
        self.kcl_after(delay, index, KclEvent::Round);
        self.kcl_after(delay, index, KclEvent::Renew);
        self.kcl_after(delay, index, KclEvent::Discover);
    }

    /// The KCL creates rows in an empty table.
    fn create_first_rows(&mut self) {
        if self.tables.model.rows().next().is_some() {
            return;
        }
        let is_listed = |shard: &usize| self.stream.is_listed(*shard, self.now);
        let is_first = |shard: &usize| !self.stream.shards[*shard].parents.iter().any(is_listed);
        let first: Vec<usize> =
            (0..self.stream.shards.len()).filter(is_listed).filter(is_first).collect();
        for shard in first {
            self.create_kcl_row(shard);
        }
    }

    pub(super) fn kcl_event(&mut self, index: usize, event: KclEvent) -> Check {
        // A request that was sent comes to the table.
        if let KclEvent::Write { write, is_response_lost } = event {
            return self.kcl_write(index, &write, is_response_lost);
        }
        match (self.kcls[index].state, &event) {
            (State::Gone, _) => return Ok(()),
            (State::Paused, KclEvent::Resume) => return self.resume_kcl(index),
            (State::Paused, _) => {
                self.kcls[index].inbox.push(event);
                return Ok(());
            }
            (State::Running, _) => {}
        }
        match event {
            KclEvent::Round => self.kcl_round(index),
            KclEvent::Renew => self.kcl_renew(index),
            KclEvent::Discover => {
                self.discover(index);
                self.kcl_after(self.kcl_failover(), index, KclEvent::Discover);
            }
            KclEvent::Begin { shard, life } => self.kcl_begin(index, shard, life),
            KclEvent::Read { shard, life } => self.kcl_read(index, shard, life)?,
            KclEvent::Acked { shard, life, record } => self.kcl_acked(index, shard, life, record),
            KclEvent::Save { shard, life } => self.kcl_save(index, shard, life),
            KclEvent::CleanUp { shard } => self.kcl_clean_up(index, shard),
            KclEvent::Write { .. } | KclEvent::Resume => {}
        }
        Ok(())
    }

    pub(super) fn resume_kcl(&mut self, index: usize) -> Check {
        if self.kcls[index].state != State::Paused {
            return Ok(());
        }
        self.log(|| format!("k{index} runs again"));
        self.kcls[index].state = State::Running;
        for event in std::mem::take(&mut self.kcls[index].inbox) {
            self.kcl_event(index, event)?;
        }
        Ok(())
    }

    fn kcl_failover(&self) -> At {
        self.setup.failover.as_micros() as At
    }

    /// Returns whether a request of a worker reaches the tables now.
    fn kcl_reaches_tables(&mut self, index: usize) -> bool {
        let is_out = self.outage.is_some_and(|(_, until, _)| self.now < until);
        let fails = !self.is_calm && self.draw.chance(self.setup.fault_rate / 2.0);
        !is_out && !fails && self.now >= self.kcls[index].cut_until
    }

    /// Sends a write, which may be lost, or its response.
    fn send_kcl(&mut self, index: usize, write: KclWrite) {
        let is_slow = !self.is_calm && self.setup.has_slow_requests && self.draw.chance(0.05);
        let delay = if is_slow { self.draw.secs(0.02, 5.0) } else { self.draw.secs(0.001, 0.02) };
        let is_response_lost = !self.is_calm && self.draw.chance(self.setup.fault_rate / 4.0);
        let write = Box::new(write);
        self.kcl_after(delay, index, KclEvent::Write { write, is_response_lost });
    }

    /// The leader of a KCL 3 asks for a lease while a write of its owner is in flight.
    pub(super) fn ask_meanwhile(&mut self, shard_id: &str, within: At) {
        let Some(row) = self.tables.row(shard_id).cloned() else { return };
        let Some(index) = self.kcls.iter().position(Kcl::is_running) else { return };
        if !is_of_fleet(&row) || self.kcl_leader.0 != index {
            return;
        }
        let delay = (within as f64 * self.draw.0.f64()) as At;
        let to = self.kcls[index].name.clone();
        let write = Box::new(KclWrite::AskHandOver { row, to });
        self.kcl_after(delay, index, KclEvent::Write { write, is_response_lost: false });
    }

    /// Returns whether a worker of the KCL that lives has a shard.
    pub(super) fn kcl_has(&self, shard: usize) -> bool {
        let Some(row) = self.tables.row(&self.stream.shards[shard].id) else { return false };
        self.kcls.iter().any(|kcl| {
            kcl.is_running() && kcl.owns(shard) && row.holder() == Some(kcl.name.as_str())
        })
    }

    /// Returns whether the workers of the KCL have left for good, long enough ago for others to
    /// take their leases and to balance them.
    pub(super) fn kcl_is_gone(&self) -> bool {
        let limit = 10 * SECOND;
        self.kcls
            .iter()
            .all(|kcl| kcl.state == State::Gone && kcl.ended_at <= self.setup.chaos + limit)
    }
}
