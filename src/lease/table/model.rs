//! The two tables of a fleet in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::dynamodb::item::sorted;
use crate::checkpoint::value::Checkpoint;
use crate::lease::table::{
    Beat, Change, Condition, LeaseRow, LeaseWrite, Request, Response, WorkerRow, WorkerState,
};

/// A model of both tables. It responds to each request as DynamoDB does, without any fault:
/// `compare_lease_tables` checks that.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelTables {
    leases: BTreeMap<String, ModelLease>,
    workers: BTreeMap<String, WorkerRow>,
    joins: u64,
    start: Option<Checkpoint>,
    stream: Option<String>,
}

/// A row of the lease table, with what [`LeaseRow`] leaves out.
#[derive(Clone, Debug)]
struct ModelLease {
    row: LeaseRow,
    owner_switches: u64,
}

impl ModelTables {
    /// Returns the response to a request, and changes the tables as it says.
    pub(crate) fn apply(&mut self, request: &Request) -> Response {
        match request {
            Request::Join => {
                self.joins += 1;
                Response::Joined { run: self.joins, stream: self.stream.clone() }
            }
            Request::Start { start, stream } => Response::Started {
                start: self.start.get_or_insert_with(|| start.clone()).clone(),
                stream: self.stream.get_or_insert_with(|| stream.clone()).clone(),
            },
            Request::Register(row) => self.register(row),
            Request::Beat(beat) => self.beat(beat),
            Request::Reserve { worker, run, seen, shards } => self.update_worker(
                worker,
                |row| {
                    let is_as_seen = seen.is_none_or(|(held, coming)| {
                        (row.held, row.coming.len()) == (held, coming)
                    });
                    row.state == WorkerState::Up && row.run == *run && is_as_seen
                },
                |row| row.coming.extend(shards.iter().cloned()),
            ),
            Request::Fence { worker, run, beat, by } => self.update_worker(
                worker,
                |row| (row.run, row.beat) == (*run, *beat) && row.state != WorkerState::Dead,
                |row| {
                    row.state = WorkerState::Dead;
                    row.fenced_by = Some(*by);
                },
            ),
            Request::RemoveWorker { worker, run, is_own } => match self.workers.get(worker) {
                Some(row) if row.run == *run && (*is_own || row.state == WorkerState::Dead) => {
                    let row = row.clone();
                    self.workers.remove(worker);
                    Response::Worker(row)
                }
                row => Response::RefusedWorker(row.cloned()),
            },
            Request::Workers { .. } => Response::Workers(self.workers().cloned().collect()),
            Request::Scan => Response::Leases(self.rows().cloned().collect()),
            Request::Get(shards) => {
                let shards: BTreeSet<_> = shards.iter().collect();
                let rows = shards.into_iter().filter_map(|shard| self.row(shard));
                Response::Leases(rows.cloned().collect())
            }
            Request::Write(write) => self.write(write),
        }
    }

