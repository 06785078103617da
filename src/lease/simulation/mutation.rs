//! Faults that are built in on purpose: some seed must catch each.

use std::fmt;

use crate::checkpoint::value::Checkpoint;
use crate::lease::simulation::tables::Tables;
use crate::lease::table::{
    Change, Condition, LeaseWrite, Request, Response, WorkerRow, WorkerState,
};

/// A clause of a condition that is left out, or a rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    RegisterOlderRun,
    BeatOfOtherRun,
    BeatOutOfOrder,
    BeatOfDead,
    ReserveUnseen,
    FenceOfOtherBeat,
    /// The two clauses of the removal cover for each other: both are left out.
    RemoveLivingWorker,
    CreateOver,
    ClaimOwnedByCounter,
    SaveByCounter,
    GiveByCounter,
    /// A worker judges others although it was cut off itself.
    NoEvidence,
    /// Records are delivered for 1.2 times the failover time after a beat, not 0.8 times.
    LateDeadline,
    /// The other parents of children are read before the end is written, not after.
    ParentsBeforeEnd,
    /// A worker takes up leases that its row names it as the owner of, without a claim.
    GrantWithoutClaim,
    /// The placer does not read whether dead owners have joined again.
    OldOwners,
    /// A worker that leaves stays for what is coming, and gives it away again.
    ReserveOfLeaving,
    /// Nothing is lost: the giver names the worker, whichever run of it was told.
    ReserveOfOtherRun,
    /// The beat of the fence would have to be that of the other run, too.
    FenceOfOtherRun,
    /// The owner never changes without the counter, but in a hand-over of KCL 3; and a claim saves
    /// nothing.
    ClaimUnownedByCounter,
    ClaimUnownedByOwner,
    /// A shard that has ended once has ended for good.
    EndByCounter,
    /// Only rows of shards that Kinesis no longer lists are deleted.
    DeleteByCounter,
    DeleteUnended,
}

impl Mutation {
    /// Each mutation, with a seed that catches it. Without one, the clause is covered by another.
    pub const ALL: &[(Self, Option<u64>)] = &[
        (Self::RegisterOlderRun, Some(117)),
        (Self::BeatOfOtherRun, Some(570)),
        (Self::BeatOutOfOrder, Some(1)),
        (Self::BeatOfDead, Some(5)),
        (Self::ReserveUnseen, Some(1555)),
        (Self::FenceOfOtherBeat, Some(1)),
        (Self::RemoveLivingWorker, Some(9)),
        (Self::CreateOver, Some(0)),
        (Self::ClaimOwnedByCounter, Some(185)),
        (Self::SaveByCounter, Some(29)),
        (Self::GiveByCounter, Some(2600)),
        (Self::NoEvidence, Some(11)),
        (Self::LateDeadline, Some(166)),
        (Self::ParentsBeforeEnd, Some(105)),
        (Self::GrantWithoutClaim, Some(9)),
        (Self::OldOwners, Some(271)),
        (Self::ReserveOfLeaving, None),
        (Self::ReserveOfOtherRun, None),
        (Self::FenceOfOtherRun, None),
        (Self::ClaimUnownedByCounter, None),
        (Self::ClaimUnownedByOwner, None),
        (Self::EndByCounter, None),
        (Self::DeleteByCounter, None),
        (Self::DeleteUnended, None),
    ];

    /// Returns the response to a request that this mutation leaves out.
    pub(super) fn response(self, tables: &Tables, request: &Request) -> Option<Response> {
        if self == Self::GrantWithoutClaim
            && let Request::Write(LeaseWrite { shard_id, condition, change, .. }) = request
            && let (Condition::Owned { counter, owner, .. }, Change::Claim { owner: to }) =
                (condition, change)
        {
            let row = tables.row(shard_id)?;
            let is_own = owner == to && row.owner.as_ref() == Some(to) && row.counter == *counter;
            return is_own.then(|| Response::Lease(row.clone()));
        }
        None
    }

