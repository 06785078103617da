//! Leased shards that the consumer does not read.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant};

use crate::checkpoint::registry::Registry;

/// The progress of the readers of leased shards, and the time since which it is the same.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    token: u64,
    /// The polls of the reader, and the records that were delivered.
    progress: (u64, u64),
    since: Instant,
    is_told: bool,
}

/// How often the readers are looked at.
pub(crate) const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// A reader that is not polled for this long is reported.
const STALL_LIMIT: Duration = Duration::from_mins(1);

impl Stalls {
    /// Looks at all leased shards. Returns those whose reader was not polled for a minute, once
    /// each.
    pub(crate) fn check(&mut self, shards: &Registry) -> Vec<String> {
        let now = Instant::now();
        let mut seen = std::mem::take(&mut self.seen);
        let mut stalled = Vec::new();
        for state in shards.all() {
            // While the delivery is paused, or ends, nobody is expected to poll.
            let lease = state.lease.as_ref().filter(|lease| lease.may_deliver());
            let Some(lease) = lease else { continue };
            let (token, progress) = (lease.token(), (lease.polls(), state.delivered()));
            let known = seen.remove(&state.id);
            let mut reader = known
                .filter(|known| (known.token, known.progress) == (token, progress))
                .unwrap_or(Seen { token, progress, since: now, is_told: false });
            if !reader.is_told && now.saturating_duration_since(reader.since) >= STALL_LIMIT {
                reader.is_told = true;
                stalled.push(state.id.clone());
            }
            self.seen.insert(state.id.clone(), reader);
        }
        stalled
    }
}
