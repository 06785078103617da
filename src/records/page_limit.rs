//! The limit and the timeout of a `GetRecords` request.

use tokio::time::Duration;

use crate::util::request_timeout::TIMEOUT_SECONDS;

/// The maximum timeout of a request for one record: 10 MiB, as base64, at 15 kB/s.
const MAX_SECONDS: u32 = 16 * TIMEOUT_SECONDS;
/// A limit is doubled only after a page that took less than this fraction of the time after which
/// the last lost page failed.
const SAFETY_FACTOR: u32 = 4;

/// The `Limit` and the timeout of one `GetRecords` request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimit {
    /// The `Limit` of `GetRecords`.
    pub(crate) records: i32,
    /// The timeout of the request, in seconds.
    pub(crate) seconds: u32,
}

/// The limit of the next `GetRecords` request, as the pages before it call for.
///
/// On a slow connection, a page of 10 MiB may take longer than the timeout, and would be requested
/// for ever. So each page that does not arrive whole halves the limit, and doubles the timeout once
/// the limit is 1. A full page doubles the limit again, up to `max_records`, if it arrives so fast
/// that twice the records would arrive in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimit {
    next: RequestLimit,
    max_records: i32,
    /// The time after which the last lost page failed.
    lost_after: Duration,
}

impl PageLimit {
    pub(crate) fn new(max_records: i32) -> Self {
        let next = RequestLimit { records: max_records, seconds: TIMEOUT_SECONDS };
        Self { next, max_records, lost_after: Duration::ZERO }
    }

    /// Returns the limit of the next request.
    pub(crate) fn next(&self) -> RequestLimit {
        self.next
    }

    /// Returns whether a page of this many records is full.
    pub(crate) fn is_full(&self, records: usize) -> bool {
        i32::try_from(records).is_ok_and(|records| records >= self.next.records)
    }

    /// Adapts the limits after a page arrived whole.
    pub(crate) fn received(&mut self, records: usize, took: Duration) {
        if took * SAFETY_FACTOR > self.lost_after.max(Duration::from_secs(1)) {
            return;
        }
        self.next.seconds = TIMEOUT_SECONDS;
        if self.is_full(records) {
            self.next.records = self.next.records.saturating_mul(2).min(self.max_records);
        }
    }

    /// Adapts the limits after a page did not arrive whole.
    pub(crate) fn lost(&mut self, took: Duration) {
        self.lost_after = took;
        let RequestLimit { records, seconds } = &mut self.next;
        if *records > 1 {
            *records /= 2;
        } else {
            *seconds = (2 * *seconds).min(MAX_SECONDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn lost_pages_halve_the_limit_and_then_double_the_timeout() {
        let mut limit = PageLimit::new(10_000);
        let mut requested = Vec::new();
        for _ in 0..20 {
            requested.push((limit.next.records, limit.next.seconds));
            limit.lost(seconds(limit.next.seconds.into()));
        }
        let records: Vec<_> = requested.iter().map(|(records, _)| *records).collect();
        assert_eq!(records[..6], [10_000, 5_000, 2_500, 1_250, 625, 312]);
        assert_eq!(records[13..], [1; 7]);
        let times: Vec<_> = requested.iter().map(|(_, seconds)| *seconds).collect();
        assert_eq!(times[..14], [60; 14]);
        assert_eq!(times[14..], [120, 240, 480, 960, 960, 960]);
    }

    #[test]
    fn fast_full_pages_double_the_limit_up_to_the_maximum() {
        let mut limit = PageLimit::new(1_000);
        for _ in 0..3 {
            limit.lost(seconds(60));
        }
        assert_eq!(limit.next.records, 125);
        limit.received(124, seconds(1));
        limit.received(125, seconds(16));
        assert_eq!(
            limit.next.records, 125,
            "a page that is not full, or slow, does not double the limit"
        );
        for expected in [250, 500, 1_000, 1_000] {
            limit.received(usize::try_from(limit.next.records).unwrap(), seconds(15));
            assert_eq!(limit.next.records, expected);
        }
    }
}
