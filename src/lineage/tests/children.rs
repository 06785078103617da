//! Children that `complete_with` names, and the listings that find the others.

use super::*;

#[test]
fn children_that_complete_with_names_are_ready_at_once() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let parent = driven.one();
    parent.complete_with([child_shard(1, &[0]), child_shard(2, &[0])]);
    let children = driven.ready();
    assert_eq!(ids(&children), [1, 2]);
    assert_eq!(outcomes(&children[0]), [ParentOutcome::Completed]);
    assert_eq!(children[0].start(), &StartPosition::TrimHorizon);
    assert_eq!(driven.take_list_request(), None, "no listing is requested");
    driven.list(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[0])]);
    driven.nothing();
}

#[test]
fn a_child_of_a_merge_that_one_parent_names_waits_for_the_other() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let mut parents = driven.ready();
    parents.remove(0).complete_with([child_shard(2, &[0, 1])]);
    driven.nothing();
    parents.remove(0).complete_with([child_shard(2, &[0, 1])]);
    assert_eq!(driven.one().id(), id(2));
    assert_eq!(driven.take_list_request(), None);
}

#[test]
fn a_malformed_child_is_left_to_the_next_list() {
    for malformed in [
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
        let text = format!("{malformed:?}");
        out.remove(0).complete_with([malformed]);
        driven.nothing();
        assert_eq!(driven.take_list_request(), Some(ListRequest::Additions), "{text}");
        assert_eq!(driven.take_list_request(), None, "requested once");
    }
}

#[test]
fn one_closing_without_a_known_child_requests_one_listing_and_so_does_a_burst() {
    let mut driven = Driven::with((0..1_001).map(|n| shard(n, &[])).collect());
    let mut out = driven.ready();
    assert_eq!(driven.take_list_request(), None);
    out.remove(0).complete();
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Additions));
    drop(out);
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Additions));
    assert_eq!(driven.take_list_request(), None);
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    assert_eq!(
        driven.take_list_request(),
        None,
        "the list names no child: the shards were closed early"
    );
}

#[test]
fn a_closing_whose_children_come_with_the_listing_in_flight_requests_no_other() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let mut out = driven.ready();
    out.remove(0).complete();
    driven.nothing();
    assert!(driven.take_list_request().is_some());
    out.remove(0).complete();
    driven.nothing();
    driven.send(ShardList::additions("orders", vec![shard(2, &[0]), shard(3, &[1])]));
    assert_eq!(driven.ready().len(), 2);
    assert_eq!(driven.take_list_request(), None);
}

#[test]
fn a_partial_list_says_nothing_about_the_shards_that_it_omits() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let zero = driven.one();
    driven.send(ShardList::additions("orders", vec![shard(3, &[2])]));
    driven.nothing();
    assert_eq!(
        driven.take_list_request(),
        Some(ListRequest::Full),
        "the parent has expired, or was omitted"
    );
    driven.list(vec![shard(0, &[]), shard(2, &[0]), shard(3, &[2])]);
    driven.nothing();
    zero.complete();
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    two.complete();
    assert_eq!(driven.one().id(), id(3));
}

#[test]
fn one_malformed_child_of_two_requests_a_listing() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    driven.one().complete_with([child_shard(1, &[0]), child_shard(2, &[0, 77])]);
    assert_eq!(driven.one().id(), id(1));
    assert_eq!(driven.take_list_request(), Some(ListRequest::Additions));
    assert_eq!(driven.take_list_request(), None, "requested once");
}

#[test]
fn a_child_that_is_known_already_requests_no_listing() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.one().complete_with([child_shard(1, &[0])]);
    assert_eq!(driven.one().id(), id(1));
    assert_eq!(driven.take_list_request(), None);
}
