//! A shard as a response describes it.

use std::fmt;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, SequenceNumberRange, Shard};

#[cfg(feature = "cbor")]
use crate::util::page_shard::PageShard;

/// A shard that a response lists or a user builds: the SDK's type, or a part of the body of a
/// response in CBOR.
#[derive(Clone)]
pub(crate) enum ReceivedShard {
    Sdk(Shard),
    #[cfg(feature = "cbor")]
    Page(PageShard),
}

/// Why the SDK's builders of shards do not fail.
pub(crate) const COMPLETE: &str = "the builder gets each required member";

/// Formats a shard as the SDK does, without the page that it is a part of.
impl fmt::Debug for ReceivedShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sdk(shard) => shard.fmt(f),
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.to_sdk().fmt(f),
        }
    }
}

impl From<Shard> for ReceivedShard {
    fn from(shard: Shard) -> Self {
        Self::Sdk(shard)
    }
}

impl From<ChildShard> for ReceivedShard {
    fn from(child: ChildShard) -> Self {
        let mut parents = child.parent_shards.into_iter();
        let shard = Shard::builder()
            .shard_id(child.shard_id)
            .set_parent_shard_id(parents.next())
            .set_adjacent_parent_shard_id(parents.next())
            .set_hash_key_range(child.hash_key_range);
        Self::Sdk(shard.build().expect(COMPLETE))
    }
}

impl ReceivedShard {
    #[inline]
    pub(crate) fn shard_id(&self) -> &str {
        match self {
            Self::Sdk(shard) => shard.shard_id(),
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.shard_id(),
        }
    }

    /// Returns the bytes of the id. The text of a page's shard is checked for UTF-8 at each call.
    #[inline]
    pub(crate) fn id_bytes(&self) -> &[u8] {
        match self {
            Self::Sdk(shard) => shard.shard_id.as_bytes(),
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.id_bytes(),
        }
    }

    /// Returns the ids of the parents, each of them once: the parent, then the adjacent parent.
    #[inline]
    pub(crate) fn parent_ids(&self) -> [Option<&str>; 2] {
        let (parent, adjacent) = match self {
            Self::Sdk(shard) => (shard.parent_shard_id(), shard.adjacent_parent_shard_id()),
            #[cfg(feature = "cbor")]
            Self::Page(shard) => (shard.parent(), shard.adjacent_parent()),
        };
        let parent = parent.filter(|id| !id.is_empty());
        [parent, adjacent.filter(|id| !id.is_empty() && parent != Some(*id))]
    }

    pub(crate) fn hash_key_range(&self) -> Option<HashKeyRange> {
        match self {
            Self::Sdk(shard) => shard.hash_key_range().cloned(),
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.hash_key_range(),
        }
    }

    /// Returns the bytes of the first sequence number.
    #[inline]
    pub(crate) fn starting_sequence_number(&self) -> Option<&[u8]> {
        match self {
            Self::Sdk(shard) => {
                let range = shard.sequence_number_range();
                range.map(|range| range.starting_sequence_number.as_bytes())
            }
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.starting_sequence_number(),
        }
    }

    /// Returns whether the shard was split or merged, so that Kinesis accepts no writes to it.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Sdk(shard) => {
                let range = shard.sequence_number_range();
                let last = range.and_then(SequenceNumberRange::ending_sequence_number);
                last.is_some_and(|last| !last.is_empty())
            }
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.is_closed(),
        }
    }

    /// Returns the shard as the SDK's type. A part of a body is copied at the first call, and keeps
    /// the copy.
    pub(crate) fn sdk(&self) -> &Shard {
        match self {
            Self::Sdk(shard) => shard,
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.sdk(),
        }
    }

    /// Copies the shard into the SDK's type.
    pub(crate) fn to_sdk(&self) -> Shard {
        match self {
            Self::Sdk(shard) => shard.clone(),
            #[cfg(feature = "cbor")]
            Self::Page(shard) => shard.to_sdk(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_is_named_twice_is_one_parent() {
        let parents = |parent: &str, adjacent: &str| {
            let shard = Shard::builder().shard_id("2").parent_shard_id(parent);
            let shard = shard.adjacent_parent_shard_id(adjacent).build().unwrap();
            ReceivedShard::from(shard).parent_ids().map(|id| id.map(str::to_owned))
        };
        assert_eq!(parents("1", "1"), [Some("1".to_owned()), None]);
        assert_eq!(parents("0", "1"), [Some("0".to_owned()), Some("1".to_owned())]);
        assert_eq!(parents("", ""), [None, None]);
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_received_shard_is_as_large_as_one_of_the_sdk() {
        // So the shards of a page in JSON are converted in place.
        assert_eq!(size_of::<ReceivedShard>(), size_of::<Shard>());
    }
}
