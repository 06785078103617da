//! Where a run ends.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::primitives::DateTime;

use crate::util::clock::{MAX_DATE_DELAY, ServerClock, to_millis};

/// Where a run ends: see the example of [`AllShards::until`](crate::AllShards::until).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopAt {
    /// The end of the stream, as of the start of the run: every record that arrived before the
    /// first listing is delivered.
    ///
    /// Records that arrive during the first listing, or up to about a second after it, may be
    /// delivered too: Kinesis's clock is known in whole seconds.
    Tip,
    /// The records that arrived before this time, by Kinesis's clock. A time in the future is
    /// waited for.
    Timestamp(DateTime),
}

/// The end of a run, by Kinesis's clock. The first list of shards determines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunEnd {
    /// The time of the end in milliseconds since the Unix epoch, rounded up. A record that arrives
    /// then or later is not delivered.
    millis: i128,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tip,
    /// The time was over when the run began.
    Past,
    Future,
}

impl RunEnd {
    /// Determines the end of a run at its first list, whose request was sent at `began` at the
    /// earliest, by Kinesis's clock, and whose response had come at `listed`, by the client's.
    pub(crate) fn new(
        stop_at: StopAt,
        clock: &ServerClock,
        began: SystemTime,
        listed: SystemTime,
    ) -> Self {
        match stop_at {
            StopAt::Tip => {
                let end = clock.last_date().map_or(listed, |date| date + MAX_DATE_DELAY);
                // A record of the same millisecond may have arrived before.
                Self { millis: floor_millis(end) + 1, kind: Kind::Tip }
            }
            StopAt::Timestamp(time) => {
                let millis = ceil_millis(time);
                let is_over = millis <= floor_millis(began);
                Self { millis, kind: if is_over { Kind::Past } else { Kind::Future } }
            }
        }
    }

    pub(crate) fn is_tip(&self) -> bool {
        self.kind == Kind::Tip
    }

    /// Returns whether a shard that was open when the run began may be closed before the end, so
    /// that its children may hold records that are to be read.
    pub(crate) fn may_follow_closing(&self) -> bool {
        self.kind == Kind::Future
    }

    /// Returns whether a record that arrived then is not delivered.
    pub(crate) fn excludes(&self, arrived: DateTime) -> bool {
        to_millis(arrived) >= self.millis
    }

    /// Returns whether a position in a shard has reached the end: it was `lag` behind the tip when
    /// Kinesis's clock showed `server_time` or later.
    pub(crate) fn is_reached(&self, lag: Option<Duration>, server_time: SystemTime) -> bool {
        // A server that reports no lag is assumed to send an empty page at the tip only.
        let lag = lag.unwrap_or_default();
        if lag.is_zero() {
            return self.is_tip() || floor_millis(server_time) >= self.millis;
        }
        // The lag is rounded.
        let lag = i128::try_from(lag.as_millis()).unwrap_or(i128::MAX / 2) + 1;
        floor_millis(server_time) - lag >= self.millis
    }
}

fn ceil_millis(time: DateTime) -> i128 {
    time.as_nanos().div_euclid(1_000_000) + i128::from(time.as_nanos().rem_euclid(1_000_000) > 0)
}

fn floor_millis(time: SystemTime) -> i128 {
    DateTime::from(time).as_nanos().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(400_000) + Duration::from_millis(millis)
    }

    fn until(millis: u64, began: u64) -> RunEnd {
        let stop_at = StopAt::Timestamp(at(millis).into());
        RunEnd::new(stop_at, &ServerClock::default(), at(began), at(began))
    }

    #[test]
    fn a_record_at_the_end_is_excluded_however_its_time_is_rounded() {
        let end = until(500, 0);
        for (nanos, is_excluded) in
            [(499_400_000, false), (499_999_900, true), (500_000_000, true), (500_000_100, true)]
        {
            let arrived = at(0) + Duration::from_nanos(nanos);
            assert_eq!(end.excludes(arrived.into()), is_excluded, "{nanos}");
        }
    }

    #[test]
    fn a_position_counts_by_the_time_of_the_server_less_the_lag() {
        let end = until(500, 0);
        for (lag, server_time, is_reached) in [
            (None, 499, false),
            (None, 500, true),
            (Some(0), 499, false),
            (Some(0), 500, true),
            (Some(100), 600, false),
            (Some(100), 601, true),
        ] {
            let lag = lag.map(|lag| lag * MS);
            let server_time_at = at(server_time);
            let reached = end.is_reached(lag, server_time_at);
            assert_eq!(reached, is_reached, "{lag:?} {server_time}");
        }
    }

    #[test]
    fn the_tip_is_reached_by_a_lag_of_zero_at_any_time() {
        let end = RunEnd::new(StopAt::Tip, &ServerClock::default(), at(0), at(200));
        assert!(end.is_reached(Some(Duration::ZERO), at(0)));
        assert!(!end.is_reached(Some(MS), at(202)));
        assert!(end.is_reached(Some(MS), at(203)));
        assert!(!end.excludes(at(200).into()) && end.excludes(at(201).into()));
    }

    #[test]
    fn a_closed_shard_may_precede_only_an_end_that_lies_in_the_future() {
        assert!(!until(500, 500).may_follow_closing());
        assert!(until(501, 500).may_follow_closing());
        let tip = RunEnd::new(StopAt::Tip, &ServerClock::default(), at(0), at(200));
        assert!(!tip.may_follow_closing());
    }
}
