//! The heap, counted by the allocator of this program.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

use crate::common::measure::to_f64;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Returns the number of allocations that a run makes. A reallocation counts as one.
pub(crate) fn allocations<T>(run: impl FnOnce() -> T) -> f64 {
    let before = HEAP.stats();
    run();
    let made = HEAP.stats() - before;
    to_f64(made.allocations + made.reallocations)
}

/// Returns the bytes that are allocated now.
pub(crate) fn allocated_bytes() -> f64 {
    let Stats { bytes_allocated, bytes_deallocated, .. } = HEAP.stats();
    to_f64(bytes_allocated - bytes_deallocated)
}
