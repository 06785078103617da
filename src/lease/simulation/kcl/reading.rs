//! How workers of the KCL read shards, end them, and delete their rows.

use crate::checkpoint::value::Checkpoint;
use crate::lease::simulation::kcl::event::{KclEvent, KclWrite};
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::process::Reader;
use crate::lease::simulation::stream::NEVER;
use crate::lease::simulation::world::World;
use crate::lease::simulation::{At, MILLISECOND, SECOND, seconds};
use crate::lease::table::LeaseRow;

impl World {
    /// A shard is read once each of its parents has ended or has no row.
    pub(super) fn kcl_begin(&mut self, index: usize, shard: usize, life: u64) {
        if self.kcl_owned(index, shard, life).is_none() {
            return;
        }
        let retry = KclEvent::Begin { shard, life };
        let Some(row) = self.tables.row(&self.stream.shards[shard].id).cloned() else { return };
        let is_blocked =
            |parent: &String| self.tables.row(parent).is_some_and(|parent| !parent.has_ended());
        if row.parents.iter().any(is_blocked) || !self.kcl_reaches_tables(index) {
            self.kcl_after(seconds(3.0), index, retry);
            return;
        }
        if row.has_ended() {
            self.kcl_finished(index, shard);
            return;
        }
        for parent in self.stream.shards[shard].parents.clone() {
            // Its row was deleted by hand. To a KCL, it has ended.
            let known = &mut self.oracle.shards[parent];
            known.is_lost |= known.is_tainted && known.ended.is_none();
        }
        let first = self.stream.records_before(shard, &row.checkpoint);
        let reader = Reader::new(life, row.counter, self.now, row.checkpoint, first);
        if let Some(owned) = self.kcl_owned(index, shard, life) {
            owned.reader = Some(reader);
        }
        let interval = self.kcls[index].consumer.save_interval;
        self.kcl_after(interval, index, KclEvent::Save { shard, life });
        self.kcl_schedule_read(index, shard, life, MILLISECOND);
    }

    fn kcl_reader(&mut self, index: usize, shard: usize, life: u64) -> Option<&mut Reader> {
        self.kcl_owned(index, shard, life)?.reader.as_mut()
    }

    fn kcl_schedule_read(&mut self, index: usize, shard: usize, life: u64, delay: At) {
        let Some(reader) = self.kcl_reader(index, shard, life) else { return };
        if !std::mem::replace(&mut reader.is_scheduled, true) {
            self.kcl_after(delay, index, KclEvent::Read { shard, life });
        }
    }

    pub(super) fn kcl_read(&mut self, index: usize, shard: usize, life: u64) -> Check {
        let now = self.now;
        let (failover, consumer) = (self.setup.failover, self.kcls[index].consumer);
        let local = self.kcls[index].local(now);
        if let Some(reader) = self.kcl_reader(index, shard, life) {
            reader.is_scheduled = false;
        }
        loop {
            let Some(owned) = self.kcl_owned(index, shard, life) else { return Ok(()) };
            let has_expired = local.saturating_sub(owned.moved_at) > failover;
            let is_asked = owned.is_asked;
            let Some(reader) = &mut owned.reader else { return Ok(()) };
            let (position, in_flight) = (reader.position, reader.in_flight.len());
            let known = &self.stream.shards[shard];
            if has_expired {
                // The next renewal shows whether another has the lease.
                self.kcl_schedule_read(index, shard, life, SECOND);
                return Ok(());
            }
            if is_asked || in_flight >= consumer.limit {
                return Ok(());
            }
            if now >= known.expired {
                // A shard that Kinesis does not find has ended for the KCL.
                if in_flight == 0 {
                    self.kcl_end(index, shard, life);
                }
                return Ok(());
            }
            let wait = match known.records.get(position) {
                Some(arrival) if *arrival > now => arrival - now,
                Some(_) => 0,
                None if now < known.closed && known.closed != NEVER => known.closed - now,
                None => {
                    if now >= known.closed && in_flight == 0 {
                        self.kcl_end(index, shard, life);
                    }
                    return Ok(());
                }
            };
            if wait > 0 {
                self.kcl_schedule_read(index, shard, life, wait);
                return Ok(());
            }
            let Some(reader) = self.kcl_reader(index, shard, life) else { return Ok(()) };
            reader.position += 1;
            reader.in_flight.insert(position);
            self.figures.kcl_delivered += 1;
            self.oracle
                .deliver_any(&self.stream, shard, position)
                .map_err(|violation| format!("KCL {index}: {violation}"))?;
            let delay = self.draw.0.u64(..=consumer.delay);
            self.kcl_after(delay, index, KclEvent::Acked { shard, life, record: position });
        }
    }

