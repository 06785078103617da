//! Time.

use std::time::Instant;

/// How many times as long as `b` does `a` take: the median over pairs of runs, each pair run one after the other, so that the
/// machine's wandering meets both alike. Each gives what it took, in seconds per thing done.
pub(crate) fn ratio(pairs: usize, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> f64 {
    // The first touch of memory is not counted.
    let _ = a() + b();
    median((0..pairs).map(|_| a() / b()).collect())
}

/// The seconds that each of `things` took.
pub(crate) fn each<T>(things: usize, run: impl FnOnce() -> T) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64() / count(things)
}

fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Exact for all that is counted here.
#[expect(clippy::cast_precision_loss, reason = "the counts are far below 2^52")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}
