//! The script of one simulation. It is drawn before the simulation begins, so that it can be
//! printed and shortened.

use std::time::Duration;

use fastrand::Rng;
use kinesis_shards::OnDrop;
use kinesis_shards::testing::Fault;

use crate::subscriptions::{self, SUBSCRIBING};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    /// The seed of the randomness during the run: the jitter of the crate and the SDK, and the
    /// random faults.
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// The steps, each with the milliseconds before it.
    pub(crate) steps: Vec<(u64, Step)>,
    /// The treatment of each handle, in the order of the offers. Later handles are read to their
    /// ends.
    pub(crate) visits: Vec<Visit>,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Setup {
    /// Whether the stream is in on-demand mode, with four shards that AWS doubles.
    pub(crate) on_demand: bool,
    pub(crate) shards: u32,
    pub(crate) page_size: usize,
    pub(crate) end_with_last_records: bool,
    /// Whether the end of a shard names its children.
    pub(crate) child_shards: bool,
    /// Whether the end of a shard comes as kinesalite's does.
    pub(crate) kinesalite_ends: bool,
    /// How far the `Date` of the responses is ahead of the shards' clock.
    pub(crate) date_ahead: Duration,
    pub(crate) poll_ms: u64,
    pub(crate) full_ms: u64,
    pub(crate) on_drop: OnDrop,
    pub(crate) start: Start,
    /// Whether the consumer uses `try_all_shards`.
    pub(crate) fallible: bool,
    pub(crate) by_arn: bool,
    /// Whether each reader is a task of its own.
    pub(crate) tasks: bool,
    pub(crate) reading: Reading,
    /// Whether the crate's readers read by enhanced fan-out.
    pub(crate) fan_out: bool,
    /// The maximum number of concurrent reads of a reader of all shards.
    pub(crate) max_concurrent_reads: usize,
    /// The time that the consumer takes for a page or a record.
    pub(crate) consumer_ms: u64,
    /// The maximum number of records of one shard in a row, for `ShardStreamExt::records`.
    pub(crate) run: usize,
    /// Whether the crate's readers spawn tasks. The runtime has one thread, which runs them in the
    /// same order each time.
    pub(crate) spawn: bool,
    /// Whether the SDK retries listings.
    pub(crate) sdk_retries: bool,
    /// Whether a shard that was abandoned continues after its last record instead of at its start.
    pub(crate) remembers: bool,
    /// The rate of each random fault, in thousandths of all requests.
    pub(crate) fault_rate: u32,
    /// Whether the stream is dropped before its handles.
    pub(crate) handles_outlive: bool,
}

/// The reader of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reading {
    /// A reader of the simulation.
    Own,
    /// `ShardHandle::batches`.
    EachShard,
    /// `ShardStreamExt::batches`.
    AllBatches,
    /// `ShardStreamExt::records`.
    AllRecords,
}

impl Reading {
    pub(crate) const EACH: [Self; 4] =
        [Self::Own, Self::EachShard, Self::AllBatches, Self::AllRecords];

    /// Returns the name of the test.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "shards_read_by_hand",
            Self::EachShard => "shards_read_each_by_its_batches",
            Self::AllBatches => "all_shards_read_by_batches",
            Self::AllRecords => "all_shards_read_by_records",
        }
    }

    /// Returns whether one stream reads all shards.
    pub(crate) fn reads_all(self) -> bool {
        matches!(self, Self::AllBatches | Self::AllRecords)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    TrimHorizon,
    Latest,
    /// This many milliseconds before the first run.
    Timestamp(u64),
}

