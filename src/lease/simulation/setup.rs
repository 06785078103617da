//! What happens in one run, as its seed determines it.

use tokio::time::Duration;

use crate::lease::simulation::stream::{NEVER, Stream};
use crate::lease::simulation::{At, SECOND, seconds};
use crate::lease::table::Permission;

/// The world of one run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) workers: usize,
    pub(super) stream: Stream,
    pub(super) failover: Duration,
    pub(super) settle: Duration,
    pub(super) rest: Duration,
    pub(super) move_timeout: Duration,
    pub(super) max_leases: Option<u64>,
    /// When the faults end.
    pub(super) chaos: At,
    /// When the run ends.
    pub(super) end: At,
    /// The share of the requests that fail, until the faults end.
    pub(super) fault_rate: f64,
    /// The share of the writes that come once more, up to 10 s later.
    pub(super) late_copies: f64,
    /// Whether some requests take seconds.
    pub(super) has_slow_requests: bool,
    /// Clocks run up to this much faster or slower.
    pub(super) skew: f64,
    /// The share of the records that a consumer holds for long.
    pub(super) slow_records: f64,
    /// The greatest interval at which checkpoints are saved, in seconds.
    pub(super) save_interval: f64,
    pub(super) list_interval: At,
    pub(super) steps: Vec<(At, Step)>,
    /// Shards that Kinesis stops to list, and from when on it may.
    pub(super) expiries: Vec<(At, usize)>,
    pub(super) expiry: Expiry,
    /// Nothing fails but what a fleet does by itself.
    pub(super) is_smooth: bool,
    /// Only the first process lists the shards: a fleet of thousands of leases needs no more.
    pub(super) only_first_lists: bool,
    /// A stream of shards is polled first some time after its worker has joined, not before.
    pub(super) polls_late: bool,
    /// The workers of the Kinesis Client Library in the same table.
    pub(super) kcl: Option<KclSetup>,
}

/// When Kinesis stops to list the closed shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Once they are processed.
    Processed,
    /// Whether or not they are processed.
    Early,
    /// Early; the owner of such a shard is killed then, and a worker that deletes its row while the
    /// deletion is in flight.
    WithKills,
}

/// A version of the Kinesis Client Library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Two,
    Three,
}

/// The workers of the Kinesis Client Library of one run.
#[derive(Clone, Debug)]
pub(super) struct KclSetup {
    pub(super) version: Version,
    /// The leader of version 3 also asks workers of the fleet for hand-overs.
    pub(super) asks_others: bool,
    /// When all of them have left for good.
    pub(super) until: At,
}

impl KclSetup {
    pub(super) fn has_left(&self, now: At) -> bool {
        now >= self.until
    }
}

/// In one seed in this many, Kinesis stops to list shards that are not processed.
const EARLY_EXPIRY_INTERVAL: u64 = 7;
/// One seed in this many has workers that lose a permission or whose consumer hangs.
const TROUBLE_INTERVAL: u64 = 7;
const PERMISSIONS: &[Permission] = &[
    Permission::ReadLeases,
    Permission::ScanLeases,
    Permission::WriteLeases,
    Permission::DeleteLeases,
    Permission::ScanWorkers,
    Permission::WriteWorkers,
    Permission::DeleteWorkers,
];
/// Of these seeds, one in this many kills workers that delete rows.
const DELETERS_INTERVAL: u64 = 3;
/// Of the seeds with a KCL, one in this many lists the shards rarely.
const RARE_LISTS_INTERVAL: u64 = 3;
/// One seed in this many has workers whose streams of shards are polled late.
const LATE_POLLS_INTERVAL: u64 = 8;
/// One seed in this many has late copies of writes.
const COPIES_INTERVAL: u64 = 13;
/// One seed in this many has workers of the Kinesis Client Library.
const KCL_INTERVAL: u64 = 5;
/// One in this many of those whose leader asks the fleet for hand-overs has late copies, too.
const HAND_OVER_COPIES_INTERVAL: u64 = 3;

