//! The identity of a shard across streams: a stream that is created again has the ids of the old
//! one.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// The number of times that the stream had been created again.
    pub(crate) generation: u32,
    /// The number in the shard's id.
    pub(crate) index: u64,
}

/// The offer of a shard, by which its handle is told from that of another offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) life: u32,
    pub(crate) id: Id,
    /// The number of the offer among those of all lives.
    pub(crate) number: usize,
}

impl Id {
    pub(crate) fn is_namesake_of(self, other: Self) -> bool {
        self.index == other.index && self != other
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "{}", self.index),
            again => write!(f, "{}'{again}", self.index),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Parses the number in a shard's id.
pub(crate) fn number(id: &str) -> Option<u64> {
    id.strip_prefix("shardId-")?.parse().ok()
}
