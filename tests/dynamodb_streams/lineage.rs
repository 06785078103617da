//! The order of `parents_first` over lists as `DescribeStream` makes them: no request is sent.
//!
//! Ids hold a time and a hash, so that they do not sort by their creation; a shard has one parent
//! at most; no shard has a range of hash keys; and a list may name children before their parents.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use aws_sdk_kinesis::types::{ChildShard, SequenceNumberRange, Shard};
use futures::Stream;
use futures::channel::mpsc;
use kinesis_shards::lineage::{ParentsFirst, parents_first};
use kinesis_shards::listing::{ListRequest, ShardList};
use kinesis_shards::shard::{ParentOutcome, StartPosition};
use kinesis_shards::{ListError, ShardHandle, StartAt};
use proptest::prelude::*;

const ARN: &str =
    "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000";
const CREATED_AGAIN: &str =
    "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-02T00:00:00.000";

type Lists = mpsc::UnboundedReceiver<Result<ShardList, ListError>>;

/// The combinator, fed with lists and polled by hand.
struct Driven {
    lists: Option<mpsc::UnboundedSender<Result<ShardList, ListError>>>,
    shards: ParentsFirst<Lists>,
}

impl Driven {
    fn new(start_at: StartAt) -> Self {
        let (lists, receiver) = mpsc::unbounded();
        Self { lists: Some(lists), shards: parents_first(receiver).start_at(start_at) }
    }

    fn list(&self, arn: &str, shards: impl IntoIterator<Item = Shard>) {
        let list = ShardList::full(arn, shards.into_iter().collect());
        self.lists.as_ref().unwrap().unbounded_send(list).unwrap();
    }

    /// Returns the shards that are ready, and whether the stream has ended.
    fn poll(&mut self) -> (Vec<ShardHandle>, bool) {
        let mut ready = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut self.shards).poll_next(&mut cx) {
                Poll::Ready(Some(shard)) => ready.push(shard.unwrap()),
                Poll::Ready(None) => return (ready, true),
                Poll::Pending => return (ready, false),
            }
        }
    }

    fn ready(&mut self) -> Vec<ShardHandle> {
        self.poll().0
    }

    fn take_list_request(&mut self) -> Option<ListRequest> {
        Pin::new(&mut self.shards).take_list_request()
    }

    /// Asserts that all shards but those of a last list are forgotten.
    fn assert_forgets_all(&mut self) {
        for _ in 0..2 {
            self.list(ARN, [shard(&id(99, 99), None)]);
            self.ready().into_iter().for_each(ShardHandle::complete);
        }
        assert_eq!(self.shards.tracked(), 1, "{:?}", self.shards);
        self.lists = None;
        assert!(self.poll().1, "nothing is out, so the stream ends");
    }
}

/// Returns an id whose hash descends while the shards of one generation are created.
fn id(generation: u64, n: u64) -> String {
    let hash = u32::try_from(n).unwrap().wrapping_mul(0x9E37_79B9).reverse_bits();
    format!("shardId-{:020}-{hash:08x}", 1_700_000_000_000 + generation * 14_400_000)
}

fn shard_from(id: &str, parent: Option<&str>, first: &str, last: Option<&str>) -> Shard {
    let range = SequenceNumberRange::builder().starting_sequence_number(first);
    let range = range.set_ending_sequence_number(last.map(str::to_owned)).build().unwrap();
    let shard = Shard::builder().shard_id(id).set_parent_shard_id(parent.map(str::to_owned));
    shard.sequence_number_range(range).build().unwrap()
}

fn shard(id: &str, parent: Option<&str>) -> Shard {
    shard_from(id, parent, "100000000000000000001", None)
}

fn closed(id: &str, parent: Option<&str>) -> Shard {
    shard_from(id, parent, "100000000000000000001", Some("100000000000000000009"))
}

fn ids(handles: &[ShardHandle]) -> Vec<String> {
    let mut ids: Vec<_> = handles.iter().map(|handle| handle.id().to_owned()).collect();
    ids.sort();
    ids
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort();
    ids
}

