//! The combinator by itself: hand-made lists in, wake-ups and polls counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use aws_sdk_kinesis::types::{ChildShard, SequenceNumberRange, Shard};
use futures::channel::mpsc;
use futures::{FutureExt, stream};

use super::*;
use crate::{Error, ParentOutcome, StartPosition};

fn id(n: u64) -> String {
    format!("shardId-{n:012}")
}

fn shard(n: u64, parents: &[u64]) -> Shard {
    shard_from(n, parents, "1")
}

fn shard_from(n: u64, parents: &[u64], first_sequence: &str) -> Shard {
    let range = SequenceNumberRange::builder().starting_sequence_number(first_sequence).build().unwrap();
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

fn full(shards: Vec<Shard>) -> Result<ShardList, Error> {
    ShardList::full("orders", shards)
}

fn child_shard(n: u64, parents: &[u64]) -> ChildShard {
    ChildShard::builder()
        .shard_id(id(n))
        .set_parent_shards(Some(parents.iter().copied().map(id).collect()))
        .build()
        .unwrap()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Lists = mpsc::UnboundedReceiver<Result<ShardList, Error>>;

/// A lineage fed by hand, polled by hand.
struct Driven {
    lists: Option<mpsc::UnboundedSender<Result<ShardList, Error>>>,
    lineage: Lineage<Lists>,
    woken: Arc<Woken>,
}

impl Driven {
    fn new(set: impl FnOnce(Lineage<Lists>) -> Lineage<Lists>) -> Self {
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

    fn send(&self, list: Result<ShardList, Error>) {
        self.lists.as_ref().unwrap().unbounded_send(list).unwrap();
    }

    fn poll(&mut self) -> Poll<Option<Result<ShardHandle, Error>>> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.lineage.poll_next_unpin(&mut Context::from_waker(&waker))
    }

    /// All that is ready now.
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

    fn wanted(&mut self) -> Option<WantedList> {
        Pin::new(&mut self.lineage).wanted()
    }
}

fn ids(handles: &[ShardHandle]) -> Vec<u64> {
    handles.iter().map(|handle| handle.id()["shardId-".len()..].parse().unwrap()).collect()
}

fn outcomes(handle: &ShardHandle) -> Vec<ParentOutcome> {
    handle.parents().map(|(_, outcome)| outcome).collect()
}

#[test]
fn it_is_send_static_and_unpin() {
    fn check<T: Send + Unpin + 'static>() {}
    check::<Lineage<Lists>>();
    check::<ShardHandle>();
    check::<crate::AllShards>();
    check::<crate::TryAllShards>();
    check::<crate::ShardLists>();
    check::<crate::ShardList>();
    check::<Error>();
    fn sync<T: Sync>() {}
    sync::<ShardHandle>();
    sync::<Error>();
}

#[test]
fn a_merge_waits_for_both_parents() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[]), shard(2, &[0, 1])]);
    let mut parents = driven.ready();
    assert_eq!(ids(&parents), [0, 1]);
    parents.remove(1).complete();
    driven.nothing();
    parents.remove(0).complete();
    let merged = driven.one();
    assert_eq!(merged.id(), id(2));
    assert_eq!(
        merged.parents().collect::<Vec<_>>(),
        [(id(0).as_str(), ParentOutcome::Completed), (id(1).as_str(), ParentOutcome::Completed)]
    );
}

#[test]
fn listing_order_3_1_4_2() {
    let mut driven = Driven::with(vec![shard(3, &[1]), shard(1, &[]), shard(4, &[3, 2]), shard(2, &[1])]);
    let one = driven.one();
    assert_eq!(one.id(), id(1));
    one.complete();
    let mut children = driven.ready();
    assert_eq!(ids(&children), [3, 2]);
    children.pop().unwrap().complete();
    driven.nothing();
    children.pop().unwrap().complete();
    assert_eq!(driven.one().id(), id(4));
}

#[test]
fn a_parent_that_is_unlisted_has_expired() {
    let mut driven = Driven::with(vec![shard(7, &[3]), shard(9, &[7, 8])]);
    let seven = driven.one();
    assert_eq!(outcomes(&seven), [ParentOutcome::Unlisted]);
    drop(seven);
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Dropped, ParentOutcome::Unlisted]);
}

