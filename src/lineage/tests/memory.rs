//! Shards that are forgotten, and streams that are created again.

use super::*;

use crate::lineage::graph::ShardGraph;

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
    assert_eq!(
        driven.lineage.tracked(),
        2,
        "one list that omits a shard forgets nothing, and nothing is offered again"
    );
    driven.list(vec![shard(1, &[0])]);
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 2, "a partial list does not count");
    driven.list(vec![shard(1, &[0])]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1);
    driven.list(vec![shard(2, &[])]);
    let other = driven.one();
    driven.list(vec![shard(2, &[])]);
    driven.list(vec![shard(2, &[])]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 2, "an offered shard is never forgotten");
    child.complete();
    driven.nothing();
    driven.list(vec![shard(2, &[])]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1);
    drop(other);
}

#[test]
fn a_full_list_without_a_shard_changes_nothing() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.one().complete();
    let child = driven.one();
    for _ in 0..4 {
        driven.list(vec![]);
    }
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 2, "no shard counts as unlisted");
    child.expire();
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    driven.list(vec![]);
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full), "that list resolves nothing");
}

#[test]
fn a_stream_created_again_under_its_name_is_a_new_stream() {
    let mut driven = Driven::with(vec![
        shard_from(0, &[], "111"),
        shard_from(1, &[], "112"),
        shard_from(2, &[0], "113"),
    ]);
    let mut old = driven.ready();
    old.remove(1).complete();
    driven.nothing();
    driven.take_list_request();

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
    assert_eq!(driven.lineage.tracked(), 2, "no shard of the old stream is left");
}

#[test]
fn a_partial_list_that_shows_a_new_stream_requests_a_full_one() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let _old = driven.one();
    driven.send(ShardList::additions("orders", vec![shard_from(0, &[], "211")]));
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
}

/// The old stream's shard is closed, but is not the parent that the new stream's child names.
#[test]
fn a_shard_of_the_old_stream_is_no_parent_of_a_new_stream_s_child() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    driven.one().complete();
    let new = || vec![shard_from(0, &[], "211"), shard_from(1, &[0], "212")];
    driven.send(ShardList::additions("orders", new()));
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    driven.list(new());
    let parent = driven.one();
    assert_eq!(parent.id(), id(0));
    driven.nothing();
    parent.complete();
    assert_eq!(driven.one().id(), id(1));
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

/// A partial list names the shards after the greatest known id. Of a new stream with more shards,
/// these are a part.
#[test]
fn a_shard_of_the_new_stream_that_a_partial_list_named_is_not_offered_again() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let old = driven.one();
    let new = || {
        [(0, &[][..]), (1, &[]), (2, &[0]), (3, &[1])]
            .map(|(n, parents)| shard_from(n, parents, "211"))
    };
    driven.send(ShardList::additions("orders", new()[1..].to_vec()));
    let one = driven.one();
    assert_eq!(one.id(), id(1), "3 waits for it, and 2 for the new 0");

    driven.list(new().to_vec());
    let zero = driven.one();
    assert_eq!(zero.id(), id(0), "the others were offered, or wait");
    old.complete();
    driven.nothing();
    one.complete();
    assert_eq!(driven.one().id(), id(3));
    zero.complete();
    assert_eq!(driven.one().id(), id(2));
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 4, "no shard of the old stream is left");
}

/// The id of a shard does not tell its stream: the shard is offered twice rather than never.
#[test]
fn a_shard_that_only_its_parent_named_may_belong_to_the_old_stream() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    driven.one().complete_with([child_shard(1, &[0])]);
    let _old = driven.one();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[], "212")]);
    assert_eq!(ids(&driven.ready()), [0, 1]);
}

#[test]
fn a_report_about_the_new_stream_is_kept() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let _old = driven.one();
    driven.send(ShardList::additions("orders", vec![shard_from(1, &[], "211")]));
    driven.one().expire();
    driven.nothing();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[], "211")]);
    let _new = driven.one();
    assert_eq!(
        driven.take_list_request(),
        Some(ListRequest::Full),
        "the list may have begun before the report"
    );
    driven.list(vec![shard_from(0, &[], "211")]);
    driven.nothing();
    driven.list(vec![shard_from(0, &[], "211")]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1, "the shard was closed, and is forgotten");
}

/// The number `0` does not tell the streams apart either.
#[test]
fn a_shard_without_a_number_that_only_its_parent_named_may_belong_to_the_old_stream() {
    let unnumbered = Shard::builder().shard_id(id(1)).build().unwrap();
    for listed in [unnumbered, shard_from(1, &[], "0")] {
        let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
        driven.one().complete_with([child_shard(1, &[0])]);
        let _old = driven.one();
        driven.list(vec![shard_from(0, &[], "211"), listed]);
        assert_eq!(ids(&driven.ready()), [0, 1]);
    }
}

#[test]
fn a_shard_that_was_listed_with_the_number_zero_may_belong_to_the_old_stream() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111"), shard_from(1, &[], "0")]);
    let _old = driven.ready();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[], "0")]);
    assert_eq!(ids(&driven.ready()), [0, 1]);
}

#[test]
fn the_table_shrinks_once_three_quarters_of_it_are_empty() {
    let mut graph = ShardGraph::default();
    let list = |graph: &mut ShardGraph, count: u64| {
        for _ in 0..2 {
            graph.absorb(full((0..count).map(|n| shard(n, &[])).collect()).unwrap());
            graph.drain_list();
        }
    };
    list(&mut graph, 10_000);
    let mut out: Vec<_> = std::iter::from_fn(|| graph.next_ready()).collect();
    for count in [2_600, 10] {
        for (id, _) in out.drain(count..) {
            graph.close(&id, ParentOutcome::Completed, Vec::new());
        }
        list(&mut graph, u64::try_from(count).unwrap());
        assert_eq!(graph.len(), count);
        // Places of which shards were removed may count as taken.
        let expected = if count == 2_600 { 5_000..20_000 } else { 10..100 };
        let capacity = graph.capacity();
        assert!(expected.contains(&capacity), "{capacity} places for {count} shards");
    }
}