#[test]
fn children_on_an_earlier_page_wait_for_their_parents() {
    // 250 parents with two children each, and pages of 100 shards, the children's first.
    let parents: Vec<_> = (0..250).map(|n| id(0, n)).collect();
    let children = (0..500).map(|n| (id(1, n), &parents[usize::try_from(n / 2).unwrap()]));
    let children: Vec<_> = children.map(|(id, parent)| shard(&id, Some(parent))).collect();
    let mut pages = children.clone();
    pages.extend(parents.iter().map(|id| closed(id, None)));

    let mut driven = Driven::new(StartAt::TrimHorizon);
    driven.list(ARN, pages);
    let handles = driven.ready();
    assert_eq!(ids(&handles), sorted(parents.clone()));
    assert_eq!(driven.ready().len(), 0);
    let mut out = Vec::new();
    for handle in handles {
        let of_this = children.iter().filter(|it| it.parent_shard_id() == Some(handle.id()));
        let expected = sorted(of_this.map(|shard| shard.shard_id().to_owned()));
        handle.complete();
        let offered = driven.ready();
        assert_eq!(ids(&offered), expected, "exactly its own children");
        assert_eq!(driven.take_list_request(), None, "its children are known");
        for child in &offered {
            assert!(child.parents().all(|(_, outcome)| outcome == ParentOutcome::Completed));
            assert_eq!(child.start(), &StartPosition::TrimHorizon);
        }
        out.extend(offered);
    }
    out.into_iter().for_each(ShardHandle::complete);
    assert_eq!(driven.ready().len(), 0);
    assert_eq!(driven.take_list_request(), Some(ListRequest::Additions));
    driven.assert_forgets_all();
}

#[test]
fn generations_of_four_hours_are_read_one_after_another_and_forgotten_after_a_day() {
    const SHARDS: u64 = 16;
    // The shards of a day.
    const LISTED: u64 = 6;
    let parent = |generation: u64, n| generation.checked_sub(1).map(|before| id(before, n));
    let list = |newest: u64| {
        let generations = (newest.saturating_sub(LISTED)..=newest).rev();
        generations.flat_map(move |generation| {
            (0..SHARDS).map(move |n| {
                let (id, parent) = (id(generation, n), parent(generation, n));
                let new = if generation == newest { shard } else { closed };
                new(&id, parent.as_deref())
            })
        })
    };
    let mut driven = Driven::new(StartAt::TrimHorizon);
    driven.list(ARN, list(0));
    let mut out = driven.ready();
    for generation in 0..60 {
        assert_eq!(ids(&out), sorted((0..SHARDS).map(|n| id(generation, n))));
        for handle in std::mem::take(&mut out) {
            // The next generation is known from a list or from the end of its parent.
            if generation % 2 == 0 {
                driven.list(ARN, list(generation + 1));
                handle.complete();
            } else {
                let n = (0..SHARDS).find(|n| id(generation, *n) == handle.id()).unwrap();
                let child = ChildShard::builder().shard_id(id(generation + 1, n));
                let child = child.parent_shards(handle.id()).build().unwrap();
                handle.complete_with([child]);
            }
            out.extend(driven.ready());
            assert_eq!(driven.take_list_request(), None, "each child is known");
        }
        driven.list(ARN, list(generation + 1));
        assert_eq!(driven.ready().len(), 0, "each shard once");
        let bound = (LISTED + 3) * SHARDS;
        assert!(driven.shards.tracked() <= usize::try_from(bound).unwrap(), "{driven:?}");
    }
    out.into_iter().for_each(ShardHandle::complete);
    driven.assert_forgets_all();
}

