//! The leases that others are giving to this worker.

use std::collections::BTreeSet;

use tokio::time::Duration;

use crate::lease::machine::membership::Phase;
use crate::lease::machine::{Machine, Purpose};
use crate::lease::table::{LeaseRow, Request, WorkerRow};

/// How long a lease is looked for that was announced and has not come. After that, an audit finds
/// it.
const MAX_OVERDUE: Duration = Duration::from_mins(1);

impl Machine {
    pub(crate) fn take_coming(&mut self, row: WorkerRow) {
        let now = self.now;
        for shard_id in &row.coming {
            if self.arrived.contains(shard_id) {
                continue;
            }
            if self.held.contains_key(shard_id) {
                self.arrived.insert(shard_id.clone());
            } else {
                self.coming.entry(shard_id.clone()).or_insert(now);
            }
        }
        self.view.note(row, now);
        self.read_coming();
        self.hurry();
    }

    /// Reads the leases that are coming, and now and then those that are overdue.
    fn read_coming(&mut self) {
        let (now, interval) = (self.now, self.beat_interval());
        self.overdue.retain(|_, since| now.saturating_sub(*since) < MAX_OVERDUE);
        let is_due = now.saturating_sub(self.reading.overdue_at) >= interval;
        let with_overdue = is_due && !self.overdue.is_empty();
        if (self.coming.is_empty() && !with_overdue) || self.reading.is_reading_coming {
            return;
        }
        self.reading.is_reading_coming = true;
        let mut ids: BTreeSet<_> = self.coming.keys().cloned().collect();
        if with_overdue {
            self.reading.overdue_at = now;
            ids.extend(self.overdue.keys().cloned());
        }
        self.send(Purpose::Coming, Request::Get(ids.into_iter().collect()));
    }

    pub(crate) fn coming_read(&mut self, rows: Vec<LeaseRow>) {
        self.reading.is_reading_coming = false;
        let me = self.config.worker.clone();
        for row in rows {
            let shard_id = row.shard_id.clone();
            let is_coming = self.coming.contains_key(&shard_id);
            let is_expected = is_coming || self.overdue.contains_key(&shard_id);
            if !is_expected || self.claiming.contains(&shard_id) || self.holds(&shard_id) {
                continue;
            }
            if row.has_ended() {
                self.arrive(&shard_id);
                continue;
            }
            // The worker that was to give it has left.
            let is_unowned =
                is_coming && row.holder().is_none() && matches!(self.phase, Phase::Up { .. });
            // Even its own lease is claimed: the row names a worker but not its run, so that a
            // placer may take it for that of an earlier run. The claim moves the counter.
            if row.is_owned_by(&me) || is_unowned {
                self.claim_own(row);
            }
        }
        // A move that was called off, or a giver that died before its write.
        let limit = self.config.move_timeout + self.config.failover * 2;
        let now = self.now;
        let late: Vec<_> = self
            .coming
            .iter()
            .filter(|(_, since)| now.saturating_sub(**since) > limit)
            .map(|(shard_id, _)| shard_id.clone())
            .collect();
        for shard_id in late {
            self.arrive(&shard_id);
            self.overdue.insert(shard_id, now);
        }
    }
}
