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
    pub(crate) children: KnownChildren,
    /// A partial list named a shard of another stream under this id. Until a full list shows which
    /// shards are left, this one is no parent.
    pub(crate) is_superseded: bool,
    /// The number of the last full list that named the shard.
    pub(crate) last_listed: u32,
}

/// Whether a child of a shard is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownChildren {
    Unknown,
    /// No child is known, although Kinesis has closed the shard, so that it has one.
    Awaited,
    Known,
}

#[derive(Debug)]
pub(crate) enum State {
    Waiting(Waiting),
    /// The shard is offered, or ready to be offered. It holds the children that wait for it.
    Open(Vec<ShardKey>),
    Closed(ParentOutcome),
    /// The run ends before the shard does. Its children wait for ever.
    Stopped,
}

/// A shard that waits for a parent.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// No handle shares it yet. An open parent has an id and no outcome in it.
    offer: Arc<Offer>,
    /// The children that wait for this shard.
    pub(crate) children: Vec<ShardKey>,
}

/// A parent, as its child finds it.
#[derive(Debug, Clone)]
pub(crate) enum Parent {
    None,
    Open(ShardKey),
    Ended(ParentOutcome),
}

impl Node {
    pub(crate) fn has_child(&self) -> bool {
        self.children == KnownChildren::Known
    }

    /// Notes that Kinesis has closed the shard.
    pub(crate) fn note_closed(&mut self) {
        if !self.has_child() {
            self.children = KnownChildren::Awaited;
        }
    }

    /// Returns whether this run has read the shard to its end, and the full list of this number
    /// names none of its children yet.
    pub(crate) fn awaits_child(&self, full_list: u32) -> bool {
        matches!(self.state, State::Closed(_))
            && self.children == KnownChildren::Awaited
            && self.last_listed == full_list
    }
}

impl State {
    /// Returns how a child sees a shard in this state.
    pub(crate) fn as_parent(&self, key: ShardKey) -> Parent {
        match self {
            Self::Closed(outcome) => Parent::Ended(*outcome),
            Self::Waiting(_) | Self::Open(_) | Self::Stopped => Parent::Open(key),
        }
    }

    /// Returns the children that wait for a shard in this state, unless it is closed.
    pub(crate) fn children(&mut self) -> Option<&mut Vec<ShardKey>> {
        match self {
            Self::Waiting(waiting) => Some(&mut waiting.children),
            Self::Open(children) => Some(children),
            Self::Closed(_) | Self::Stopped => None,
        }
    }

    /// Adds a child that waits for a shard in this state, unless it is closed. Most shards have one
    /// or two.
    pub(crate) fn add_child(&mut self, child: ShardKey) {
        if let Some(children) = self.children() {
            if children.capacity() == 0 {
                children.reserve_exact(2);
            }
            children.push(child);
        }
    }
}

impl Waiting {
    pub(crate) fn new(offer: Arc<Offer>) -> Self {
        Self { offer, children: Vec::new() }
    }

    pub(crate) fn open_parents(&self) -> impl Iterator<Item = ShardKey> {
        let Offer { shard, parents, .. } = &*self.offer;
        let open = |(id, outcome): (Option<&str>, &Option<ParentOutcome>)| {
            id.filter(|_| outcome.is_none()).map(ShardKey::from)
        };
        shard.parent_ids().into_iter().zip(parents).filter_map(open)
    }

    /// Notes how a parent is found, or that it ended.
    pub(crate) fn set_parent(&mut self, key: &ShardKey, parent: &Parent) {
        let Some(offer) = Arc::get_mut(&mut self.offer) else { return };
        for (id, outcome) in offer.shard.parent_ids().into_iter().zip(&mut offer.parents) {
            if id.is_some_and(|id| ShardKey::from(id) == *key) {
                *outcome = parent.outcome();
            }
        }
    }

    pub(crate) fn into_offer(self) -> Arc<Offer> {
        self.offer
    }
}

impl Parent {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    pub(crate) fn outcome(&self) -> Option<ParentOutcome> {
        match self {
            Self::Ended(outcome) => Some(*outcome),
            Self::None | Self::Open(_) => None,
        }
    }
}
