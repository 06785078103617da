//! The records that were written, delivered, acknowledged and saved, and the rules between these.

use std::collections::{BTreeMap, BTreeSet};

use kinesis_shards::Record;
use kinesis_shards::checkpoint::Checkpoint;

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) violation: Option<String>,
    records: Vec<Written>,
    /// By shard, the numbers of its records, in their order.
    by_shard: BTreeMap<String, Vec<usize>>,
    pub(crate) shards: BTreeMap<String, ActualShard>,
    /// The rows of the store.
    pub(crate) rows: BTreeMap<String, Checkpoint>,
    /// The shards whose rows are of a deleted stream.
    stale_rows: BTreeSet<String>,
    /// The sequence numbers of records of a deleted stream.
    deleted_records: BTreeSet<String>,
    /// The life in which the stream was created again.
    recreated_in: u32,
    /// The shards whose position was refused twice or more in this life, and whether a record of
    /// each was acknowledged since.
    refused_shards: BTreeMap<String, bool>,
    pub(crate) started_over: u64,
    /// In a run from `Latest`, the shards that the run begins with. No record is owed before the
    /// starts of all of them are saved.
    first_shards: Option<BTreeSet<String>>,
    pub(crate) life: u32,
    saves_in_flight: BTreeSet<String>,
    pub(crate) deliveries: u64,
    pub(crate) owed_deliveries: u64,
    pub(crate) redeliveries: u64,
    /// The records that were processed in the order of their key.
    pub(crate) by_key: u64,
    pub(crate) chunks: u64,
    pub(crate) saves: u64,
    pub(crate) confirmed_saves: u64,
    pub(crate) digest: u64,
}

#[derive(Debug)]
pub(crate) struct ActualShard {
    pub(crate) parents: Vec<String>,
    pub(crate) is_open: bool,
    pub(crate) is_listed: bool,
}

#[derive(Debug)]
struct Written {
    key: u8,
    shard: String,
    sequence_number: String,
    owed: bool,
    /// The last life in which the record was delivered.
    delivered: Option<u32>,
    acknowledged: bool,
    durable: bool,
    /// The life in which the record became durable.
    durable_since: u32,
}

impl Oracle {
    /// Begins a run from `Latest` with these shards. No record is owed before the starts of all are
    /// saved, nor ever if one of them is closed before it is listed.
    pub(crate) fn begin_from_latest(&mut self, shards: impl IntoIterator<Item = String>) {
        self.first_shards = Some(shards.into_iter().collect());
    }

    /// Begins a life. Returns whether it is the first.
    pub(crate) fn begin_life(&mut self) -> bool {
        self.life += 1;
        self.refused_shards.clear();
        self.life == 1
    }

    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    fn add_to_digest(&mut self, event: u64, subject: u64) {
        self.digest =
            (self.digest ^ event ^ subject << 8).wrapping_mul(0x100_0000_01b3).rotate_left(5);
    }

    pub(crate) fn written(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn write(&mut self, key: u8, shard: &str, sequence_number: String) {
        let owed = self.first_shards.is_none();
        self.by_shard.entry(shard.to_owned()).or_default().push(self.records.len());
        self.records.push(Written {
            key,
            shard: shard.to_owned(),
            sequence_number,
            owed,
            delivered: None,
            acknowledged: false,
            durable: false,
            durable_since: 0,
        });
    }

    /// Notes that the position of a checkpoint was refused twice: its reader may start over.
    pub(crate) fn refuse(&mut self, shard: &str) {
        self.refused_shards.entry(shard.to_owned()).or_insert(false);
    }

    /// Expires a shard with its unread records.
    pub(crate) fn expire(&mut self, shard: &str) {
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.is_listed = false;
        }
        for number in self.by_shard.get(shard).into_iter().flatten() {
            self.records[*number].owed = false;
        }
    }

    /// Returns whether the run has begun, and has delivered this record. Then the stream may be
    /// created again, and no record of the new one may be lost.
    pub(crate) fn has_begun(&self, number: usize) -> bool {
        self.first_shards.is_none() && self.records[number].delivered == Some(self.life)
    }

