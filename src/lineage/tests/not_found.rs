//! Shards whose reader got `ResourceNotFoundException`.

use super::*;

use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn a_shard_that_the_next_full_list_omits_is_closed_and_its_children_are_ready() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.one().expire();
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    assert_eq!(driven.take_list_request(), None, "requested once");
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    driven.list(vec![shard(1, &[0])]);
    let child = driven.one();
    assert_eq!(outcomes(&child), [ParentOutcome::Unlisted]);
    assert_eq!(driven.take_list_request(), None, "that list would have named any children");
    driven.list(vec![shard(1, &[0])]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1, "the shard is forgotten like any other");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_listed_all_the_same_is_reoffered_after_a_growing_delay() {
    let shards = || vec![shard(0, &[]), shard(1, &[0])];
    let mut driven = Driven::with(shards());
    let mut handle = driven.one();
    for delay in [100, 200, 400] {
        handle.expire();
        driven.nothing();
        assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
        driven.list(shards());
        let before = Instant::now();
        handle = driven.lineage.next().await.unwrap().unwrap();
        assert_eq!((handle.id(), before.elapsed().as_millis()), (id(0).as_str(), delay));
        assert_eq!(driven.take_list_request(), None);
    }
    handle.complete();
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed]);
}

#[tokio::test(start_paused = true)]
async fn a_full_list_that_began_before_the_report_does_not_count() {
    // The first list may know less than the reader, for example of a child that only its parent has
    // named.
    let mut driven = Driven::with(vec![shard(0, &[])]);
    driven.one().complete_with([child_shard(1, &[0])]);
    driven.one().expire();
    driven.nothing();
    driven.list(vec![shard(0, &[])]);
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full), "one more");
    driven.list(vec![shard(0, &[]), shard(1, &[0])]);
    advance(Duration::from_millis(101)).await;
    driven.nothing();
    advance(Duration::from_millis(101)).await;
    assert_eq!(driven.one().id(), id(1));
}

#[test]
fn the_shard_is_closed_at_once_when_the_lists_have_ended() {
    // The lists end before the report, or after it.
    for ends_first in [true, false] {
        let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
        let parent = driven.one();
        if ends_first {
            driven.lists = None;
            assert!(driven.poll().is_pending());
            parent.expire();
        } else {
            parent.expire();
            driven.nothing();
            driven.lists = None;
        }
        let child = driven.one();
        assert_eq!(outcomes(&child), [ParentOutcome::Unlisted]);
        drop(child);
        assert!(matches!(driven.poll(), Poll::Ready(None)));
    }
}

#[test]
fn a_report_about_a_deleted_stream_is_forgotten() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111"), shard_from(1, &[0], "112")]);
    driven.one().expire();
    driven.nothing();
    driven.take_list_request();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[0], "212")]);
    let new = driven.one();
    assert_eq!(new.shard().sequence_number_range().unwrap().starting_sequence_number(), "211");
    driven.list(vec![shard_from(1, &[0], "212")]);
    driven.list(vec![shard_from(1, &[0], "212")]);
    driven.nothing();
    new.complete();
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed]);
}

#[test]
fn the_first_full_listing_that_begins_after_the_report_resolves_it() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    // Two lists and more have been taken in before.
    for _ in 0..3 {
        driven.list(vec![shard(0, &[]), shard(1, &[0])]);
        driven.nothing();
    }
    parent.expire();
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    driven.list(vec![shard(1, &[0])]);
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Unlisted]);
}
