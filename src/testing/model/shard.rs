//! A shard: its range of hash keys, its parents and its records.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::testing::model::hash_range::HashRange;
use crate::testing::model::records::{Record, Records};
use crate::testing::model::sequence::{MAX_PLACE, SequenceNumber};
use crate::testing::model::time::Millis;

/// Returns the id of the shard with this index in its stream.
pub(crate) fn shard_id(index: u32) -> String {
    format!("shardId-{index:012}")
}

/// Parses the index in a shard's id. Like AWS, it accepts any prefix, and a bare number.
pub(crate) fn shard_index(id: &str) -> Option<u32> {
    let digits = id.split_once('-').map_or(id, |(_, digits)| digits);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) id: String,
    pub(crate) parent: Option<u32>,
    pub(crate) adjacent_parent: Option<u32>,
    pub(crate) range: HashRange,
    pub(crate) start: SequenceNumber,
    /// `None` while the shard is open.
    pub(crate) end: Option<SequenceNumber>,
    pub(crate) opened: Millis,
    pub(crate) closed: Option<Millis>,
    pub(crate) records: Records,
    /// Empty until the shard closes.
    pub(crate) children: Vec<u32>,
    /// The shard's JSON, which the wire layer caches here: listings of many shards repeat it.
    pub(crate) text: OnceCell<Box<str>>,
    last_place: u64,
}

impl Shard {
    pub(crate) fn open(
        index: u32,
        generation: u64,
        range: HashRange,
        parents: (Option<u32>, Option<u32>),
        now: Millis,
    ) -> Self {
        Self {
            index,
            id: shard_id(index),
            parent: parents.0,
            adjacent_parent: parents.1,
            range,
            start: SequenceNumber { generation, place: 0, second: generation, shard: index },
            end: None,
            opened: now,
            closed: None,
            records: Records::default(),
            children: Vec::new(),
            text: OnceCell::new(),
            last_place: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub(crate) fn parents(&self) -> impl Iterator<Item = u32> {
        self.parent.into_iter().chain(self.adjacent_parent)
    }

    pub(crate) fn close(&mut self, children: Vec<u32>, now: Millis) {
        self.text.take();
        self.closed = Some(now);
        self.children = children;
        self.end = Some(SequenceNumber { place: MAX_PLACE, second: now.0 / 1000, ..self.start });
    }

    /// Appends a record and returns its sequence number, which contains `second`, or that of the
    /// shard's start.
    pub(crate) fn append(
        &mut self,
        partition_key: String,
        data: Arc<[u8]>,
        now: Millis,
        second: Option<u64>,
    ) -> SequenceNumber {
        self.last_place += 1;
        let second = second.unwrap_or(self.start.second);
        let sequence = SequenceNumber { place: self.last_place, second, ..self.start };
        self.records.push(Record { sequence, arrived: now, partition_key, data });
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_as_at_aws() {
        assert_eq!(shard_id(7), "shardId-000000000007");
        assert_eq!(shard_index("shardId-000000000007"), Some(7));
        assert_eq!(shard_index("7"), Some(7));
        for none in ["", "shardId-", "shardId-x", "orders", "shardId-99999999999999", "shardId-+7"]
        {
            assert_eq!(shard_index(none), None, "{none}");
        }
    }
}
