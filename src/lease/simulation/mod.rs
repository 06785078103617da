//! A simulation of many workers: the same machine as in production, against a model of the tables,
//! on virtual time. One seed determines a run, and an oracle checks it.
//!
//! `tests/lease_simulation` runs it.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "virtual times are small and positive"
)]

mod checks;
mod clock;
mod event;
mod figures;
mod growth;
mod happened;
mod kcl;
mod lineage;
mod mutation;
mod oracle;
mod process;
mod reading;
mod requests;
mod setup;
mod steps;
mod stream;
mod tables;
mod units;
mod world;

use std::fmt;

pub use figures::lease_figures;
pub use growth::run_lease_growth;
pub use mutation::Mutation;
use setup::Setup;
use world::World;

/// Virtual time, in microseconds.
type At = u64;

const MILLISECOND: At = 1_000;
const SECOND: At = 1_000_000;

fn seconds(seconds: f64) -> At {
    (seconds * SECOND as f64) as At
}

/// Counts of what happened in one run or in many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub seeds: u64,
    pub virtual_seconds: u64,
    pub events: u64,
    pub requests: u64,
    pub delivered: u64,
    pub repeats: u64,
    pub grants: u64,
    pub moves: u64,
    pub losses: u64,
    pub fences: u64,
    pub ends: u64,
    /// Shards of which the machine was told that they are closed.
    pub closed: u64,
    /// Workers that stopped since they lacked a permission.
    pub forbidden: u64,
    /// Records that workers of the Kinesis Client Library delivered.
    pub kcl_delivered: u64,
    /// Leases that they took because the counter did not move.
    pub kcl_takes: u64,
    /// Leases that they took from workers of the fleet that live.
    pub kcl_steals: u64,
    /// Hand-overs that their leader asked for.
    pub kcl_asked: u64,
    /// Hand-overs that workers of the fleet completed.
    pub kcl_handed_over: u64,
    pub kcl_ends: u64,
    /// Rows of ended shards that they deleted.
    pub kcl_deletions: u64,
}

impl Figures {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.virtual_seconds += other.virtual_seconds;
        self.events += other.events;
        self.requests += other.requests;
        self.delivered += other.delivered;
        self.repeats += other.repeats;
        self.grants += other.grants;
        self.moves += other.moves;
        self.losses += other.losses;
        self.fences += other.fences;
        self.ends += other.ends;
        self.closed += other.closed;
        self.forbidden += other.forbidden;
        self.kcl_delivered += other.kcl_delivered;
        self.kcl_takes += other.kcl_takes;
        self.kcl_steals += other.kcl_steals;
        self.kcl_asked += other.kcl_asked;
        self.kcl_handed_over += other.kcl_handed_over;
        self.kcl_ends += other.kcl_ends;
        self.kcl_deletions += other.kcl_deletions;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} virtual hours, {} events, {} requests; {} records delivered, {} of them \
             again; {} grants, {} moves, {} losses, {} fences, {} ends, {} shards closed, \
             {} workers without a permission; KCL: {} \
             records, {} leases taken, {} stolen, {} hand-overs asked for, {} of them from the \
             fleet done, {} ends, {} rows deleted",
            self.seeds,
            self.virtual_seconds / 3_600,
            self.events,
            self.requests,
            self.delivered,
            self.repeats,
            self.grants,
            self.moves,
            self.losses,
            self.fences,
            self.ends,
            self.closed,
            self.forbidden,
            self.kcl_delivered,
            self.kcl_takes,
            self.kcl_steals,
            self.kcl_asked,
            self.kcl_handed_over,
            self.kcl_ends,
            self.kcl_deletions
        )
    }
}

/// Plays one seed. The error says which invariant does not hold.
///
/// # Errors
///
/// The first violation of an invariant.
pub fn run_lease_simulation(
    seed: u64,
    mutation: Option<Mutation>,
    trace: bool,
) -> Result<Figures, String> {
    let mut world = World::new(Setup::of_seed(seed), mutation, trace);
    world.play().map_err(|violation| format!("seed {seed}: {violation}"))
}
