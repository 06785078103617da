//! The events of a run, and the queue of those to come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::lease::machine::{Failure, SaveId, Ticket};
use crate::lease::simulation::At;
use crate::lease::simulation::kcl::event::KclEvent;
use crate::lease::simulation::setup::Step;
use crate::lease::table::{Request, Response};

/// What happens at one time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Step(Step),
    Start(usize),
    Expire(usize),
    Wake {
        process: usize,
    },
    /// A request comes to the tables.
    Apply {
        process: usize,
        ticket: Ticket,
        request: Box<Request>,
        reply: Reply,
    },
    Respond {
        process: usize,
        ticket: Ticket,
        result: Box<Result<Response, Failure>>,
    },
    Read {
        process: usize,
        shard: usize,
        life: u64,
    },
    Acked {
        process: usize,
        shard: usize,
        life: u64,
        record: usize,
    },
    Save {
        process: usize,
        shard: usize,
        life: u64,
    },
    List {
        process: usize,
    },
    /// The response to a listing comes, with the shards of a time before.
    Listed {
        process: usize,
        begun: At,
        at: At,
    },
    /// The save task waits no longer for a save.
    GiveUpSave {
        process: usize,
        shard: usize,
        life: u64,
        id: SaveId,
    },
    /// The stream of shards is polled, for the first time or again.
    Poll {
        process: usize,
    },
    Resume {
        process: usize,
    },
    Inspect,
    Kcl {
        kcl: usize,
        event: Box<KclEvent>,
    },
}

impl Event {
    /// Returns the process that handles the event: the event waits while that is paused.
    pub(super) fn process(&self) -> Option<usize> {
        match self {
            Self::Wake { process }
            | Self::Respond { process, .. }
            | Self::Read { process, .. }
            | Self::Acked { process, .. }
            | Self::Save { process, .. }
            | Self::GiveUpSave { process, .. }
            | Self::Poll { process }
            | Self::List { process }
            | Self::Listed { process, .. } => Some(*process),
            _ => None,
        }
    }
}

/// What follows a request that comes to the tables.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    After(At),
    /// It is applied, but the response is an error.
    ErrorAfter(At),
    /// It is not applied.
    RefusedAfter(At),
    /// It is applied, and the client sends it once more.
    AgainAfter(At),
    /// The client has given up.
    None,
}

/// The events to come. The heap moves their times and numbers, not the events.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(At, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    next: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: At, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.heap.push(Reverse((at, self.next, slot)));
        self.next += 1;
    }

    pub(super) fn next_at(&self) -> Option<At> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(At, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.events[slot].take()?))
    }
}
