//! The workers of a fleet, as one of them has read them.

use crate::lease::table::{WorkerRow, WorkerState};

/// A worker of the fleet: see the example of [`Leases::workers`](super::Leases::workers).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// The id.
    pub id: String,
    /// The number of its join: 1 for the first worker that ever joined, and greater for each later
    /// one.
    pub run: u64,
    /// The number of leases that it holds and is not giving away.
    pub leases: u64,
    /// The number of leases that others are giving to it.
    pub coming: usize,
    /// The greatest number of leases that it takes, if it has a limit.
    pub max_leases: Option<u64>,
    /// Whether it is shutting down.
    pub is_leaving: bool,
}

impl WorkerStatus {
    pub(crate) fn of(row: &WorkerRow) -> Self {
        Self {
            id: row.id.clone(),
            run: row.run,
            leases: row.held,
            coming: row.coming.len(),
            max_leases: row.max,
            is_leaving: row.state == WorkerState::Leaving,
        }
    }
}
