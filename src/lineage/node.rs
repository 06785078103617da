//! One shard of the graph.

use std::sync::Arc;

use crate::lineage::key::{FirstSequence, ShardKey};
use crate::shard::offer::Offer;
use crate::shard::outcome::ParentOutcome;

/// A number that distinguishes two shards with one id: one of a deleted stream, and one of the
/// stream that was created again under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn take_next(&mut self) -> Self {
        let taken = *self;
        self.0 = self.0.wrapping_add(1);
        taken
    }
}

/// A shard that was offered, as its handle and its wait know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NodeId {
    pub(crate) key: ShardKey,
    pub(crate) generation: Generation,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) generation: Generation,
    pub(crate) first_sequence: FirstSequence,
    /// A list named the shard with a sequence number, so that it cannot be mistaken for a shard of
    /// another stream.
    pub(crate) was_listed: bool,
    pub(crate) state: State,
    pub(crate) has_child: bool,
    /// A partial list named a shard of another stream under this id. Until a full list shows which
    /// shards are left, this one is no parent.
    pub(crate) is_superseded: bool,
    /// The number of the last full list that named the shard.
    pub(crate) last_listed: u32,
}

#[derive(Debug)]
pub(crate) enum State {
    Waiting(Box<Waiting>),
    /// The shard is offered, or ready to be offered. It holds the children that wait for it.
    Open(Vec<ShardKey>),
    Closed(ParentOutcome),
}

/// A shard that waits for a parent.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) offer: Arc<Offer>,
    pub(crate) parents: [Parent; 2],
    /// The children that wait for this shard.
    pub(crate) children: Vec<ShardKey>,
}

/// A parent, as its child knows it.
#[derive(Debug, Clone)]
pub(crate) enum Parent {
    None,
    Open(ShardKey),
    Ended(ParentOutcome),
}

impl State {
    /// Returns how a child sees a shard in this state.
    pub(crate) fn as_parent(&self, key: ShardKey) -> Parent {
        match self {
            Self::Closed(outcome) => Parent::Ended(*outcome),
            Self::Waiting(_) | Self::Open(_) => Parent::Open(key),
        }
    }

    /// Returns the children that wait for a shard in this state, unless it is closed.
    pub(crate) fn children(&mut self) -> Option<&mut Vec<ShardKey>> {
        match self {
            Self::Waiting(waiting) => Some(&mut waiting.children),
            Self::Open(children) => Some(children),
            Self::Closed(_) => None,
        }
    }
}

impl Waiting {
    pub(crate) fn open_parents(&self) -> impl Iterator<Item = &ShardKey> {
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

    pub(crate) fn is_open(&self) -> bool {
        self.open().is_some()
    }

    pub(crate) fn is(&self, key: &ShardKey) -> bool {
        self.open() == Some(key)
    }

    pub(crate) fn outcome(&self) -> Option<ParentOutcome> {
        match self {
            Self::Ended(outcome) => Some(*outcome),
            Self::None | Self::Open(_) => None,
        }
    }
}