/// A step. Its numbers pick among the shards at that time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Put(u8),
    Split(usize),
    Merge(usize),
    /// Scales to between half and double the number of shards.
    Scale(usize),
    /// Splits each open shard, as AWS does in on-demand mode. In provisioned mode it is a request.
    Double,
    /// This many splits and merges in one instant, with their seed.
    Storm(u8, u64),
    /// Expires this many of the oldest closed shards. At AWS they expire in this order.
    Expire(usize),
    /// Nothing runs for this many seconds, as on a suspended machine.
    Suspend(u64),
    Fault(&'static str, ScriptedFault, u8),
    /// Clears all faults.
    ClearFaults,
    /// Starts the consumer for the first time.
    Begin,
    /// Drops the consumer after this many polls, and restarts it after a pause.
    Restart {
        polls: u32,
        pause_ms: u64,
    },
    /// Aborts one of the running readers.
    AbortReader(usize),
    /// Another subscriber of the consumer takes a shard over.
    TakeOver(usize),
    /// Deregisters the consumer of fan-out, and registers it again after a gap. A consumer that
    /// reads all shards by one stream is restarted, since it has the ARN of the old one.
    Deregister {
        gap_ms: u64,
    },
    /// Nothing changes for this many seconds: a subscription lasts five minutes.
    Wait(u64),
    /// Deletes the stream, and creates another one under its name after a gap.
    Recreate {
        shards: u32,
        gap_ms: u64,
        consumer: DuringRecreation,
    },
}

/// The consumer while the stream is created again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DuringRecreation {
    /// The consumer keeps running. One that reads all shards by one stream is restarted, because
    /// its events do not distinguish two shards of one name.
    Lives,
    /// The consumer is stopped before and started after.
    Restarts,
    /// The consumer is stopped before and started while the stream does not exist.
    RestartsEarly,
}

/// A fault. Its shard is picked when the step runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ScriptedFault {
    Plain(Fault),
    Omit(usize),
    StillOpen(usize),
    NoChildren(usize),
}

/// The treatment of one handle by its reader.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Visit {
    /// The pause between reads at the tip.
    pub(crate) idle_ms: u64,
    pub(crate) limit: i32,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// Reads to the shard's end, lingers, and completes it.
    Complete { with_children: bool, linger_ms: u64 },
    /// Stops after this many reads.
    Stop(u8, Stop),
    /// Reads nothing before the script is over.
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stop {
    Drop,
    Panic,
    Abandon,
    Complete,
}

pub(crate) const STREAM: &str = "orders";
pub(crate) const LISTING: &str = "ListShards";
pub(crate) const ITERATOR: &str = "GetShardIterator";
pub(crate) const READING: &str = "GetRecords";

impl Visit {
    pub(crate) const FAITHFUL: Self = Self {
        idle_ms: 2_000,
        limit: 1_000,
        end: End::Complete { with_children: false, linger_ms: 0 },
    };
}

impl Script {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut setup = setup(&mut rng);
        setup.kinesalite_ends = !setup.child_shards && seed.is_multiple_of(2);
        // The simulation's own reader does not retry a future time.
        if setup.reading != Reading::Own {
            setup.date_ahead = Duration::from_secs(match seed % 16 {
                13 => 1,
                14 => 90,
                15 => 290,
                _ => 0,
            });
        }
        // Some seeds have no faults, so that the stricter checks run.
        let faults = rng.u32(..3);
        let resharding = rng.u32(1..4);
        let mut steps = Vec::new();
        for _ in 0..rng.u32(..6) {
            steps.push((rng.u64(..2_000), change(&mut rng, resharding)));
        }
        steps.push((rng.u64(..2_000), Step::Begin));
        for _ in 0..rng.u32(2..18) {
            let wait = if rng.u32(..4) == 0 { 0 } else { rng.u64(..6_000) };
            let step = match rng.u32(..20) {
                0..=1 if faults > 0 => fault(&mut rng),
                2 if faults > 1 => fault(&mut rng),
                3 => Step::Restart { polls: rng.u32(..40), pause_ms: rng.u64(..3_000) },
                4 => Step::AbortReader(rng.usize(..64)),
                7 if rng.u32(..4) == 0 => recreate(&mut rng),
                5 if rng.u32(..4) == 0 => Step::ClearFaults,
                6 if rng.u32(..8) == 0 => {
                    Step::Suspend(if rng.bool() { 301 } else { rng.u64(1..100_000) })
                }
                _ => change(&mut rng, resharding),
            };
            steps.push((wait, step));
        }
        let faithful = rng.u32(..4) == 0;
        let visits = (0..30).map(|_| visit(&mut rng, faithful)).collect();
        let fault_rate = if faults > 0 && rng.bool() { rng.u32(1..12) } else { 0 };
        let script = Self { seed, setup: Setup { fault_rate, ..setup }, steps, visits };
        script.by_fan_out(&mut Rng::with_seed(seed ^ FAN_OUT_SEED))
    }

    /// Reads by fan-out in one seed of three in which a reader of the crate can, and adds steps.
    ///
    /// The draws are those of another generator, so that the script stays as it is otherwise.
    fn by_fan_out(mut self, rng: &mut Rng) -> Self {
        let can_subscribe = self.setup.reading != Reading::Own && !self.setup.kinesalite_ends;
        if !can_subscribe || rng.u32(..3) > 0 {
            return self;
        }
        self.setup.fan_out = true;
        let has_faults = rng.u32(..4) > 0;
        let begin = self.steps.iter().position(|(_, step)| *step == Step::Begin);
        let first = begin.map_or(0, |begin| begin + 1);
        for _ in 0..rng.u32(2..9) {
            let step = match rng.u32(..12) {
                0..=5 if has_faults => {
                    let kinds = kinds_of(SUBSCRIBING);
                    let fault = ScriptedFault::Plain(kinds[rng.usize(..kinds.len())].clone());
                    Step::Fault(SUBSCRIBING, fault, rng.u8(1..4))
                }
                6 | 7 => Step::TakeOver(rng.usize(..64)),
                8 if has_faults => {
                    Step::Deregister { gap_ms: if rng.bool() { 0 } else { rng.u64(..20_000) } }
                }
                9 => Step::Wait(rng.u64(5..400)),
                _ => Step::Put(rng.u8(1..12)),
            };
            let at = rng.usize(first..=self.steps.len());
            self.steps.insert(at, (rng.u64(..6_000), step));
        }
        self
    }
}