#[test]
fn a_latest_run_skips_the_closed_shards_and_starts_no_child_at_latest() {
    let (parent, open) = (id(0, 0), id(1, 1));
    let mut driven = Driven::new(StartAt::Latest);
    driven.list(ARN, [shard(&open, Some(&parent)), closed(&parent, None)]);
    let handles = driven.ready();
    assert_eq!(ids(&handles), [open.as_str()]);
    assert_eq!(handles[0].start(), &StartPosition::Latest);
    let child = id(2, 2);
    driven.list(ARN, [shard(&child, Some(&open)), closed(&open, Some(&parent))]);
    assert_eq!(driven.ready().len(), 0);
    handles.into_iter().for_each(ShardHandle::complete);
    let children = driven.ready();
    assert_eq!(ids(&children), [child]);
    assert_eq!(children[0].start(), &StartPosition::TrimHorizon);
    children.into_iter().for_each(ShardHandle::complete);
    driven.assert_forgets_all();
}

#[test]
fn a_stream_that_was_created_again_has_new_shards_and_ends_no_handle_of_the_old_one() {
    let mut driven = Driven::new(StartAt::TrimHorizon);
    let (parent, child) = (id(0, 0), id(1, 0));
    driven.list(ARN, [shard(&child, Some(&parent)), closed(&parent, None)]);
    let old = driven.ready();
    let new = id(7, 3);
    driven.list(CREATED_AGAIN, [shard(&new, None)]);
    let of_new = driven.ready();
    assert_eq!(ids(&of_new), [new.as_str()]);
    assert_eq!(of_new[0].stream().as_str(), CREATED_AGAIN);
    // A stream that was disabled is readable for a day.
    old.into_iter().for_each(ShardHandle::complete);
    let of_old = driven.ready();
    assert_eq!(ids(&of_old), [child]);
    assert_eq!(of_old[0].stream().as_str(), ARN);
    of_old.into_iter().chain(of_new).for_each(ShardHandle::complete);
    driven.assert_forgets_all();
}

#[test]
fn a_first_sequence_number_that_grows_as_records_are_trimmed_makes_no_new_stream() {
    let (parent, child) = (id(0, 0), id(1, 0));
    let list = |first: &str| {
        [
            shard_from(&child, Some(&parent), first, None),
            shard_from(&parent, None, first, Some("9")),
        ]
    };
    let mut driven = Driven::new(StartAt::TrimHorizon);
    driven.list(ARN, list("1"));
    let handles = driven.ready();
    assert_eq!(ids(&handles), [parent.as_str()]);
    driven.list(ARN, list("5"));
    driven.list(ARN, list(""));
    driven.list(ARN, list("7"));
    assert_eq!(driven.ready().len(), 0, "the shard would be read a second time");
    handles.into_iter().for_each(ShardHandle::complete);
    let children = driven.ready();
    assert_eq!(ids(&children), [child.as_str()], "the handle has closed its shard");
    children.into_iter().for_each(ShardHandle::complete);
    driven.assert_forgets_all();

    // In Kinesis, it is another stream.
    let mut driven = Driven::new(StartAt::TrimHorizon);
    driven.list("orders", list("1"));
    let _old = driven.ready();
    driven.list("orders", list("5"));
    assert_eq!(ids(&driven.ready()), [parent]);
}

impl std::fmt::Debug for Driven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shards.fmt(f)
    }
}

/// One event of a random table. The numbers pick among the shards that exist.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// All open shards are replaced, and those that the bits pick are split.
    Rotate(u32),
    /// A list in an order that the seed decides.
    List(u64),
    /// The oldest shards that were read are no longer listed.
    Expire(usize),
    Complete(usize),
    /// Completes a shard with the response to a request for its children.
    CompleteWith(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => any::<u32>().prop_map(Step::Rotate),
        4 => any::<u64>().prop_map(Step::List),
        1 => (0..8_usize).prop_map(Step::Expire),
        6 => (0..64_usize).prop_map(Step::Complete),
        6 => (0..64_usize).prop_map(Step::CompleteWith),
    ];
    prop::collection::vec(step, 1..100)
}

/// A table of which the truth is known.
struct Table {
    driven: Driven,
    /// The parent of each shard, in the order of their creation.
    shards: Vec<(String, Option<String>)>,
    open: Vec<String>,
    /// How many of the oldest shards are no longer listed.
    expired: usize,
    generation: u64,
    out: Vec<ShardHandle>,
    /// How often each shard was offered, and which were completed.
    offered: BTreeMap<String, u32>,
    completed: Vec<String>,
}