/// What happens at one time. A worker is drawn when it happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A worker starts, unless it runs.
    Start(usize),
    /// A worker that runs shuts down, and starts again later if there is a time.
    Shutdown {
        worker: Option<usize>,
        limit: At,
        back_after: Option<At>,
    },
    Kill {
        worker: Option<usize>,
        back_after: Option<At>,
    },
    /// A second process runs under the id of a worker.
    Twin,
    Pause {
        length: At,
        is_standing: bool,
    },
    /// No request of a worker comes to the tables.
    CutRequests {
        length: At,
    },
    /// No response comes to a worker.
    CutResponses {
        length: At,
    },
    /// No request to the tables is applied. With `hangs`, no response comes either.
    Outage {
        length: At,
        hangs: bool,
    },
    DeleteRow,
    /// A permission of a worker is taken away: its requests fail for good.
    Forbid {
        permission: Permission,
        length: At,
    },
    /// Nobody polls the stream of shards of a worker.
    Unpoll {
        length: At,
    },
    Kcl(KclStep),
    /// The faults end.
    Calm,
}

/// What happens to the workers of the Kinesis Client Library. One that runs is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KclStep {
    /// A worker starts, unless it runs.
    Start(usize),
    /// A worker is killed or stops: its leases stay owned.
    End {
        back_after: Option<At>,
    },
    EndAll,
    Pause {
        length: At,
    },
    /// No request comes to the tables.
    Cut {
        length: At,
    },
}

/// The kinds of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Workers come and go.
    Calm,
    /// Workers join and shut down, and nothing fails.
    Smooth,
    /// The tables are away for some time.
    Outages,
    /// Processes stop and are cut off.
    Pauses,
    /// Moves under faults: many shutdowns and joins.
    Deploys,
    /// Everything.
    Chaos,
}

pub(super) struct Draw(pub(super) fastrand::Rng);

impl Draw {
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.0.f64() < share
    }

    /// Draws a length in seconds.
    pub(super) fn secs(&mut self, from: f64, to: f64) -> At {
        seconds(from + (to - from) * self.0.f64())
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())]
    }
}

