//! What the simulations have in common to play a seed.

use std::time::Duration;

use aws_sdk_kinesis::config::timeout::TimeoutConfig;

/// Plays a seed in a runtime of its own, on a paused clock. Returns the outcome, and the number of
/// tasks that are still alive.
pub(crate) fn play_paused<F: Future>(seed: u64, play: impl FnOnce() -> F) -> (F::Output, usize) {
    // The crate and the SDK draw from this thread's generator.
    fastrand::seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let outcome = runtime.block_on(play());
    (outcome, runtime.metrics().num_alive_tasks())
}

/// Returns the timeouts of the clients: an attempt takes up to 3 s.
pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(3)).build()
}
