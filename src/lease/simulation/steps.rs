//! What happens to the processes from outside.

use tokio::time::Duration;

use crate::lease::machine::{Config, Event as MachineEvent};
use crate::lease::simulation::event::Event;
use crate::lease::simulation::happened::Happened;
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::process::{Consumer, Process, State};
use crate::lease::simulation::setup::Step;
use crate::lease::simulation::stream::{NEVER, index_of};
use crate::lease::simulation::world::{INSPECT_INTERVAL, World};
use crate::lease::simulation::{At, MILLISECOND, SECOND, seconds};

impl World {
    pub(super) fn step(&mut self, step: &Step) -> Check {
        self.log(|| format!("{step:?}"));
        let running: Vec<usize> =
            (0..self.processes.len()).filter(|index| self.processes[*index].is_running()).collect();
        let drawn = (!running.is_empty()).then(|| running[self.draw.0.usize(..running.len())]);
        let of_worker = |worker: Option<usize>| match worker {
            Some(worker) => {
                running.iter().copied().find(|index| self.processes[*index].worker == worker)
            }
            None => drawn,
        };
        match *step {
            Step::Start(worker) => self.start(worker, false),
            Step::Shutdown { worker, limit, back_after } => {
                if let Some(index) = of_worker(worker) {
                    let process = &mut self.processes[index];
                    self.happened.push((self.now, Happened::Stopped { process: index }));
                    process.is_leaving = true;
                    process.back_after = back_after;
                    let limit = Duration::from_micros(limit);
                    self.tell(index, MachineEvent::Shutdown { limit });
                }
            }
            Step::Kill { worker, back_after } => {
                if let Some(index) = of_worker(worker) {
                    let process = &mut self.processes[index];
                    self.happened.push((self.now, Happened::Stopped { process: index }));
                    process.state = State::Gone;
                    let worker = process.worker;
                    if let Some(back) = back_after {
                        self.after(back, Event::Start(worker));
                    }
                }
            }
            Step::Twin => {
                if let Some(index) = drawn {
                    let worker = self.processes[index].worker;
                    self.start(worker, true);
                }
            }
            Step::Pause { length, is_standing } => {
                if let Some(index) = drawn {
                    let process = &mut self.processes[index];
                    process.state = State::Paused;
                    process.impaired_at = self.now + length;
                    if is_standing {
                        process.clock.stand(self.now);
                        process.stood_until = Some(NEVER / 2);
                    }
                    self.after(length, Event::Resume { process: index });
                }
            }
            Step::CutRequests { length } => {
                if let Some(index) = drawn {
                    let until = self.now + length;
                    self.processes[index].requests_cut_until = until;
                    self.processes[index].impaired_at = until;
                }
            }
            Step::CutResponses { length } => {
                if let Some(index) = drawn {
                    let until = self.now + length;
                    self.processes[index].responses_cut_until = until;
                    self.processes[index].impaired_at = until;
                }
            }
            Step::Outage { length, hangs } => {
                let until = self.now + length;
                self.outage = Some((self.now, until, hangs));
                if self.setup.fault_rate == 0.0 {
                    // Some reach the tables again later than others.
                    let most = self.setup.failover.as_secs_f64() * 0.7;
                    for index in running {
                        self.processes[index].requests_cut_until =
                            until + self.draw.secs(0.0, most);
                    }
                }
            }
            Step::DeleteRow => {
                let rows: Vec<_> =
                    self.tables.model.rows().map(|row| row.shard_id.clone()).collect();
                if !rows.is_empty() {
                    let shard_id = &rows[self.draw.0.usize(..rows.len())];
                    self.tables.model.delete_row(shard_id);
                    if let Some(shard) = index_of(shard_id) {
                        self.oracle.has_no_holder(shard);
                        self.taint(shard);
                    }
                }
            }
            Step::Forbid { .. } | Step::Unpoll { .. } => {
                if let Some(index) = drawn {
                    self.trouble(index, step);
                }
            }
            Step::Kcl(ref step) => self.kcl_step(step),
            Step::Calm => self.calm()?,
        }
        Ok(())
    }

    /// Kills a process after some time, unless the faults have ended. Its supervisor starts it
    /// again.
    pub(super) fn kill_meanwhile(&mut self, index: Option<usize>, after: At) {
        let Some(process) = index.map(|index| &self.processes[index]) else { return };
        let worker = process.worker;
        if !self.is_calm && process.is_running() {
            let back_after = Some(self.draw.secs(0.5, 20.0));
            let kill = Step::Kill { worker: Some(worker), back_after };
            self.after(after, Event::Step(kill));
        }
    }

