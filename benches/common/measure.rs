//! Wall time and processor time.

use std::sync::LazyLock;
use std::time::Instant;

/// Returns how many times as long as `b` the run `a` takes: the median over pairs of runs. Each run
/// returns its seconds per item.
///
/// The runs of a pair follow each other, so that the speed of the machine, which drifts, is about
/// the same for both.
pub(crate) fn ratio(pairs: usize, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> f64 {
    // A warm-up: the first touch of memory is slow.
    let _ = a() + b();
    median((0..pairs).map(|_| a() / b()).collect())
}

/// Returns the seconds of processor time that this thread has taken, where Linux tells it; else the
/// wall time.
pub(crate) fn processor_seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let wall = START.elapsed().as_secs_f64();
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = nanos.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or(wall, |nanos| nanos / 1e9)
}

/// Runs `run`, which processes `items` items in this thread, and returns the seconds of processor
/// time per item. Other programs disturb it less than the wall time.
pub(crate) fn processor_seconds_per_item<T>(items: usize, run: impl FnOnce() -> T) -> f64 {
    let start = processor_seconds();
    run();
    (processor_seconds() - start) / to_f64(items)
}

/// Runs `run`, which processes `items` items, and returns the seconds per item.
pub(crate) fn seconds_per_item<T>(items: usize, run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() / to_f64(items)
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "the counts are far below 2^52")]
pub(crate) fn to_f64(count: usize) -> f64 {
    count as f64
}
