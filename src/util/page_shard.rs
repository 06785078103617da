//! A shard that is a part of the body of its page.

use std::sync::OnceLock;

use aws_sdk_kinesis::types::{HashKeyRange, SequenceNumberRange, Shard};
use bytes::Bytes;

use crate::util::place::Place;
use crate::util::received_shard::COMPLETE;

/// The places of a shard's members in the body of its page. The shard allocates nothing until
/// [`sdk`](Self::sdk) is called.
#[derive(Clone, Default)]
pub(crate) struct PageShard {
    pub(crate) body: Bytes,
    pub(crate) id: Place,
    /// The parent and the adjacent parent.
    pub(crate) parents: [Option<Place>; 2],
    /// The first and the last hash key.
    pub(crate) hash_keys: Option<(Place, Place)>,
    /// The first and the last sequence number. An open shard has no last one.
    pub(crate) sequence_numbers: Option<(Place, Option<Place>)>,
    /// The copy that [`sdk`](Self::sdk) makes at its first call.
    pub(crate) sdk: OnceLock<Box<Shard>>,
}

impl PageShard {
    pub(crate) fn shard_id(&self) -> &str {
        self.text(self.id)
    }

    pub(crate) fn id_bytes(&self) -> &[u8] {
        self.id.of(&self.body)
    }

    pub(crate) fn parent(&self) -> Option<&str> {
        self.parents[0].map(|id| self.text(id))
    }

    pub(crate) fn adjacent_parent(&self) -> Option<&str> {
        self.parents[1].map(|id| self.text(id))
    }

    pub(crate) fn hash_key_range(&self) -> Option<HashKeyRange> {
        let (first, last) = self.hash_keys?;
        let range = HashKeyRange::builder().starting_hash_key(self.text(first));
        Some(range.ending_hash_key(self.text(last)).build().expect(COMPLETE))
    }

    /// Returns the bytes of the first sequence number.
    pub(crate) fn starting_sequence_number(&self) -> Option<&[u8]> {
        self.sequence_numbers.map(|(first, _)| first.of(&self.body))
    }

    pub(crate) fn is_closed(&self) -> bool {
        let last = self.sequence_numbers.and_then(|(_, last)| last);
        last.is_some_and(|last| !last.is_empty())
    }

    /// Returns the shard as the SDK's type.
    pub(crate) fn sdk(&self) -> &Shard {
        self.sdk.get_or_init(|| Box::new(self.to_sdk()))
    }

    /// Copies the shard into the SDK's type.
    pub(crate) fn to_sdk(&self) -> Shard {
        Shard::builder()
            .shard_id(self.shard_id())
            .set_parent_shard_id(self.parent().map(str::to_owned))
            .set_adjacent_parent_shard_id(self.adjacent_parent().map(str::to_owned))
            .set_hash_key_range(self.hash_key_range())
            .set_sequence_number_range(self.sequence_number_range())
            .build()
            .expect(COMPLETE)
    }

    fn sequence_number_range(&self) -> Option<SequenceNumberRange> {
        let (first, last) = self.sequence_numbers?;
        let range = SequenceNumberRange::builder().starting_sequence_number(self.text(first));
        let last = last.map(|last| self.text(last).to_owned());
        Some(range.set_ending_sequence_number(last).build().expect(COMPLETE))
    }

    fn text(&self, place: Place) -> &str {
        place.text(&self.body)
    }
}
