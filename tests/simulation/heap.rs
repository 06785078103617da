//! What is left on the heap when a simulation is over.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::play;
use crate::script::Script;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many seeds are played, one after the other: the counters are those of the whole process.
const SEEDS: u64 = 40;

/// What the SDK keeps of each fake, for good: its retry quota, by name.
const OF_THE_SDK: isize = 150;

fn live_bytes() -> isize {
    let stats = HEAP.stats();
    stats.bytes_allocated.cast_signed() - stats.bytes_deallocated.cast_signed()
}

/// What one play of a script leaves behind.
fn kept_by(script: &Script) -> isize {
    let before = live_bytes();
    drop(play(script));
    live_bytes() - before
}

/// Once a seed was played, all that is made once in a process is there. A table that grows does so
/// in one of two plays at most.
pub(crate) fn kept() -> Result<String, String> {
    for seed in 0..SEEDS {
        let script = Script::of_seed(seed);
        play(&script);
        let kept = kept_by(&script).min(kept_by(&script));
        if kept > OF_THE_SDK {
            return Err(format!("{kept} bytes of seed {seed}"));
        }
    }
    Ok(format!("{SEEDS} seeds"))
}
