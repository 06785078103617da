//! The leases that a later run of this worker may hold.
//!
//! A row names its owner, but not the run. If another process has joined under the same id, this
//! one learns that by its next beat, which is refused. Until then the rows that the other has
//! claimed look like this worker's own, and a claim would take them back while the other delivers.
//!
//! Each write leaves its run in the row, and no two workers share a run. A later run that has
//! written a row last is that of the other process, or that of another worker that has given the
//! lease. The other process has joined before it has claimed anything, so a beat that is sent after
//! the read is refused then. A beat that is confirmed shows that the lease was given.

use std::collections::BTreeMap;

use crate::lease::machine::{Machine, Time};
use crate::lease::table::LeaseRow;

/// The rows that wait for a confirmed beat, and when they were read.
pub(crate) type Doubtful = BTreeMap<String, (LeaseRow, Time)>;

impl Machine {
    /// Returns whether a row with this worker as its owner may be that of a later run.
    pub(crate) fn is_doubtful(&self, row: &LeaseRow) -> bool {
        if !row.is_owned_by(&self.config.worker) {
            return false;
        }
        let run = row.last_writer().and_then(|writer| writer.run.parse::<u64>().ok());
        let Some(run) = run else { return false };
        let mut others = self.view.workers.iter().filter(|(id, _)| **id != self.config.worker);
        run > self.run && !others.any(|(_, seen)| seen.row.run == run)
    }

    /// Claims the lease of a doubtful row after the next confirmed beat.
    pub(crate) fn wait_for_beat(&mut self, row: LeaseRow) {
        let waiting = self.doubtful.get(&row.shard_id);
        if waiting.is_none_or(|(before, _)| before.counter != row.counter) {
            self.doubtful.insert(row.shard_id.clone(), (row, self.now));
        }
    }

    /// Claims the leases whose rows were read before a beat that is confirmed now.
    pub(crate) fn claim_after_beat(&mut self, sent_at: Time) {
        let (due, waiting) = std::mem::take(&mut self.doubtful)
            .into_iter()
            .partition::<Doubtful, _>(|(_, (_, read_at))| *read_at <= sent_at);
        self.doubtful = waiting;
        for (row, _) in due.into_values() {
            if !self.holds(&row.shard_id) {
                self.claim_row(&row);
            }
        }
    }
}