#[test]
fn a_parent_that_appears_later_than_its_child_is_waited_for_while_the_child_waits() {
    let mut driven = Driven::with(vec![shard(1, &[]), shard(2, &[0, 1])]);
    let one = driven.one();
    driven.list(vec![shard(0, &[]), shard(1, &[]), shard(2, &[0, 1])]);
    let zero = driven.one();
    one.complete();
    driven.nothing();
    zero.complete();
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed, ParentOutcome::Completed]);
}

#[test]
fn a_parent_that_appears_after_its_child_was_offered_is_offered_itself() {
    let mut driven = Driven::with(vec![shard(2, &[0])]);
    let child = driven.one();
    driven.list(vec![shard(0, &[]), shard(2, &[0])]);
    assert_eq!(driven.one().id(), id(0));
    drop(child);
    driven.list(vec![shard(0, &[]), shard(2, &[0])]);
    driven.nothing();
}

#[test]
fn late_parents_cannot_close_a_circle() {
    let mut driven = Driven::with(vec![shard(1, &[]), shard(2, &[3, 1])]);
    let one = driven.one();
    driven.list(vec![shard(1, &[]), shard(2, &[9, 1]), shard(3, &[2])]);
    one.complete();
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    two.complete();
    assert_eq!(driven.one().id(), id(3));
}

#[test]
fn a_known_parent_stays_one_when_it_drops_out_of_later_lists() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    for _ in 0..5 {
        driven.list(vec![shard(1, &[0])]);
        driven.nothing();
    }
    parent.complete();
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed]);
}

#[test]
fn each_shard_is_offered_once_whatever_the_lists_repeat() {
    let shards = || vec![shard(1, &[0]), shard(0, &[]), shard(1, &[0]), shard(0, &[])];
    let mut driven = Driven::with(shards());
    driven.list(shards());
    let zero = driven.one();
    driven.list(shards());
    driven.nothing();
    zero.complete();
    driven.list(shards());
    let one = driven.one();
    driven.list(shards());
    driven.nothing();
    drop(one);
    driven.list(shards());
    driven.nothing();
}

#[test]
fn the_last_parent_wakes_the_stream_and_its_child_is_in_the_very_next_poll() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[]), shard(2, &[0, 1]), shard(3, &[])]);
    let mut out = driven.ready();
    driven.nothing();
    driven.wakes();
    out.remove(0).complete();
    assert_eq!(driven.wakes(), 1);
    driven.nothing();
    driven.wakes();
    out.remove(0).complete();
    assert_eq!(driven.wakes(), 1);
    assert!(matches!(driven.poll(), Poll::Ready(Some(Ok(child))) if child.id() == id(2)));
}

#[test]
fn a_handle_ended_in_another_thread_wakes_the_stream() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    driven.wakes();
    std::thread::spawn(move || parent.complete()).join().unwrap();
    assert_eq!(driven.wakes(), 1);
    assert_eq!(driven.one().id(), id(1));
}

#[test]
fn ten_thousand_waits_released_at_once_are_polled_once_each() {
    const N: u64 = 10_000;
    let mut shards: Vec<Shard> = (0..N).map(|n| shard(n, &[])).collect();
    shards.extend((0..N).map(|n| shard(N + n, &[n])));
    let mut driven = Driven::with(shards);
    let parents = driven.ready();
    assert_eq!(parents.len(), 10_000);
    driven.nothing();
    wait::tests::POLLS.set(0);
    drop(parents);
    let children = driven.ready();
    assert_eq!(children.len(), 10_000);
    // Each parent's wait once, and each child's own, once it is out, at most once more.
    let polls = wait::tests::POLLS.get();
    assert!((N..=2 * N).contains(&polls), "{polls} polls for {N} releases");
}

#[test]
fn ten_thousand_children_of_one_parent_cost_one_wait() {
    const N: u64 = 10_000;
    let mut shards = vec![shard(0, &[])];
    shards.extend((1..=N).map(|n| shard(n, &[0])));
    let mut driven = Driven::with(shards);
    let parent = driven.one();
    wait::tests::POLLS.set(0);
    parent.complete();
    let Poll::Ready(Some(Ok(first))) = driven.poll() else { panic!("no child") };
    assert_eq!(wait::tests::POLLS.get(), 1);
    drop(first);
    assert_eq!(driven.ready().len(), 9_999);
}

