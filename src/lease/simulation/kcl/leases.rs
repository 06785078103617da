//! How workers of the KCL get leases, keep them, and lose them.

use std::collections::BTreeMap;

use tokio::time::Duration;

use crate::checkpoint::value::Checkpoint;
use crate::lease::simulation::At;
use crate::lease::simulation::SECOND;
use crate::lease::simulation::kcl::event::{KclEvent, KclWrite};
use crate::lease::simulation::kcl::worker::{Owned, is_of_fleet};
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::process::State;
use crate::lease::simulation::setup::Version;
use crate::lease::simulation::stream::index_of;
use crate::lease::simulation::world::World;
use crate::lease::table::LeaseRow;
use crate::shard::position::StartPosition;

/// How long the leader of version 3 waits for a hand-over, besides the failover time.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the lock of a leader of version 3 outlives it.
const LEADER_TIMEOUT: At = 60 * SECOND;

/// A KCL renews a little more often than three times in each failover time.
const EPSILON: Duration = Duration::from_millis(25);

impl World {
    /// Returns the rows of the leases with their shards, and notes since when their counters stand.
    fn kcl_scan(&mut self, index: usize) -> Vec<(usize, LeaseRow)> {
        let rows: Vec<_> = self
            .tables
            .model
            .rows()
            .filter_map(|row| Some((index_of(&row.shard_id)?, row.clone())))
            .collect();
        let kcl = &mut self.kcls[index];
        let local = kcl.local(self.now);
        let seen = rows.iter().map(|(shard, row)| {
            let known = kcl.seen.get(shard).filter(|(counter, _)| *counter == row.counter);
            (*shard, *known.unwrap_or(&(row.counter, local)))
        });
        kcl.seen = seen.collect();
        rows
    }

    /// Returns whether a lease has expired in the eyes of a worker.
    fn kcl_is_expired(&self, index: usize, shard: usize, row: &LeaseRow) -> bool {
        let kcl = &self.kcls[index];
        let since = kcl.seen.get(&shard).map(|(_, since)| *since);
        row.holder().is_none()
            || since.is_some_and(|at| kcl.local(self.now).saturating_sub(at) > self.setup.failover)
    }

    pub(super) fn kcl_round(&mut self, index: usize) {
        let interval = (self.setup.failover + EPSILON) * 2;
        self.kcl_after(interval.as_micros() as At, index, KclEvent::Round);
        if !self.kcl_reaches_tables(index) {
            return;
        }
        match self.kcls[index].version {
            Version::Two => self.take_round(index),
            Version::Three => self.lead_round(index),
        }
    }

