//! The fake's clock: tokio's clock, offset to a wall-clock time.
//!
//! It pauses and advances when tokio's clock does.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::config::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

use crate::testing::model::time::Millis;

/// 2026-01-01T00:00:00Z. A constant start gives the same sequence numbers in every run.
pub(crate) const DEFAULT_START: Millis = Millis(1_767_225_600_000);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    start: Millis,
}

impl Clock {
    pub(crate) fn starting_at(start: Millis) -> Self {
        Self { origin: Instant::now(), start }
    }

    pub(crate) fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, instant: Instant) -> Millis {
        self.start.plus(instant.saturating_duration_since(self.origin))
    }

    /// Returns the instant at which this clock shows `time`.
    pub(crate) fn instant(&self, time: Millis) -> Instant {
        self.origin + time.since(self.start)
    }
}

/// Gives the SDK the fake's time.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.now().into()
    }
}

/// The SDK's sleep, for retries and timeouts, on tokio's clock. With it the SDK needs no runtime
/// feature of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokioSleep;

impl AsyncSleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}
