//! How much one `GetRecords` asks for, and how long its response may take.

use tokio::time::Duration;

use crate::util::request_timeout::TIMEOUT_SECONDS;

/// A request for one record may take this long: a record of 10 MiB at 15 kB/s.
const MAX_SECONDS: u32 = 16 * TIMEOUT_SECONDS;
/// A page that took less than this part of the time that a page before took in vain may be doubled.
const SAFETY: u32 = 4;

/// The `Limit` of the next `GetRecords`, and the limit of its time.
///
/// On a slow line a page of 10 MiB may take longer than any request may take. It would be asked for
/// again for ever. So each page that does not arrive whole halves the limit, and once that is 1
/// doubles the time. A full page doubles the limit again, up to what the options say, once pages
/// arrive so fast that twice as many records are sure to arrive too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimit {
    /// `GetRecords`' `Limit`.
    pub(crate) records: i32,
    /// How long the response is waited for.
    pub(crate) seconds: u32,
    max_records: i32,
    /// How long the last page took that did not arrive whole.
    lost_after: Duration,
}

impl PageLimit {
    pub(crate) fn new(max_records: i32) -> Self {
        Self {
            records: max_records,
            seconds: TIMEOUT_SECONDS,
            max_records,
            lost_after: Duration::ZERO,
        }
    }

    /// Whether a page of this many records is as large as it may be.
    pub(crate) fn is_full(&self, records: usize) -> bool {
        i32::try_from(records).is_ok_and(|records| records >= self.records)
    }

    /// A page arrived.
    pub(crate) fn arrived(&mut self, records: usize, took: Duration) {
        if took * SAFETY > self.lost_after.max(Duration::from_secs(1)) {
            return;
        }
        self.seconds = TIMEOUT_SECONDS;
        if self.is_full(records) {
            self.records = self.records.saturating_mul(2).min(self.max_records);
        }
    }

    /// A page did not arrive, or not whole.
    pub(crate) fn lost(&mut self, took: Duration) {
        self.lost_after = took;
        if self.records > 1 {
            self.records /= 2;
        } else {
            self.seconds = (2 * self.seconds).min(MAX_SECONDS);
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
    fn what_does_not_arrive_is_halved_down_to_one_record_that_gets_more_time() {
        let mut limit = PageLimit::new(10_000);
        let mut asked = Vec::new();
        for _ in 0..20 {
            asked.push((limit.records, limit.seconds));
            limit.lost(seconds(limit.seconds.into()));
        }
        let records: Vec<_> = asked.iter().map(|(records, _)| *records).collect();
        assert_eq!(records[..6], [10_000, 5_000, 2_500, 1_250, 625, 312]);
        assert_eq!(records[13..], [1; 7]);
        let times: Vec<_> = asked.iter().map(|(_, seconds)| *seconds).collect();
        assert_eq!(times[..14], [60; 14]);
        assert_eq!(times[14..], [120, 240, 480, 960, 960, 960]);
    }

    #[test]
    fn full_pages_that_come_fast_double_it_up_to_the_options() {
        let mut limit = PageLimit::new(1_000);
        for _ in 0..3 {
            limit.lost(seconds(60));
        }
        assert_eq!(limit.records, 125);
        limit.arrived(124, seconds(1));
        limit.arrived(125, seconds(16));
        assert_eq!(limit.records, 125, "neither a page that is not full, nor one that took long");
        for expected in [250, 500, 1_000, 1_000] {
            limit.arrived(usize::try_from(limit.records).unwrap(), seconds(15));
            assert_eq!(limit.records, expected);
        }
    }
}
