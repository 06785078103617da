//! The requests to the two tables of a fleet, as types.
//!
//! The *lease table* is that of the Kinesis Client Library: one row for each shard, which holds its
//! owner and its checkpoint. The *workers table* has one row for each worker, and one for the
//! fleet. Every change is one conditional write to one row. [`LeaseTables::send`] carries it out;
//! DynamoDB does, and so does a model for tests.

pub(crate) mod dynamodb;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod model;

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange};
use futures::future::BoxFuture;

pub(crate) use crate::checkpoint::dynamodb::row::{LeaseRow, Writer};
use crate::checkpoint::value::Checkpoint;

/// The state that a worker gives itself, or that another has given it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WorkerState {
    #[default]
    Up,
    /// The worker is shutting down, and takes no lease.
    Leaving,
    /// Another worker has fenced it: none of its leases counts.
    Dead,
}

/// A row of the workers table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerRow {
    pub(crate) id: String,
    /// The number of the join. A younger worker has a greater one.
    pub(crate) run: u64,
    /// The proof of life: the worker moves it every few seconds.
    pub(crate) beat: u64,
    pub(crate) state: WorkerState,
    /// The run that has fenced this worker.
    pub(crate) fenced_by: Option<u64>,
    /// The number of leases that it holds and is not about to give away.
    pub(crate) held: u64,
    /// The greatest number of leases that it takes.
    pub(crate) max: Option<u64>,
    /// The shards that others are about to give it.
    pub(crate) coming: BTreeSet<String>,
    /// The number of audits that it has completed as the placer.
    pub(crate) audits: u64,
}

/// The new values of a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the number has the name of its attribute")]
pub(crate) struct Beat {
    pub(crate) worker: String,
    pub(crate) run: u64,
    pub(crate) beat: u64,
    /// [`WorkerState::Up`] or [`WorkerState::Leaving`].
    pub(crate) state: WorkerState,
    pub(crate) held: u64,
    pub(crate) max: Option<u64>,
    pub(crate) audits: u64,
    /// The entries to remove from [`WorkerRow::coming`].
    pub(crate) arrived: BTreeSet<String>,
}

/// A request to one of the tables.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Adds 1 to the fleet's number of joins, and returns it as the run: [`Response::Joined`].
    Join,
    /// Sets where the fleet starts to read, unless it is set: [`Response::Started`] has the start
    /// that counts. `stream` is set in the same way.
    Start { start: Checkpoint, stream: String },
    /// Writes the row of a worker, if there is none or its run is smaller: [`Response::Worker`].
    Register(WorkerRow),
    /// Moves the beat, if the run is the same, the beat is smaller and the worker is not dead:
    /// [`Response::Worker`].
    Beat(Beat),
    /// Adds shards to what is coming to a worker, if it is up and has this run, and, with `seen`,
    /// if it holds exactly `seen.0` leases and `seen.1` are coming: [`Response::Worker`].
    Reserve { worker: String, run: u64, seen: Option<(u64, usize)>, shards: BTreeSet<String> },
    /// Declares a worker dead, if its run and beat are still these and it is not dead:
    /// [`Response::Worker`].
    Fence { worker: String, run: u64, beat: u64, by: u64 },
    /// Deletes the row of a worker with this run, if it is dead or the worker's own:
    /// [`Response::Worker`] with the deleted row.
    RemoveWorker { worker: String, run: u64, is_own: bool },
    /// Reads all workers: [`Response::Workers`].
    Workers { is_consistent: bool },
    /// Reads all leases, consistently: [`Response::Leases`].
    Scan,
    /// Reads these leases, consistently: [`Response::Leases`]. Rows that do not exist are left out.
    Get(Vec<String>),
    /// Writes a lease: [`Response::Lease`], or [`Response::Deleted`].
    Write(LeaseWrite),
}

/// A permission that a request needs: an operation on the table of the leases or of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Permission {
    ReadLeases,
    ScanLeases,
    WriteLeases,
    DeleteLeases,
    ScanWorkers,
    WriteWorkers,
    DeleteWorkers,
}

impl Request {
    /// Returns whether this creates the row of a lease.
    pub(crate) fn is_creation(&self) -> bool {
        matches!(self, Self::Write(LeaseWrite { change: Change::Create(_), .. }))
    }

    /// Returns whether this changes a row.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self, Self::Workers { .. } | Self::Scan | Self::Get(_))
    }

    pub(crate) fn permission(&self) -> Permission {
        match self {
            Self::Join
            | Self::Start { .. }
            | Self::Register(_)
            | Self::Beat(_)
            | Self::Reserve { .. }
            | Self::Fence { .. } => Permission::WriteWorkers,
            Self::RemoveWorker { .. } => Permission::DeleteWorkers,
            Self::Workers { .. } => Permission::ScanWorkers,
            Self::Scan => Permission::ScanLeases,
            Self::Get(_) => Permission::ReadLeases,
            Self::Write(LeaseWrite { change: Change::Delete, .. }) => Permission::DeleteLeases,
            Self::Write(_) => Permission::WriteLeases,
        }
    }
}

/// A conditional write to a lease. [`Condition::Absent`] and [`Change::Create`] go together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeaseWrite {
    pub(crate) shard_id: String,
    pub(crate) condition: Condition,
    pub(crate) change: Change,
    /// The run of the worker that writes.
    pub(crate) run: u64,
}

impl LeaseWrite {
    /// Returns the counter of the row after this write.
    pub(crate) fn next_counter(&self) -> u64 {
        match (&self.change, self.condition.counter()) {
            (Change::Create(lease), _) => u64::from(lease.owner.is_some()),
            (_, counter) => counter.map_or(0, |counter| counter + 1),
        }
    }

