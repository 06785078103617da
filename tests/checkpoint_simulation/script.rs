//! The script of one simulation. It is drawn before the simulation begins, so that it can be
//! printed and shortened.

use fastrand::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The seed of all other random choices.
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// The steps, each with the milliseconds before it.
    pub(crate) steps: Vec<(u64, Step)>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Setup {
    pub(crate) shards: u32,
    pub(crate) from_latest: bool,
    pub(crate) end_with_last_records: bool,
    /// Whether the end of a shard names its children.
    pub(crate) child_shards: bool,
    /// Whether the ends of shards are those of kinesalite.
    pub(crate) kinesalite_ends: bool,
    pub(crate) page: u16,
    /// With a stream of all records, how many requests are in flight at most.
    pub(crate) concurrent_reads: usize,
    /// With a stream of all records, how many records of one shard come in a row at most.
    pub(crate) max_run: usize,
    /// Whether the readers read in tasks. The runtime has one thread, so their order is fixed.
    pub(crate) spawn: bool,
    pub(crate) save_ms: u64,
    pub(crate) save_records: u32,
    pub(crate) outage_limit_ms: Option<u64>,
    /// The share of requests to Kinesis that fail, in thousandths.
    pub(crate) kinesis_faults: u32,
    /// The share of calls of the store that fail, in thousandths.
    pub(crate) store_faults: u32,
    /// The share of records that are dropped without acknowledgement, in thousandths.
    pub(crate) drops: u32,
    /// The share of calls of `on_event` that panic, in thousandths.
    pub(crate) panics: u32,
    /// By how many seconds the `Date` header is ahead of Kinesis's clock.
    pub(crate) date_ahead_s: u64,
    /// Whether the consumer reads by enhanced fan-out.
    pub(crate) fan_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// This number of records is written.
    Put(u8),
    Split(usize),
    Merge(usize),
    /// The oldest closed shard expires.
    Expire,
    /// The consumer starts, unless it runs.
    Start(ConsumerMode),
    /// The consumer is dropped, after this number of polls.
    Crash(u32),
    /// The consumer is shut down, within this number of milliseconds.
    Shutdown(u64),
    /// The pipeline is dropped, and rebuilt on the same checkpoints.
    Rebuild(ConsumerMode),
    /// The stream is deleted and created again with this number of shards, while the consumer runs.
    Recreate(u32),
    /// One of the readers in tasks is aborted.
    AbortReader(usize),
    /// No call of the store succeeds for this number of milliseconds.
    Outage(u64),
    /// Kinesis refuses the next position of a checkpoint, once.
    RefuseOnce,
    /// Kinesis refuses every position of a checkpoint for this number of milliseconds.
    Refuse(u64),
    /// Another subscriber of the consumer takes a shard over.
    TakeOver(usize),
    /// The consumer of fan-out is deregistered. After this number of milliseconds it is registered
    /// again, and the process is killed and starts with the new ARN.
    Deregister(u64, ConsumerMode),
    /// Nothing changes for this number of seconds.
    Wait(u64),
}

/// How the records are consumed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ConsumerMode {
    /// One after the other, with `auto_ack`.
    Loop,
    /// Up to this number concurrently.
    Concurrent(usize),
    /// Each shard in its own task.
    Tasks,
    /// Up to this number concurrently, each acknowledged by a task that outlives the reader.
    Detached(usize),
    /// Up to this number of shards concurrently, while the others wait.
    Few(usize),
    /// Up to this number concurrently, those of one key one after another.
    ByKey(usize),
    /// The same until an error, after which the pipeline is rebuilt.
    TryByKey(usize),
    /// In chunks of up to this number of records, after up to this number of milliseconds.
    Chunks(usize, u64),
}

/// Distinguishes the generator of fan-out from that of the other steps.
const FAN_OUT_SEED: u64 = 0xfa0;

