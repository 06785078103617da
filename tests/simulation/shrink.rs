//! Shortens a script that fails.

use std::fmt;

use kinesis_shards::OnDrop;

use crate::script::{DuringRecreation, End, Reading, Script, Start, Step, Visit};

/// The maximum number of attempts.
const MAX_ATTEMPTS: usize = 6_000;

/// Returns the kind of a violation: its words without numbers.
pub(crate) fn kind(violation: &str) -> String {
    let has_number = |word: &&str| word.bytes().any(|byte| byte.is_ascii_digit());
    let words: Vec<_> =
        violation.split_whitespace().filter(|word| !has_number(word)).take(12).collect();
    words.join(" ")
}

/// The attempts that shortened a script. Together with the seed they determine the shorter script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(Vec<usize>);

impl Path {
    /// Parses a displayed path such as `3.8.20-24`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = Vec::new();
        for range in text.split('.') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
        }
        Some(Self(numbers))
    }

    /// Returns the script to which this path leads.
    pub(crate) fn walk(&self, script: &Script) -> Script {
        shortest(script, |attempt, _| self.0.binary_search(&attempt).is_ok()).0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.chunk_by(|one, next| one + 1 == *next).enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match *range {
                [first, .., last] => write!(f, "{dot}{first}-{last}")?,
                [only] => write!(f, "{dot}{only}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

struct Shrinking<F> {
    best: Script,
    attempts: usize,
    path: Vec<usize>,
    fails: F,
}

impl<F: Fn(usize, &Script) -> bool> Shrinking<F> {
    /// Whether the change leaves a script that is another, and fails.
    fn attempt(&mut self, change: impl FnOnce(&mut Script)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        if candidate == self.best || self.attempts >= MAX_ATTEMPTS {
            return false;
        }
        self.attempts += 1;
        let fails = (self.fails)(self.attempts, &candidate);
        if fails {
            self.path.push(self.attempts);
            self.best = candidate;
        }
        fails
    }

    /// Leaves out steps, half of them at a time at first.
    fn remove_parts(&mut self) -> bool {
        let mut is_better = false;
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.steps.len() {
                let end = (at + size).min(self.best.steps.len());
                let left_out: u64 = self.best.steps[at..end].iter().map(|(wait, _)| wait).sum();
                let later = |script: &mut Script| {
                    script.steps.drain(at..end);
                    if let Some((wait, _)) = script.steps.get_mut(at) {
                        *wait += left_out;
                    }
                };
                if self.attempt(|script| drop(script.steps.drain(at..end))) || self.attempt(later) {
                    is_better = true;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        is_better
    }

    fn simplify_steps(&mut self) -> bool {
        let mut is_better = false;
        for at in 0..self.best.steps.len() {
            is_better |= self.attempt(|script| script.steps[at].0 = 0);
            let simpler = simpler(&self.best.steps[at].1);
            is_better |=
                simpler.into_iter().any(|plain| self.attempt(|script| script.steps[at].1 = plain));
        }
        is_better
    }

    fn simplify_visits(&mut self) -> bool {
        let mut is_better = false;
        let mut least = 0;
        while least < self.best.visits.len() {
            let half = usize::midpoint(least, self.best.visits.len());
            if self.attempt(|script| script.visits.truncate(half)) {
                is_better = true;
            } else {
                least = half + 1;
            }
        }
        for at in 0..self.best.visits.len() {
            is_better |= self.attempt(|script| script.visits[at] = Visit::FAITHFUL);
            is_better |= self.attempt(|script| script.visits[at].idle_ms = Visit::FAITHFUL.idle_ms);
            is_better |= self.attempt(|script| script.visits[at].limit = Visit::FAITHFUL.limit);
            is_better |= self.attempt(|script| match &mut script.visits[at].end {
                End::Complete { linger_ms, .. } => *linger_ms = 0,
                End::Stop(reads, _) => *reads = 0,
                End::Hold => {}
            });
        }
        is_better
    }
}

/// Returns the shortest script found that still fails, and the attempts that led to it. The order
/// of the attempts is fixed, so a number identifies each.
pub(crate) fn shortest(script: &Script, fails: impl Fn(usize, &Script) -> bool) -> (Script, Path) {
    let mut shrinking = Shrinking { best: script.clone(), attempts: 0, path: Vec::new(), fails };
    loop {
        let mut is_better = shrinking.remove_parts();
        for plain in SIMPLER {
            is_better |= shrinking.attempt(plain);
        }
        is_better |= shrinking.simplify_steps();
        is_better |= shrinking.simplify_visits();
        if !is_better {
            return (shrinking.best, Path(shrinking.path));
        }
    }
}

/// Returns simpler versions of a step.
fn simpler(step: &Step) -> Vec<Step> {
    match step.clone() {
        Step::Put(count) if count > 1 => vec![Step::Put(1), Step::Put(count / 2)],
        Step::Split(_) | Step::Double => vec![Step::Split(0)],
        Step::Merge(_) => vec![Step::Merge(0), Step::Split(0)],
        Step::Scale(_) => vec![Step::Split(0), Step::Merge(0), Step::Scale(0)],
        Step::Storm(changes @ 1.., seed) => {
            vec![
                Step::Split(0),
                Step::Merge(0),
                Step::Storm(changes / 2, seed),
                Step::Storm(changes - 1, seed),
            ]
        }
        Step::Expire(count) if count > 1 => vec![Step::Expire(1)],
        Step::Suspend(seconds) if seconds > 1 => vec![Step::Suspend(1), Step::Suspend(seconds / 2)],
        Step::Fault(operation, trouble, times) if times > 1 => {
            vec![
                Step::Fault(operation, trouble.clone(), 1),
                Step::Fault(operation, trouble, times - 1),
            ]
        }
        Step::Restart { polls, pause_ms } => vec![
            Step::Restart { polls: 0, pause_ms: 0 },
            Step::Restart { polls, pause_ms: 0 },
            Step::Restart { polls: polls / 2, pause_ms },
        ],
        Step::AbortReader(_) => vec![Step::AbortReader(0)],
        Step::TakeOver(_) => vec![Step::TakeOver(0)],
        Step::Deregister { gap_ms: 1.. } => vec![Step::Deregister { gap_ms: 0 }],
        Step::Wait(seconds) if seconds > 1 => vec![Step::Wait(seconds / 2)],
        Step::Recreate { shards, gap_ms, consumer } => vec![
            Step::Recreate { shards: 1, gap_ms, consumer },
            Step::Recreate { shards, gap_ms: 0, consumer },
            Step::Recreate { shards, gap_ms, consumer: DuringRecreation::Lives },
        ],
        _ => Vec::new(),
    }
}

const SIMPLER: [fn(&mut Script); 23] = [
    |script| script.setup.fault_rate = 0,
    |script| script.setup.on_demand = false,
    |script| script.setup.shards = 1,
    |script| script.setup.page_size = 1_000,
    |script| script.setup.start = Start::TrimHorizon,
    |script| script.setup.by_arn = false,
    |script| script.setup.sdk_retries = false,
    |script| script.setup.tasks = false,
    |script| script.setup.fallible = false,
    |script| script.setup.remembers = true,
    |script| script.setup.reading = Reading::Own,
    |script| script.setup.reading = script.setup.reading.min(Reading::EachShard),
    |script| script.setup.reading = script.setup.reading.min(Reading::AllBatches),
    |script| script.setup.fan_out = false,
    |script| script.setup.spawn = false,
    |script| script.setup.consumer_ms = 0,
    |script| script.setup.max_concurrent_reads = usize::MAX,
    |script| script.setup.run = 100,
    |script| script.setup.on_drop = OnDrop::Close,
    |script| script.setup.end_with_last_records = true,
    |script| script.setup.handles_outlive = false,
    |script| script.setup.poll_ms = 2_000,
    |script| script.setup.full_ms = 16_000,
];