    /// Deletes the stream and creates it again.
    pub(crate) fn recreate(&mut self) {
        for record in &mut self.records {
            record.owed = false;
            self.deleted_records.insert(record.sequence_number.clone());
        }
        self.by_shard.clear();
        self.shards.clear();
        // A start is valid for the new shard, too.
        let stale_rows =
            self.rows.iter().filter(|(_, checkpoint)| !matches!(checkpoint, Checkpoint::Start(_)));
        self.stale_rows = stale_rows.map(|(shard, _)| shard.clone()).collect();
        self.recreated_in = self.life;
    }

    pub(crate) fn is_listed(&self, shard: &str) -> bool {
        self.shards.get(shard).is_some_and(|shard| shard.is_listed)
    }

    /// Returns whether the consumer has noticed that the stream was created again with these
    /// shards.
    pub(crate) fn is_recreated(&self, shards: &[String]) -> bool {
        self.stale_rows.is_empty() && shards.iter().all(|shard| self.has_row(shard))
    }

    fn has_row(&self, shard: &str) -> bool {
        self.rows.contains_key(shard) && !self.stale_rows.contains(shard)
    }

    /// Starts a shard over that the consumer took for one of the deleted stream: its earlier
    /// acknowledgements do not count.
    fn start_over(&mut self, shard: &str) {
        for number in self.by_shard.get(shard).into_iter().flatten() {
            let record = &mut self.records[*number];
            (record.acknowledged, record.durable) = (false, false);
        }
    }

    /// Checks a delivery, and returns the number of the record.
    pub(crate) fn deliver(&mut self, record: &Record) -> usize {
        self.deliver_in_order(record, true)
    }

    /// Checks the delivery of a record that may overtake those of other keys of its shard.
    pub(crate) fn process(&mut self, record: &Record) -> usize {
        self.by_key += 1;
        self.deliver_in_order(record, false)
    }

    /// Checks the delivery of a chunk, and returns the numbers of its records.
    pub(crate) fn deliver_chunk(&mut self, records: &[Record], max: usize) -> Vec<usize> {
        self.chunks += 1;
        if records.is_empty() || records.len() > max {
            self.violate(format!("a chunk of up to {max} records has {}", records.len()));
        }
        records.iter().map(|record| self.deliver(record)).collect()
    }

