//! A worker of the KCL, and the leases that it owns.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::machine::Time;
use crate::lease::simulation::At;
use crate::lease::simulation::clock::Clock;
use crate::lease::simulation::kcl::event::KclEvent;
use crate::lease::simulation::process::{Consumer, Reader, State};
use crate::lease::simulation::setup::Version;
use crate::lease::table::LeaseRow;

/// A worker of the KCL.
#[derive(Debug)]
pub(crate) struct Kcl {
    pub(super) worker: usize,
    pub(crate) name: String,
    pub(super) version: Version,
    pub(super) clock: Clock,
    pub(super) state: State,
    pub(super) ended_at: At,
    pub(super) inbox: Vec<KclEvent>,
    /// The counter of each lease in its last round, and since when it has not moved.
    pub(super) seen: BTreeMap<usize, (u64, Time)>,
    /// The hand-overs that the leader waits for.
    pub(super) asked: BTreeMap<usize, (LeaseRow, Time)>,
    pub(super) owned: BTreeMap<usize, Owned>,
    /// The ended shards whose rows are deleted later.
    pub(super) finished: BTreeSet<usize>,
    pub(super) consumer: Consumer,
    pub(super) cut_until: At,
    pub(super) rounds: u32,
}

/// A lease of a worker of the KCL.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) life: u64,
    pub(super) counter: u64,
    /// When the counter was moved last, by the worker's clock.
    pub(super) moved_at: Time,
    pub(super) reader: Option<Reader>,
    pub(super) is_saving: bool,
    /// The leader has asked for a hand-over.
    pub(super) is_asked: bool,
}

impl Kcl {
    pub(super) fn new(
        now: At,
        worker: usize,
        name: String,
        version: Version,
        rate: f64,
        consumer: Consumer,
    ) -> Self {
        Self {
            worker,
            name,
            version,
            clock: Clock::new(now, rate),
            state: State::Running,
            ended_at: 0,
            inbox: Vec::new(),
            seen: BTreeMap::new(),
            asked: BTreeMap::new(),
            owned: BTreeMap::new(),
            finished: BTreeSet::new(),
            consumer,
            cut_until: 0,
            rounds: 0,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    pub(crate) fn owns(&self, shard: usize) -> bool {
        self.owned.contains_key(&shard)
    }

    pub(super) fn local(&self, now: At) -> Time {
        self.clock.local(now)
    }
}

/// Returns whether a worker of the fleet owns a lease.
pub(super) fn is_of_fleet(row: &LeaseRow) -> bool {
    row.owner.as_ref().is_some_and(|owner| !owner.starts_with("kcl-"))
}
