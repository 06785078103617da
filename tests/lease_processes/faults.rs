//! Workers that are killed, stopped, restarted and cut off from their tables at random, while the
//! stream is split and merged.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::fleet::{Fleet, Servers};
use crate::kind::Kind;
use crate::producer::{Load, Producer, one_to_each};
use crate::proxy::Treatment;
use crate::trial::number_from;
use crate::worker::Times;

const FAILOVER: Duration = Duration::from_secs(3);
const TIMES: Times = Times { failover: 3_000, settle: 2_000, rest: 1_000, save_interval: 400 };
const SECONDS: u64 = 30;
const MIN_WORKERS: usize = 3;
const MAX_WORKERS: usize = 6;
const TICK: Duration = Duration::from_millis(50);

/// A run of faults in one fleet.
struct Faults {
    fleet: Fleet,
    rng: Rng,
    /// What ends the faults that are under way.
    due: Vec<(Instant, Due)>,
    /// The processes that got SIGTERM, and whether each is started again under its id.
    leaving: Vec<(usize, bool)>,
    ids: usize,
    figures: Figures,
}

enum Due {
    /// A stopped process continues.
    Continue(usize),
    /// The requests of a process reach its tables again.
    Forward(usize),
    /// A worker is started under this id.
    Start(String),
}

#[derive(Debug, Default)]
struct Figures {
    kills: usize,
    pauses: usize,
    stops: usize,
    outages: usize,
}

pub(crate) async fn run(kinesis: Kind, seed: u64) -> Result<(), String> {
    let seed = number_from("LEASE_SEED").unwrap_or(seed);
    let servers =
        Servers::start(&format!("faults-{kinesis}-{seed}"), kinesis, Kind::Ministack).await?;
    let servers = Arc::new(servers);
    let client = servers.kinesis();
    let fleet = Fleet::new(&servers, "faults", 4, TIMES).await?;
    let load = Load { seed, pauses_per_reshard: 60, ..Load::default() };
    let producer = Producer::start(&client, "faults", load);
    let mut faults = Faults {
        fleet,
        rng: Rng::with_seed(seed),
        due: Vec::new(),
        leaving: Vec::new(),
        ids: 0,
        figures: Figures::default(),
    };
    for _ in 0..MIN_WORKERS {
        faults.start_new().await?;
    }
    let seconds = number_from("LEASE_SECONDS").unwrap_or(SECONDS);
    let result = faults.go_on_for(Duration::from_secs(seconds)).await;
    let written = producer.stop().await?;
    result.map_err(|error| faults.fleet.failure(&error))?;
    let Faults { mut fleet, figures, .. } = faults;
    fleet.note("no more faults");
    fleet.delivered(&written.by_key).await?;
    fleet.stop_all().await?;
    // All have stopped in peace, so the next worker continues just where they have stopped.
    let (records, repeats) = (fleet.log.records(), fleet.log.repeats());
    let last = one_to_each(&client, "faults", written.by_key.len()).await?.len();
    fleet.join("worker-last").await?;
    let mut by_key = written.by_key;
    by_key.extend(vec![1; last]);
    fleet.delivered(&by_key).await?;
    fleet.stop_all().await?;
    if fleet.log.repeats() > repeats {
        return Err(fleet.failure("records were delivered again after a complete shutdown of all"));
    }
    println!(
        "{kinesis}, seed {seed}: {figures}, {} splits, {} merges: {records} records, 0 lost, \
         {repeats} repeated",
        written.splits, written.merges
    );
    servers.remove_files();
    Ok(())
}