/// Distinguishes the generator of fan-out from that of the other steps.
const FAN_OUT_SEED: u64 = 0xfa0;

fn recreate(rng: &mut Rng) -> Step {
    Step::Recreate {
        shards: rng.u32(1..8),
        gap_ms: if rng.bool() { 0 } else { rng.u64(..20_000) },
        consumer: match rng.u32(..4) {
            0 => DuringRecreation::Restarts,
            1 => DuringRecreation::RestartsEarly,
            _ => DuringRecreation::Lives,
        },
    }
}

fn setup(rng: &mut Rng) -> Setup {
    let reading = if rng.bool() { Reading::Own } else { Reading::EACH[rng.usize(1..4)] };
    Setup {
        on_demand: rng.u32(..3) == 0,
        shards: rng.u32(1..5),
        page_size: if rng.bool() { 1_000 } else { rng.usize(1..5) },
        end_with_last_records: rng.bool(),
        poll_ms: rng.u64(2_000..10_000),
        full_ms: rng.u64(4_000..16_000),
        on_drop: if rng.bool() { OnDrop::Close } else { OnDrop::Reoffer },
        start: match rng.u32(..5) {
            0 => Start::Latest,
            1 => Start::Timestamp(rng.u64(..8_000)),
            _ => Start::TrimHorizon,
        },
        fallible: rng.bool(),
        by_arn: rng.bool(),
        tasks: rng.bool(),
        reading,
        fan_out: false,
        max_concurrent_reads: if rng.bool() { usize::MAX } else { rng.usize(1..4) },
        consumer_ms: if rng.bool() { 0 } else { rng.u64(..500) },
        run: if rng.bool() { 100 } else { rng.usize(1..4) },
        spawn: reading != Reading::Own && rng.bool(),
        sdk_retries: rng.bool(),
        remembers: rng.bool(),
        fault_rate: 0,
        handles_outlive: rng.bool(),
        child_shards: rng.u32(..4) > 0,
        kinesalite_ends: false,
        date_ahead: Duration::ZERO,
    }
}

fn change(rng: &mut Rng, resharding: u32) -> Step {
    let pick = rng.usize(..64);
    match rng.u32(..12) {
        n if n < 2 * resharding => match rng.u32(..12) {
            0..=4 => Step::Split(pick),
            5..=8 => Step::Merge(pick),
            9 => Step::Scale(pick),
            10 => Step::Double,
            _ => Step::Storm(rng.u8(2..7), rng.u64(..)),
        },
        11 => Step::Expire(rng.usize(1..4)),
        _ => Step::Put(rng.u8(1..12)),
    }
}

