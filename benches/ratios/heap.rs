//! Allocations, and what is on the heap.

use stats_alloc::Stats;

use crate::HEAP;
use crate::measure::count;

/// The number of allocations that a run makes; to grow one is one more.
pub(crate) fn allocations<T>(run: impl FnOnce() -> T) -> f64 {
    let before = HEAP.stats();
    run();
    let made = HEAP.stats() - before;
    count(made.allocations + made.reallocations)
}

/// The bytes on the heap now.
pub(crate) fn heap() -> f64 {
    let Stats { bytes_allocated, bytes_deallocated, .. } = HEAP.stats();
    count(bytes_allocated - bytes_deallocated)
}