impl Setup {
    pub(super) fn of_seed(seed: u64) -> Self {
        let mut draw = Draw(fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1));
        let kind = draw.pick(&[
            Kind::Calm,
            Kind::Smooth,
            Kind::Outages,
            Kind::Pauses,
            Kind::Pauses,
            Kind::Deploys,
            Kind::Deploys,
            Kind::Chaos,
            Kind::Chaos,
        ]);
        let draw_workers = draw.pick(&[5, 5, 12]);
        let workers = if draw.chance(0.03) { 30 } else { 1 + draw.0.usize(..draw_workers) };
        let shards = match draw.0.u32(..40) {
            0 => 1 + draw.0.usize(..300),
            1..=8 => 1 + draw.0.usize(..60),
            _ => 1 + draw.0.usize(..20),
        };
        let chaos = match draw.0.u32(..4) {
            0 => draw.secs(60.0, 300.0),
            _ => draw.secs(60.0, 90.0),
        };
        let failover = Duration::from_secs(draw.pick(&[10, 10, 10, 3, 5, 20]));
        let settle = Duration::from_secs(draw.pick(&[3, 10, 30]));
        let rest = Duration::from_secs(draw.pick(&[2, 10, 60]));
        let move_timeout = Duration::from_secs(draw.pick(&[3, 10, 30]));
        let fault_rate = match kind {
            Kind::Calm | Kind::Smooth | Kind::Outages => 0.0,
            _ => draw.pick(&[0.0, 0.01, 0.05, 0.2]),
        };
        let changes = draw.pick(CHANGES);
        let (stream, expiries) = stream(&mut draw, shards, changes, chaos);
        let mut setup = Self {
            seed,
            workers,
            stream,
            failover,
            settle,
            rest,
            move_timeout,
            max_leases: None,
            chaos,
            end: 0,
            fault_rate,
            late_copies: if kind != Kind::Smooth && seed % COPIES_INTERVAL == 6 {
                0.3
            } else {
                0.0
            },
            has_slow_requests: fault_rate > 0.0,
            skew: draw.pick(&[0.0, 0.0, 0.1]),
            slow_records: draw.pick(&[0.0, 0.0, 0.01, 0.1]),
            save_interval: draw.pick(&[30.0, 30.0, 10.0, 3.0]),
            list_interval: seconds(30.0),
            steps: Vec::new(),
            expiries,
            expiry: if seed.is_multiple_of(EARLY_EXPIRY_INTERVAL) {
                Expiry::Early
            } else {
                Expiry::Processed
            },
            is_smooth: kind == Kind::Smooth,
            polls_late: seed % LATE_POLLS_INTERVAL == 5,
            only_first_lists: false,
            kcl: None,
        };
        if !setup.is_smooth && draw.chance(0.1) {
            let shards = setup.stream.shards.len();
            setup.max_leases = Some((shards.div_ceil(workers) + draw.0.usize(..3)) as u64);
        }
        setup.steps = steps(&mut draw, kind, workers, chaos);
        setup.end = chaos + setup.quiet();
        if seed.is_multiple_of(EARLY_EXPIRY_INTERVAL * DELETERS_INTERVAL) && !setup.is_smooth {
            setup.kill_deleters();
        }
        if seed % TROUBLE_INTERVAL == 5 && !setup.is_smooth {
            setup.add_troubles();
        }
        if seed % KCL_INTERVAL == 3 && !setup.is_smooth {
            setup.add_kcl();
        }
        setup
    }

    /// Adds workers that lose a permission or whose consumer hangs.
    fn add_troubles(&mut self) {
        let mut draw = Draw(fastrand::Rng::with_seed(self.seed ^ 0x7065_726D));
        for _ in 0..=draw.0.usize(..4) {
            let at = (draw.0.f64() * self.chaos as f64) as At;
            let length = draw.secs(0.0, 60.0);
            let step = if draw.chance(0.5) {
                Step::Unpoll { length }
            } else {
                Step::Forbid { permission: draw.pick(PERMISSIONS), length }
            };
            self.steps.push((at, step));
        }
        self.steps.sort_by_key(|(at, _)| *at);
    }

    /// Lets shards expire soon after they are closed, with kills at that time.
    fn kill_deleters(&mut self) {
        let mut draw = Draw(fastrand::Rng::with_seed(self.seed ^ 0x6465_6C00));
        self.expiry = Expiry::WithKills;
        self.failover = Duration::from_secs(3);
        let closed = self.stream.shards.iter().map(|shard| shard.closed).enumerate();
        self.expiries = closed
            .filter(|(_, closed)| *closed != NEVER)
            .map(|(shard, closed)| (closed + draw.secs(0.0, 5.0), shard))
            .collect();
    }

    /// Adds workers of the Kinesis Client Library.
    fn add_kcl(&mut self) {
        let mut draw = Draw(fastrand::Rng::with_seed(self.seed ^ 0x4B43_4C00));
        let leaves = draw.chance(0.5);
        let until = self.chaos + draw.secs(0.0, 8.0);
        self.kcl = Some(KclSetup {
            version: draw.pick(&[Version::Two, Version::Three]),
            asks_others: draw.chance(0.5),
            until: if leaves { until } else { NEVER },
        });
        if self.seed.is_multiple_of(HAND_OVER_COPIES_INTERVAL) && self.asks_fleet() {
            self.late_copies = 0.3;
        }
        if (self.seed / KCL_INTERVAL).is_multiple_of(RARE_LISTS_INTERVAL) {
            // A KCL deletes the rows of several generations between two listings of a worker.
            self.list_interval = seconds(120.0);
            self.chaos = self.chaos.max(seconds(150.0));
            let shards = 1 + draw.0.usize(..3);
            (self.stream, self.expiries) = stream(&mut draw, shards, 12, self.chaos);
            self.max_leases = None;
            self.end = self.chaos + self.quiet() + self.list_interval;
            for (at, _) in self.steps.iter_mut().filter(|(_, step)| *step == Step::Calm) {
                *at = self.chaos;
            }
        }
        let workers = 1 + draw.0.usize(..4);
        // They were there before the fleet, or come later.
        let spread = draw.pick(&[0.0, 0.5, 1.0]) * self.chaos as f64 / SECOND as f64;
        for worker in 0..workers {
            let at = draw.secs(0.0, spread);
            self.steps.push((at, Step::Kcl(KclStep::Start(worker))));
        }
        let mut at = draw.secs(0.0, 60.0);
        while at < self.chaos {
            let step = match draw.0.u32(..10) {
                0..4 => KclStep::End { back_after: draw.chance(0.7).then(|| draw.secs(0.0, 40.0)) },
                4..6 => KclStep::Pause { length: pause(&mut draw) },
                6 => KclStep::Cut { length: pause(&mut draw) },
                _ => KclStep::Start(draw.0.usize(..workers)),
            };
            self.steps.push((at, Step::Kcl(step)));
            at += draw.secs(0.0, 40.0);
        }
        if leaves {
            self.steps.push((until, Step::Kcl(KclStep::EndAll)));
        }
        self.steps.sort_by_key(|(at, _)| *at);
        self.end += seconds(6.0 * self.failover.as_secs_f64() + 60.0);
    }

    /// Returns whether the leader of a KCL 3 asks workers of the fleet for hand-overs.
    pub(super) fn asks_fleet(&self) -> bool {
        self.kcl.as_ref().is_some_and(|kcl| kcl.version == Version::Three && kcl.asks_others)
    }

    /// Returns for how long the fleet has time to balance after the faults.
    fn quiet(&self) -> At {
        let leases = 1.0 + self.stream.shards.len() as f64 / self.workers as f64;
        let rounds = 2.0 + leases.ln() / (4.0_f64 / 3.0).ln();
        let failover = self.failover.as_secs_f64();
        let round = failover * 0.4 + 5.0;
        let fixed = 2.5 * failover + 90.0;
        let moves = self.settle + self.rest + self.move_timeout * 2;
        seconds(fixed + (moves.as_secs_f64() + rounds * round) * 1.15)
    }
}