fn visit(rng: &mut Rng, faithful: bool) -> Visit {
    let reads = rng.u8(..4);
    let end = match rng.u32(..16) {
        0 if !faithful => End::Stop(reads, Stop::Drop),
        1 if !faithful => End::Stop(reads, Stop::Panic),
        2 | 3 if !faithful => End::Stop(reads, Stop::Abandon),
        4 if !faithful => End::Stop(reads, Stop::Complete),
        5 if !faithful => End::Hold,
        _ => End::Complete {
            with_children: rng.bool(),
            linger_ms: if rng.bool() { 0 } else { rng.u64(..9_000) },
        },
    };
    let idle_ms = if rng.u32(..8) == 0 { rng.u64(5_000..30_000) } else { rng.u64(1_000..5_000) };
    Visit { idle_ms, limit: if rng.u32(..3) == 0 { rng.i32(1..4) } else { 1_000 }, end }
}

fn fault(rng: &mut Rng) -> Step {
    let operation = [LISTING, LISTING, LISTING, ITERATOR, READING][rng.usize(..5)];
    let trouble = match (operation, rng.u32(..10)) {
        (LISTING, 0) => ScriptedFault::Omit(rng.usize(..64)),
        (LISTING, 1) => ScriptedFault::StillOpen(rng.usize(..64)),
        (LISTING, 2) => ScriptedFault::NoChildren(rng.usize(..64)),
        (LISTING, 3) => {
            ScriptedFault::Plain(Fault::StaleListing(Duration::from_millis(rng.u64(..20_000))))
        }
        (LISTING, 4) => ScriptedFault::Plain(Fault::OmitSomeShards(rng.u64(..))),
        (LISTING, 5) => {
            ScriptedFault::Plain(Fault::Body(BODIES[rng.usize(..BODIES.len())].to_owned()))
        }
        _ => {
            let kinds = kinds_of(operation);
            ScriptedFault::Plain(kinds[rng.usize(..kinds.len())].clone())
        }
    };
    Step::Fault(operation, trouble, rng.u8(1..5))
}

/// Bodies that are only JSON: no shards, a shard that is its own parent, and a shard without an id.
const BODIES: [&str; 3] = [
    "{}",
    r#"{"Shards":[{"ShardId":"shardId-000000000000","ParentShardId":"shardId-000000000000",
"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},
"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#,
    r#"{"Shards":[{"ShardId":"","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},
"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#,
];

/// Returns the faults that apply to `operation`.
pub(crate) fn kinds_of(operation: &str) -> Vec<Fault> {
    let mut kinds = vec![
        Fault::Throttled,
        Fault::LimitExceeded,
        Fault::InternalFailure,
        Fault::ServiceUnavailable,
        Fault::AccessDenied,
        Fault::Error { status: 400, code: "Teapot".to_owned() },
        Fault::NeverResponds,
        Fault::Late(Duration::from_millis(700)),
        Fault::Late(Duration::from_millis(1_900)),
        Fault::ConnectionRefused,
        Fault::ConnectionReset,
        Fault::TruncatedBody,
        Fault::NotJson,
        Fault::WrongTypes,
    ];
    if operation == SUBSCRIBING {
        kinds.retain(|fault| !matches!(fault, Fault::TruncatedBody | Fault::WrongTypes));
        kinds.extend(subscriptions::faults());
        return kinds;
    }
    if operation != LISTING {
        // A listing with this error would mean that the stream does not exist, and the crate would
        // act on that.
        kinds.push(Fault::ResourceNotFound);
    }
    match operation {
        LISTING => kinds.extend([Fault::EmptyPage, Fault::ExpiredNextToken, Fault::NoShards]),
        READING => kinds.extend([
            Fault::SlowBody(20),
            Fault::SlowBody(2_000),
            Fault::EmptyRead,
            Fault::NoNextIterator,
            Fault::Body("{}".to_owned()),
            Fault::Body(String::new()),
            Fault::ExpiredIterator,
            Fault::KmsThrottling,
            Fault::KmsDisabled,
            Fault::KmsAccessDenied,
            Fault::KmsInvalidState,
            Fault::KmsNotFound,
            Fault::KmsOptInRequired,
        ]),
        _ => kinds.push(Fault::Body("{}".to_owned())),
    }
    kinds
}
