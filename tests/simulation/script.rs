//! What happens in one simulation: written down before it begins, so that it can be printed, and
//! made shorter.

use std::time::Duration;

use fastrand::Rng;
use kinesis_shards::OnDrop;
use kinesis_shards::testing::Fault;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    /// Of what is left to chance while the script runs: the core's and the SDK's jitter, and the
    /// faults by rate.
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// Each with the milliseconds before it.
    pub(crate) steps: Vec<(u64, Step)>,
    /// What becomes of the handles, in the order they are offered; those after the last are read to
    /// their end.
    pub(crate) visits: Vec<Visit>,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "switches, each by itself")]
pub(crate) struct Setup {
    /// In on-demand mode it has four, and AWS doubles them.
    pub(crate) on_demand: bool,
    pub(crate) shards: u32,
    pub(crate) page_size: usize,
    pub(crate) end_with_last_records: bool,
    /// Whether the end of a shard names its children.
    pub(crate) child_shards: bool,
    /// Whether the end of a shard comes as kinesalite's.
    pub(crate) kinesalite_ends: bool,
    pub(crate) poll_ms: u64,
    pub(crate) full_ms: u64,
    pub(crate) on_drop: OnDrop,
    pub(crate) start: Start,
    /// `try_all_shards` rather than `all_shards`.
    pub(crate) fallible: bool,
    pub(crate) by_arn: bool,
    /// Each reader is a task, rather than all in one with the stream.
    pub(crate) tasks: bool,
    pub(crate) reading: Reading,
    /// Of readers of all shards: how many are read at once, and what the consumer takes for itself
    /// after a page or a record.
    pub(crate) max_concurrent_reads: usize,
    pub(crate) consumer_ms: u64,
    /// Of `ShardStreamExt::records`: how many records of one shard come in a row.
    pub(crate) run: usize,
    /// The crate's readers read in tasks: of the same runtime, whose one thread takes them in the
    /// same order each time.
    pub(crate) spawn: bool,
    /// The SDK tries listings again by itself.
    pub(crate) sdk_retries: bool,
    /// What is taken up again after `abandon` goes on behind the last record delivered, rather than
    /// from the start.
    pub(crate) remembers: bool,
    /// Faults by chance: this share of all requests, in thousandths, for each kind.
    pub(crate) fault_rate: u32,
    /// At the end the stream is dropped before its handles.
    pub(crate) handles_outlive: bool,
}

/// Who reads the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reading {
    /// A reader of the simulation's own.
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

    /// As a test.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "shards_read_by_hand",
            Self::EachShard => "shards_read_each_by_its_batches",
            Self::AllBatches => "all_shards_read_by_batches",
            Self::AllRecords => "all_shards_read_by_records",
        }
    }

    /// One stream reads all shards.
    pub(crate) fn is_of_all(self) -> bool {
        matches!(self, Self::AllBatches | Self::AllRecords)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Start {
    TrimHorizon,
    Latest,
    /// So many milliseconds before the first run begins.
    Timestamp(u64),
}

/// The numbers pick among what there is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Put(u8),
    Split(usize),
    Merge(usize),
    /// To a count between the half and the double.
    Scale(usize),
    /// Each open shard is split, as AWS does with a stream in on-demand mode; one in provisioned
    /// mode is told to.
    Double,
    /// So many splits and merges in one instant.
    Storm(u8, u64),
    /// The oldest closed shards, so many of them: AWS's expire in that order.
    Expire(usize),
    /// Nothing runs for so many seconds, as on a machine that is suspended.
    Suspend(u64),
    Fault(&'static str, Trouble, u8),
    /// No more faults.
    Calm,
    /// The consumer starts for the first time.
    Begin,
    /// The consumer is cut off once it has been polled so often, and starts anew after so many
    /// milliseconds.
    Restart {
        polls: u32,
        pause_ms: u64,
    },
    /// One of those that are not finished.
    AbortReader(usize),
    /// The stream is deleted, and after so many milliseconds another is created under its name.
    Recreate {
        shards: u32,
        gap_ms: u64,
        consumer: Meanwhile,
    },
}

/// What the consumer does while the stream is created again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meanwhile {
    /// It lives on. One that reads all shards by one stream is restarted: its events do not tell
    /// two shards of one name apart.
    Lives,
    /// It is stopped before, and started when there is a stream again.
    Restarts,
    /// It is stopped before, and started while there is none.
    WaitsForIt,
}

