//! Faults that are built in on purpose: some seed must catch each.

use std::fmt;

use crate::lease::table::model::ModelTables;
use crate::lease::table::{
    Change, Condition, LeaseRow, LeaseWrite, Request, Response, WorkerRow, WorkerState,
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
    /// A row is created by a list that is older than the rows that were read.
    CreateByOldList,
    /// A worker takes up leases that its row names it as the owner of, without a claim.
    GrantWithoutClaim,
    /// The placer does not read whether dead owners have joined again.
    OldOwners,
    /// The leases beside a KCL are not renewed.
    NoRenewal,
    /// The clauses of both owners are left out: a hand-over that a KCL asks for goes unnoticed. A
    /// hand-over changes both, so each of the two covers for the other.
    SaveByOwners,
    /// The pairs of clauses of which one alone covers for the other.
    ClaimUnowned,
    ClaimOwned,
    Save,
    Give,
    /// Leases are announced to a worker that takes none, or to an earlier run. Nothing is lost by
    /// that, but they move twice, or come late: the oracle looks at the announcement itself.
    ReserveOfLeaving,
    ReserveOfOtherRun,
    ReserveOfAny,
    /// The beat of the fence would have to be that of the other run, too.
    FenceOfOtherRun,
    FenceOfDead,
    ClaimUnownedByCounter,
    /// The owner never changes without the counter, but in a hand-over of KCL 3, which asks only
    /// owners. `ClaimUnowned` leaves out both.
    ClaimUnownedByOwner,
    /// The worker that a hand-over names does not start before the counter has moved.
    ClaimOwnedByOwners,
    /// A lease is given away although a KCL has asked for it.
    GiveByOwners,
    EndByCounter,
    /// The end of a shard completes a hand-over that a KCL has asked for meanwhile. The KCL then
    /// finds a shard that has ended, as it does after the hand-over.
    EndByOwners,
    End,
    /// A leader that ends a hand-over by force moves the counter and removes the former owner, and
    /// so each of the two clauses covers for the other: `HandOver` leaves out both.
    HandOverByCounter,
    HandOverByOwner,
    DeleteByCounter,
    /// The owner never changes without the counter, and an ended row never changes.
    DeleteUnended,
    Delete,
    /// A hand-over lands once more after the next owner has saved.
    HandOver,
}

impl Mutation {
    /// Each mutation, with a seed that catches it. Without one, another clause covers it, or no
    /// seed was found yet.
    pub const ALL: &[(Self, Option<u64>)] = &[
        (Self::RegisterOlderRun, Some(6)),
        (Self::BeatOfOtherRun, Some(591)),
        (Self::BeatOutOfOrder, Some(1)),
        (Self::BeatOfDead, Some(1)),
        (Self::ReserveUnseen, Some(1280)),
        (Self::FenceOfOtherBeat, Some(104)),
        (Self::RemoveLivingWorker, Some(72)),
        (Self::CreateOver, Some(1)),
        (Self::ClaimOwnedByCounter, Some(108)),
        (Self::SaveByCounter, Some(1)),
        (Self::GiveByCounter, Some(4)),
        (Self::NoEvidence, Some(11)),
        (Self::LateDeadline, Some(44)),
        (Self::ParentsBeforeEnd, Some(137)),
        (Self::CreateByOldList, Some(723)),
        (Self::GrantWithoutClaim, Some(9)),
        (Self::OldOwners, Some(55)),
        (Self::NoRenewal, Some(18)),
        (Self::SaveByOwners, Some(108)),
        (Self::ClaimUnowned, Some(11)),
        (Self::ClaimOwned, Some(64)),
        (Self::Save, Some(1)),
        (Self::Give, Some(4)),
        (Self::ReserveOfLeaving, Some(40)),
        (Self::ReserveOfOtherRun, Some(94)),
        (Self::ReserveOfAny, Some(40)),
        (Self::FenceOfOtherRun, None),
        (Self::FenceOfDead, Some(1)),
        (Self::ClaimUnownedByCounter, Some(19)),
        (Self::ClaimUnownedByOwner, None),
        (Self::ClaimOwnedByOwners, None),
        (Self::GiveByOwners, Some(148)),
        (Self::EndByCounter, Some(31)),
        (Self::EndByOwners, None),
        (Self::End, Some(31)),
        (Self::HandOverByCounter, None),
        (Self::HandOverByOwner, None),
        (Self::DeleteByCounter, Some(1386)),
        (Self::DeleteUnended, None),
        (Self::Delete, Some(1386)),
        (Self::HandOver, Some(58)),
    ];