    /// A process loses a permission, or its consumer hangs.
    fn trouble(&mut self, index: usize, step: &Step) {
        let process = &mut self.processes[index];
        if let Step::Forbid { permission, length } = *step {
            process.forbidden = Some((permission, self.now + length));
            process.impaired_at = self.now + length;
        } else if let Step::Unpoll { length } = *step {
            process.is_polled = false;
            self.after(length, Event::Poll { process: index });
            self.tell(index, MachineEvent::Tick);
        }
    }

    /// The row of a shard was deleted by hand. If a KCL has deleted those of its ancestors, nothing
    /// shows any longer that they were processed.
    fn taint(&mut self, shard: usize) {
        self.oracle.taint(&self.stream, shard);
        for parent in self.stream.shards[shard].parents.clone() {
            if self.tables.row(&self.stream.shards[parent].id).is_none() {
                self.taint(parent);
            }
        }
    }

    /// The faults end.
    pub(super) fn calm(&mut self) -> Check {
        self.is_calm = true;
        for index in 0..self.processes.len() {
            self.processes[index].requests_cut_until = 0;
            self.processes[index].responses_cut_until = 0;
            self.processes[index].impaired_at = self.now;
            if let Some((_, until)) = &mut self.processes[index].forbidden {
                *until = self.now;
            }
            self.resume(index)?;
            self.poll(index);
        }
        for index in 0..self.kcls.len() {
            self.resume_kcl(index)?;
        }
        if let Some((_, until, _)) = &mut self.outage {
            *until = (*until).min(self.now);
        }
        let workers = if self.setup.max_leases.is_some() { self.setup.workers } else { 1 };
        for worker in 0..workers {
            self.after(0, Event::Start(worker));
        }
        if !self.setup.is_smooth {
            self.after(INSPECT_INTERVAL, Event::Inspect);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, index: usize) -> Check {
        let process = &mut self.processes[index];
        if process.state != State::Paused {
            return Ok(());
        }
        self.log(|| format!("p{index} runs again"));
        let process = &mut self.processes[index];
        process.state = State::Running;
        if process.stood_until == Some(NEVER / 2) {
            process.clock.run(self.now);
            process.stood_until = Some(self.now);
        }
        process.wake = None;
        let mut inbox = std::mem::take(&mut process.inbox);
        if self.draw.chance(0.5) {
            // The readers run first.
            inbox.sort_by_key(|event| !matches!(event, Event::Read { .. }));
        }
        for event in inbox {
            if !matches!(event, Event::Wake { .. }) {
                self.happen(event)?;
            }
        }
        self.schedule_wake(index);
        Ok(())
    }

    pub(super) fn start(&mut self, worker: usize, is_twin: bool) {
        let name = format!("worker-{worker}");
        let is_there =
            self.processes.iter().any(|process| process.name == name && !process.is_gone());
        if is_there && !is_twin {
            return;
        }
        let setup = &self.setup;
        let config = Config {
            worker: name,
            stream: "stream".to_owned(),
            failover: setup.failover,
            settle: setup.settle,
            rest: setup.rest,
            move_timeout: setup.move_timeout,
            max_leases: setup.max_leases,
            beside_kcl: setup.kcl.is_some(),
        };
        let rate = 1.0 + setup.skew * (2.0 * self.draw.0.f64() - 1.0);
        let delay = self.draw.pick(&[50 * MILLISECOND, 500 * MILLISECOND, 3 * SECOND]);
        let limit = self.draw.pick(&[1, 5, 50]);
        let consumer = Consumer {
            delay: if limit == 1 { delay.min(500 * MILLISECOND) } else { delay },
            limit,
            save_interval: seconds(self.setup.save_interval * (0.2 + 0.8 * self.draw.0.f64())),
        };
        let seed = self.draw.0.u64(..);
        let process = self.processes.len();
        self.log(|| format!("p{process} starts as worker {worker}, rate {rate:.3}"));
        self.processes.push(Process::new(self.now, worker, config, seed, rate, consumer));
        if self.setup.polls_late {
            self.tell(process, MachineEvent::Tick);
        } else {
            self.poll(process);
        }
    }

    /// A process has stopped by itself. Its supervisor starts it again if it did so for a fault.
    pub(super) fn ended(&mut self, index: usize, by_fault: bool) {
        let process = &mut self.processes[index];
        process.state = State::Gone;
        process.has_left = !by_fault;
        let (worker, back) = (process.worker, process.back_after.take());
        if by_fault || self.is_calm {
            let delay = self.draw.secs(3.0, 10.0);
            self.after(delay, Event::Start(worker));
        } else if let Some(back) = back {
            self.after(back, Event::Start(worker));
        }
    }
}
