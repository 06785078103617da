//! Drops repeated records: a shard whose reader failed is read again from its first position.

use std::collections::HashMap;

use kinesis_shards::Record;
use kinesis_shards::records::Batch;

#[derive(Default)]
pub(crate) struct Replay {
    /// The sequence number of the last record printed, by shard.
    printed: HashMap<String, String>,
    /// The last record printed before the failure, by shard that is being read again.
    repeated_up_to: HashMap<String, String>,
}

impl Replay {
    pub(crate) fn shard_failed(&mut self, shard: &str) {
        if let Some(last) = self.printed.get(shard) {
            self.repeated_up_to.insert(shard.to_owned(), last.clone());
        }
    }

    /// Returns the records that were not printed before, and counts them as printed.
    pub(crate) fn new_records(&mut self, batch: Batch) -> Vec<Record> {
        let shard = batch.shard_id().to_owned();
        let mut records: Vec<Record> = batch.into_iter().collect();
        if let Some(last) = self.repeated_up_to.get(&shard) {
            records.retain(|record| number(record.sequence_number()) > number(last));
        }
        if let Some(last) = records.last() {
            self.repeated_up_to.remove(&shard);
            self.printed.insert(shard, last.sequence_number().to_owned());
        }
        records
    }
}

/// Returns a sort key: sequence numbers are decimal numbers too long for any integer type.
fn number(sequence_number: &str) -> (usize, &str) {
    (sequence_number.len(), sequence_number)
}