    /// A worker of version 2 takes what has expired, or steals.
    fn take_round(&mut self, index: usize) {
        let rows = self.kcl_scan(index);
        let (mut expired, live): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(shard, row)| self.kcl_is_expired(index, *shard, row));
        let name = self.kcls[index].name.clone();
        let mut counts = BTreeMap::from([(name.clone(), 0_usize)]);
        for (_, row) in &live {
            if let Some(owner) = &row.owner {
                *counts.entry(owner.clone()).or_default() += 1;
            }
        }
        let leases = expired.len() + live.len();
        let target = leases.div_ceil(counts.len()).max(1);
        let needed = target.saturating_sub(counts[&name]);
        if needed == 0 || leases == 0 {
            return;
        }
        if !expired.is_empty() {
            self.draw.0.shuffle(&mut expired);
            for (_, row) in expired.into_iter().take(needed) {
                self.send_kcl(index, KclWrite::Take { row, is_expired: true });
            }
            return;
        }
        let Some((fullest, most)) = counts.iter().max_by_key(|(_, count)| **count) else { return };
        let is_above = *most > target || (*most == target && needed > 1);
        let mut victims: Vec<_> =
            live.iter().filter(|(_, row)| row.owner.as_ref() == Some(fullest)).collect();
        if is_above && *fullest != name && !victims.is_empty() {
            self.draw.0.shuffle(&mut victims);
            let row = victims[0].1.clone();
            self.send_kcl(index, KclWrite::Take { row, is_expired: false });
        }
    }

    /// The leader of version 3 assigns what has expired, and moves leases.
    fn lead_round(&mut self, index: usize) {
        let (leader, renewed_at) = self.kcl_leader;
        if leader != index && self.now < renewed_at + LEADER_TIMEOUT && renewed_at > 0 {
            self.kcls[index].seen.clear();
            return;
        }
        self.kcl_leader = (index, self.now);
        let rows = self.kcl_scan(index);
        // The metrics of a worker outlive it for some time.
        let recent = self.now.saturating_sub(2 * self.kcl_failover());
        let mut counts: BTreeMap<String, usize> = self
            .kcls
            .iter()
            .filter(|kcl| kcl.state != State::Gone || kcl.ended_at > recent)
            .map(|kcl| (kcl.name.clone(), 0))
            .collect();
        for (_, row) in &rows {
            if let Some(count) = row.holder().and_then(|holder| counts.get_mut(holder)) {
                *count += 1;
            }
        }
        self.note_asked(index, &rows);
        let local = self.kcls[index].local(self.now);
        let limit = HAND_OVER_TIMEOUT + self.setup.failover;
        let least = |counts: &BTreeMap<String, usize>| {
            counts.iter().min_by_key(|(_, count)| **count).map(|(name, _)| name.clone())
        };
        for (shard, row) in &rows {
            let is_expired = self.kcl_is_expired(index, *shard, row);
            let asked = self.kcls[index].asked.get(shard);
            let is_late = asked.is_some_and(|(_, since)| local.saturating_sub(*since) > limit);
            if !is_expired && !is_late {
                continue;
            }
            let Some(to) = least(&counts) else { return };
            *counts.entry(to.clone()).or_default() += 1;
            self.send_kcl(index, KclWrite::Assign { row: row.clone(), to, is_expired });
        }
        self.kcls[index].rounds += 1;
        let mut movable: Vec<_> = rows
            .iter()
            .filter(|(shard, row)| {
                row.checkpoint_owner.is_none() && !self.kcl_is_expired(index, *shard, row)
            })
            .collect();
        self.draw.0.shuffle(&mut movable);
        let Some(to) = least(&counts) else { return };
        if self.kcls[index].rounds.is_multiple_of(3) {
            let fullest = counts.iter().max_by_key(|(_, count)| **count);
            let Some((from, most)) = fullest else { return };
            let from = from.clone();
            if *most >= counts[&to] + 2
                && let Some((_, row)) =
                    movable.iter().find(|(_, row)| row.owner.as_ref() == Some(&from))
            {
                self.send_kcl(index, KclWrite::AskHandOver { row: row.clone(), to: to.clone() });
            }
        }
        let setup = self.setup.kcl.as_ref();
        if setup.is_some_and(|setup| setup.asks_others) && self.draw.chance(0.5) {
            // A leader of the KCL does not do this: other workers have no metrics.
            if let Some((_, row)) = movable.iter().find(|(_, row)| is_of_fleet(row)) {
                self.send_kcl(index, KclWrite::AskHandOver { row: row.clone(), to });
            }
        }
    }

    /// Notes since when hand-overs are under way.
    fn note_asked(&mut self, index: usize, rows: &[(usize, LeaseRow)]) {
        let kcl = &mut self.kcls[index];
        let local = kcl.local(self.now);
        let asked = rows.iter().filter(|(_, row)| row.checkpoint_owner.is_some());
        let asked = asked.map(|(shard, row)| {
            let known = kcl.asked.get(shard).filter(|(known, _)| {
                (&known.owner, &known.checkpoint_owner) == (&row.owner, &row.checkpoint_owner)
            });
            (*shard, (row.clone(), known.map_or(local, |(_, since)| *since)))
        });
        kcl.asked = asked.collect();
    }

    /// Takes up the leases that the table names a worker as the owner of: those of an earlier run,
    /// and those that the leader has assigned.
    pub(super) fn discover(&mut self, index: usize) {
        if self.kcls[index].version == Version::Two && !self.kcls[index].seen.is_empty() {
            return;
        }
        if !self.kcl_reaches_tables(index) {
            return;
        }
        let name = &self.kcls[index].name;
        let rows: Vec<_> = self
            .tables
            .model
            .rows()
            .filter(|row| row.is_owned_by(name))
            .filter_map(|row| Some((index_of(&row.shard_id)?, row.counter)))
            .collect();
        for (shard, counter) in rows {
            if !self.kcls[index].owned.contains_key(&shard) {
                self.kcl_own(index, shard, counter);
            }
        }
    }

    fn kcl_own(&mut self, index: usize, shard: usize, counter: u64) {
        self.next_life += 1;
        let life = self.next_life;
        let kcl = &mut self.kcls[index];
        let moved_at = kcl.local(self.now);
        let owned =
            Owned { life, counter, moved_at, reader: None, is_saving: false, is_asked: false };
        kcl.owned.insert(shard, owned);
        let delay = self.draw.secs(0.05, 1.0);
        self.kcl_after(delay, index, KclEvent::Begin { shard, life });
    }

    pub(super) fn kcl_renew(&mut self, index: usize) {
        let interval = (self.setup.failover / 3).saturating_sub(EPSILON);
        self.kcl_after(interval.as_micros() as At, index, KclEvent::Renew);
        let failover = self.setup.failover;
        let kcl = &mut self.kcls[index];
        let local = kcl.local(self.now);
        // A lease that has expired is lost.
        kcl.owned.retain(|_, owned| local.saturating_sub(owned.moved_at) <= failover);
        let owned: Vec<_> = kcl.owned.iter().map(|(shard, owned)| (*shard, owned.life)).collect();
        for (shard, life) in owned {
            if self.kcl_reaches_tables(index) {
                self.send_kcl(index, KclWrite::Renew { shard, life });
            }
        }
    }

    pub(super) fn kcl_owned(
        &mut self,
        index: usize,
        shard: usize,
        life: u64,
    ) -> Option<&mut Owned> {
        self.kcls[index].owned.get_mut(&shard).filter(|owned| owned.life == life)
    }

    /// A write comes to the table.
    pub(super) fn kcl_write(
        &mut self,
        index: usize,
        write: &KclWrite,
        is_response_lost: bool,
    ) -> Check {
        if self.outage.is_some_and(|(_, until, _)| self.now < until) {
            self.kcl_failed(index, write);
            return Ok(());
        }
        self.log(|| format!("k{index} {write:?}, lost {is_response_lost}"));
        match write {
            KclWrite::Renew { shard, life } => {
                self.apply_renew(index, *shard, *life, is_response_lost);
            }
            KclWrite::Save { shard, life } => {
                self.apply_save(index, *shard, *life, is_response_lost)?;
            }
            KclWrite::CreateChildren { shard, life } => {
                self.apply_children(index, *shard, *life);
            }
            KclWrite::End { shard, life } => {
                self.apply_end(index, *shard, *life, is_response_lost)?;
            }
            KclWrite::HandOver { shard, life } => {
                self.apply_hand_over(index, *shard, *life)?;
            }
            KclWrite::Take { row, is_expired } => {
                self.apply_take(index, row, *is_expired, is_response_lost)?;
            }
            KclWrite::Assign { row, to, is_expired } => self.apply_assign(row, to, *is_expired)?,
            KclWrite::AskHandOver { row, to } => {
                if let Some(mut now) = self.tables.row(&row.shard_id).cloned()
                    && now.owner == row.owner
                    && now.checkpoint_owner.is_none()
                {
                    self.figures.kcl_asked += 1;
                    now.checkpoint_owner = now.owner.replace(to.clone());
                    self.tables.model.put_row(now);
                }
            }
        }
        Ok(())
    }

    /// A write did not reach the table. The next save tries again.
    fn kcl_failed(&mut self, index: usize, write: &KclWrite) {
        if let KclWrite::CreateChildren { shard, life }
        | KclWrite::End { shard, life }
        | KclWrite::HandOver { shard, life }
        | KclWrite::Save { shard, life } = *write
            && let Some(owned) = self.kcl_owned(index, shard, life)
        {
            owned.is_saving = false;
        }
    }

    /// Returns the row of an owned lease if its counter is the known one. If it is not, the worker
    /// has lost the lease, unless its own last write was applied and the response was lost.
    pub(super) fn kcl_row(&mut self, index: usize, shard: usize, life: u64) -> Option<LeaseRow> {
        let row = self.tables.row(&self.stream.shards[shard].id).cloned();
        let name = self.kcls[index].name.clone();
        let owned = self.kcl_owned(index, shard, life)?;
        let row = row.filter(|row| {
            row.counter == owned.counter
                || (row.counter == owned.counter + 1 && row.holder() == Some(&*name))
        });
        if let Some(row) = &row {
            owned.counter = row.counter;
        } else {
            self.kcls[index].owned.remove(&shard);
        }
        row
    }

    /// Writes a row, on condition of the counter, and moves the counter.
    pub(super) fn kcl_put(
        &mut self,
        index: usize,
        shard: usize,
        mut row: LeaseRow,
        is_response_lost: bool,
    ) {
        row.counter += 1;
        let counter = row.counter;
        self.tables.model.put_row(row);
        let local = self.kcls[index].local(self.now);
        if !is_response_lost && let Some(owned) = self.kcls[index].owned.get_mut(&shard) {
            owned.counter = counter;
            owned.moved_at = local;
        }
    }

    fn apply_renew(&mut self, index: usize, shard: usize, life: u64, is_response_lost: bool) {
        let Some(row) = self.kcl_row(index, shard, life) else { return };
        let is_asked = row.checkpoint_owner.as_ref() == Some(&self.kcls[index].name);
        self.kcl_put(index, shard, row, is_response_lost);
        if is_asked
            && let Some(owned) = self.kcl_owned(index, shard, life)
            && !std::mem::replace(&mut owned.is_asked, true)
        {
            self.kcl_hand_over_if_idle(index, shard, life);
        }
    }

    fn apply_take(
        &mut self,
        index: usize,
        seen: &LeaseRow,
        is_expired: bool,
        is_response_lost: bool,
    ) -> Check {
        let Some(row) = self.tables.row(&seen.shard_id).cloned() else { return Ok(()) };
        let Some(shard) = index_of(&row.shard_id) else { return Ok(()) };
        if row.counter != seen.counter {
            return Ok(());
        }
        self.kcl_takes(shard, &row, is_expired)?;
        self.oracle.has_no_holder(shard);
        let name = self.kcls[index].name.clone();
        let counter = row.counter + 1;
        let row = LeaseRow { owner: Some(name), checkpoint_owner: None, counter, ..row };
        self.tables.model.put_row(row);
        let kcl = &mut self.kcls[index];
        if !is_response_lost && kcl.state != State::Gone {
            let local = kcl.local(self.now);
            kcl.seen.insert(shard, (counter, local));
            self.kcl_own(index, shard, counter);
        }
        Ok(())
    }

    fn apply_assign(&mut self, seen: &LeaseRow, to: &str, is_expired: bool) -> Check {
        let Some(row) = self.tables.row(&seen.shard_id).cloned() else { return Ok(()) };
        let Some(shard) = index_of(&row.shard_id) else { return Ok(()) };
        if (&row.owner, &row.checkpoint_owner) != (&seen.owner, &seen.checkpoint_owner) {
            return Ok(());
        }
        let is_still = is_expired && row.counter == seen.counter;
        self.kcl_takes(shard, &row, is_still)?;
        if let (Some(holder), false) = (&row.checkpoint_owner, is_still) {
            let since = HAND_OVER_TIMEOUT + self.setup.failover * 2;
            let since = self.now.saturating_sub(since.as_micros() as At);
            if self.owner_is_well(shard, holder, since) {
                return Err(format!("I13: {holder} does not hand shard {shard} over"));
            }
        }
        self.oracle.has_no_holder(shard);
        let counter = row.counter + 1;
        let owner = Some(to.to_owned());
        self.tables.model.put_row(LeaseRow { owner, checkpoint_owner: None, counter, ..row });
        Ok(())
    }

    /// Notes that a worker of the KCL takes a lease.
    fn kcl_takes(&mut self, shard: usize, row: &LeaseRow, is_expired: bool) -> Check {
        let is_ours = |name: &str| self.processes.iter().any(|process| process.name == name);
        let holder = row.holder().filter(|holder| is_ours(holder));
        // A row that was created again may have the counter that it had long ago.
        if row.has_ended() || self.oracle.shards[shard].is_tainted {
            return Ok(());
        }
        if !is_expired {
            self.figures.kcl_steals += u64::from(holder.is_some());
            return Ok(());
        }
        self.figures.kcl_takes += 1;
        if let Some(holder) = holder {
            self.check_expiry(shard, holder)?;
        }
        // The former owner has stopped to deliver, if it is a worker of the fleet.
        self.oracle.taken_when_still(shard, row.counter + 1);
        Ok(())
    }

    /// No lease of a worker that lives and reaches the tables expires in the eyes of a KCL.
    fn check_expiry(&self, shard: usize, holder: &str) -> Check {
        let since = self.now.saturating_sub(self.kcl_failover() * 2);
        if self.owner_is_well(shard, holder, since) {
            return Err(format!("I9: the lease of shard {shard} expires, though {holder} lives"));
        }
        Ok(())
    }

    /// Returns whether a worker that has the lease of a shard runs and reaches the tables.
    fn owner_is_well(&self, shard: usize, holder: &str, since: At) -> bool {
        let id = &self.stream.shards[shard].id;
        let is_out = self.outage.is_some_and(|(_, until, _)| until > since);
        self.setup.fault_rate == 0.0
            && !is_out
            && self.processes.iter().any(|process| {
                process.name == holder
                    && process.is_running()
                    && process.impaired_at < since
                    && process.machine.holds(id)
            })
    }

    pub(super) fn create_kcl_row(&mut self, shard: usize) {
        let known = &self.stream.shards[shard];
        if self.tables.row(&known.id).is_some() {
            return;
        }
        let row = LeaseRow {
            shard_id: known.id.clone(),
            counter: 0,
            owner: None,
            checkpoint_owner: None,
            checkpoint: Checkpoint::Start(StartPosition::TrimHorizon),
            parents: self.stream.ids(&known.parents),
            children: Vec::new(),
            hash_range: None,
            writer: None,
        };
        self.tables.model.put_row(row);
        self.oracle.shards[shard].had_row = true;
    }
}
