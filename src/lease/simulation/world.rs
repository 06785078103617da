//! The event queue, the processes and the tables of one run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::{
    Action, Config, Death, Event as MachineEvent, Failure, Offered, SaveError, SaveId, Ticket,
};
use crate::lease::simulation::figures::{Happened, Units};
use crate::lease::simulation::mutation::Mutation;
use crate::lease::simulation::oracle::{Check, Oracle};
use crate::lease::simulation::process::{Consumer, Process, Reader, Saving, State};
use crate::lease::simulation::setup::{Draw, Setup, Step};
use crate::lease::simulation::stream::{NEVER, Stream, index_of};
use crate::lease::simulation::tables::Tables;
use crate::lease::simulation::{At, Figures, MILLISECOND, SECOND, seconds};
use crate::lease::table::{Change, LeaseRow, LeaseWrite, Request, Response};
use crate::shard::position::StartPosition;

/// What happens at one time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Step(Step),
    Start(usize),
    Expire(usize),
    Wake {
        process: usize,
    },
    /// A request comes to the tables.
    Apply {
        process: usize,
        ticket: Ticket,
        request: Box<Request>,
        reply: Reply,
    },
    Respond {
        process: usize,
        ticket: Ticket,
        result: Box<Result<Response, Failure>>,
    },
    Read {
        process: usize,
        shard: usize,
        life: u64,
    },
    Acked {
        process: usize,
        shard: usize,
        life: u64,
        record: usize,
    },
    Save {
        process: usize,
        shard: usize,
        life: u64,
    },
    List {
        process: usize,
    },
    Resume {
        process: usize,
    },
    Inspect,
}

impl Event {
    fn process(&self) -> Option<usize> {
        match self {
            Self::Wake { process }
            | Self::Respond { process, .. }
            | Self::Read { process, .. }
            | Self::Acked { process, .. }
            | Self::Save { process, .. }
            | Self::List { process } => Some(*process),
            _ => None,
        }
    }
}

/// What follows a request that comes to the tables.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    After(At),
    /// It is applied, but the response is an error.
    ErrorAfter(At),
    /// It is not applied.
    RefusedAfter(At),
    /// It is applied, and the client sends it once more.
    AgainAfter(At),
    /// The client has given up.
    None,
}

/// The events to come. The heap moves their times and numbers, not the events.
#[derive(Debug, Default)]
struct Queue {
    heap: BinaryHeap<Reverse<(At, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    next: u64,
}

impl Queue {
    fn push(&mut self, at: At, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.heap.push(Reverse((at, self.next, slot)));
        self.next += 1;
    }

    fn next_at(&self) -> Option<At> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    fn pop(&mut self) -> Option<(At, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.events[slot].take()?))
    }
}

pub(super) struct World {
    setup: Setup,
    trace: bool,
    now: At,
    queue: Queue,
    draw: Draw,
    stream: Stream,
    tables: Tables,
    processes: Vec<Process>,
    oracle: Oracle,
    figures: Figures,
    next_life: u64,
    is_calm: bool,
    /// The outage under way, or the last one: from, to, and whether requests hang.
    outage: Option<(At, At, bool)>,
    /// When the row of each worker moved last.
    beats: BTreeMap<String, At>,
    /// What the machines are told next.
    pending: VecDeque<(usize, MachineEvent)>,
    happened: Vec<(At, Happened)>,
    units: Units,
}