/// How often the shards are split and merged.
const CHANGES: &[usize] = &[0, 1, 2, 4, 8];

/// Draws a stream of which some shards are split and merged, and when some of those may expire.
fn stream(draw: &mut Draw, shards: usize, changes: usize, chaos: At) -> (Stream, Vec<(At, usize)>) {
    let mut stream = Stream::default();
    let mut open: Vec<usize> = (0..shards).map(|_| stream.add(Vec::new(), 0)).collect();
    let mut expiries = Vec::new();
    let mut times: Vec<At> = (0..changes)
        .map(|_| {
            // Some before the fleet starts.
            if draw.chance(0.1) { 0 } else { (draw.0.f64() * 1.1 * chaos as f64) as At }
        })
        .collect();
    times.sort_unstable();
    for at in times {
        let mut close = |stream: &mut Stream, draw: &mut Draw, shard: usize| {
            stream.shards[shard].closed = at;
            if draw.chance(0.3) {
                expiries.push((at + draw.secs(10.0, 100.0), shard));
            }
        };
        if open.len() > 1 && draw.chance(0.5) {
            let first = open.swap_remove(draw.0.usize(..open.len()));
            let second = open.swap_remove(draw.0.usize(..open.len()));
            close(&mut stream, draw, first);
            close(&mut stream, draw, second);
            let parents = vec![first.min(second), first.max(second)];
            open.push(stream.add(parents, at));
        } else {
            let parent = open.swap_remove(draw.0.usize(..open.len()));
            close(&mut stream, draw, parent);
            open.push(stream.add(vec![parent], at));
            open.push(stream.add(vec![parent], at));
        }
    }
    let last = chaos + 10 * SECOND;
    let most = if shards > 60 { 10 } else { 40 };
    for shard in &mut stream.shards {
        let records = match draw.0.u32(..3) {
            0 => draw.0.usize(..4),
            _ => draw.0.usize(..most),
        };
        let until = if shard.closed == NEVER { last } else { shard.closed };
        let length = until.saturating_sub(shard.created);
        let mut times: Vec<At> =
            (0..records).map(|_| shard.created + (draw.0.f64() * length as f64) as At).collect();
        times.sort_unstable();
        shard.records = times;
    }
    (stream, expiries)
}

