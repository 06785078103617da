//! Makes a script that fails as short as it can be.

use crate::script::{Script, Start, Visit};

/// At most so many attempts: a shorter script is a help, not a proof.
const MOST_ATTEMPTS: usize = 4_000;

/// The shortest script found that still fails, by leaving out steps, half of them at a time at first, and by making the rest plain.
pub(crate) fn shortest(script: &Script, fails: impl Fn(&Script) -> bool) -> Script {
    let mut best = script.clone();
    let mut attempts = 0;
    let mut attempt = |best: &mut Script, candidate: Script| {
        attempts += 1;
        let better = attempts <= MOST_ATTEMPTS && fails(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    loop {
        let mut is_better = false;
        let mut size = best.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut candidate = best.clone();
                let end = (at + size).min(candidate.steps.len());
                let left_out: u64 = candidate.steps.drain(at..end).map(|(wait, _)| wait).sum();
                let mut later = candidate.clone();
                if let Some((wait, _)) = later.steps.get_mut(at) {
                    *wait += left_out;
                }
                if attempt(&mut best, candidate) || attempt(&mut best, later) {
                    is_better = true;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        for at in 0..best.steps.len() {
            if best.steps[at].0 > 0 {
                let mut candidate = best.clone();
                candidate.steps[at].0 = 0;
                is_better |= attempt(&mut best, candidate);
            }
        }
        while let Some(last) = best.visits.len().checked_sub(1) {
            let mut candidate = best.clone();
            candidate.visits.truncate(last);
            if !attempt(&mut best, candidate) {
                break;
            }
            is_better = true;
        }
        for at in 0..best.visits.len() {
            if best.visits[at] != Visit::FAITHFUL {
                let mut candidate = best.clone();
                candidate.visits[at] = Visit::FAITHFUL;
                is_better |= attempt(&mut best, candidate);
            }
        }
        for plain in PLAINER {
            let mut candidate = best.clone();
            plain(&mut candidate);
            if format!("{candidate:?}") != format!("{best:?}") {
                is_better |= attempt(&mut best, candidate);
            }
        }
        if !is_better {
            return best;
        }
    }
}

const PLAINER: [fn(&mut Script); 9] = [
    |script| script.setup.fault_rate = 0,
    |script| script.setup.shards = 1,
    |script| script.setup.page_size = 1_000,
    |script| script.setup.start = Start::TrimHorizon,
    |script| script.setup.by_arn = false,
    |script| script.setup.sdk_retries = false,
    |script| script.setup.tasks = false,
    |script| script.setup.fallible = false,
    |script| script.setup.remembers = true,
];
