//! What must hold in every run. The numbers are those of the invariants:
//!
//! * I1: when the faults have ended, every record is processed and every shard has an owner.
//! * I2: a checkpoint never goes back, and never passes a record that no owner acknowledged.
//! * I3: a record is never delivered under a token after one was under a greater token.
//! * I4: no record of a child is delivered before its parents are processed and their ends stored.
//! * I5: the records of a shard are delivered without a gap.
//! * I6: a complete move repeats nothing.
//! * I7: workers get balanced, and moves for balance leave a lease alone for a while.
//! * I8: no shard that is ready stays without a live owner.
//! * I9: no worker is fenced whose beat has moved within the failover time.
//! * I11: rows of children are created as the Kinesis Client Library expects them.
//! * I12: each save gets a result, and no worker remembers more and more.
//! * I13: a hand-over that a KCL asks for is completed before its leader ends it by force.
//! * I14: a lease is written only by the worker that has it, until that worker gives it away or
//!   another takes it; and its counter only grows.
//! * I15: a worker that stops since it lacks a permission removes its row, if it can.
//!
//! Beside workers of the Kinesis Client Library (KCL), I3 holds among the workers of the fleet, and
//! for a lease that a KCL has taken because its counter stood still; leases are not balanced; and
//! no lease of a worker that lives expires in the eyes of a KCL (I9).

use std::collections::BTreeMap;

use crate::checkpoint::value::Checkpoint;
use crate::lease::simulation::At;
use crate::lease::simulation::stream::{Stream, index_of};
use crate::lease::table::{Change, LeaseRow, LeaseWrite, NewLease};

/// What the oracle knows of a shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The greatest token under which a record was delivered.
    token: u64,
    /// How many records were delivered, by anyone.
    pub(super) delivered: usize,
    /// How many records were delivered under each token: up to which.
    by_token: BTreeMap<u64, usize>,
    pub(super) acked: Vec<bool>,
    /// How many records were acknowledged without a gap.
    pub(super) prefix: usize,
    pub(super) ended: Option<At>,
    /// The process that has written the end.
    pub(super) ended_by: Option<usize>,
    pub(super) had_row: bool,
    /// The row was deleted by hand, here or at an ancestor.
    pub(super) is_tainted: bool,
    /// Kinesis stopped to list the shard before it was processed.
    pub(super) is_lost: bool,
    granted: BTreeMap<u64, usize>,
    /// The run of the worker that has the lease by the row, if it has claimed it for itself.
    holder: Option<u64>,
    pub(super) bad_since: Option<At>,
}

/// A write of a worker to a lease that was applied.
pub(super) struct Written<'a> {
    pub(super) worker: &'a str,
    pub(super) write: &'a LeaseWrite,
    pub(super) before: Option<&'a LeaseRow>,
    pub(super) row: &'a LeaseRow,
    /// That of the worker's lease, unless the lease was cut off.
    pub(super) token: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    pub(super) shards: Vec<Known>,
    pub(super) repeats: u64,
    pub(super) delivered: u64,
}

pub(super) type Check = Result<(), String>;

impl Oracle {
    pub(super) fn new(stream: &Stream) -> Self {
        let known = |shard: &super::stream::Shard| Known {
            acked: vec![false; shard.records.len()],
            ..Known::default()
        };
        Self { shards: stream.shards.iter().map(known).collect(), ..Self::default() }
    }

    pub(super) fn was_granted(&self, shard: usize) -> bool {
        !self.shards[shard].granted.is_empty()
    }

    pub(super) fn taint(&mut self, stream: &Stream, shard: usize) {
        self.shards[shard].is_tainted = true;
        for child in &stream.shards[shard].children {
            self.taint(stream, *child);
        }
    }

