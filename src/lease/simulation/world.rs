//! The event queue, the processes and the tables of one run.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Duration;

use crate::lease::machine::{Action, Death, Event as MachineEvent};
use crate::lease::simulation::event::{Event, Queue};
use crate::lease::simulation::happened::Happened;
use crate::lease::simulation::kcl::worker::Kcl;
use crate::lease::simulation::mutation::Mutation;
use crate::lease::simulation::oracle::{Check, Oracle};
use crate::lease::simulation::process::{Process, Reader, State};
use crate::lease::simulation::setup::{Draw, Setup};
use crate::lease::simulation::stream::{Stream, index_of};
use crate::lease::simulation::tables::Tables;
use crate::lease::simulation::units::Units;
use crate::lease::simulation::{At, Figures, MILLISECOND, SECOND};

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) trace: bool,
    pub(super) now: At,
    pub(super) queue: Queue,
    pub(super) draw: Draw,
    pub(super) stream: Stream,
    pub(super) tables: Tables,
    pub(super) processes: Vec<Process>,
    /// The workers of the Kinesis Client Library.
    pub(super) kcls: Vec<Kcl>,
    /// The leader of those of version 3, and when it renewed its lock.
    pub(super) kcl_leader: (usize, At),
    pub(super) oracle: Oracle,
    pub(super) figures: Figures,
    pub(super) next_life: u64,
    pub(super) is_calm: bool,
    /// The outage under way, or the last one: from, to, and whether requests hang.
    pub(super) outage: Option<(At, At, bool)>,
    /// When the row of each worker moved last.
    pub(super) beats: BTreeMap<String, At>,
    /// What the machines are told next.
    pub(super) pending: VecDeque<(usize, MachineEvent)>,
    pub(super) happened: Vec<(At, Happened)>,
    pub(super) units: Units,
}

pub(super) const INSPECT_INTERVAL: At = 2 * SECOND;

impl World {
    pub(super) fn new(setup: Setup, mutation: Option<Mutation>, trace: bool) -> Self {
        let draw = Draw(fastrand::Rng::with_seed(setup.seed ^ 0x5EED));
        let mut world = Self {
            trace,
            now: 0,
            queue: Queue::default(),
            draw,
            stream: setup.stream.clone(),
            tables: Tables { is_stale: setup.fault_rate > 0.0, mutation, ..Tables::default() },
            processes: Vec::new(),
            kcls: Vec::new(),
            kcl_leader: (0, 0),
            oracle: Oracle::new(&setup.stream),
            figures: Figures { seeds: 1, ..Figures::default() },
            next_life: 0,
            is_calm: false,
            outage: None,
            beats: BTreeMap::new(),
            pending: VecDeque::new(),
            happened: Vec::new(),
            units: Units::default(),
            setup,
        };
        for (at, step) in world.setup.steps.clone() {
            world.at(at, Event::Step(step));
        }
        if world.setup.is_smooth {
            world.at(INSPECT_INTERVAL, Event::Inspect);
        }
        for (at, shard) in world.setup.expiries.clone() {
            world.at(at, Event::Expire(shard));
        }
        world
    }