#[test]
fn ending_a_handle_after_the_stream_is_gone_is_harmless() {
    for end in [ShardHandle::complete, ShardHandle::abandon, drop as fn(ShardHandle)] {
        let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
        let handle = driven.one();
        drop(driven);
        end(handle);
    }
}

#[test]
fn dropping_the_stream_while_a_thousand_shards_wait_frees_all() {
    let mut shards = vec![shard(0, &[])];
    shards.extend((1..=1_000).map(|n| shard(n, &[0])));
    let list = full(shards).unwrap();
    let stream = Arc::downgrade(&list.stream);
    let (lists, receiver) = mpsc::unbounded::<Result<_, Error>>();
    lists.unbounded_send(Ok(list)).unwrap();
    let mut lineage = parents_first(receiver);
    let handle = lineage.next().now_or_never().unwrap().unwrap().unwrap();
    assert!(lineage.next().now_or_never().is_none());
    assert_eq!(lineage.tracked(), 1_001);
    drop(lineage);
    assert!(lists.is_closed());
    assert_eq!(stream.strong_count(), 1, "only the handle's own");
    handle.complete();
    assert_eq!(stream.strong_count(), 0);
}

#[test]
fn a_failed_listing_is_one_err_and_keeps_the_handles() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    driven.send(full(vec![shard(5, &[5])]));
    assert!(matches!(driven.poll(), Poll::Ready(Some(Err(Error::MalformedList { .. })))));
    driven.nothing();
    parent.complete();
    assert_eq!(driven.one().id(), id(1));
}

#[test]
fn it_ends_when_its_lists_have_ended_and_nothing_waits() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.lists = None;
    let Poll::Ready(Some(Ok(parent))) = driven.poll() else { panic!("no shard") };
    assert!(driven.poll().is_pending(), "a child waits");
    parent.complete();
    let Poll::Ready(Some(Ok(child))) = driven.poll() else { panic!("no child") };
    assert!(matches!(driven.poll(), Poll::Ready(None)));
    drop(child);
    assert!(matches!(driven.poll(), Poll::Ready(None)));
}

#[test]
fn a_source_that_is_always_ready_does_not_hold_the_task() {
    let lists = stream::repeat_with(|| full(vec![shard(0, &[])]));
    let mut lineage = parents_first(lists);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    assert!(lineage.poll_next_unpin(cx).is_ready());
    assert!(lineage.poll_next_unpin(cx).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "it asks to be polled again");
}

#[test]
fn the_children_of_the_last_get_records_are_known_at_once() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let parent = driven.one();
    parent.complete_with([child_shard(1, &[0]), child_shard(2, &[0])]);
    let children = driven.ready();
    assert_eq!(ids(&children), [1, 2]);
    assert_eq!(outcomes(&children[0]), [ParentOutcome::Completed]);
    assert_eq!(children[0].start(), &StartPosition::TrimHorizon);
    assert_eq!(driven.wanted(), None, "no listing is needed");
    driven.list(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[0])]);
    driven.nothing();
}

#[test]
fn a_merged_child_named_by_one_parent_waits_for_the_other() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let mut parents = driven.ready();
    parents.remove(0).complete_with([child_shard(2, &[0, 1])]);
    driven.nothing();
    parents.remove(0).complete_with([child_shard(2, &[0, 1])]);
    assert_eq!(driven.one().id(), id(2));
    assert_eq!(driven.wanted(), None);
}

#[test]
fn children_that_make_no_sense_are_left_to_the_next_list() {
    for nonsense in [
        child_shard(2, &[]),
        child_shard(2, &[1]),
        child_shard(2, &[0, 0]),
        child_shard(2, &[0, 77]),
        child_shard(0, &[0]),
        child_shard(2, &[0, 1, 1]),
        ChildShard::builder().shard_id("").parent_shards(id(0)).build().unwrap(),
    ] {
        let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
        let mut out = driven.ready();
        let text = format!("{nonsense:?}");
        out.remove(0).complete_with([nonsense]);
        driven.nothing();
        assert_eq!(driven.wanted(), Some(WantedList::Additions), "{text}");
        assert_eq!(driven.wanted(), None, "told once");
    }
}