    pub(super) fn granted(
        &mut self,
        stream: &Stream,
        now: At,
        shard: usize,
        token: u64,
        process: usize,
    ) -> Check {
        if !stream.is_listed(shard, now) {
            // Its row was deleted, and a worker that has not listed the shards since made another.
            return Ok(());
        }
        let known = &mut self.shards[shard];
        match known.granted.insert(token, process) {
            Some(other) if other != process && !known.is_tainted => Err(format!(
                "I3: the lease of shard {shard} with token {token} was granted to process \
                 {process} and to {other}"
            )),
            _ => Ok(()),
        }
    }

    /// A record is delivered. `is_excused` if the clock of the process stood still just before, or
    /// another process has taken its id.
    pub(super) fn deliver(
        &mut self,
        stream: &Stream,
        shard: usize,
        record: usize,
        token: u64,
        is_excused: bool,
    ) -> Check {
        self.deliver_any(stream, shard, record)?;
        let known = &mut self.shards[shard];
        if token < known.token && !is_excused && !known.is_tainted {
            return Err(format!(
                "I3: record {record} of shard {shard} is delivered under token {token} after one \
                 was under {}",
                known.token
            ));
        }
        known.token = known.token.max(token);
        let upto = known.by_token.entry(token).or_default();
        *upto = (*upto).max(record + 1);
        Ok(())
    }

    /// Notes that a worker of the KCL took a lease whose counter did not move: its former owner
    /// delivers no longer.
    pub(super) fn taken_when_still(&mut self, shard: usize, token: u64) {
        let known = &mut self.shards[shard];
        known.token = known.token.max(token);
    }

    /// A record is delivered, by whichever worker.
    pub(super) fn deliver_any(&mut self, stream: &Stream, shard: usize, record: usize) -> Check {
        for parent in &stream.shards[shard].parents {
            let parent_known = &self.shards[*parent];
            let is_processed = parent_known.prefix == parent_known.acked.len();
            if parent_known.is_tainted || parent_known.is_lost {
                continue;
            }
            if !is_processed || parent_known.ended.is_none() {
                return Err(format!(
                    "I4: record {record} of shard {shard} is delivered, but its parent {parent} is \
                     acknowledged up to {} of {}, and its end is {}stored",
                    parent_known.prefix,
                    parent_known.acked.len(),
                    if parent_known.ended.is_some() { "" } else { "not " }
                ));
            }
        }
        let known = &mut self.shards[shard];
        self.delivered += 1;
        if record < known.delivered {
            self.repeats += 1;
        }
        if record > known.delivered {
            return Err(format!(
                "I5: record {record} of shard {shard} is delivered, but only {} were before",
                known.delivered
            ));
        }
        known.delivered = known.delivered.max(record + 1);
        Ok(())
    }

    pub(super) fn ack(&mut self, shard: usize, record: usize) {
        let known = &mut self.shards[shard];
        known.acked[record] = true;
        while known.acked.get(known.prefix) == Some(&true) {
            known.prefix += 1;
        }
    }

    /// A worker of the KCL took a lease, or its row was deleted.
    pub(super) fn has_no_holder(&mut self, shard: usize) {
        self.shards[shard].holder = None;
    }

    /// Returns the run that has the lease of a shard.
    pub(super) fn holder(&self, shard: usize) -> Option<u64> {
        self.shards[shard].holder
    }

    /// A worker has written to a lease: checks that it had the lease, and notes who has it now.
    fn check_holder(&mut self, shard: usize, written: &Written<'_>) -> Check {
        let Written { worker, write, before, row, .. } = *written;
        let known = &mut self.shards[shard];
        let has = known.holder == Some(write.run);
        let is_owners = !matches!(write.change, Change::Create(_) | Change::Claim { .. });
        if is_owners && !has {
            return Err(format!("I14: run {} has no lease of shard {shard}: {write:?}", write.run));
        }
        // A response that a mutation gives without a write shows the row as it was.
        if before.is_some_and(|before| before.counter >= row.counter && before != row) {
            return Err(format!("I14: the counter of shard {shard} goes back: {write:?}"));
        }
        if let (Change::Give { .. }, Some(LeaseRow { checkpoint_owner: Some(_), .. })) =
            (&write.change, before)
        {
            return Err(format!("I13: shard {shard} is given away, but a KCL asks for it"));
        }
        known.holder = match &write.change {
            Change::Create(NewLease { owner: Some(owner), .. }) | Change::Claim { owner }
                if owner == worker =>
            {
                Some(write.run)
            }
            // Its owner stays named, and may not know yet that the shard has ended.
            Change::Save { .. } | Change::Renew | Change::End { .. } => known.holder,
            _ => None,
        };
        Ok(())
    }

