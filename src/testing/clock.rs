//! The fake's clock: tokio's, from a wall-clock time on. It stands still and is advanced with tokio's.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::config::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

use super::model::Millis;

/// 2026-01-01T00:00:00Z: the same in every run, so that sequence numbers are as well.
pub(super) const DEFAULT_START: Millis = Millis(1_767_225_600_000);

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
    start: Millis,
}

impl Clock {
    pub(super) fn starting_at(start: Millis) -> Self {
        Self { origin: Instant::now(), start }
    }

    pub(super) fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, instant: Instant) -> Millis {
        self.start.plus(instant.saturating_duration_since(self.origin))
    }
}

/// The SDK's time is the fake's.
impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.now().into()
    }
}

/// Lets the SDK wait (between retries, for its timeouts) on tokio's clock, without its own runtime feature.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokioSleep;

impl AsyncSleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}
