//! The combinator alone, fed with lists made by hand. Wake-ups and polls are counted.

mod abandoned;
mod children;
mod cost;
mod end_claims;
mod ending;
#[cfg(feature = "dynamodb")]
mod handed_over;
mod memory;
mod not_found;
mod order;
mod random;
mod starts;
mod until;
mod wakes;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use aws_sdk_kinesis::types::{ChildShard, SequenceNumberRange, Shard};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, stream};

use crate::lineage::parents_first::{ParentsFirst, parents_first};
use crate::lineage::wait;
use crate::listing::error::ListError;
use crate::listing::shard_list::ShardList;
use crate::listing::shard_lists::ListRequest;
use crate::shard::handle::ShardHandle;
use crate::shard::outcome::OnDrop;
use crate::shard::outcome::ParentOutcome;
use crate::shard::position::{Progress, StartAt, StartPosition};

fn id(n: u64) -> String {
    format!("shardId-{n:012}")
}

fn shard(n: u64, parents: &[u64]) -> Shard {
    shard_from(n, parents, "1")
}

fn shard_from(n: u64, parents: &[u64], first_sequence: &str) -> Shard {
    let range =
        SequenceNumberRange::builder().starting_sequence_number(first_sequence).build().unwrap();
    Shard::builder()
        .shard_id(id(n))
        .set_parent_shard_id(parents.first().copied().map(id))
        .set_adjacent_parent_shard_id(parents.get(1).copied().map(id))
        .sequence_number_range(range)
        .build()
        .unwrap()
}

fn closed(mut shard: Shard) -> Shard {
    if let Some(range) = &mut shard.sequence_number_range {
        range.ending_sequence_number = Some("9".to_owned());
    }
    shard
}

fn full(shards: Vec<Shard>) -> Result<ShardList, ListError> {
    ShardList::full("orders", shards)
}

fn child_shard(n: u64, parents: &[u64]) -> ChildShard {
    ChildShard::builder()
        .shard_id(id(n))
        .set_parent_shards(Some(parents.iter().copied().map(id).collect()))
        .build()
        .unwrap()
}

/// A waker that counts its wake-ups.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Lists = mpsc::UnboundedReceiver<Result<ShardList, ListError>>;

/// A lineage that is fed and polled by hand.
struct Driven {
    lists: Option<mpsc::UnboundedSender<Result<ShardList, ListError>>>,
    lineage: ParentsFirst<Lists>,
    woken: Arc<Woken>,
}

impl Driven {
    fn new(set: impl FnOnce(ParentsFirst<Lists>) -> ParentsFirst<Lists>) -> Self {
        let (lists, receiver) = mpsc::unbounded();
        Self { lists: Some(lists), lineage: set(parents_first(receiver)), woken: Arc::default() }
    }

    fn with(shards: Vec<Shard>) -> Self {
        let driven = Self::new(|lineage| lineage);
        driven.list(shards);
        driven
    }

    fn list(&self, shards: Vec<Shard>) {
        self.send(full(shards));
    }

    fn send(&self, list: Result<ShardList, ListError>) {
        self.lists.as_ref().unwrap().unbounded_send(list).unwrap();
    }

    fn poll(&mut self) -> Poll<Option<Result<ShardHandle, ListError>>> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.lineage.poll_next_unpin(&mut Context::from_waker(&waker))
    }

    /// Returns all shards that are ready.
    fn ready(&mut self) -> Vec<ShardHandle> {
        std::iter::from_fn(|| match self.poll() {
            Poll::Ready(shard) => shard.map(Result::unwrap),
            Poll::Pending => None,
        })
        .collect()
    }

    fn one(&mut self) -> ShardHandle {
        let mut ready = self.ready();
        assert_eq!(ready.len(), 1, "{ready:?}");
        ready.remove(0)
    }

    fn nothing(&mut self) {
        let ready = self.ready();
        assert!(ready.is_empty(), "{ready:?}");
    }

    fn wakes(&self) -> usize {
        self.woken.0.swap(0, Ordering::SeqCst)
    }

    fn take_list_request(&mut self) -> Option<ListRequest> {
        Pin::new(&mut self.lineage).take_list_request()
    }
}

fn ids(handles: &[ShardHandle]) -> Vec<u64> {
    handles.iter().map(|handle| handle.id()["shardId-".len()..].parse().unwrap()).collect()
}

fn outcomes(handle: &ShardHandle) -> Vec<ParentOutcome> {
    handle.parents().map(|(_, outcome)| outcome).collect()
}