const INSPECT_INTERVAL: At = 2 * SECOND;

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

    fn at(&mut self, at: At, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    fn after(&mut self, length: At, event: Event) {
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

    /// Counts the units of a request, with rows of usual sizes.
    fn count_units(&mut self, request: &Request, response: &Response) {
        let pages = |rows: usize, kilobytes: f64| (rows as f64 * kilobytes / 4.0).ceil();
        match (request, response) {
            (Request::Workers { is_consistent }, Response::Workers(rows)) => {
                let reads = pages(rows.len() + 1, 0.25);
                self.units.reads += if *is_consistent { reads } else { reads / 2.0 };
            }
            (Request::Scan, Response::Leases(rows)) => {
                self.units.reads += pages(rows.len(), 0.6);
            }
            (Request::Get(ids), _) => self.units.reads += ids.len() as f64,
            _ => self.units.writes += 1.0,
        }
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

    fn located(&self, violation: &str) -> String {
        format!("at {:.3} s: {violation}", self.now as f64 / SECOND as f64)
    }

    fn log(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{:10.3} {}", self.now as f64 / SECOND as f64, text());
        }
    }

    fn happen(&mut self, event: Event) -> Check {
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
            Event::Resume { process } => return self.resume(process),
            Event::Inspect => self.inspect()?,
        }
        self.run_machines()
    }

    // The processes.

    fn start(&mut self, worker: usize, is_twin: bool) {
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
            beside_kcl: false,
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
        let start = Checkpoint::Start(StartPosition::TrimHorizon);
        self.tell(process, MachineEvent::Start(start));
    }

    fn local(&self, process: usize) -> Duration {
        self.processes[process].clock.local(self.now)
    }

    fn tell(&mut self, process: usize, event: MachineEvent) {
        self.pending.push_back((process, event));
    }

    /// Lets the machines handle their events, and carries out their actions.
    fn run_machines(&mut self) -> Check {
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

    fn schedule_wake(&mut self, index: usize) {
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

    fn wake(&mut self, index: usize) -> Check {
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

    fn act(&mut self, index: usize, action: Action) -> Check {
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
                let reader = Reader::new(life, row.counter, self.now, row.checkpoint, first);
                let process = &mut self.processes[index];
                if process.readers.insert(shard, reader).is_some() {
                    return Err(format!("shard {shard} is granted twice to process {index}"));
                }
                if !self.setup.only_first_lists {
                    process.lineage.granted(&self.stream, shard);
                    self.offer_ready(index);
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
                reader.is_draining = true;
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
            Action::CloseAncestors { started, unfinished } => {
                let unfinished = unfinished.iter().filter_map(|id| index_of(id)).collect();
                for shard in started.iter().filter_map(|id| index_of(id)) {
                    let lineage = &mut self.processes[index].lineage;
                    lineage.close_ancestors(&self.stream, shard, &unfinished);
                }
                self.offer_ready(index);
                self.tell(index, MachineEvent::AncestorsClosed);
            }
            Action::Saved { id, result } => self.saved(index, id, &result),
            Action::Joined | Action::Report(_) => {}
            Action::Left => self.ended(index, false),
            Action::Die(death) => {
                if let Death::Failed(_) | Death::OtherStream(_) = death {
                    return Err(format!("process {index} dies: {death:?}"));
                }
                self.ended(index, true);
            }
        }
        Ok(())
    }

    /// A process has stopped by itself. Its supervisor starts it again if it did so for a fault.
    fn ended(&mut self, index: usize, by_fault: bool) {
        let process = &mut self.processes[index];
        process.state = State::Gone;
        let (worker, back) = (process.worker, process.back_after.take());
        if by_fault || self.is_calm {
            let delay = self.draw.secs(3.0, 10.0);
            self.after(delay, Event::Start(worker));
        } else if let Some(back) = back {
            self.after(back, Event::Start(worker));
        }
    }

    // Requests.

    fn send(&mut self, index: usize, ticket: Ticket, request: Box<Request>) {
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

    fn give_up(&mut self, process: usize, ticket: Ticket) {
        let limit = if self.draw.chance(0.8) { 5 * SECOND } else { 60 * SECOND };
        self.after(limit, Event::Respond { process, ticket, result: Box::new(Err(no_response())) });
    }

    fn apply(
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
    fn change(&mut self, index: usize, request: &Request) -> Result<Response, String> {
        let now = self.now;
        let before = match request {
            Request::Write(write) => self.tables.row(&write.shard_id).cloned(),
            _ => None,
        };
        let worker_before = match request {
            Request::Register(row) => self.tables.worker(&row.id).cloned(),
            Request::Beat(beat) => self.tables.worker(&beat.worker).cloned(),
            _ => None,
        };
        let response = match self.mutated_read(index, request) {
            Some(response) => response,
            None => self.tables.apply(now, request, &mut self.draw.0),
        };
        self.count_units(request, &response);
        match (request, &response) {
            (Request::Write(write), Response::Lease(row)) => {
                let shard = index_of(&write.shard_id);
                let reader = shard.and_then(|shard| self.processes[index].readers.get(&shard));
                let token = reader.filter(|reader| !reader.is_cut).map(|reader| reader.token);
                self.oracle.written(&self.stream, now, write, before.as_ref(), row, token)?;
                match &write.change {
                    Change::Give { .. } => {
                        self.figures.moves += 1;
                        let process = &self.processes[index];
                        if let (Some(reader), false) = (reader, process.is_leaving) {
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
                    Change::End { .. } => {
                        self.figures.ends += 1;
                        if let Some(shard) = shard {
                            self.oracle.shards[shard].ended_by = Some(index);
                        }
                    }
                    _ => {}
                }
            }
            (Request::Beat(_) | Request::Register(_), Response::Worker(row)) => {
                self.beats.insert(row.id.clone(), now);
                if let Some(before) = worker_before
                    && (row.run, row.beat) <= (before.run, before.beat)
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
            (Request::Reserve { seen: Some(_), run, .. }, Response::Worker(row)) => {
                let process = &self.processes[index];
                let (from, to) = (process.machine.load(), row.held + row.coming.len() as u64);
                if self.is_calm && row.run == *run && to > from + 2 {
                    return Err(format!(
                        "I7: process {index} has {from} leases, and moves some to {}, which then \
                         has {to}",
                        row.id
                    ));
                }
            }
            (Request::Fence { worker, run, .. }, Response::Worker(_)) => {
                self.figures.fences += 1;
                self.check_fence(worker, *run)?;
            }
            _ => {}
        }
        Ok(response)
    }

    /// Returns the response to a read that a mutation does too early.
    fn mutated_read(&mut self, index: usize, request: &Request) -> Option<Response> {
        let process = &mut self.processes[index];
        match (self.tables.mutation?, request) {
            (Mutation::OldOwners, Request::Workers { is_consistent: true }) => {
                let rows = process.machine.workers_seen();
                (!rows.is_empty()).then_some(Response::Workers(rows))
            }
            (Mutation::ParentsBeforeEnd, Request::Get(ids)) => {
                let ended = ids.iter().find(|id| process.read_early.contains_key(*id))?;
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

    fn check_fence(&self, worker: &str, run: u64) -> Check {
        let failover = self.setup.failover.as_micros() as At * 9 / 10;
        let beat = self.beats.get(worker).copied().unwrap_or_default();
        if self.now - beat < failover {
            return Err(format!(
                "I9: {worker} is fenced {} µs after its beat has moved",
                self.now - beat
            ));
        }
        let Some((from, until, _)) = self.outage else { return Ok(()) };
        let target = self
            .processes
            .iter()
            .find(|process| process.name == worker && process.machine.run() == run);
        let Some(target) = target else { return Ok(()) };
        let was_well = target.is_running()
            && target.impaired_at + 3 * SECOND < from
            && beat + seconds(self.setup.failover.as_secs_f64() * 0.25) > from;
        if was_well && self.setup.fault_rate == 0.0 && self.now < until + failover {
            return Err(format!("I9: {worker} is fenced after an outage, during which it lived"));
        }
        Ok(())
    }

    // Shards and records.

    /// Offers the shards that are ready to the machine.
    fn offer_ready(&mut self, index: usize) {
        for shard in self.processes[index].lineage.take_ready(&self.stream) {
            self.offer(index, shard);
        }
    }

    fn offer(&mut self, index: usize, shard: usize) {
        let offered = Offered {
            shard_id: self.stream.shards[shard].id.clone(),
            start: Checkpoint::Start(StartPosition::TrimHorizon),
            parents: self.stream.ids(&self.stream.shards[shard].parents),
            hash_range: None,
        };
        self.tell(index, MachineEvent::Offered(offered));
    }

    fn list(&mut self, index: usize) {
        let unlisted = self.processes[index].lineage.list(&self.stream, self.now);
        for shard in unlisted {
            let shard_id = self.stream.shards[shard].id.clone();
            self.tell(index, MachineEvent::Unlisted(shard_id));
        }
        if !self.setup.only_first_lists || index == 0 {
            self.offer_ready(index);
        }
        let interval = self.setup.list_interval;
        self.after(interval, Event::List { process: index });
    }

    fn schedule_read(&mut self, process: usize, shard: usize, delay: At) {
        let now = self.now;
        let Some(reader) = self.processes[process].readers.get_mut(&shard) else { return };
        if !reader.is_scheduled {
            reader.is_scheduled = true;
            let life = reader.life;
            self.at(now + delay, Event::Read { process, shard, life });
        }
    }

    fn reader(&mut self, process: usize, shard: usize, life: u64) -> Option<&mut Reader> {
        let reader = self.processes[process].readers.get_mut(&shard);
        reader.filter(|reader| reader.life == life)
    }

    fn read(&mut self, index: usize, shard: usize, life: u64) -> Check {
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
            if reader.is_draining || reader.is_ending || is_full || now >= known.expired {
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
            let grace = (self.setup.failover.as_micros() as At) * 9 / 10;
            let is_recent = |at: Option<At>| at.is_some_and(|at| now < at + grace);
            let is_excused = is_recent(process.stood_until) || is_recent(process.superseded_at);
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

    fn acked(&mut self, index: usize, shard: usize, life: u64, record: usize) {
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

    fn drained(&mut self, index: usize, shard: usize) {
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
    fn end_if_processed(&mut self, index: usize, shard: usize) {
        let Some(reader) = self.processes[index].readers.get_mut(&shard) else { return };
        if !reader.in_flight.is_empty() || reader.is_ending || reader.is_drained {
            return;
        }
        reader.is_ending = true;
        let life = reader.life;
        self.save(index, shard, life);
    }

    /// The save task of a shard comes round.
    fn save(&mut self, index: usize, shard: usize, life: u64) {
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
        let children = if is_ending { self.stream.child_shards(shard) } else { Vec::new() };
        let shard_id = self.stream.shards[shard].id.clone();
        self.tell(index, MachineEvent::Save { shard_id, id, checkpoint, children });
    }

    fn saved(&mut self, index: usize, id: SaveId, result: &Result<(), SaveError>) {
        let Some((shard, life, saving)) = self.processes[index].saves.remove(&id) else { return };
        let interval = self.processes[index].consumer.save_interval;
        let backoff = self.draw.secs(0.5, 3.0);
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
            (Ok(()), Saving::End) | (Err(SaveError::NoLease), _) => {}
        }
    }

    fn revoked(&mut self, index: usize, shard: usize, end: &LeaseEnd) {
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

    fn expire(&mut self, shard: usize) {
        let is_processed =
            self.oracle.shards[shard].ended.is_some_and(|at| at + 20 * SECOND < self.now);
        // Most shards are processed before they expire.
        let is_early = self.setup.seed.is_multiple_of(7);
        let has_parent = self.stream.shards[shard]
            .parents
            .iter()
            .any(|parent| self.stream.is_listed(*parent, self.now));
        if has_parent || (!is_processed && !is_early) {
            self.after(20 * SECOND, Event::Expire(shard));
            return;
        }
        self.log(|| format!("shard {shard} expires"));
        self.stream.shards[shard].expired = self.now;
        self.oracle.shards[shard].is_lost |= !is_processed;
    }

    // What happens to workers.

    fn step(&mut self, step: &Step) -> Check {
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
                self.outage = Some((self.now, self.now + length, hangs));
            }
            Step::DeleteRow => {
                let rows: Vec<_> =
                    self.tables.model.rows().map(|row| row.shard_id.clone()).collect();
                if !rows.is_empty() {
                    let shard_id = &rows[self.draw.0.usize(..rows.len())];
                    self.tables.model.delete_row(shard_id);
                    if let Some(shard) = index_of(shard_id) {
                        self.oracle.taint(&self.stream, shard);
                    }
                }
            }
            Step::Calm => self.calm()?,
        }
        Ok(())
    }

    /// The faults end.
    fn calm(&mut self) -> Check {
        self.is_calm = true;
        for index in 0..self.processes.len() {
            self.processes[index].requests_cut_until = 0;
            self.processes[index].responses_cut_until = 0;
            self.processes[index].impaired_at = self.now;
            self.resume(index)?;
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

    fn resume(&mut self, index: usize) -> Check {
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

    // Checks after the faults.

    /// Returns whether a process holds a shard by its own lights and by the row.
    fn has_owner(&self, shard: usize) -> bool {
        let id = &self.stream.shards[shard].id;
        let Some(row) = self.tables.row(id) else { return false };
        self.processes.iter().any(|process| {
            process.is_running()
                && row.owner.as_ref() == Some(&process.name)
                && process.machine.holds(id)
        })
    }

    fn is_ready(&self, shard: usize) -> bool {
        let known = &self.oracle.shards[shard];
        let id = &self.stream.shards[shard].id;
        if known.is_tainted && known.ended.is_some() {
            // Its row was deleted by hand after its end: workers that read its children ignore it.
            return false;
        }
        if known.is_tainted && self.tables.row(id).is_none() {
            // The owner reads on, and learns it when it saves.
            return !self.processes.iter().any(|it| it.machine.holds(id));
        }
        self.stream.is_listed(shard, self.now)
            && !self.tables.row(&self.stream.shards[shard].id).is_some_and(LeaseRow::has_ended)
            && self.stream.shards[shard].parents.iter().all(|parent| {
                !self.stream.is_listed(*parent, self.now)
                    || self
                        .tables
                        .row(&self.stream.shards[*parent].id)
                        .is_some_and(LeaseRow::has_ended)
            })
    }

    /// Returns whether a shard that had an owner waits for another, though nothing has failed.
    fn is_left_behind(&self, shard: usize, since: At) -> bool {
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
    fn is_left_unopened(&self, shard: usize) -> bool {
        let row = self.tables.row(&self.stream.shards[shard].id);
        let parents = &self.stream.shards[shard].parents;
        let last = parents.iter().filter_map(|parent| self.oracle.shards[*parent].ended).max();
        let Some(last) = last else { return false };
        let lives = |parent: &usize| {
            self.oracle.shards[*parent].ended_by.is_some_and(|index| {
                let process = &self.processes[index];
                process.is_running() && !process.is_leaving && process.impaired_at < last
            }) && self.tables.row(&self.stream.shards[*parent].id).is_some()
        };
        row.is_some_and(|row| row.counter == 0 && row.owner.is_none())
            && self.setup.max_leases.is_none()
            && last > self.setup.chaos + 30 * SECOND
            && self.now > last + 5 * SECOND
            && parents.iter().all(lives)
    }

    fn inspect(&mut self) -> Check {
        let bound = seconds(1.2 * (self.setup.failover.as_secs_f64() * 1.8 + 60.0) + 35.0);
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

    fn check_end(&self) -> Check {
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
        self.check_balance()
    }

    fn check_balance(&self) -> Check {
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
}

fn no_response() -> Failure {
    Failure { is_permanent: false, text: "no response".to_owned() }
}

fn unavailable() -> Failure {
    Failure { is_permanent: false, text: "unavailable".to_owned() }
}