fn steps(draw: &mut Draw, kind: Kind, workers: usize, chaos: At) -> Vec<(At, Step)> {
    let mut steps = Vec::new();
    // They start together, or over some time.
    let spread = draw.pick(&[0.0, 2.0, 30.0]);
    for worker in 0..workers {
        let at = if worker == 0 { 0 } else { draw.secs(0.0, spread) };
        steps.push((at, Step::Start(worker)));
    }
    let gap = draw.pick(&[4.0, 10.0, 25.0]);
    let mut at = draw.secs(0.0, 2.0 * gap);
    while at < chaos {
        let back = |draw: &mut Draw| draw.chance(0.8).then(|| draw.secs(0.0, 30.0));
        let roll = draw.0.u32(..100);
        let step = match (kind, roll) {
            (Kind::Calm, 0..30) | (Kind::Smooth | Kind::Deploys, 0..60) | (Kind::Chaos, 0..15) => {
                Step::Shutdown {
                    worker: None,
                    limit: if kind == Kind::Smooth || draw.chance(0.7) {
                        seconds(25.0)
                    } else {
                        draw.secs(0.0, 10.0)
                    },
                    back_after: back(draw),
                }
            }
            (Kind::Calm, 30..50)
            | (Kind::Deploys, 60..70)
            | (Kind::Chaos, 15..30 | 78..86)
            | (Kind::Pauses, 90..) => Step::Kill { worker: None, back_after: back(draw) },
            (Kind::Outages, 0..80) | (Kind::Chaos, 30..34) => Step::Outage {
                length: match draw.0.u32(..3) {
                    0 => draw.secs(0.5, 5.0),
                    1 => draw.secs(5.0, 30.0),
                    _ => draw.secs(5.0, 60.0),
                },
                hangs: draw.chance(0.5),
            },
            (Kind::Pauses, 0..45) | (Kind::Chaos, 34..55) => {
                Step::Pause { length: pause(draw), is_standing: false }
            }
            (Kind::Pauses, 45..60) | (Kind::Chaos, 55..62) => {
                Step::Pause { length: pause(draw), is_standing: true }
            }
            (Kind::Pauses, 60..75) | (Kind::Chaos, 62..70) => {
                Step::CutRequests { length: pause(draw) }
            }
            (Kind::Pauses, 75..90) | (Kind::Chaos, 70..78) => {
                Step::CutResponses { length: pause(draw) }
            }
            (Kind::Chaos, 86..91) => Step::Twin,
            (Kind::Chaos, 91..93) => Step::DeleteRow,
            _ => Step::Start(draw.0.usize(..workers)),
        };
        steps.push((at, step));
        at += draw.secs(0.0, 2.0 * gap);
    }
    steps.push((chaos, Step::Calm));
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn pause(draw: &mut Draw) -> At {
    if draw.chance(0.5) { draw.secs(0.0, 15.0) } else { draw.secs(0.0, 60.0) }
}