impl Table {
    fn new(roots: u64) -> Self {
        let mut table = Self {
            driven: Driven::new(StartAt::TrimHorizon),
            shards: Vec::new(),
            open: Vec::new(),
            expired: 0,
            generation: 0,
            out: Vec::new(),
            offered: BTreeMap::new(),
            completed: Vec::new(),
        };
        (0..roots).for_each(|_| table.create(None));
        table
    }

    fn create(&mut self, parent: Option<String>) {
        let id = id(self.generation, u64::try_from(self.shards.len()).unwrap());
        self.open.push(id.clone());
        self.shards.push((id, parent));
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Rotate(splits) => {
                self.generation += 1;
                for (n, parent) in std::mem::take(&mut self.open).into_iter().enumerate() {
                    // At most 12 shards are open.
                    let children = if splits >> (n % 32) & 1 == 1 && n < 6 { 2 } else { 1 };
                    (0..children).for_each(|_| self.create(Some(parent.clone())));
                }
                self.open.truncate(12);
            }
            Step::List(seed) => self.list(seed),
            Step::Expire(n) => {
                let read = |(id, _): &(String, _)| self.completed.contains(id);
                let oldest = self.shards.iter().skip(self.expired).take(n);
                self.expired += oldest.take_while(|shard| read(shard)).count();
            }
            Step::Complete(_) | Step::CompleteWith(_) if self.out.is_empty() => {}
            Step::Complete(pick) => self.take(pick).complete(),
            Step::CompleteWith(pick) => {
                let handle = self.take(pick);
                let of_this = |(_, parent): &&(String, Option<String>)| {
                    parent.as_deref() == Some(handle.id())
                };
                let children = self.shards.iter().filter(of_this).map(|(id, _)| {
                    let child = ChildShard::builder().shard_id(id).parent_shards(handle.id());
                    child.build().unwrap()
                });
                let children: Vec<_> = children.collect();
                handle.complete_with(children);
            }
        }
        self.poll()
    }

    fn list(&self, seed: u64) {
        let mut listed: Vec<_> = self.shards[self.expired..].iter().collect();
        let mixed = |id: &str| {
            id.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0193))
        };
        listed.sort_by_key(|(id, _)| mixed(id));
        let as_shard = |(id, parent): &(String, Option<String>)| {
            let listed = if self.open.contains(id) { shard } else { closed };
            listed(id, parent.as_deref())
        };
        self.driven.list(ARN, listed.into_iter().map(as_shard));
    }

    fn take(&mut self, pick: usize) -> ShardHandle {
        let handle = self.out.swap_remove(pick % self.out.len());
        self.completed.push(handle.id().to_owned());
        handle
    }

    fn poll(&mut self) -> Result<(), TestCaseError> {
        for handle in self.driven.ready() {
            let id = handle.id();
            let (_, parent) = self.shards.iter().find(|(other, _)| other == id).unwrap();
            if let Some(parent) = parent {
                prop_assert!(self.completed.contains(parent), "{} before {}", id, parent);
            }
            let times = self.offered.entry(id.to_owned()).or_default();
            *times += 1;
            prop_assert_eq!(*times, 1, "{} twice", id);
            self.out.push(handle);
        }
        Ok(())
    }

    /// Reads all that is left.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.step(Step::List(1))?;
        while !self.out.is_empty() {
            self.step(Step::Complete(0))?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn parents_come_first_and_each_shard_once(roots in 1..5_u64, steps in steps()) {
        let mut table = Table::new(roots);
        for step in steps {
            table.step(step)?;
        }
        table.drain()?;
        let all = table.shards.iter().map(|(id, _)| id);
        let never: Vec<_> = all.filter(|id| !table.offered.contains_key(*id)).collect();
        prop_assert!(never.is_empty(), "never offered: {:?}", never);
        table.driven.assert_forgets_all();
    }
}