#[test]
fn one_closing_with_no_known_child_wants_one_listing_and_so_does_a_burst() {
    let mut driven = Driven::with((0..1_001).map(|n| shard(n, &[])).collect());
    let mut out = driven.ready();
    assert_eq!(driven.wanted(), None);
    out.remove(0).complete();
    driven.nothing();
    assert_eq!(driven.wanted(), Some(WantedList::Additions));
    drop(out);
    driven.nothing();
    assert_eq!(driven.wanted(), Some(WantedList::Additions));
    assert_eq!(driven.wanted(), None);
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    assert_eq!(driven.wanted(), None, "closed early: the list brought no child, and that is that");
}

#[test]
fn a_closing_whose_children_come_with_the_listing_under_way_wants_no_other() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let mut out = driven.ready();
    out.remove(0).complete();
    driven.nothing();
    assert!(driven.wanted().is_some());
    out.remove(0).complete();
    driven.nothing();
    driven.send(ShardList::additions("orders", vec![shard(2, &[0]), shard(3, &[1])]));
    assert_eq!(driven.ready().len(), 2);
    assert_eq!(driven.wanted(), None);
}

#[test]
fn a_partial_list_says_nothing_of_what_it_leaves_out() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let zero = driven.one();
    driven.send(ShardList::additions("orders", vec![shard(3, &[2])]));
    driven.nothing();
    assert_eq!(driven.wanted(), Some(WantedList::Full), "is the parent expired, or was it left out?");
    driven.list(vec![shard(0, &[]), shard(2, &[0]), shard(3, &[2])]);
    driven.nothing();
    zero.complete();
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    two.complete();
    assert_eq!(driven.one().id(), id(3));
}

#[test]
fn a_shard_is_forgotten_after_two_full_lists_without_it_and_not_after_a_short_one() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.one().complete();
    let child = driven.one();
    assert_eq!(driven.lineage.tracked(), 2);
    driven.list(vec![shard(1, &[0])]);
    driven.nothing();
    driven.list(vec![shard(0, &[]), shard(1, &[0])]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 2, "one short list forgets nothing, and offers nothing again");
    driven.list(vec![shard(1, &[0])]);
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 2, "a partial list does not count");
    driven.list(vec![shard(1, &[0])]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1);
    driven.list(vec![]);
    driven.list(vec![]);
    driven.list(vec![]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1, "a shard that is out is never forgotten");
    child.complete();
    driven.nothing();
    driven.list(vec![]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 0);
}

#[test]
fn a_stream_created_again_under_its_name_is_a_new_one() {
    let mut driven =
        Driven::with(vec![shard_from(0, &[], "111"), shard_from(1, &[], "112"), shard_from(2, &[0], "113")]);
    let mut old = driven.ready();
    old.remove(1).complete();
    driven.nothing();
    driven.wanted();

    let again = || vec![shard_from(0, &[], "211"), shard_from(1, &[0], "212")];
    driven.list(again());
    let zero = driven.one();
    assert_eq!(zero.id(), id(0));
    driven.list(again());
    old.remove(0).complete();
    driven.nothing();
    zero.complete();
    assert_eq!(driven.one().id(), id(1));
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 2, "of the old stream nothing is left");
}

#[test]
fn a_partial_list_that_shows_a_new_stream_wants_a_full_one() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let _old = driven.one();
    driven.send(ShardList::additions("orders", vec![shard_from(0, &[], "211")]));
    driven.nothing();
    assert_eq!(driven.wanted(), Some(WantedList::Full));
}

#[test]
fn a_shard_whose_number_is_revised_from_zero_is_the_same_shard() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "0")]);
    let _zero = driven.one();
    driven.list(vec![shard_from(0, &[], "1")]);
    driven.nothing();
    driven.list(vec![shard_from(0, &[], "0")]);
    assert_eq!(driven.one().id(), id(0), "back to 0: created again");
}

#[test]
fn a_shard_that_was_dropped_by_a_panic_is_closed() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    let consumer = std::thread::spawn(move || {
        let _parent = parent;
        std::panic::panic_any("a consumer's bug");
    });
    assert!(consumer.join().is_err());
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Dropped]);
}

fn assert_start(handles: &[ShardHandle], expected: &[(u64, StartPosition)]) {
    let mut starts: Vec<_> =
        handles.iter().map(|handle| (handle.id().to_owned(), handle.start().clone())).collect();
    starts.sort_by(|a, b| a.0.cmp(&b.0));
    let expected: Vec<_> = expected.iter().map(|(n, start)| (id(*n), start.clone())).collect();
    assert_eq!(starts, expected);
}

use StartPosition::{After, Latest, TrimHorizon};

