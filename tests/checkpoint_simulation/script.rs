//! What happens in one simulation: written down before it begins, so that it can be printed, and
//! made shorter.

use fastrand::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Of what is left to chance while the script runs.
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    /// Each with the milliseconds before it.
    pub(crate) steps: Vec<(u64, Step)>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches, each by itself")]
pub(crate) struct Setup {
    pub(crate) shards: u32,
    pub(crate) from_latest: bool,
    pub(crate) end_with_last_records: bool,
    /// Whether the end of a shard names its children.
    pub(crate) child_shards: bool,
    /// Whether the end of a shard comes as kinesalite's.
    pub(crate) kinesalite_ends: bool,
    pub(crate) page: u16,
    /// Of readers of all shards: how many requests are in flight at most.
    pub(crate) concurrent_reads: usize,
    /// Of readers of all shards: how many records of one come in a row.
    pub(crate) run: usize,
    /// The readers read in tasks: of the same runtime, whose one thread takes them in the same
    /// order each time.
    pub(crate) spawn: bool,
    pub(crate) save_ms: u64,
    pub(crate) save_records: u32,
    pub(crate) outage_limit_ms: Option<u64>,
    /// Of all requests to Kinesis, and of all calls of the store, in thousandths.
    pub(crate) kinesis_faults: u32,
    pub(crate) store_faults: u32,
    /// In thousandths, the records that are dropped without acknowledgement.
    pub(crate) drops: u32,
    /// In thousandths, the calls of `on_event` that panic.
    pub(crate) panics: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Put(u8),
    Split(usize),
    Merge(usize),
    /// The oldest closed shard.
    Expire,
    /// The consumer starts, if it does not run.
    Start(Shape),
    /// All of it is dropped, at its so manieth poll from now.
    Crash(u32),
    /// It is stopped, within so many milliseconds.
    Stop(u64),
    /// It is dropped, and built anew on the same checkpoints.
    Rebuild(Shape),
    /// The stream is deleted and created again, with so many shards, while the consumer runs.
    Recreate(u32),
    /// Of the consumer's readers, in tasks of their own, this one.
    AbortReader(usize),
    /// The store does not answer `Ok` for so many milliseconds.
    Outage(u64),
    /// Kinesis refuses the next position of a checkpoint, once.
    RefuseOnce,
    /// Kinesis refuses every position of a checkpoint for this many milliseconds.
    Refuse(u64),
}

/// How the records are consumed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One after the other: taking the next acknowledges the last.
    Loop,
    /// So many at once, acknowledged as they are done.
    Concurrent(usize),
    /// Each shard in a task of its own.
    Tasks,
    /// So many at once, each acknowledged by a task that outlives the reader.
    Detached(usize),
    /// So many shards at once; others wait.
    Few(usize),
}

impl Script {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let some = |rng: &mut Rng, most: u32| if rng.bool() { 0 } else { rng.u32(1..most) };
        let ends = rng.u32(..8);
        let setup = Setup {
            shards: rng.u32(1..4),
            from_latest: rng.u32(..3) == 0,
            end_with_last_records: rng.bool(),
            page: if rng.bool() { 1_000 } else { rng.u16(1..5) },
            concurrent_reads: if rng.bool() { usize::MAX } else { rng.usize(1..4) },
            run: if rng.bool() { 100 } else { rng.usize(1..4) },
            spawn: rng.bool(),
            save_ms: [0, 200, 1_000, 5_000][rng.usize(..4)],
            save_records: if rng.bool() { 1_000 } else { rng.u32(1..6) },
            outage_limit_ms: rng.bool().then(|| rng.u64(..10_000)),
            kinesis_faults: some(&mut rng, 15),
            store_faults: some(&mut rng, 400),
            drops: if rng.u32(..3) == 0 { rng.u32(1..150) } else { 0 },
            panics: if rng.u32(..4) == 0 { rng.u32(1..300) } else { 0 },
            child_shards: ends > 1,
            kinesalite_ends: ends == 1,
        };
        let mut steps = Vec::new();
        for _ in 0..rng.u32(..4) {
            steps.push((rng.u64(..1_000), change(&mut rng)));
        }
        steps.push((1_000, Step::Start(shape(&mut rng))));
        for _ in 0..rng.u32(4..28) {
            let wait = if rng.u32(..4) == 0 { 0 } else { rng.u64(..4_000) };
            let step = match rng.u32(..24) {
                0..=3 => Step::Crash(if rng.bool() { rng.u32(..60) } else { rng.u32(..600) }),
                4 => Step::Stop(rng.u64(..8_000)),
                5..=7 => Step::Start(shape(&mut rng)),
                8 => Step::AbortReader(rng.usize(..8)),
                20 => Step::Rebuild(shape(&mut rng)),
                21 if rng.u32(..3) == 0 => Step::Recreate(rng.u32(1..4)),
                22 => Step::RefuseOnce,
                23 => Step::Refuse(rng.u64(..10_000)),
                9 if setup.store_faults > 0 => Step::Outage(rng.u64(..20_000)),
                _ => change(&mut rng),
            };
            steps.push((wait, step));
            if let Step::Crash(_) | Step::Stop(_) = step {
                steps.push((rng.u64(..2_000), Step::Start(shape(&mut rng))));
            }
        }
        Self { seed, setup, steps }
    }

    /// The shortest script found that still fails.
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
        let plainer: [fn(&mut Setup); 9] = [
            |setup| setup.panics = 0,
            |setup| setup.kinesis_faults = 0,
            |setup| setup.store_faults = 0,
            |setup| setup.drops = 0,
            |setup| setup.from_latest = false,
            |setup| setup.shards = 1,
            |setup| setup.concurrent_reads = usize::MAX,
            |setup| setup.run = 100,
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

fn shape(rng: &mut Rng) -> Shape {
    match rng.u32(..5) {
        0 => Shape::Loop,
        1 => Shape::Concurrent(rng.usize(1..12)),
        2 => Shape::Tasks,
        3 => Shape::Few(rng.usize(1..4)),
        _ => Shape::Detached(rng.usize(1..12)),
    }
}
