//! Times that may be further away than a clock can tell.

use tokio::time::{Duration, Instant};

/// Returns the time `wait` from now, or one 30 years from now if the clock does not reach so far.
pub(crate) fn deadline_in(wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_hours(24 * 365 * 30);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_the_clock_is_years_away() {
        const YEAR: Duration = Duration::from_hours(24 * 365);
        let now = Instant::now();
        assert!(deadline_in(YEAR) >= now + YEAR);
        assert!(deadline_in(Duration::MAX) > now + 20 * YEAR);
    }
}