    /// A checkpoint was written.
    pub(super) fn moved(
        &self,
        stream: &Stream,
        shard: usize,
        before: Option<&Checkpoint>,
        after: &Checkpoint,
    ) -> Check {
        let acked = self.shards[shard].prefix;
        let upto = stream.records_before(shard, after);
        if let Some(before) = before {
            let from = stream.records_before(shard, before);
            if upto < from || (*before == Checkpoint::End && *after != Checkpoint::End) {
                return Err(format!(
                    "I2: the checkpoint of shard {shard} goes back from {before} to {after}"
                ));
            }
        }
        if upto > acked {
            return Err(format!(
                "I2: the checkpoint of shard {shard} goes to {upto}, but only {acked} records are \
                 acknowledged"
            ));
        }
        Ok(())
    }

    /// Checks what a worker has written to a lease.
    pub(super) fn written(&mut self, stream: &Stream, now: At, written: &Written<'_>) -> Check {
        let Written { write, before, row, token, .. } = *written;
        let Some(shard) = index_of(&write.shard_id) else {
            return Err(format!("I11: a row {} is no shard", write.shard_id));
        };
        let after = stream.records_before(shard, &row.checkpoint);
        self.shards[shard].had_row = true;
        let is_tainted = self.shards[shard].is_tainted;
        self.check_holder(shard, written)?;
        if !stream.is_listed(shard, now) {
            // Its row was deleted, and a worker that has not listed the shards since made another.
            return Ok(());
        }
        self.moved(stream, shard, before.map(|row| &row.checkpoint), &row.checkpoint)
            .map_err(|violation| format!("{violation}: {write:?}"))?;
        match &write.change {
            Change::Create(new) => {
                for parent in &stream.shards[shard].parents {
                    let is_listed = stream.is_listed(*parent, now);
                    if !self.shards[*parent].had_row && is_listed {
                        return Err(format!(
                            "I11: a row of shard {shard} is created for {:?} before its parent \
                             {parent} has one",
                            new.owner
                        ));
                    }
                }
                if self.shards[shard].ended.is_some() && !is_tainted {
                    return Err(format!("I2: the row of shard {shard} is created after its end"));
                }
                if before.is_some() && !is_tainted {
                    return Err(format!("I2: the row of shard {shard} is written over"));
                }
            }
            Change::Give { .. } => {
                let delivered =
                    token.and_then(|token| self.shards[shard].by_token.get(&token).copied());
                if delivered.is_some_and(|delivered| delivered > after) && !is_tainted {
                    return Err(format!(
                        "I6: shard {shard} is given away at record {after}, but {} were delivered",
                        delivered.unwrap_or_default()
                    ));
                }
            }
            Change::End { children } => {
                self.shards[shard].ended = Some(now);
                for child in children {
                    let Some(child) = index_of(child) else { continue };
                    let mut parents = stream.shards[child].parents.iter();
                    if parents.clone().any(|parent| !stream.is_listed(*parent, now)) {
                        continue;
                    }
                    // With a parent whose row was deleted by hand, the child is created later.
                    if !self.shards[child].had_row
                        && !self.shards[child].is_tainted
                        && parents.all(|parent| self.shards[*parent].ended.is_some())
                        && !is_tainted
                    {
                        return Err(format!(
                            "I11: shard {shard} ends before its child {child} has a row"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