    /// Changes a request as if a clause of its condition were left out: the clause then holds for
    /// the row as it is. Returns a row of a worker to be written instead, on no condition.
    pub(super) fn apply(self, tables: &Tables, request: &mut Request) -> Option<WorkerRow> {
        match request {
            Request::Register(row) if self == Self::RegisterOlderRun => return Some(row.clone()),
            Request::Beat(beat) => {
                let mut row = tables.worker(&beat.worker)?.clone();
                let is_left_out = match self {
                    Self::BeatOfOtherRun => row.run != beat.run && row.beat < beat.beat,
                    Self::BeatOutOfOrder => row.run == beat.run && row.beat >= beat.beat,
                    Self::BeatOfDead => row.run == beat.run && row.state == WorkerState::Dead,
                    _ => false,
                };
                if is_left_out && (row.state != WorkerState::Dead || self == Self::BeatOfDead) {
                    (row.beat, row.state, row.held) = (beat.beat, beat.state, beat.held);
                    row.coming.retain(|shard| !beat.arrived.contains(shard));
                    return Some(row);
                }
            }
            Request::Reserve { worker, run, seen, shards } => {
                let mut row = tables.worker(worker)?.clone();
                match self {
                    Self::ReserveOfOtherRun => *run = row.run,
                    Self::ReserveUnseen => *seen = None,
                    Self::ReserveOfLeaving
                        if row.run == *run
                            && row.state != WorkerState::Dead
                            && seen.is_none_or(|seen| seen == (row.held, row.coming.len())) =>
                    {
                        row.coming.extend(shards.iter().cloned());
                        return Some(row);
                    }
                    _ => {}
                }
            }
            Request::Fence { worker, run, beat, .. } => {
                let row = tables.worker(worker)?;
                match self {
                    Self::FenceOfOtherRun => *run = row.run,
                    Self::FenceOfOtherBeat => *beat = row.beat,
                    _ => {}
                }
            }
            // Each of the two clauses covers for the other.
            Request::RemoveWorker { worker, run, is_own } if self == Self::RemoveLivingWorker => {
                (*run, *is_own) = (tables.worker(worker)?.run, true);
            }
            Request::Write(write) => {
                let row = tables.row(&write.shard_id)?;
                let is_left_out = match (&write.change, &write.condition) {
                    (Change::Claim { .. }, Condition::Unowned { .. }) => {
                        self == Self::ClaimUnownedByCounter
                    }
                    (Change::Claim { .. }, _) => self == Self::ClaimOwnedByCounter,
                    (Change::Save { .. }, _) => self == Self::SaveByCounter,
                    (Change::Give { .. }, _) => self == Self::GiveByCounter,
                    (Change::End { .. }, _) => self == Self::EndByCounter,
                    (Change::Delete, _) => self == Self::DeleteByCounter,
                    _ => false,
                };
                match &mut write.condition {
                    Condition::Unowned { counter }
                    | Condition::Owned { counter, .. }
                    | Condition::Ended { counter }
                        if is_left_out =>
                    {
                        *counter = row.counter;
                    }
                    Condition::Unowned { counter } if self == Self::ClaimUnownedByOwner => {
                        if let (Some(owner), true) = (&row.owner, row.counter == *counter) {
                            write.condition = Condition::Owned {
                                counter: *counter,
                                owner: owner.clone(),
                                checkpoint_owner: row.checkpoint_owner.clone(),
                            };
                        }
                    }
                    Condition::Ended { counter }
                        if self == Self::DeleteUnended
                            && row.checkpoint != Checkpoint::End
                            && row.counter == *counter =>
                    {
                        let counter = *counter;
                        write.condition = match &row.owner {
                            None => Condition::Unowned { counter },
                            Some(owner) => Condition::Owned {
                                counter,
                                owner: owner.clone(),
                                checkpoint_owner: row.checkpoint_owner.clone(),
                            },
                        };
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        None
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
