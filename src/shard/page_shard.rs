//! A shard that is a part of the body of its page.

use std::sync::OnceLock;

use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange, Shard};
use bytes::Bytes;

use crate::util::place::Place;

/// The places of a shard's members in the body of its page. The shard allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageShard {
    pub(crate) body: Bytes,
    pub(crate) id: Place,
    /// The parent and the adjacent parent. One that is missing is empty.
    pub(crate) parents: [Place; 2],
    /// The first and the last hash key.
    pub(crate) hash_keys: Option<[Place; 2]>,
    /// The first and the last sequence number. The last one of an open shard is empty.
    pub(crate) sequence_numbers: Option<[Place; 2]>,
    /// The shard of the SDK, once it was asked for.
    pub(crate) sdk: OnceLock<Box<Shard>>,
}

impl PageShard {
    pub(crate) fn shard_id(&self) -> &str {
        self.id.text(&self.body)
    }

    pub(crate) fn id_bytes(&self) -> &[u8] {
        self.id.of(&self.body)
    }

    pub(crate) fn parents(&self) -> [Option<&str>; 2] {
        if self.parents.iter().all(|parent| parent.is_empty()) {
            return [None; 2];
        }
        self.parents.map(|parent| (!parent.is_empty()).then(|| parent.text(&self.body)))
    }

    pub(crate) fn starting_sequence_number(&self) -> Option<&[u8]> {
        self.sequence_numbers.map(|[first, _]| first.of(&self.body))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sequence_numbers.is_some_and(|[_, last]| !last.is_empty())
    }

    pub(crate) fn hash_key_range(&self) -> Option<HashKeyRange> {
        let [first, last] = self.hash_keys?.map(|key| key.text(&self.body));
        let range = HashKeyRange::builder().starting_hash_key(first).ending_hash_key(last);
        Some(range.build().expect(COMPLETE))
    }

    fn sequence_number_range(&self) -> Option<SequenceNumberRange> {
        let [first, last] = self.sequence_numbers?.map(|number| number.text(&self.body));
        let last = Some(last).filter(|last| !last.is_empty()).map(str::to_owned);
        let range = SequenceNumberRange::builder().starting_sequence_number(first);
        Some(range.set_ending_sequence_number(last).build().expect(COMPLETE))
    }

    /// Returns the shard as one of the SDK.
    pub(crate) fn sdk(&self) -> &Shard {
        self.sdk.get_or_init(|| Box::new(self.to_sdk()))
    }

    /// Copies the shard into one of the SDK.
    pub(crate) fn to_sdk(&self) -> Shard {
        let [parent, adjacent] = self.parents().map(|id| id.map(str::to_owned));
        Shard::builder()
            .shard_id(self.shard_id())
            .set_parent_shard_id(parent)
            .set_adjacent_parent_shard_id(adjacent)
            .set_hash_key_range(self.hash_key_range())
            .set_sequence_number_range(self.sequence_number_range())
            .build()
            .expect(COMPLETE)
    }
}

/// Why the builders of the SDK do not fail here.
const COMPLETE: &str = "the builder gets each required member";
