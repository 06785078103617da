//! A clock that costs little enough to be read for each record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant as StdInstant;

use tokio::time::{Duration, Instant};

/// The time since an origin, in nanoseconds, by a clock that is cheap and may be a little fast.
///
/// On Linux, that is `CLOCK_MONOTONIC_COARSE`: the time of the kernel's last tick, for which no
/// counter of the processor is read. A process that was stopped sees the right time at once when it
/// continues. While the whole machine is suspended, the clock stands still, as does
/// `CLOCK_MONOTONIC`, on which `Instant` relies: that is what [fencing](crate::lease#fencing) is
/// for. Elsewhere, and while tokio's clock is paused, as it is in tests, it is tokio's clock.
#[derive(Debug)]
pub(crate) struct CoarseClock {
    origin: Instant,
    /// The tick at the origin, if there are ticks.
    tick_at_origin: Option<u64>,
    /// Tokio's clock is not that of the system.
    is_virtual: AtomicBool,
}

/// How late the last tick may be: 5 ticks at 100 Hz, after which the kernel takes another processor
/// to keep the time.
const MAX_LAG: u64 = 50_000_000;

impl CoarseClock {
    pub(crate) fn new(origin: Instant) -> Self {
        let clock = Self {
            origin,
            tick_at_origin: last_tick().map(|tick| tick.saturating_sub(nanos(origin.elapsed()))),
            is_virtual: AtomicBool::new(false),
        };
        clock.check();
        clock
    }

    /// Notes whether tokio's clock is paused now. Call it now and then.
    pub(crate) fn check(&self) {
        let before = StdInstant::now();
        let now = Instant::now().into_std();
        let is_virtual = now < before || StdInstant::now() < now;
        self.is_virtual.store(is_virtual, Ordering::Relaxed);
    }

    /// Returns the time since the origin by tokio's clock, which costs more.
    fn exact(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    /// Returns the tick at which [`at_most`](Self::at_most) reaches a time. Returns 0 if that is not
    /// measured in ticks now.
    pub(crate) fn tick_at(&self, time: u64) -> u64 {
        let at_origin = self.tick_at_origin.filter(|_| !self.is_virtual.load(Ordering::Relaxed));
        at_origin.map_or(0, |at_origin| at_origin.saturating_add(time).saturating_sub(MAX_LAG))
    }

    /// Returns the time since the origin, or up to 50 ms more.
    pub(crate) fn at_most(&self) -> u64 {
        match last_tick().zip(self.tick_at_origin) {
            Some((tick, at_origin)) if !self.is_virtual.load(Ordering::Relaxed) => {
                tick.saturating_sub(at_origin).saturating_add(MAX_LAG)
            }
            _ => self.exact(),
        }
    }
}

/// Returns the time of the last tick, where a clock has ticks.
#[inline]
#[cfg(all(feature = "dynamodb", any(target_os = "linux", target_os = "android")))]
pub(crate) fn last_tick() -> Option<u64> {
    // The call of libc: a program that calls the kernel's vDSO by itself crashes under valgrind.
    let time = nix::time::ClockId::CLOCK_MONOTONIC_COARSE.now().ok()?;
    Some(nanos(Duration::from(time)))
}

#[cfg(not(all(feature = "dynamodb", any(target_os = "linux", target_os = "android"))))]
pub(crate) fn last_tick() -> Option<u64> {
    None
}

/// Returns whole nanoseconds, in less time than `as_nanos`.
#[inline]
pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_that_of_tokio() {
        let clock = CoarseClock::new(Instant::now());
        advance(Duration::from_hours(1)).await;
        assert_eq!(clock.at_most(), nanos(Duration::from_hours(1)));
    }

    #[tokio::test]
    async fn a_clock_that_is_paused_later_is_that_of_tokio() {
        let clock = CoarseClock::new(Instant::now());
        tokio::time::pause();
        advance(Duration::from_hours(1)).await;
        clock.check();
        assert_eq!(clock.at_most(), clock.exact());
    }

    #[tokio::test]
    async fn a_real_clock_runs_on_without_tokio() {
        let clock = CoarseClock::new(Instant::now());
        let before = clock.at_most();
        std::thread::sleep(Duration::from_millis(100));
        assert!(clock.at_most() > before);
        assert!(!clock.is_virtual.load(Ordering::Relaxed));
    }
}
