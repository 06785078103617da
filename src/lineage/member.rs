//! What is kept of one shard.

use std::sync::Arc;

use super::key::{FirstSequence, ShardKey};
use crate::ParentOutcome;
use crate::handle::Offer;

/// A number that is given once: two shards of one id, of a stream and of the one created again under its name, differ by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Serial(u32);

impl Serial {
    pub(super) fn take_next(&mut self) -> Self {
        let taken = *self;
        self.0 = self.0.wrapping_add(1);
        taken
    }
}

/// What finds a shard that was offered again, if it is still remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct MemberId {
    pub(super) key: ShardKey,
    pub(super) serial: Serial,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) serial: Serial,
    pub(super) first_sequence: FirstSequence,
    /// A list brought it, with that number: it cannot be taken for a shard of another stream.
    pub(super) was_listed: bool,
    pub(super) state: State,
    pub(super) has_child: bool,
    /// The number of the last full list that named it.
    pub(super) named_in: u32,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting(Box<Waiting>),
    /// It waits for nobody: offered, or in the queue of those to be offered. With the children that wait for it.
    Free(Vec<ShardKey>),
    Closed(ParentOutcome),
}

/// A shard that waits for a parent.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) offer: Arc<Offer>,
    pub(super) parents: [Parent; 2],
    /// Children that wait for this one.
    pub(super) children: Vec<ShardKey>,
}

#[derive(Debug, Clone)]
pub(super) enum Parent {
    None,
    Open(ShardKey),
    Ended(ParentOutcome),
}

impl State {
    /// How a shard in this state stands to its children.
    pub(super) fn as_parent(&self, key: ShardKey) -> Parent {
        match self {
            Self::Closed(outcome) => Parent::Ended(*outcome),
            Self::Waiting(_) | Self::Free(_) => Parent::Open(key),
        }
    }

    /// The children that wait for it, while it is not closed.
    pub(super) fn children(&mut self) -> Option<&mut Vec<ShardKey>> {
        match self {
            Self::Waiting(waiting) => Some(&mut waiting.children),
            Self::Free(children) => Some(children),
            Self::Closed(_) => None,
        }
    }
}

impl Waiting {
    pub(super) fn open_parents(&self) -> impl Iterator<Item = &ShardKey> {
        self.parents.iter().filter_map(Parent::open)
    }
}

impl Parent {
    fn open(&self) -> Option<&ShardKey> {
        match self {
            Self::Open(key) => Some(key),
            Self::None | Self::Ended(_) => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open().is_some()
    }

    pub(super) fn is(&self, key: &ShardKey) -> bool {
        self.open() == Some(key)
    }

    pub(super) fn outcome(&self) -> Option<ParentOutcome> {
        match self {
            Self::Ended(outcome) => Some(*outcome),
            Self::None | Self::Open(_) => None,
        }
    }
}