/// A fault, of a shard that is picked when it comes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trouble {
    Plain(Fault),
    Omit(usize),
    StillOpen(usize),
    NoChildren(usize),
}

/// What a reader does with one handle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Visit {
    /// Between reads of a shard that has nothing new.
    pub(crate) idle_ms: u64,
    pub(crate) limit: i32,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// Reads to the shard's end, takes its time, completes.
    Complete { with_children: bool, linger_ms: u64 },
    /// Stops after so many reads, whatever is left.
    Stop(u8, Stop),
    /// Reads nothing until the script is over.
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stop {
    Drop,
    Panic,
    Abandon,
    Complete,
}

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
        let setup = setup(&mut rng);
        // Some seeds are peaceful, so that what must hold then is seen to hold.
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
                5 if rng.u32(..4) == 0 => Step::Calm,
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
        Self { seed, setup: Setup { fault_rate, ..setup }, steps, visits }
    }
}

fn recreate(rng: &mut Rng) -> Step {
    Step::Recreate {
        shards: rng.u32(1..8),
        gap_ms: if rng.bool() { 0 } else { rng.u64(..20_000) },
        consumer: match rng.u32(..4) {
            0 => Meanwhile::Restarts,
            1 => Meanwhile::WaitsForIt,
            _ => Meanwhile::Lives,
        },
    }
}

fn setup(rng: &mut Rng) -> Setup {
    let ends = rng.u32(..8);
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
        max_concurrent_reads: if rng.bool() { usize::MAX } else { rng.usize(1..4) },
        consumer_ms: if rng.bool() { 0 } else { rng.u64(..500) },
        run: if rng.bool() { 100 } else { rng.usize(1..4) },
        spawn: reading != Reading::Own && rng.bool(),
        sdk_retries: rng.bool(),
        remembers: rng.bool(),
        fault_rate: 0,
        handles_outlive: rng.bool(),
        child_shards: ends > 1,
        kinesalite_ends: ends == 1,
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
        (LISTING, 0) => Trouble::Omit(rng.usize(..64)),
        (LISTING, 1) => Trouble::StillOpen(rng.usize(..64)),
        (LISTING, 2) => Trouble::NoChildren(rng.usize(..64)),
        (LISTING, 3) => {
            Trouble::Plain(Fault::StaleListing(Duration::from_millis(rng.u64(..20_000))))
        }
        (LISTING, 4) => Trouble::Plain(Fault::OmitSomeShards(rng.u64(..))),
        (LISTING, 5) => Trouble::Plain(Fault::Body(BODIES[rng.usize(..BODIES.len())].to_owned())),
        _ => {
            let kinds = kinds_of(operation);
            Trouble::Plain(kinds[rng.usize(..kinds.len())].clone())
        }
    };
    Step::Fault(operation, trouble, rng.u8(1..5))
}

/// Answers that are JSON and no more: no shards at all, a shard that is its own parent, a shard
/// without a name.
const BODIES: [&str; 3] = [
    "{}",
    r#"{"Shards":[{"ShardId":"shardId-000000000000","ParentShardId":"shardId-000000000000",
"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#,
    r#"{"Shards":[{"ShardId":"","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},
"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#,
];

/// The faults that any request of `operation` can meet, and its own.
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
    if operation != LISTING {
        // Of a listing it would say that the stream is not there: no passing fault, but a fact that
        // the core acts on.
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