impl Script {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let maybe = |rng: &mut Rng, max: u32| if rng.bool() { 0 } else { rng.u32(1..max) };
        let ends = rng.u32(..8);
        let setup = Setup {
            shards: rng.u32(1..4),
            from_latest: rng.u32(..3) == 0,
            end_with_last_records: rng.bool(),
            page: if rng.bool() { 1_000 } else { rng.u16(1..5) },
            concurrent_reads: if rng.bool() { usize::MAX } else { rng.usize(1..4) },
            max_run: if rng.bool() { 100 } else { rng.usize(1..4) },
            spawn: rng.bool(),
            save_ms: [0, 200, 1_000, 5_000][rng.usize(..4)],
            save_records: if rng.bool() { 1_000 } else { rng.u32(1..6) },
            outage_limit_ms: rng.bool().then(|| rng.u64(..10_000)),
            kinesis_faults: maybe(&mut rng, 15),
            store_faults: maybe(&mut rng, 400),
            drops: if rng.bool() { rng.u32(1..200) } else { 0 },
            panics: if rng.u32(..4) == 0 { rng.u32(1..300) } else { 0 },
            child_shards: ends > 1,
            kinesalite_ends: ends == 1,
            date_ahead_s: if rng.u32(..10) == 0 { rng.u64(1..300) } else { 0 },
            fan_out: false,
        };
        let mut steps = Vec::new();
        for _ in 0..rng.u32(..4) {
            steps.push((rng.u64(..1_000), change(&mut rng)));
        }
        steps.push((1_000, Step::Start(mode(&mut rng))));
        for _ in 0..rng.u32(4..28) {
            let wait = if rng.u32(..4) == 0 { 0 } else { rng.u64(..4_000) };
            let step = match rng.u32(..24) {
                0..=3 => Step::Crash(if rng.bool() { rng.u32(..60) } else { rng.u32(..600) }),
                4 => Step::Shutdown(rng.u64(..8_000)),
                5..=7 => Step::Start(mode(&mut rng)),
                8 => Step::AbortReader(rng.usize(..8)),
                20 => Step::Rebuild(mode(&mut rng)),
                21 if rng.u32(..3) == 0 => Step::Recreate(rng.u32(1..4)),
                22 => Step::RefuseOnce,
                23 => Step::Refuse(rng.u64(..10_000)),
                9 if setup.store_faults > 0 => Step::Outage(rng.u64(..20_000)),
                _ => change(&mut rng),
            };
            steps.push((wait, step));
            if let Step::Rebuild(_) = step
                && rng.bool()
            {
                // The new pipeline delivers records, and may drop some, before the shutdown.
                steps.push((rng.u64(..500), Step::Put(rng.u8(1..14))));
                steps.push((rng.u64(..4_000), Step::Shutdown(rng.u64(..8_000))));
            }
            if let Some((_, Step::Crash(_) | Step::Shutdown(_))) = steps.last() {
                steps.push((rng.u64(..2_000), Step::Start(mode(&mut rng))));
            }
        }
        Self { seed, setup, steps }.by_fan_out(&mut Rng::with_seed(seed ^ FAN_OUT_SEED))
    }

    /// Reads by fan-out in one seed of four, and adds steps.
    ///
    /// The draws are those of another generator, so that the script stays as it is otherwise.
    fn by_fan_out(mut self, rng: &mut Rng) -> Self {
        if self.setup.kinesalite_ends || rng.u32(..4) > 0 {
            return self;
        }
        self.setup.fan_out = true;
        let is_start = |(_, step): &(u64, Step)| matches!(step, Step::Start(_));
        let first = self.steps.iter().position(is_start).map_or(0, |start| start + 1);
        for _ in 0..rng.u32(1..6) {
            let step = match rng.u32(..6) {
                0 | 1 => Step::TakeOver(rng.usize(..64)),
                2 => Step::Deregister(if rng.bool() { 0 } else { rng.u64(..20_000) }, mode(rng)),
                3 => Step::Wait(rng.u64(5..400)),
                _ => Step::Put(rng.u8(1..14)),
            };
            let at = rng.usize(first..=self.steps.len());
            self.steps.insert(at, (rng.u64(..6_000), step));
        }
        self
    }

    /// Returns the shortest script found that still fails.
    pub(crate) fn shortest(&self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut best = self.clone();
        let mut size = best.steps.len();
        while size > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut candidate = best.clone();
                candidate.steps.drain(at..(at + size).min(best.steps.len()));
                if fails(&candidate) {
                    best = candidate;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        let plainer: [fn(&mut Setup); 11] = [
            |setup| setup.fan_out = false,
            |setup| setup.panics = 0,
            |setup| setup.date_ahead_s = 0,
            |setup| setup.kinesis_faults = 0,
            |setup| setup.store_faults = 0,
            |setup| setup.drops = 0,
            |setup| setup.from_latest = false,
            |setup| setup.shards = 1,
            |setup| setup.concurrent_reads = usize::MAX,
            |setup| setup.max_run = 100,
            |setup| setup.spawn = false,
        ];
        for plain in plainer {
            let mut candidate = best.clone();
            plain(&mut candidate.setup);
            if fails(&candidate) {
                best = candidate;
            }
        }
        best
    }
}

fn change(rng: &mut Rng) -> Step {
    match rng.u32(..12) {
        0 | 1 => Step::Split(rng.usize(..64)),
        2 => Step::Merge(rng.usize(..64)),
        3 => Step::Expire,
        _ => Step::Put(rng.u8(1..14)),
    }
}

fn mode(rng: &mut Rng) -> ConsumerMode {
    match rng.u32(..8) {
        0 => ConsumerMode::Loop,
        1 => ConsumerMode::Concurrent(rng.usize(1..12)),
        2 => ConsumerMode::Tasks,
        3 => ConsumerMode::Few(rng.usize(1..4)),
        4 => ConsumerMode::ByKey(rng.usize(1..12)),
        5 => ConsumerMode::TryByKey(rng.usize(1..12)),
        6 => ConsumerMode::Chunks(rng.usize(1..12), [0, 200, 5_000, 3_600_000][rng.usize(..4)]),
        _ => ConsumerMode::Detached(rng.usize(1..12)),
    }
}