    /// Returns the writer that this write leaves in the row.
    pub(crate) fn writer(&self) -> Writer {
        Writer { run: self.run.to_string(), counter: self.next_counter() }
    }

    /// Returns the row that this write creates.
    fn new_row(&self, lease: &NewLease) -> LeaseRow {
        let parents = lease.parents.iter().map(String::as_str);
        let (range, checkpoint) = (lease.hash_range.clone(), lease.checkpoint.clone());
        LeaseRow {
            owner: lease.owner.clone(),
            ..LeaseRow::new(&self.shard_id, parents, range, checkpoint, self.writer())
        }
    }

    /// Returns whether this write claims the lease of another owner, as far as its condition says.
    fn takes_from_another(&self) -> bool {
        match (&self.condition, &self.change) {
            (Condition::Owned { owner: from, .. }, Change::Claim { owner }) => from != owner,
            _ => false,
        }
    }

    fn debug_assert_valid(&self) {
        let is_creation = matches!(self.change, Change::Create(_));
        debug_assert_eq!(self.condition == Condition::Absent, is_creation, "{self:?}");
    }
}

/// The condition of a write. Any condition but [`Absent`](Self::Absent) fails if there is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is no row.
    Absent,
    /// The counter is this one, and the lease has no owner.
    Unowned { counter: u64 },
    /// The counter and the owner are these, and so is the former owner of a KCL 3 hand-over.
    Owned { counter: u64, owner: String, checkpoint_owner: Option<String> },
    /// The counter is this one, and a KCL 3 leader asks this worker to hand the lease over.
    HandoverFrom { counter: u64, checkpoint_owner: String },
    /// The counter is this one, and the shard has ended.
    Ended { counter: u64 },
}

impl Condition {
    /// Returns the condition that a row is as it was read.
    pub(crate) fn as_read(row: &LeaseRow) -> Self {
        let counter = row.counter;
        match &row.owner {
            None => Self::Unowned { counter },
            Some(owner) => Self::Owned {
                counter,
                owner: owner.clone(),
                checkpoint_owner: row.checkpoint_owner.clone(),
            },
        }
    }

    /// Returns the counter of the row for which the condition holds.
    pub(crate) fn counter(&self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Unowned { counter }
            | Self::Owned { counter, .. }
            | Self::HandoverFrom { counter, .. }
            | Self::Ended { counter } => Some(*counter),
        }
    }
}

/// The change of a write. Each but [`Create`](Self::Create) adds 1 to the counter, and each writes
/// [`LeaseRow::writer`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Creates the row, with counter 0 if it has no owner and 1 if it has.
    Create(NewLease),
    /// Gives the lease a new owner, and adds 1 to the switches of owners if another had it. The
    /// checkpoint stays, and so does a pending one of the KCL. Removes the former owner of a KCL 3
    /// hand-over.
    Claim { owner: String },
    /// Saves a checkpoint; the owner stays.
    Save { checkpoint: Checkpoint },
    /// Saves a checkpoint, and gives the lease to `to`, or to nobody.
    Give { checkpoint: Checkpoint, to: Option<String> },
    /// Ends the shard: all its records were processed. The owner stays, and so do children that are
    /// named already if there are none here. Completes a hand-over that a KCL 3 leader asked for.
    End { children: Vec<String> },
    /// Saves a checkpoint, and completes the hand-over that a KCL 3 leader asked for.
    HandOver { checkpoint: Checkpoint },
    /// Moves the counter alone, so that a KCL sees the lease as renewed.
    Renew,
    /// Deletes the row.
    Delete,
}

/// A lease to be created.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewLease {
    pub(crate) owner: Option<String>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) parents: Vec<String>,
    pub(crate) hash_range: Option<HashKeyRange>,
}

impl NewLease {
    /// Returns the lease of a child that the end of its parent named.
    pub(crate) fn child(child: &ChildShard) -> Self {
        Self {
            owner: None,
            checkpoint: Checkpoint::Start(crate::shard::position::StartPosition::TrimHorizon),
            parents: child.parent_shards.clone(),
            hash_range: child.hash_key_range.clone(),
        }
    }
}

/// The response to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Response {
    /// `stream` is that of the fleet, once it is set.
    Joined {
        run: u64,
        stream: Option<String>,
    },
    Started {
        start: Checkpoint,
        stream: String,
    },
    /// The worker's row after the write; before it, if the write deleted it.
    Worker(WorkerRow),
    Workers(Vec<WorkerRow>),
    Leases(Vec<LeaseRow>),
    /// The lease after the write.
    Lease(LeaseRow),
    /// The row was deleted.
    Deleted,
    /// The condition does not hold. The row as it is, if there is one and the response shows it.
    RefusedWorker(Option<WorkerRow>),
    RefusedLease(Option<LeaseRow>),
}

/// The error of a request to a table.
pub(crate) struct TableError {
    /// Whether no retry mends it: no permission, no such table, a table of another kind.
    pub(crate) is_permanent: bool,
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Debug for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableError")
            .field("is_permanent", &self.is_permanent)
            .field("source", &self.source.to_string())
            .finish()
    }
}

/// The two tables of one fleet.
pub(crate) trait LeaseTables: Send + Sync {
    /// Creates the tables that do not exist, and waits until they are active.
    fn create_missing(&self) -> BoxFuture<'_, Result<(), TableError>>;

    /// Sends a request. An error leaves open whether a write was applied.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, TableError>>;

    /// Returns the names of the tables, for messages.
    fn names(&self) -> String;
}