#[test]
fn latest_replays_nothing_of_a_stream_that_was_resharded_before() {
    let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Latest));
    driven.list(vec![closed(shard(0, &[])), closed(shard(1, &[0])), shard(2, &[0]), shard(3, &[1])]);
    let out = driven.ready();
    assert_start(&out, &[(2, Latest), (3, Latest)]);
    assert_eq!(outcomes(&out[0]), [ParentOutcome::BeforeStart]);
    drop(out);
    driven.list(vec![closed(shard(2, &[0])), shard(4, &[2]), shard(5, &[])]);
    assert_start(&driven.ready(), &[(4, TrimHorizon), (5, TrimHorizon)]);
}

#[test]
fn latest_loses_nothing_while_the_first_listing_is_made() {
    // 0 was still open on the first page, and its children are on the second: 1 and the children of 2, closed already.
    let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Latest));
    driven.list(vec![shard(0, &[]), shard(1, &[0]), closed(shard(2, &[0])), shard(3, &[2])]);
    let zero = driven.ready();
    assert_start(&zero, &[(0, Latest)]);
    drop(zero);
    let children = driven.ready();
    assert_start(&children, &[(1, TrimHorizon), (2, TrimHorizon)]);
    drop(children);
    assert_start(&driven.ready(), &[(3, TrimHorizon)]);
}

#[test]
fn a_timestamp_is_for_the_shards_of_the_first_list_that_have_no_parent_in_it() {
    let t = aws_sdk_kinesis::primitives::DateTime::from_secs(1_700_000_000);
    let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Timestamp(t)));
    driven.list(vec![shard(1, &[0]), closed(shard(2, &[])), shard(3, &[2])]);
    let first = driven.ready();
    assert_start(&first, &[(1, StartPosition::Timestamp(t)), (2, StartPosition::Timestamp(t))]);
    drop(first);
    assert_start(&driven.ready(), &[(3, TrimHorizon)]);
    driven.list(vec![shard(9, &[8])]);
    assert_start(&driven.ready(), &[(9, TrimHorizon)]);
}

fn resumed(start: StartAt, progress: Vec<(u64, Progress)>) -> Driven {
    Driven::new(|lineage| {
        lineage.start_at(start).resume(progress.into_iter().map(|(n, progress)| (id(n), progress)))
    })
}

#[test]
fn resume_with_a_finished_parent_and_an_unread_sibling() {
    let after = After("49590338271490256608559692538361571095921575989136588898".to_owned());
    for start in [StartAt::TrimHorizon, StartAt::Latest] {
        let mut driven = resumed(start, vec![(0, Progress::Finished), (1, Progress::At(after.clone()))]);
        driven.list(vec![closed(shard(0, &[])), closed(shard(1, &[0])), shard(2, &[0]), shard(3, &[1])]);
        let out = driven.ready();
        assert_start(&out, &[(1, after.clone()), (2, TrimHorizon)]);
        assert_eq!(outcomes(&out[0]), [ParentOutcome::EarlierRun]);
        drop(out);
        assert_start(&driven.ready(), &[(3, TrimHorizon)]);
    }
}

#[test]
fn what_descends_from_a_named_shard_is_read_from_its_beginning_under_latest() {
    // 0 is named and has expired; 1 and 3 descend from it, though 1 is closed; 9 is of another family.
    let mut driven = resumed(StartAt::Latest, vec![(0, Progress::Finished)]);
    driven.list(vec![closed(shard(1, &[0])), shard(3, &[1]), shard(9, &[])]);
    let out = driven.ready();
    assert_start(&out, &[(1, TrimHorizon), (9, Latest)]);
    assert_eq!(outcomes(&out[0]), [ParentOutcome::EarlierRun]);
    drop(out);
    assert_start(&driven.ready(), &[(3, TrimHorizon)]);
}

#[test]
fn an_unknown_line_of_descent_is_not_skipped_when_the_earlier_run_has_expired() {
    // 0 is named and gone, and so is 4, of which nobody knows whether it descended from 0: 5 must not start at LATEST.
    let mut driven = resumed(StartAt::Latest, vec![(0, Progress::Finished)]);
    driven.list(vec![shard(5, &[4])]);
    assert_start(&driven.ready(), &[(5, TrimHorizon)]);
}

