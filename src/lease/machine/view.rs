//! The workers, as one of them sees them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tokio::time::Duration;

use crate::lease::machine::Time;
use crate::lease::table::{WorkerRow, WorkerState};

/// The workers of the fleet, as this worker has read them.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) workers: BTreeMap<String, Seen>,
    /// The time of the last read.
    pub(crate) read_at: Option<Time>,
    /// The time since which the workers that take leases are the same.
    pub(crate) members_since: Time,
    /// The oldest worker, and the time since which it is the oldest.
    oldest: Option<(u64, Time)>,
    /// How often the rows were read.
    updates: u64,
    /// The workers that have left or were removed lately, and when that was read.
    departed: BTreeMap<String, Time>,
    pub(crate) departures: u64,
}

/// The row of a worker, and when it moved.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) row: WorkerRow,
    pub(crate) appeared_at: Time,
    /// The time of the first read that showed this beat.
    beat_since: Time,
    /// How many reads have shown this beat.
    reads: u32,
    /// The time of the first read that showed this number of audits.
    audits_since: Time,
    /// The last read that showed the row.
    updates: u64,
}

/// How long a worker is remembered after it has left.
const REMEMBERED: Duration = Duration::from_mins(5);

impl Seen {
    fn new(row: WorkerRow, now: Time) -> Self {
        Self { row, appeared_at: now, beat_since: now, reads: 1, audits_since: now, updates: 0 }
    }

    /// Takes in a row of the same run. An eventually consistent read may show an older one.
    fn update(&mut self, row: WorkerRow, now: Time) {
        if row.beat > self.row.beat {
            (self.beat_since, self.reads) = (now, 1);
        } else {
            self.reads = self.reads.saturating_add(1);
        }
        if row.audits > self.row.audits {
            self.audits_since = now;
        }
        if row.beat >= self.row.beat && self.row.state != WorkerState::Dead {
            self.row = row;
        }
    }
}

impl View {
    /// Takes in the rows of a read.
    pub(crate) fn update(&mut self, rows: Vec<WorkerRow>, now: Time) {
        let before = self.members();
        self.updates += 1;
        let updates = self.updates;
        for row in rows {
            let Some(known) = self.workers.get_mut(&row.id) else {
                let seen = Seen { updates, ..Seen::new(row, now) };
                self.workers.insert(seen.row.id.clone(), seen);
                continue;
            };
            match known.row.run.cmp(&row.run) {
                Ordering::Less => *known = Seen::new(row, now),
                Ordering::Equal => known.update(row, now),
                Ordering::Greater => {}
            }
            known.updates = updates;
        }
        self.departed.retain(|_, at| now.saturating_sub(*at) < REMEMBERED);
        self.workers.retain(|id, seen| {
            let is_there = seen.updates == updates;
            if !is_there && seen.row.state != WorkerState::Up {
                self.departed.insert(id.clone(), now);
                self.departures += 1;
            }
            is_there
        });
        self.read_at = Some(now);
        if self.members() != before {
            self.members_since = now;
        }
        let oldest = self.live().map(|seen| seen.row.run).min();
        if oldest != self.oldest.map(|(run, _)| run) {
            self.oldest = oldest.map(|run| (run, now));
        }
    }

    /// Returns whether a worker without a row was one of the fleet, and has left or was removed.
    pub(crate) fn has_departed(&self, worker: &str) -> bool {
        !self.workers.contains_key(worker) && self.departed.contains_key(worker)
    }

    /// Takes in the row of a write's response.
    pub(crate) fn note(&mut self, row: WorkerRow, now: Time) {
        match self.workers.get_mut(&row.id) {
            Some(known) if known.row.run > row.run => {}
            Some(known) if known.row.run == row.run => known.update(row, now),
            _ => {
                self.workers.insert(row.id.clone(), Seen::new(row, now));
                self.members_since = now;
            }
        }
    }

    pub(crate) fn note_dead(&mut self, id: &str, run: u64, now: Time) {
        if let Some(seen) = self.workers.get_mut(id)
            && seen.row.run == run
        {
            seen.row.state = WorkerState::Dead;
            self.members_since = now;
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn sizes(&self) -> [(&'static str, usize); 2] {
        [("workers", self.workers.len()), ("departed", self.departed.len())]
    }

    /// The runs of the workers that take leases.
    fn members(&self) -> Vec<u64> {
        let up = self.workers.values().filter(|seen| seen.row.state == WorkerState::Up);
        up.map(|seen| seen.row.run).collect()
    }

    /// Returns for how long the beat of a worker had not moved at the last read.
    pub(crate) fn age(&self, seen: &Seen) -> Duration {
        self.read_at.unwrap_or_default().saturating_sub(seen.beat_since)
    }

    /// Returns the workers that are not dead, though some may be suspect.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Seen> {
        self.workers.values().filter(|seen| seen.row.state != WorkerState::Dead)
    }

    /// Returns the workers that are not dead and whose beat has moved within `limit`.
    pub(crate) fn beating(&self, limit: Duration) -> impl Iterator<Item = &Seen> {
        self.live().filter(move |seen| self.age(seen) < limit)
    }

    /// Returns whether the beat of a worker has not moved for `limit`, in at least three reads
    /// during all of which this worker was healthy.
    pub(crate) fn is_still(
        &self,
        seen: &Seen,
        limit: Duration,
        healthy_since: Option<Time>,
    ) -> bool {
        let (Some(healthy), Some(read_at)) = (healthy_since, self.read_at) else { return false };
        let since = seen.beat_since.max(healthy);
        seen.reads >= 3 && read_at.saturating_sub(since) >= limit
    }

    fn up(&self, suspect: Duration) -> impl Iterator<Item = &Seen> {
        self.beating(suspect).filter(|seen| seen.row.state == WorkerState::Up)
    }

    /// Returns whether a worker other than `run` has joined within `limit` and takes no leases yet:
    /// a worker takes none until its stream of shards is polled.
    pub(crate) fn expects_receiver(&self, run: u64, limit: Duration) -> bool {
        let now = self.read_at.unwrap_or_default();
        self.workers.values().any(|seen| {
            let row = &seen.row;
            let is_new = now.saturating_sub(seen.appeared_at) < limit;
            row.run != run && row.state == WorkerState::Up && row.max == Some(0) && is_new
        })
    }

    /// Returns the run of the oldest worker that takes leases.
    pub(crate) fn oldest_up(&self, suspect: Duration) -> Option<u64> {
        self.up(suspect).map(|seen| seen.row.run).min()
    }

    /// Returns the run of the placer: the oldest worker that takes leases, unless it has completed
    /// no audit for `hung` while it was the oldest.
    pub(crate) fn placer(&self, suspect: Duration, hung: Duration) -> Option<u64> {
        let now = self.read_at?;
        let is_hung = |seen: &Seen| {
            self.oldest.is_some_and(|(run, since)| {
                run == seen.row.run && now.saturating_sub(seen.audits_since.max(since)) > hung
            })
        };
        let unhung = self.up(suspect).filter(|seen| !is_hung(seen)).map(|seen| seen.row.run).min();
        unhung.or_else(|| self.oldest_up(suspect))
    }
}
