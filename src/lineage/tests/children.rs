//! Children known early, and the listings that are wanted for those that are not.

use super::*;

#[test]
fn the_children_of_the_last_get_records_are_known_at_once() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let parent = driven.one();
    parent.complete_with([child_shard(1, &[0]), child_shard(2, &[0])]);
    let children = driven.ready();
    assert_eq!(ids(&children), [1, 2]);
    assert_eq!(outcomes(&children[0]), [ParentOutcome::Completed]);
    assert_eq!(children[0].start(), &StartPosition::TrimHorizon);
    assert_eq!(driven.take_list_request(), None, "no listing is needed");
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
    assert_eq!(driven.take_list_request(), None);
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
        assert_eq!(driven.take_list_request(), Some(ListRequest::Additions), "{text}");
        assert_eq!(driven.take_list_request(), None, "told once");
    }
}

#[test]
fn one_closing_with_no_known_child_wants_one_listing_and_so_does_a_burst() {
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
        "closed early: the list brought no child, and that is that"
    );
}

#[test]
fn a_closing_whose_children_come_with_the_listing_under_way_wants_no_other() {
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
fn a_partial_list_says_nothing_of_what_it_leaves_out() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let zero = driven.one();
    driven.send(ShardList::additions("orders", vec![shard(3, &[2])]));
    driven.nothing();
    assert_eq!(
        driven.take_list_request(),
        Some(ListRequest::Full),
        "is the parent expired, or was it left out?"
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
fn one_named_child_that_makes_no_sense_wants_a_listing_though_the_other_does() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    driven.one().complete_with([child_shard(1, &[0]), child_shard(2, &[0, 77])]);
    assert_eq!(driven.one().id(), id(1));
    assert_eq!(driven.take_list_request(), Some(ListRequest::Additions));
    assert_eq!(driven.take_list_request(), None, "told once");
}

#[test]
fn a_child_that_is_named_and_known_already_wants_no_listing() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.one().complete_with([child_shard(1, &[0])]);
    assert_eq!(driven.one().id(), id(1));
    assert_eq!(driven.take_list_request(), None);
}