    pub(super) fn kcl_acked(&mut self, index: usize, shard: usize, life: u64, record: usize) {
        let Some(reader) = self.kcl_reader(index, shard, life) else { return };
        reader.in_flight.remove(&record);
        self.oracle.ack(shard, record);
        self.kcl_hand_over_if_idle(index, shard, life);
        self.kcl_schedule_read(index, shard, life, MILLISECOND);
    }

    pub(super) fn kcl_hand_over_if_idle(&mut self, index: usize, shard: usize, life: u64) {
        let Some(owned) = self.kcl_owned(index, shard, life) else { return };
        let is_idle = owned.reader.as_ref().is_none_or(|reader| reader.in_flight.is_empty());
        if owned.is_asked && is_idle && !owned.is_saving {
            owned.is_saving = true;
            self.send_kcl(index, KclWrite::HandOver { shard, life });
        }
    }

    fn kcl_end(&mut self, index: usize, shard: usize, life: u64) {
        let Some(owned) = self.kcl_owned(index, shard, life) else { return };
        let Some(reader) = &mut owned.reader else { return };
        reader.is_ending = true;
        if !std::mem::replace(&mut owned.is_saving, true) {
            self.send_kcl(index, KclWrite::CreateChildren { shard, life });
        }
    }

    /// The time of a save, or of another attempt, has come.
    pub(super) fn kcl_save(&mut self, index: usize, shard: usize, life: u64) {
        let interval = self.kcls[index].consumer.save_interval;
        let Some(owned) = self.kcl_owned(index, shard, life) else { return };
        let (is_saving, is_asked) = (owned.is_saving, owned.is_asked);
        let Some(reader) = &owned.reader else { return };
        if is_saving || is_asked {
            self.kcl_hand_over_if_idle(index, shard, life);
        } else if reader.is_ending {
            self.kcl_end(index, shard, life);
        } else if reader.prefix() > reader.saved && self.kcl_reaches_tables(index) {
            self.send_kcl(index, KclWrite::Save { shard, life });
        }
        self.kcl_after(interval, index, KclEvent::Save { shard, life });
    }

    pub(super) fn apply_save(
        &mut self,
        index: usize,
        shard: usize,
        life: u64,
        is_response_lost: bool,
    ) -> Check {
        let Some(row) = self.kcl_row(index, shard, life) else { return Ok(()) };
        let Some(reader) = self.kcl_reader(index, shard, life) else { return Ok(()) };
        let checkpoint = reader.checkpoint(shard);
        reader.saved = reader.prefix();
        self.kcl_checkpoint(index, shard, row, checkpoint, is_response_lost)
    }

    fn kcl_checkpoint(
        &mut self,
        index: usize,
        shard: usize,
        row: LeaseRow,
        checkpoint: Checkpoint,
        is_response_lost: bool,
    ) -> Check {
        if self.stream.is_listed(shard, self.now) {
            self.oracle.moved(&self.stream, shard, Some(&row.checkpoint), &checkpoint)?;
        }
        self.kcl_put(index, shard, LeaseRow { checkpoint, ..row }, is_response_lost);
        Ok(())
    }

    /// Returns the children that the last response of a shard named. Kinesis names none of a shard
    /// that it does not find.
    fn kcl_children(&self, shard: usize) -> Vec<usize> {
        let is_listed = self.stream.is_listed(shard, self.now);
        if is_listed { self.stream.shards[shard].children.clone() } else { Vec::new() }
    }

