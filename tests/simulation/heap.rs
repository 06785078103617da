//! What is left on the heap when a simulation is over.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::play;
use crate::script::Script;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many seeds are played, one after the other: the counters are those of the whole process.
const SEEDS: u64 = 40;

fn live_bytes() -> isize {
    let stats = HEAP.stats();
    let allocated = stats.bytes_allocated.cast_signed();
    allocated - stats.bytes_deallocated.cast_signed()
}

/// The second time that a seed is played, all that is made once in a process is there: every byte must be given back.
pub(crate) fn kept() -> Result<String, String> {
    for seed in 0..SEEDS {
        let script = Script::of_seed(seed);
        play(&script);
        let before = live_bytes();
        let outcome = play(&script);
        drop(outcome);
        let kept = live_bytes() - before;
        if kept > 0 {
            return Err(format!("seed {seed}: {kept} bytes"));
        }
    }
    Ok(format!("{SEEDS} seeds"))
}
