//! One process: a machine, and a model of what surrounds it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Duration;

use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::{Config, Machine, SaveId};
use crate::lease::simulation::At;
use crate::lease::simulation::clock::Clock;
use crate::lease::simulation::event::Event;
use crate::lease::simulation::lineage::Lineage;
use crate::lease::simulation::stream::Stream;
use crate::lease::table::{LeaseRow, Permission};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Paused,
    /// It was killed, has left, or stopped for good.
    Gone,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub(super) struct Process {
    pub(super) worker: usize,
    pub(super) name: String,
    pub(super) machine: Machine,
    pub(super) clock: Clock,
    pub(super) state: State,
    /// What has happened to it while it was paused.
    pub(super) inbox: Vec<Event>,
    pub(super) lineage: Lineage,
    pub(super) readers: BTreeMap<usize, Reader>,
    pub(super) saves: BTreeMap<SaveId, (usize, u64, Saving)>,
    pub(super) next_save: u64,
    /// The time of the wake event that is queued.
    pub(super) wake: Option<At>,
    pub(super) wakes_at_once: u32,
    pub(super) requests_cut_until: At,
    pub(super) responses_cut_until: At,
    /// When it was last paused or cut off.
    pub(super) impaired_at: At,
    /// The permission that it lacks, and until when.
    pub(super) forbidden: Option<(Permission, At)>,
    /// Its stream of shards is polled.
    pub(super) is_polled: bool,
    /// Its stream of shards was polled at least once. It stays set while nobody polls.
    pub(super) was_polled: bool,
    /// When its clock began to run again.
    pub(super) stood_until: Option<At>,
    /// When another process registered under its id.
    pub(super) superseded_at: Option<At>,
    pub(super) is_leaving: bool,
    /// It has removed its row, and ended.
    pub(super) has_left: bool,
    /// A lease was given away with records in flight.
    pub(super) was_cut: bool,
    pub(super) has_listed: bool,
    /// A listing is in flight.
    pub(super) is_listing: bool,
    /// The list that has come while the stream of shards was not polled: when it was begun, and
    /// from when it is.
    pub(super) unpolled_list: Option<(At, At)>,
    /// When it is started again after it has left.
    pub(super) back_after: Option<At>,
    pub(super) consumer: Consumer,
    pub(super) started_at: At,
    /// With a mutation, what the ends of shards read before they were written.
    pub(super) read_early: BTreeMap<String, Vec<LeaseRow>>,
}

/// The consumer of all shards of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consumer {
    /// The greatest time that it takes for a record.
    pub(super) delay: At,
    /// How many records of a shard it works on.
    pub(super) limit: usize,
    pub(super) save_interval: At,
}

/// The kind of a save in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saving {
    Records(usize),
    End,
    /// The save task waits no longer.
    GivenUp,
}

/// The reader of a shard that a process holds.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a step of its own")]
pub(super) struct Reader {
    pub(super) life: u64,
    pub(super) token: u64,
    pub(super) granted_at: At,
    start: Checkpoint,
    /// How many records had been processed before.
    first: usize,
    /// The next record.
    pub(super) position: usize,
    pub(super) in_flight: BTreeSet<usize>,
    pub(super) saved: usize,
    pub(super) saving: Option<SaveId>,
    pub(super) is_draining: bool,
    /// It has told the machine that it is drained.
    pub(super) is_drained: bool,
    pub(super) is_cut: bool,
    /// All records are processed, and the end is to be saved.
    pub(super) is_ending: bool,
    pub(super) is_scheduled: bool,
    /// The stream of shards has not been polled since the grant.
    pub(super) is_parked: bool,
}

impl Reader {
    pub(super) fn new(life: u64, token: u64, now: At, start: Checkpoint, first: usize) -> Self {
        Self {
            life,
            token,
            granted_at: now,
            start,
            first,
            position: first,
            in_flight: BTreeSet::new(),
            saved: first,
            saving: None,
            is_draining: false,
            is_drained: false,
            is_cut: false,
            is_ending: false,
            is_scheduled: false,
            is_parked: false,
        }
    }

    /// Returns how many records are processed without a gap.
    pub(super) fn prefix(&self) -> usize {
        self.in_flight.first().copied().unwrap_or(self.position)
    }

    pub(super) fn checkpoint(&self, shard: usize) -> Checkpoint {
        let prefix = self.prefix();
        if prefix == self.first { self.start.clone() } else { Stream::checkpoint(shard, prefix) }
    }
}

impl Process {
    pub(super) fn new(
        now: At,
        worker: usize,
        config: Config,
        seed: u64,
        rate: f64,
        consumer: Consumer,
    ) -> Self {
        Self {
            worker,
            name: config.worker.clone(),
            machine: Machine::new(config, seed),
            clock: Clock::new(now, rate),
            state: State::Running,
            inbox: Vec::new(),
            lineage: Lineage::default(),
            readers: BTreeMap::new(),
            saves: BTreeMap::new(),
            next_save: 0,
            wake: None,
            wakes_at_once: 0,
            requests_cut_until: 0,
            responses_cut_until: 0,
            impaired_at: now,
            forbidden: None,
            is_polled: false,
            was_polled: false,
            stood_until: None,
            superseded_at: None,
            is_leaving: false,
            has_left: false,
            was_cut: false,
            has_listed: false,
            is_listing: false,
            unpolled_list: None,
            back_after: None,
            consumer,
            started_at: now,
            read_early: BTreeMap::new(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Returns whether it gives its leases away.
    pub(super) fn leaves(&self) -> bool {
        self.is_leaving || self.machine.is_leaving()
    }

    /// Returns whether its clock stood still until shortly before: it cannot know how long.
    pub(super) fn has_stood_still(&self, now: At, failover: Duration) -> bool {
        is_recent(self.stood_until, now, failover)
    }

    /// Returns whether another process has registered under its id shortly before.
    pub(super) fn was_superseded_lately(&self, now: At, failover: Duration) -> bool {
        is_recent(self.superseded_at, now, failover)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state == State::Gone
    }
}

fn is_recent(at: Option<At>, now: At, failover: Duration) -> bool {
    at.is_some_and(|at| now < at + failover.as_micros() as At * 9 / 10)
}