    fn deliver_in_order(&mut self, record: &Record, of_shard: bool) -> usize {
        let number =
            std::str::from_utf8(record.data()).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < self.records.len()) else {
            self.violate("a record was delivered that was never written");
            return 0;
        };
        self.add_to_digest(1, number as u64);
        self.deliveries += 1;
        self.owed_deliveries += u64::from(self.records[number].owed);
        let (life, shard) = (self.life, record.shard_id().to_owned());
        let written = &self.records[number];
        self.redeliveries += u64::from(written.delivered.is_some());
        if self.deleted_records.contains(&written.sequence_number) {
            // The record was in flight when the stream was deleted.
            return number;
        }
        if written.shard != shard || written.sequence_number != record.sequence_number() {
            return self.fail(number, format!("came from {shard}"));
        }
        // Within a life, a reader that fails abandons its shard while its records are in flight,
        // and the next reader delivers them again.
        let is_refused = self.refused_shards.contains_key(&shard);
        if written.durable && written.durable_since != life && !is_refused {
            return self.fail(number, "came again, though its acknowledgement is in the store");
        }
        if !self.rows.contains_key(&shard) && self.is_listed(&shard) {
            return self.fail(number, "came before the start of its shard was saved");
        }
        let is_open = |shard: &String| self.shards.get(shard).is_some_and(|shard| shard.is_open);
        let missing =
            self.first_shards.iter().flatten().find(|first| is_open(first) && !self.has_row(first));
        if let Some(missing) = missing.cloned() {
            return self.fail(number, format!("came before the start of {missing} was saved"));
        }
        if let Some(parent) =
            self.shards[&shard].parents.iter().find(|parent| !self.is_finished(parent))
        {
            let what =
                format!("came before the end of {parent} was saved: {:?}", self.rows.get(parent));
            return self.fail(number, what);
        }
        let key = written.key;
        let skipped = self.records[..number].iter().position(|earlier| {
            earlier.owed
                && (of_shard && earlier.shard == shard || earlier.key == key)
                && !(earlier.durable || earlier.shard == shard && earlier.delivered == Some(life))
        });
        if let Some(skipped) = skipped {
            return self.fail(number, format!("came before {skipped}"));
        }
        self.records[number].delivered = Some(life);
        number
    }

    fn fail(&mut self, number: usize, what: impl std::fmt::Display) -> usize {
        let shard = &self.records[number].shard;
        self.violate(format!("life {}: record {number} of {shard} {what}", self.life));
        number
    }

    fn is_finished(&self, shard: &str) -> bool {
        !self.is_listed(shard)
            || self.rows.get(shard) == Some(&Checkpoint::End) && !self.stale_rows.contains(shard)
            || self.was_closed_at_first(shard)
    }

    /// Returns whether the shard was closed when the run from `Latest` began: it is not read.
    fn was_closed_at_first(&self, shard: &str) -> bool {
        !self.has_row(shard)
            && self.records.iter().all(|record| record.shard != shard || !record.owed)
    }

    pub(crate) fn acknowledge(&mut self, number: usize) {
        self.add_to_digest(2, number as u64);
        self.records[number].acknowledged = true;
        if let Some(is_acknowledged) = self.refused_shards.get_mut(&self.records[number].shard) {
            *is_acknowledged = true;
        }
    }

    pub(crate) fn begin_save(&mut self, shard: &str) {
        self.saves += 1;
        if !self.saves_in_flight.insert(shard.to_owned()) {
            self.violate(format!("{shard} has two saves in flight"));
        }
        if self.saves_in_flight.len() > 16 {
            self.violate("more than 16 saves are in flight");
        }
    }

    pub(crate) fn end_save(&mut self, shard: &str) {
        self.saves_in_flight.remove(shard);
    }

    /// Saves a checkpoint, whether the store will confirm it or not.
    pub(crate) fn save(&mut self, shard: &str, checkpoint: &Checkpoint) {
        let is_of_deleted_stream = match checkpoint {
            Checkpoint::After { sequence_number, .. } => {
                self.deleted_records.contains(sequence_number)
            }
            Checkpoint::End => self.stale_rows.contains(shard),
            _ => false,
        };
        if is_of_deleted_stream {
            if self.recreated_in != self.life {
                self.violate(format!("{shard}: {checkpoint} of a deleted stream is saved"));
            }
            self.stale_rows.insert(shard.to_owned());
            self.rows.insert(shard.to_owned(), checkpoint.clone());
            return;
        }
        if self.stale_rows.remove(shard) {
            // The reader has started over, and its later acknowledgements count.
            self.rows.remove(shard);
        } else if self.recreated_in == self.life
            && matches!(checkpoint, Checkpoint::Start(_))
            && !self.refused_shards.contains_key(shard)
            && !matches!(self.rows.get(shard), Some(Checkpoint::Start(_)))
        {
            self.start_over(shard);
            self.rows.remove(shard);
        }
        self.save_start_over(shard, checkpoint);
        let numbers = self.by_shard.get(shard).cloned().unwrap_or_default();
        let reaches = |number: &usize| match checkpoint {
            Checkpoint::End => true,
            Checkpoint::After { sequence_number, .. } => {
                compare(&self.records[*number].sequence_number, sequence_number).is_le()
            }
            _ => false,
        };
        let covered: Vec<usize> = numbers.into_iter().filter(reaches).collect();
        for number in covered {
            let record = &mut self.records[number];
            if !std::mem::replace(&mut record.durable, true) {
                record.durable_since = self.life;
            }
            if record.owed && !record.acknowledged {
                self.fail(number, format!("is not acknowledged, but {checkpoint} is saved"));
            }
        }
        if *checkpoint == Checkpoint::End
            && self.shards.get(shard).is_some_and(|shard| shard.is_open)
        {
            self.violate(format!("{shard} is open, but its end is saved"));
        }
        let goes_back = match (self.rows.get(shard), checkpoint) {
            (Some(Checkpoint::End), _) => *checkpoint != Checkpoint::End,
            (Some(Checkpoint::After { .. }), Checkpoint::Start(_)) => true,
            (
                Some(Checkpoint::After { sequence_number: old, .. }),
                Checkpoint::After { sequence_number: new, .. },
            ) => compare(new, old).is_lt(),
            _ => false,
        };
        if goes_back {
            self.violate(format!("{shard}: {checkpoint} is saved over {:?}", self.rows[shard]));
        }
        self.rows.insert(shard.to_owned(), checkpoint.clone());
        self.add_to_digest(3, self.rows.len() as u64);
        if self.first_shards.as_ref().is_some_and(|first| {
            !first.is_empty() && first.iter().all(|shard| self.rows.contains_key(shard))
        }) {
            self.first_shards = None;
        }
    }

    /// Checks a start that replaces a refused checkpoint: a record was acknowledged since, or the
    /// shard has ended.
    fn save_start_over(&mut self, shard: &str, checkpoint: &Checkpoint) {
        let is_over = matches!(self.rows.get(shard), Some(Checkpoint::After { .. }));
        if !is_over || !matches!(checkpoint, Checkpoint::Start(_)) {
            return;
        }
        let Some(is_acknowledged) = self.refused_shards.get_mut(shard) else { return };
        let is_acknowledged = std::mem::replace(is_acknowledged, false);
        let is_open = self.shards.get(shard).is_some_and(|shard| shard.is_open);
        if !is_acknowledged && is_open && self.recreated_in != self.life {
            let what = "is saved over a refused checkpoint before a record was acknowledged";
            return self.violate(format!("{shard}: {checkpoint} {what}"));
        }
        self.started_over += 1;
        for number in self.by_shard.get(shard).into_iter().flatten() {
            self.records[*number].durable = false;
        }
        self.rows.remove(shard);
    }

    pub(crate) fn forget(&mut self, shard: &str) {
        self.rows.remove(shard);
        if self.recreated_in == self.life {
            self.stale_rows.remove(shard);
            self.start_over(shard);
        } else if self.is_listed(shard) {
            self.violate(format!("{shard} is listed, but forgotten"));
        }
    }

    /// Returns what is left to be done.
    pub(crate) fn unfinished(&self) -> Option<String> {
        let is_done = |record: &Written| record.durable || self.is_done_now(record);
        let lost = self.records.iter().position(|record| record.owed && !is_done(record))?;
        let record = &self.records[lost];
        let delivered = record
            .delivered
            .map_or("never delivered".to_owned(), |life| format!("delivered in life {life}"));
        Some(format!("record {lost} of {} was {delivered}, and not acknowledged", record.shard))
    }

    /// Returns a record that was acknowledged in this life and is not saved. A stream that was
    /// created again is exempt: a reader of the deleted stream may have read it, too.
    pub(crate) fn unsaved(&self) -> Option<usize> {
        if self.recreated_in == self.life {
            return None;
        }
        let is_unsaved = |record: &Written| {
            let is_refused = self.refused_shards.contains_key(&record.shard);
            record.owed && self.is_done_now(record) && !record.durable && !is_refused
        };
        self.records.iter().position(is_unsaved)
    }

    /// Returns a record that was delivered in this life and is not saved. After a complete shutdown
    /// there is none.
    pub(crate) fn repeated_by_next_life(&self) -> Option<usize> {
        if self.recreated_in == self.life {
            return None;
        }
        let is_repeated = |record: &Written| {
            let is_refused = self.refused_shards.contains_key(&record.shard);
            record.owed && record.delivered == Some(self.life) && !record.durable && !is_refused
        };
        self.records.iter().position(is_repeated)
    }

    fn is_done_now(&self, record: &Written) -> bool {
        record.acknowledged && record.delivered == Some(self.life)
    }
}

fn compare(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
