//! The delay after a failure.

use std::time::Duration;

/// Returns the delay after a failure that follows `failures` others: `min` doubled for each of
/// them, up to `max`, then shortened at random by up to a half.
pub(crate) fn backoff(min: Duration, max: Duration, failures: u32) -> Duration {
    let delay = min.saturating_mul(1 << failures.min(16)).min(max);
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}
