//! The monotonic clock of one process.

use tokio::time::Duration;

use crate::lease::machine::Time;
use crate::lease::simulation::At;

/// A clock that may run fast or slow, and may stand for a while.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    /// The real and the local time at which the rate was applied last.
    base: (At, f64),
    rate: f64,
    is_standing: bool,
}

impl Clock {
    pub(super) fn new(now: At, rate: f64) -> Self {
        Self { base: (now, 0.0), rate, is_standing: false }
    }

    fn micros(&self, at: At) -> f64 {
        let (real, local) = self.base;
        let elapsed = at.saturating_sub(real) as f64;
        if self.is_standing { local } else { local + elapsed * self.rate }
    }

    pub(super) fn local(&self, at: At) -> Time {
        Duration::from_micros(self.micros(at) as u64)
    }

    /// Returns the real time of a local one, not before `now`.
    pub(super) fn real(&self, local: Time, now: At) -> At {
        let ahead = local.as_micros() as f64 + 1.0 - self.micros(now);
        now + (ahead.max(0.0) / self.rate).ceil() as At
    }

    pub(super) fn stand(&mut self, now: At) {
        self.base = (now, self.micros(now));
        self.is_standing = true;
    }

    pub(super) fn run(&mut self, now: At) {
        self.base = (now, self.micros(now));
        self.is_standing = false;
    }
}