    /// Returns all leases, by their shards.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &LeaseRow> {
        self.leases.values().map(|lease| &lease.row)
    }

    /// Returns the lease of a shard.
    pub(crate) fn row(&self, shard_id: &str) -> Option<&LeaseRow> {
        self.leases.get(shard_id).map(|lease| &lease.row)
    }

    /// Returns how often a lease was taken from an owner since its checkpoint was saved.
    pub(crate) fn owner_switches(&self, shard_id: &str) -> Option<u64> {
        self.leases.get(shard_id).map(|lease| lease.owner_switches)
    }

    /// Returns all workers, by their ids.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &WorkerRow> {
        self.workers.values()
    }

    /// Returns the row of a worker.
    pub(crate) fn worker(&self, id: &str) -> Option<&WorkerRow> {
        self.workers.get(id)
    }

    /// Writes a lease on no condition, as another application may.
    pub(crate) fn put_row(&mut self, row: LeaseRow) {
        self.leases.insert(row.shard_id.clone(), ModelLease { row, owner_switches: 0 });
    }

    /// Changes a lease on no condition.
    pub(crate) fn set_row(&mut self, row: LeaseRow) {
        if let Some(lease) = self.leases.get_mut(&row.shard_id) {
            lease.row = row;
        }
    }

    /// Writes the row of a worker on no condition.
    pub(crate) fn put_worker(&mut self, row: WorkerRow) {
        self.workers.insert(row.id.clone(), row);
    }

    /// Deletes a lease on no condition, as somebody may by hand.
    pub(crate) fn delete_row(&mut self, shard_id: &str) -> Option<LeaseRow> {
        self.leases.remove(shard_id).map(|lease| lease.row)
    }

    fn register(&mut self, row: &WorkerRow) -> Response {
        match self.workers.get(&row.id) {
            Some(old) if old.run >= row.run => Response::RefusedWorker(Some(old.clone())),
            _ => {
                self.workers.insert(row.id.clone(), row.clone());
                Response::Worker(row.clone())
            }
        }
    }

    fn beat(&mut self, beat: &Beat) -> Response {
        self.update_worker(
            &beat.worker,
            |row| row.run == beat.run && row.beat < beat.beat && row.state != WorkerState::Dead,
            |row| {
                row.beat = beat.beat;
                row.state = beat.state;
                row.held = beat.held;
                row.max = beat.max;
                row.audits = beat.audits;
                row.coming.retain(|shard| !beat.arrived.contains(shard));
            },
        )
    }

    /// Changes the row of a worker, if there is one and the condition holds.
    fn update_worker(
        &mut self,
        id: &str,
        condition: impl FnOnce(&WorkerRow) -> bool,
        change: impl FnOnce(&mut WorkerRow),
    ) -> Response {
        let Some(row) = self.workers.get_mut(id) else { return Response::RefusedWorker(None) };
        if !condition(row) {
            return Response::RefusedWorker(Some(row.clone()));
        }
        change(row);
        Response::Worker(row.clone())
    }

    fn write(&mut self, write: &LeaseWrite) -> Response {
        write.debug_assert_valid();
        let old = self.leases.get(&write.shard_id);
        if !write.condition.holds(old.map(|lease| &lease.row)) {
            return Response::RefusedLease(old.map(|lease| lease.row.clone()));
        }
        let new = match (old, &write.change) {
            (_, Change::Create(lease)) => {
                ModelLease { row: write.new_row(lease), owner_switches: 0 }
            }
            (Some(old), Change::Delete) => {
                let shard_id = old.row.shard_id.clone();
                self.leases.remove(&shard_id);
                return Response::Deleted;
            }
            (Some(old), _) => old.after(write),
            (None, _) => return Response::RefusedLease(None),
        };
        let row = new.row.clone();
        self.leases.insert(write.shard_id.clone(), new);
        Response::Lease(row)
    }
}

impl Condition {
    /// Returns whether the condition holds for this row, or for none.
    fn holds(&self, row: Option<&LeaseRow>) -> bool {
        let Some(row) = row else { return *self == Self::Absent };
        self.counter() == Some(row.counter)
            && match self {
                Self::Absent => false,
                Self::Unowned { .. } => row.owner.is_none(),
                Self::Owned { owner, checkpoint_owner, .. } => {
                    row.owner.as_ref() == Some(owner) && row.checkpoint_owner == *checkpoint_owner
                }
                Self::HandoverFrom { checkpoint_owner, .. } => {
                    row.checkpoint_owner.as_ref() == Some(checkpoint_owner)
                }
                Self::Ended { .. } => row.has_ended(),
            }
    }
}

impl ModelLease {
    /// Returns the lease after a write.
    fn after(&self, write: &LeaseWrite) -> Self {
        let mut new = self.clone();
        new.row.counter = write.next_counter();
        new.row.writer = Some(write.writer());
        match &write.change {
            Change::Claim { owner } => {
                if write.takes_from_another() {
                    new.owner_switches += 1;
                }
                new.row.owner = Some(owner.clone());
                new.row.checkpoint_owner = None;
            }
            Change::Save { checkpoint } => new.save(checkpoint),
            Change::Give { checkpoint, to } => {
                new.save(checkpoint);
                new.row.owner.clone_from(to);
            }
            Change::End { children } => {
                new.save(&Checkpoint::End);
                new.row.checkpoint_owner = None;
                if !children.is_empty() {
                    new.row.children = sorted(children.iter().map(String::as_str));
                }
            }
            Change::HandOver { checkpoint } => {
                new.save(checkpoint);
                new.row.checkpoint_owner = None;
            }
            Change::Create(_) | Change::Renew | Change::Delete => {}
        }
        new
    }

    fn save(&mut self, checkpoint: &Checkpoint) {
        self.row.checkpoint = checkpoint.clone();
        self.owner_switches = 0;
    }
}
