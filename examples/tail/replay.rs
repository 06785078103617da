//! A shard whose reader failed is offered again from where it first started: what was printed of it before is not printed again.

use std::collections::HashMap;

use kinesis_shards::{Batch, Record};

#[derive(Default)]
pub(crate) struct Replay {
    /// Of each shard, the sequence number of the last record.
    printed: HashMap<String, String>,
    /// Up to where a shard is being read once more.
    again_up_to: HashMap<String, String>,
}

impl Replay {
    pub(crate) fn failed(&mut self, shard: &str) {
        if let Some(last) = self.printed.get(shard) {
            self.again_up_to.insert(shard.to_owned(), last.clone());
        }
    }

    /// The records of the batch that were not printed yet; they count as printed now.
    pub(crate) fn fresh(&mut self, batch: Batch) -> Vec<Record> {
        let shard = batch.shard_id().to_owned();
        let mut records: Vec<Record> = batch.into_iter().collect();
        if let Some(last) = self.again_up_to.get(&shard) {
            records.retain(|record| number(record.sequence_number()) > number(last));
        }
        if let Some(last) = records.last() {
            self.again_up_to.remove(&shard);
            self.printed.insert(shard, last.sequence_number().to_owned());
        }
        records
    }
}

/// Sequence numbers are whole numbers, too long for an integer: the longer is the greater.
fn number(sequence_number: &str) -> (usize, &str) {
    (sequence_number.len(), sequence_number)
}
