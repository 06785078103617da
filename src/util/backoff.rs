//! How long to wait after a failure.

use std::time::Duration;

/// `first`, doubled with each failure before, up to `last`, less a random part of up to a half.
pub(crate) fn backoff(first: Duration, last: Duration, failures: u32) -> Duration {
    let wait = first.saturating_mul(1 << failures.min(16)).min(last);
    wait.mul_f64(0.5 + fastrand::f64() / 2.0)
}