    pub(super) fn at(&mut self, at: At, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    pub(super) fn after(&mut self, length: At, event: Event) {
        self.at(self.now + length, event);
    }

    pub(super) fn happened(&self) -> &[(At, Happened)] {
        &self.happened
    }

    /// Plays up to a time, and returns the units that were consumed so far.
    pub(super) fn play_until(&mut self, end: At) -> Result<Units, String> {
        while self.queue.next_at().is_some_and(|at| at <= end) {
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.happen(event).map_err(|violation| self.located(&violation))?;
        }
        Ok(self.units)
    }

    pub(super) fn play(&mut self) -> Result<Figures, String> {
        while let Some((at, event)) = self.queue.pop() {
            if at > self.setup.end {
                break;
            }
            self.now = at;
            self.figures.events += 1;
            self.happen(event).map_err(|violation| self.located(&violation))?;
        }
        self.now = self.setup.end;
        self.check_end().map_err(|violation| self.located(&violation))?;
        self.figures.virtual_seconds = self.setup.end / SECOND;
        self.figures.delivered = self.oracle.delivered;
        self.figures.repeats = self.oracle.repeats;
        Ok(self.figures.clone())
    }

    pub(super) fn located(&self, violation: &str) -> String {
        format!("at {:.3} s: {violation}", self.now as f64 / SECOND as f64)
    }

    pub(super) fn log(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:10.3} {}", self.now as f64 / SECOND as f64, text());
        }
    }

    pub(super) fn happen(&mut self, event: Event) -> Check {
        if let Some(process) = event.process() {
            match self.processes[process].state {
                State::Gone => return Ok(()),
                State::Paused => {
                    self.processes[process].inbox.push(event);
                    return Ok(());
                }
                State::Running => {}
            }
        }
        match event {
            Event::Step(step) => self.step(&step)?,
            Event::Start(worker) => self.start(worker, false),
            Event::Expire(shard) => self.expire(shard),
            Event::Wake { process } => self.wake(process)?,
            Event::Apply { process, ticket, request, reply } => {
                self.apply(process, ticket, request, reply)?;
            }
            Event::Respond { process, ticket, result } => {
                self.log(|| format!("p{process} <- {} {result:?}", ticket.0));
                self.tell(process, MachineEvent::Responded(ticket, *result));
            }
            Event::Read { process, shard, life } => self.read(process, shard, life)?,
            Event::Acked { process, shard, life, record } => {
                self.acked(process, shard, life, record);
            }
            Event::Save { process, shard, life } => self.save(process, shard, life),
            Event::List { process } => self.list(process),
            Event::Listed { process, begun, at } => self.listed(process, begun, at),
            Event::GiveUpSave { process, shard, life, id } => {
                self.give_up_save(process, shard, life, id);
            }
            Event::Poll { process } => self.poll(process),
            Event::Resume { process } => return self.resume(process),
            Event::Inspect => self.inspect()?,
            Event::Kcl { kcl, event } => self.kcl_event(kcl, *event)?,
        }
        self.run_machines()
    }

    pub(super) fn local(&self, process: usize) -> Duration {
        self.processes[process].clock.local(self.now)
    }

    pub(super) fn tell(&mut self, process: usize, event: MachineEvent) {
        self.pending.push_back((process, event));
    }

    /// Lets the machines handle their events, and carries out their actions.
    pub(super) fn run_machines(&mut self) -> Check {
        let mut touched = Vec::new();
        while let Some((index, event)) = self.pending.pop_front() {
            let local = self.local(index);
            let process = &mut self.processes[index];
            if process.is_gone() {
                continue;
            }
            if !touched.contains(&index) {
                touched.push(index);
            }
            if self.tables.mutation == Some(Mutation::NoEvidence) {
                process.machine.assume_health();
            }
            process.machine.set_consumer_polling(process.is_polled);
            process.machine.on(local, event);
            let limit = 3 * self.stream.shards.len() + 3 * self.processes.len() + 50;
            let mut count = 0;
            while let Some(action) = self.processes[index].machine.next_action() {
                self.act(index, action)?;
                count += 1;
                if count > limit {
                    return Err(format!("I10: process {index} takes {count} actions at once"));
                }
            }
        }
        for index in touched {
            self.schedule_wake(index);
        }
        Ok(())
    }

    pub(super) fn schedule_wake(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if !process.is_running() {
            return;
        }
        let wake = process.machine.next_wake();
        let wake = process.clock.real(wake, self.now);
        if process.wake.is_none_or(|queued| wake < queued) {
            process.wake = Some(wake);
            self.at(wake, Event::Wake { process: index });
        }
    }

    pub(super) fn wake(&mut self, index: usize) -> Check {
        let process = &mut self.processes[index];
        match process.wake {
            Some(at) if at <= self.now => process.wake = None,
            // A later one was queued first.
            _ => return Ok(()),
        }
        let due = process.machine.next_wake();
        if process.clock.real(due, self.now) > self.now + 1 {
            self.schedule_wake(index);
            return Ok(());
        }
        let was = process.clock.local(self.now);
        self.tell(index, MachineEvent::Tick);
        self.run_machines()?;
        let process = &mut self.processes[index];
        if process.is_running() && process.machine.next_wake() <= was {
            process.wakes_at_once += 1;
            if process.wakes_at_once > 100 {
                return Err(format!("I10: the machine of process {index} spins"));
            }
        } else {
            process.wakes_at_once = 0;
        }
        Ok(())
    }

    pub(super) fn act(&mut self, index: usize, action: Action) -> Check {
        self.log(|| format!("p{index} {action:?}"));
        match action {
            Action::Send(ticket, request) => self.send(index, ticket, Box::new(request)),
            Action::Started(_) => {
                if !std::mem::replace(&mut self.processes[index].has_listed, true) {
                    let delay = self.draw.secs(0.01, 0.06);
                    self.after(delay, Event::List { process: index });
                }
            }
            Action::Grant(row) => {
                let Some(shard) = index_of(&row.shard_id) else { return Ok(()) };
                self.figures.grants += 1;
                self.oracle.granted(&self.stream, self.now, shard, row.counter, index)?;
                self.next_life += 1;
                let life = self.next_life;
                let first = self.stream.records_before(shard, &row.checkpoint);
                let mut reader = Reader::new(life, row.counter, self.now, row.checkpoint, first);
                let process = &mut self.processes[index];
                reader.is_parked = !process.is_polled;
                if process.readers.insert(shard, reader).is_some() {
                    return Err(format!("shard {shard} is granted twice to process {index}"));
                }
                if !self.setup.only_first_lists {
                    process.lineage.taken.insert(shard);
                    self.take_over(index);
                }
                let interval = self.processes[index].consumer.save_interval;
                self.after(interval, Event::Save { process: index, shard, life });
                let delay = self.draw.secs(0.005, 0.05);
                let reads = Happened::Reads { shard, process: index };
                self.happened.push((self.now + delay, reads));
                self.schedule_read(index, shard, delay);
            }
            Action::Drain { shard_id, cut } => {
                let Some(shard) = index_of(&shard_id) else { return Ok(()) };
                let Some(reader) = self.processes[index].readers.get_mut(&shard) else {
                    return Err(format!("process {index} is to drain shard {shard}, not held"));
                };
                self.happened.push((self.now, Happened::Drains { shard, process: index }));
                (reader.is_draining, reader.is_drained) = (true, false);
                reader.is_cut |= cut;
                self.processes[index].was_cut |= cut;
                let Some(reader) = self.processes[index].readers.get_mut(&shard) else {
                    return Ok(());
                };
                if cut || reader.in_flight.is_empty() {
                    self.drained(index, shard);
                }
            }
            Action::Resume { shard_id } => {
                let Some(shard) = index_of(&shard_id) else { return Ok(()) };
                if let Some(reader) = self.processes[index].readers.get_mut(&shard) {
                    (reader.is_draining, reader.is_drained) = (false, false);
                    if reader.is_cut && !reader.is_ending {
                        return Err(format!("shard {shard} is resumed after it was cut"));
                    }
                    self.schedule_read(index, shard, MILLISECOND);
                }
            }
            Action::Revoke { shard_id, end } => {
                let Some(shard) = index_of(&shard_id) else { return Ok(()) };
                self.revoked(index, shard, &end);
            }
            Action::Finished { shard_id } => {
                let Some(shard) = index_of(&shard_id) else { return Ok(()) };
                self.processes[index].lineage.close(shard, &[]);
                self.offer_ready(index);
            }
            Action::CloseAncestors(request) => {
                let is_old = self.tables.mutation == Some(Mutation::CreateByOldList);
                let after = if request.after_list && !is_old { self.now } else { 0 };
                self.processes[index].lineage.to_close = Some((request, after));
                self.close_ancestors(index);
            }
            Action::Saved { id, result } => self.saved(index, id, &result),
            Action::Joined => {
                if !self.processes[index].was_polled {
                    let delays = [MILLISECOND, 100 * MILLISECOND, 700 * MILLISECOND];
                    let delay = self.draw.pick(&delays);
                    self.after(delay, Event::Poll { process: index });
                }
            }
            Action::Report(_) => {}
            Action::Left => self.ended(index, false),
            Action::Die(death) => {
                let is_forbidden = self.processes[index].forbidden.is_some();
                if is_forbidden && matches!(death, Death::Failed(_)) {
                    self.figures.forbidden += 1;
                    self.check_death(index)?;
                } else if let Death::Failed(_) | Death::OtherStream(_) = death {
                    return Err(format!("process {index} dies: {death:?}"));
                }
                self.ended(index, true);
            }
        }
        Ok(())
    }
}