    /// Returns the response to a request that this mutation leaves out.
    pub(super) fn response(self, tables: &ModelTables, request: &Request) -> Option<Response> {
        if self == Self::GrantWithoutClaim
            && let Request::Write(LeaseWrite { shard_id, condition, change, .. }) = request
            && let (Condition::Owned { counter, owner, .. }, Change::Claim { owner: to }) =
                (condition, change)
        {
            let row = tables.row(shard_id)?;
            let is_own = owner == to && row.owner.as_ref() == Some(to) && row.counter == *counter;
            return is_own.then(|| Response::Lease(row.clone()));
        }
        if self == Self::NoRenewal
            && let Request::Write(LeaseWrite { shard_id, change: Change::Renew, .. }) = request
        {
            return tables.row(shard_id).map(|row| Response::Lease(row.clone()));
        }
        None
    }

    /// Changes a request as if a clause of its condition were left out: the clause then holds for
    /// the row as it is. Returns a row of a worker to be written instead, on no condition.
    pub(super) fn apply(self, tables: &ModelTables, request: &mut Request) -> Option<WorkerRow> {
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
                    Self::ReserveOfLeaving | Self::ReserveOfAny
                        if (row.run == *run || self == Self::ReserveOfAny)
                            && row.state != WorkerState::Dead
                            && seen.is_none_or(|seen| seen == (row.held, row.coming.len())) =>
                    {
                        row.coming.extend(shards.iter().cloned());
                        return Some(row);
                    }
                    _ => {}
                }
            }
            Request::Fence { worker, run, beat, by } => {
                let row = tables.worker(worker)?;
                match self {
                    Self::FenceOfDead if (row.run, row.beat) == (*run, *beat) => {
                        return Some(WorkerRow {
                            state: WorkerState::Dead,
                            fenced_by: Some(*by),
                            ..row.clone()
                        });
                    }
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
                let (drops_counter, drops_owner) = self.dropped(write);
                let mut counter = write.condition.counter()?;
                if drops_counter {
                    counter = row.counter;
                }
                if drops_owner {
                    write.condition = as_it_is(row, counter);
                } else if let Condition::Unowned { counter: expected }
                | Condition::Owned { counter: expected, .. }
                | Condition::HandoverFrom { counter: expected, .. }
                | Condition::Ended { counter: expected } = &mut write.condition
                {
                    *expected = counter;
                }
            }
            _ => {}
        }
        None
    }

    /// Returns which clauses of a write are left out: that of the counter, and those of the owners
    /// or of the end.
    fn dropped(self, write: &LeaseWrite) -> (bool, bool) {
        match (self, &write.change, &write.condition) {
            (Self::ClaimUnownedByCounter, Change::Claim { .. }, Condition::Unowned { .. })
            | (Self::ClaimOwnedByCounter, Change::Claim { .. }, Condition::Owned { .. })
            | (Self::SaveByCounter, Change::Save { .. }, _)
            | (Self::GiveByCounter, Change::Give { .. }, _)
            | (Self::EndByCounter, Change::End { .. }, _)
            | (Self::HandOverByCounter, Change::HandOver { .. }, _)
            | (Self::DeleteByCounter, Change::Delete, _) => (true, false),
            (Self::ClaimUnownedByOwner, Change::Claim { .. }, Condition::Unowned { .. })
            | (Self::ClaimOwnedByOwners, Change::Claim { .. }, Condition::Owned { .. })
            | (Self::SaveByOwners, Change::Save { .. } | Change::Renew, _)
            | (Self::GiveByOwners, Change::Give { .. }, _)
            | (Self::EndByOwners, Change::End { .. }, _)
            | (Self::HandOverByOwner, Change::HandOver { .. }, _)
            | (Self::DeleteUnended, Change::Delete, _) => (false, true),
            (Self::ClaimUnowned, Change::Claim { .. }, Condition::Unowned { .. })
            | (Self::ClaimOwned, Change::Claim { .. }, Condition::Owned { .. })
            | (Self::Save, Change::Save { .. } | Change::Renew, _)
            | (Self::Give, Change::Give { .. }, _)
            | (Self::End, Change::End { .. }, _)
            | (Self::HandOver, Change::HandOver { .. }, _)
            | (Self::Delete, Change::Delete, _) => (true, true),
            _ => (false, false),
        }
    }
}

/// Returns the condition that a row has the owners that it has.
fn as_it_is(row: &LeaseRow, counter: u64) -> Condition {
    match &row.owner {
        None => Condition::Unowned { counter },
        Some(owner) => Condition::Owned {
            counter,
            owner: owner.clone(),
            checkpoint_owner: row.checkpoint_owner.clone(),
        },
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