#[test]
fn a_finished_shard_whose_parent_is_unread_is_not_offered_and_its_child_is_free() {
    let mut driven = resumed(StartAt::TrimHorizon, vec![(1, Progress::Finished)]);
    driven.list(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[1])]);
    let out = driven.ready();
    assert_eq!(ids(&out), [0, 2]);
    drop(out);
    driven.nothing();
}

#[test]
fn what_an_earlier_run_left_is_not_for_a_stream_created_again() {
    let mut driven = resumed(StartAt::TrimHorizon, vec![(0, Progress::Finished), (1, Progress::Finished)]);
    driven.list(vec![shard_from(0, &[], "111")]);
    driven.nothing();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[], "212")]);
    assert_eq!(ids(&driven.ready()), [0, 1]);
}

mod handed_back {
    use super::*;
    use tokio::time::{Duration, Instant, advance};

    /// Polls until a shard comes; the clock is paused, so that waiting takes no time.
    async fn next(driven: &mut Driven) -> ShardHandle {
        driven.lineage.next().await.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_shard_comes_back_and_its_children_wait() {
        let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
        let first = driven.one();
        let start = first.start().clone();
        first.abandon();
        driven.nothing();
        let again = next(&mut driven).await;
        assert_eq!((again.id(), again.start()), (id(0).as_str(), &start));
        driven.nothing();
        again.complete();
        assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed]);
    }

    #[tokio::test(start_paused = true)]
    async fn its_delay_grows_from_100_ms_to_the_limit_and_begins_anew_after_a_long_hold() {
        let mut driven = Driven::new(|lineage| lineage.longest_return(Duration::from_secs(1)));
        driven.list(vec![shard(0, &[])]);
        let mut handle = driven.one();
        let mut delays = Vec::new();
        for held in [0, 0, 0, 0, 0, 0, 2_000, 0] {
            advance(Duration::from_millis(held)).await;
            handle.abandon();
            let before = Instant::now();
            handle = next(&mut driven).await;
            delays.push(before.elapsed().as_millis());
        }
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000, 100, 200]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_does_not_end_while_a_shard_is_on_its_way_back() {
        let mut driven = Driven::with(vec![shard(0, &[])]);
        driven.lists = None;
        let Poll::Ready(Some(Ok(handle))) = driven.poll() else { panic!("no shard") };
        handle.abandon();
        next(&mut driven).await.complete();
        assert!(driven.lineage.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_panicked_or_aborted_it_closes_or_comes_back_as_on_drop_says() {
        for on_drop in [OnDrop::Close, OnDrop::Reoffer] {
            for way in ["drop", "panic", "abort"] {
                let mut driven = Driven::new(|lineage| lineage.on_drop(on_drop));
                driven.list(vec![shard(0, &[]), shard(1, &[0])]);
                let handle = driven.one();
                match way {
                    "drop" => drop(handle),
                    "panic" => {
                        let task = tokio::spawn(async move {
                            let _handle = handle;
                            std::panic::panic_any("a consumer's bug");
                        });
                        assert!(task.await.unwrap_err().is_panic());
                    }
                    _ => {
                        let task = tokio::spawn(async move {
                            let _handle = handle;
                            std::future::pending::<()>().await;
                        });
                        tokio::task::yield_now().await;
                        task.abort();
                        assert!(task.await.unwrap_err().is_cancelled());
                    }
                }
                let next = next(&mut driven).await;
                match on_drop {
                    OnDrop::Close => assert_eq!(outcomes(&next), [ParentOutcome::Dropped], "{way}"),
                    OnDrop::Reoffer => {
                        assert_eq!(next.id(), id(0), "{way}");
                        driven.nothing();
                        next.complete();
                        assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed], "{way}");
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_of_a_deleted_stream_does_not_come_back() {
        let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
        driven.one().abandon();
        driven.list(vec![shard_from(0, &[], "211")]);
        let new = driven.one();
        assert_eq!(new.shard().sequence_number_range().unwrap().starting_sequence_number(), "211");
        advance(Duration::from_secs(60)).await;
        driven.nothing();
        assert_eq!(driven.lineage.tracked(), 1);
    }
}

#[test]
#[should_panic(expected = "start_at was called after the stream of shards was first polled")]
fn a_setter_after_the_first_poll_is_refused() {
    let mut driven = Driven::with(vec![]);
    driven.nothing();
    let _ = driven.lineage.start_at(StartAt::Latest);
}