    /// The rows of children are created before their parent ends. With one of two parents without a
    /// row, the end waits.
    pub(super) fn apply_children(&mut self, index: usize, shard: usize, life: u64) {
        if self.kcl_owned(index, shard, life).is_none() {
            return;
        }
        let children = self.kcl_children(shard);
        let has_row = |shard: &usize| self.tables.row(&self.stream.shards[*shard].id).is_some();
        let is_valid = children.iter().all(|child| {
            let parents = &self.stream.shards[*child].parents;
            parents.iter().all(has_row) || !parents.iter().any(has_row)
        });
        if !is_valid {
            if let Some(owned) = self.kcl_owned(index, shard, life) {
                owned.is_saving = false;
            }
            return;
        }
        for child in children {
            self.create_kcl_row(child);
        }
        self.send_kcl(index, KclWrite::End { shard, life });
    }

    pub(super) fn apply_end(
        &mut self,
        index: usize,
        shard: usize,
        life: u64,
        is_response_lost: bool,
    ) -> Check {
        let children = self.stream.ids(&self.kcl_children(shard));
        let Some(mut row) = self.kcl_row(index, shard, life) else { return Ok(()) };
        row.children = children;
        self.kcl_checkpoint(index, shard, row, Checkpoint::End, is_response_lost)?;
        self.oracle.shards[shard].ended.get_or_insert(self.now);
        self.figures.kcl_ends += 1;
        if is_response_lost {
            if let Some(owned) = self.kcl_owned(index, shard, life) {
                owned.is_saving = false;
            }
        } else {
            self.kcl_finished(index, shard);
        }
        Ok(())
    }

    pub(super) fn apply_hand_over(&mut self, index: usize, shard: usize, life: u64) -> Check {
        let Some(row) = self.kcl_row(index, shard, life) else { return Ok(()) };
        if row.checkpoint_owner.as_ref() != Some(&self.kcls[index].name) {
            self.kcls[index].owned.remove(&shard);
            return Ok(());
        }
        let checkpoint = match self.kcl_reader(index, shard, life) {
            Some(reader) => reader.checkpoint(shard),
            None => row.checkpoint.clone(),
        };
        let row = LeaseRow { checkpoint_owner: None, ..row };
        self.kcl_checkpoint(index, shard, row, checkpoint, false)?;
        self.kcls[index].owned.remove(&shard);
        Ok(())
    }

    /// The lease of an ended shard is dropped, and its row is deleted later.
    fn kcl_finished(&mut self, index: usize, shard: usize) {
        self.kcls[index].owned.remove(&shard);
        if self.kcls[index].finished.insert(shard) {
            let delay = self.draw.secs(5.0, 90.0);
            self.kcl_after(delay, index, KclEvent::CleanUp { shard });
        }
    }

    /// Deletes the row of an ended shard once all its children are past their starts.
    pub(super) fn kcl_clean_up(&mut self, index: usize, shard: usize) {
        let row = |shard: usize| self.tables.row(&self.stream.shards[shard].id);
        let is_started = |row: &LeaseRow| !matches!(row.checkpoint, Checkpoint::Start(_));
        let is_ended = row(shard).is_some_and(LeaseRow::has_ended);
        let children = &self.stream.shards[shard].children;
        let is_due = children.iter().all(|child| row(*child).is_some_and(is_started));
        if !is_ended {
            self.kcls[index].finished.remove(&shard);
        } else if is_due && self.kcl_reaches_tables(index) {
            self.log(|| format!("k{index} deletes the row of shard {shard}"));
            let id = self.stream.shards[shard].id.clone();
            self.tables.model.delete_row(&id);
            self.oracle.has_no_holder(shard);
            self.figures.kcl_deletions += 1;
            self.kcls[index].finished.remove(&shard);
        } else {
            self.kcl_after(20 * SECOND, index, KclEvent::CleanUp { shard });
        }
    }
}
