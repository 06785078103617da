//! The time at which a reader was created, from which it reads if `LATEST` would skip records.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;

use crate::shard::offer::Offer;
use crate::shard::position::StartPosition;
use crate::util::clock::now;

/// The time within which a `LATEST` iterator must arrive to be used.
const MAX_LATEST_DELAY: Duration = Duration::from_secs(1);

/// The time at which a reader was created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatestAnchor {
    /// The time by the client's clock.
    client_time: SystemTime,
    /// The time by Kinesis's clock, or slightly earlier.
    server_time: SystemTime,
}

impl LatestAnchor {
    pub(crate) fn now(client: &Client, offer: &Offer) -> Self {
        let client_time = now(client);
        Self { client_time, server_time: offer.to_server_time(client_time) }
    }

    /// Returns whether `LATEST` would by now skip records written after the reader was created. If
    /// the client's clock was set back, that is unknown, and the result is true.
    pub(crate) fn is_late(&self, client_time: SystemTime) -> bool {
        client_time.duration_since(self.client_time).map_or(true, |delay| delay > MAX_LATEST_DELAY)
    }

    /// Replaces `LATEST` with the time at which the reader was created.
    pub(crate) fn replace_latest(&self, from: StartPosition) -> StartPosition {
        match from {
            StartPosition::Latest => StartPosition::Timestamp(self.server_time.into()),
            from => from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_is_late_after_more_than_a_second_and_if_the_clock_was_set_back() {
        let created = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let anchor = LatestAnchor { client_time: created, server_time: created };
        let ms = Duration::from_millis(1);
        assert!(!anchor.is_late(created));
        assert!(!anchor.is_late(created + MAX_LATEST_DELAY));
        assert!(anchor.is_late(created + MAX_LATEST_DELAY + ms));
        assert!(anchor.is_late(created - ms));
    }
}
