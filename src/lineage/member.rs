//! What is kept of one shard.

use std::sync::Arc;

use super::key::{FirstSequence, ShardKey};
use super::serial::Serial;
use crate::ParentOutcome;
use crate::handle::Offer;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: ShardKey,
    pub(super) first_sequence: FirstSequence,
    pub(super) parents: [Parent; 2],
    pub(super) state: State,
    /// Children that wait for this one.
    pub(super) children: Vec<Serial>,
    pub(super) has_child: bool,
    /// An earlier run named it or an ancestor.
    pub(super) descends: bool,
    /// It was one of a stream that is gone.
    pub(super) is_buried: bool,
    /// The number of the last full list that named it.
    pub(super) named_in: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Parent {
    None,
    Open(Serial),
    Ended(ParentOutcome),
}

#[derive(Debug)]
pub(super) enum State {
    /// For a parent.
    Waiting(Arc<Offer>),
    /// In the queue of those to be offered.
    Ready,
    Offered,
    Closed(ParentOutcome),
}

impl State {
    /// How a shard in this state stands to its children.
    pub(super) fn as_parent(&self, serial: Serial) -> Parent {
        match self {
            Self::Closed(outcome) => Parent::Ended(*outcome),
            _ => Parent::Open(serial),
        }
    }
}

impl Parent {
    pub(super) fn open(self) -> Option<Serial> {
        match self {
            Self::Open(serial) => Some(serial),
            Self::None | Self::Ended(_) => None,
        }
    }

    pub(super) fn outcome(self) -> Option<ParentOutcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::None | Self::Open(_) => None,
        }
    }

    pub(super) fn is_open(self) -> bool {
        self.open().is_some()
    }
}
