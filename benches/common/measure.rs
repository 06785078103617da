//! Wall time.

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