impl Faults {
    async fn go_on_for(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        let mut next = Instant::now() + Duration::from_secs(2);
        loop {
            self.fleet.read()?;
            self.fleet.log.check()?;
            self.end_due(Instant::now()).await?;
            self.replace_stopped()?;
            if Instant::now() > end {
                if self.due.is_empty() && self.leaving.is_empty() {
                    return Ok(());
                }
            } else if Instant::now() > next {
                self.strike().await?;
                next = Instant::now() + Duration::from_millis(self.rng.u64(200..2_500));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Returns the processes without a fault.
    fn healthy(&self) -> Vec<usize> {
        let faulty = self.due.iter().filter_map(|(_, due)| match due {
            Due::Continue(process) | Due::Forward(process) => Some(*process),
            Due::Start(_) => None,
        });
        let leaving = self.leaving.iter().map(|(process, _)| *process);
        let faulty: BTreeSet<_> = faulty.chain(leaving).collect();
        self.fleet.running().into_iter().filter(|process| !faulty.contains(process)).collect()
    }

    async fn start_new(&mut self) -> Result<(), String> {
        self.ids += 1;
        self.fleet.start(&format!("worker-{}", self.ids)).await.map(drop)
    }

    /// Begins one fault.
    async fn strike(&mut self) -> Result<(), String> {
        let healthy = self.healthy();
        let starting = self.due.iter().filter(|(_, due)| matches!(due, Due::Start(_))).count();
        if self.fleet.running().len() + starting < MIN_WORKERS || healthy.len() < 2 {
            return self.start_new().await;
        }
        let process = healthy[self.rng.usize(..healthy.len())];
        let now = Instant::now();
        match self.rng.u32(..10) {
            0 | 1 => {
                let id = self.fleet.id(process);
                self.figures.kills += 1;
                self.fleet.kill(process);
                let wait = now + Duration::from_millis(self.rng.u64(..2_000));
                if self.rng.bool() {
                    self.due.push((wait, Due::Start(id)));
                } else {
                    self.ids += 1;
                    self.due.push((wait, Due::Start(format!("worker-{}", self.ids))));
                }
            }
            2..=4 => {
                // Shorter than the delivery deadline, between it and the failover time, longer.
                let time = FAILOVER.mul_f64([0.3, 0.9, 1.2][self.rng.usize(..3)]);
                self.figures.pauses += 1;
                self.fleet.signal(process, "STOP")?;
                self.due.push((now + time, Due::Continue(process)));
            }
            5 => self.leave(process, true)?,
            6 if self.fleet.running().len() < MAX_WORKERS => {
                self.start_new().await?;
                self.leave(process, false)?;
            }
            6 => self.leave(process, false)?,
            7 => self.cut_off(process, Treatment::Refused),
            8 => {
                let time = Duration::from_millis(self.rng.u64(50..1_500));
                self.cut_off(process, Treatment::Delayed(time));
            }
            _ => {
                let cuts = self.rng.usize(1..8);
                self.figures.outages += 1;
                self.fleet.note(format!("process {process} loses {cuts} responses"));
                self.fleet.proxy(process).cut(cuts);
            }
        }
        Ok(())
    }

    fn leave(&mut self, process: usize, restarts: bool) -> Result<(), String> {
        self.figures.stops += 1;
        self.leaving.push((process, restarts));
        self.fleet.signal(process, "TERM")
    }

    fn cut_off(&mut self, process: usize, treatment: Treatment) {
        self.figures.outages += 1;
        self.fleet.note(format!("the requests of process {process} are {treatment:?}"));
        self.fleet.proxy(process).treat(treatment);
        let time = FAILOVER.mul_f64(0.2 + 1.3 * self.rng.f64());
        self.due.push((Instant::now() + time, Due::Forward(process)));
    }

    /// Ends the faults whose time has come.
    async fn end_due(&mut self, now: Instant) -> Result<(), String> {
        let (due, later) =
            std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        let due: Vec<(Instant, Due)> = due;
        for (_, due) in due {
            match due {
                Due::Continue(process) => self.fleet.signal(process, "CONT")?,
                Due::Forward(process) => {
                    self.fleet.note(format!("the requests of process {process} are forwarded"));
                    self.fleet.proxy(process).treat(Treatment::Forwarded);
                }
                Due::Start(id) => drop(self.fleet.start(&id).await?),
            }
        }
        Ok(())
    }

    /// Removes the processes that have stopped.
    fn replace_stopped(&mut self) -> Result<(), String> {
        for (process, restarts) in std::mem::take(&mut self.leaving) {
            if !self.fleet.has_stopped(process) {
                self.leaving.push((process, restarts));
                continue;
            }
            let id = self.fleet.id(process);
            self.fleet.remove_stopped(process)?;
            if restarts {
                self.due.push((Instant::now(), Due::Start(id)));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, stops, outages } = self;
        write!(f, "{kills} kills, {pauses} pauses, {stops} shutdowns, {outages} outages")
    }
}
