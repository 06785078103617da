//! Wall time and processor time.

use std::time::Instant;

/// Returns how many times as long as `b` the run `a` takes: the median over pairs of runs. Each run
/// returns its seconds per item.
///
/// The runs of a pair follow each other, so that the speed of the machine, which drifts, is about
/// the same for both. Pairs alternate in which of the two runs first.
pub(crate) fn ratio(pairs: usize, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> f64 {
    // A warm-up: the first touch of memory is slow.
    let _ = a() + b();
    let pair = |n| {
        if n % 2 == 0 {
            a() / b()
        } else {
            let b = b();
            a() / b
        }
    };
    median((0..pairs).map(pair).collect())
}

/// Returns the seconds of processor time that this thread has taken.
#[cfg(target_os = "linux")]
pub(crate) fn processor_seconds() -> f64 {
    // The time in `/proc/thread-self/schedstat` may be a tick of the kernel old.
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    std::time::Duration::from(clock.now().expect("a clock of each thread")).as_secs_f64()
}

/// Returns the wall time in seconds, where the processor time of a thread is not known.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processor_seconds() -> f64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
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
