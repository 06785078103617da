//! The heap: its counters, and the bytes that a finished simulation leaves on it.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::play;
use crate::script::Script;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The number of seeds to play, one after the other: the counters are those of the whole process.
const SEEDS: u64 = 40;

/// The bytes that the SDK keeps for each fake until the process ends: its retry quota, by name.
const SDK_BYTES: isize = 150;

pub(crate) fn live_bytes() -> isize {
    let stats = HEAP.stats();
    stats.bytes_allocated.cast_signed() - stats.bytes_deallocated.cast_signed()
}

pub(crate) fn allocations() -> usize {
    HEAP.stats().allocations
}

/// Plays a script and returns the bytes that it leaves behind.
fn bytes_left_by(script: &Script) -> isize {
    let before = live_bytes();
    drop(play(script));
    live_bytes() - before
}

/// Checks that a simulation leaves nothing on the heap.
///
/// The first play of a seed allocates what lives as long as the process. A table that grows does so
/// in one of the next two plays at most.
pub(crate) fn check() -> Result<String, String> {
    for seed in 0..SEEDS {
        let script = Script::of_seed(seed);
        play(&script);
        let left = bytes_left_by(&script).min(bytes_left_by(&script));
        if left > SDK_BYTES {
            return Err(format!("seed {seed} leaves {left} bytes"));
        }
    }
    Ok(format!("{SEEDS} seeds"))
}
