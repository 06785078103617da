//! When a reader was made, and what that means for one that is to start at `LATEST`.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;

use crate::shard::offer::Offer;
use crate::shard::position::StartPosition;
use crate::util::clock::now;

/// A LATEST iterator is used only if it came within this time.
const PROMPT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct LatestAnchor {
    /// By the client's clock.
    at: SystemTime,
    /// By Kinesis's, or a little earlier.
    by_server: SystemTime,
}

impl LatestAnchor {
    pub(crate) fn now(client: &Client, offer: &Offer) -> Self {
        let at = now(client);
        Self { at, by_server: offer.to_server_time(at) }
    }

    /// Whether LATEST would skip what was written since; also if the client's clock was set back.
    pub(crate) fn is_past(&self, client: SystemTime) -> bool {
        client.duration_since(self.at).map_or(true, |late| late > PROMPT)
    }

    /// Where to read from instead of LATEST, once that would skip something: from when the reader
    /// was made.
    pub(crate) fn not_latest(&self, from: StartPosition) -> StartPosition {
        match from {
            StartPosition::Latest => StartPosition::Timestamp(self.by_server.into()),
            from => from,
        }
    }
}
