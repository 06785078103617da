//! Which shard of which stream: one that is created again under a name has the ids of the one
//! before.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// How often the stream had been deleted and created again.
    pub(crate) generation: u32,
    /// The number in the shard's id.
    pub(crate) index: u64,
}

impl Id {
    pub(crate) fn is_under_the_name_of(self, other: Self) -> bool {
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

/// The number in a shard's id.
pub(crate) fn number(id: &str) -> Option<u64> {
    id.strip_prefix("shardId-")?.parse().ok()
}
