//! What is forgotten, and streams that are created again.

use super::*;

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
        "one short list forgets nothing, and offers nothing again"
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
    assert_eq!(driven.lineage.tracked(), 2, "a shard that is out is never forgotten");
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
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full), "that list has not answered");
}

#[test]
fn a_stream_created_again_under_its_name_is_a_new_one() {
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
    assert_eq!(driven.lineage.tracked(), 2, "of the old stream nothing is left");
}

#[test]
fn a_partial_list_that_shows_a_new_stream_wants_a_full_one() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let _old = driven.one();
    driven.send(ShardList::additions("orders", vec![shard_from(0, &[], "211")]));
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
}

/// The old stream's shard is closed, but it is not the parent that the new stream's child names.
#[test]
fn a_child_of_a_new_stream_does_not_take_an_old_namesake_for_its_parent() {
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

/// A partial list names what follows the greatest id that is known, and of a new stream with more
/// shards that is a part of it.
#[test]
fn what_a_partial_list_named_of_a_new_stream_is_not_offered_again() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let old = driven.one();
    let new = || {
        [(0, &[][..]), (1, &[]), (2, &[0]), (3, &[1])]
            .map(|(n, parents)| shard_from(n, parents, "211"))
    };
    driven.send(ShardList::additions("orders", new()[1..].to_vec()));
    let one = driven.one();
    assert_eq!(one.id(), id(1), "3 waits for it, and 2 for the 0 that is gone");

    driven.list(new().to_vec());
    let zero = driven.one();
    assert_eq!(zero.id(), id(0), "the others are out, or wait");
    old.complete();
    driven.nothing();
    one.complete();
    assert_eq!(driven.one().id(), id(3));
    zero.complete();
    assert_eq!(driven.one().id(), id(2));
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 4, "of the old stream nothing is left");
}

/// Whose child it was, its id alone does not tell: it is offered twice rather than never.
#[test]
fn a_shard_that_only_its_parent_named_may_be_the_old_streams() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    driven.one().complete_with([child_shard(1, &[0])]);
    let _old = driven.one();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[], "212")]);
    assert_eq!(ids(&driven.ready()), [0, 1]);
}

#[test]
fn a_shard_in_doubt_of_a_new_stream_stays_in_doubt() {
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
        "the list may have begun before the doubt"
    );
    driven.list(vec![shard_from(0, &[], "211")]);
    driven.nothing();
    driven.list(vec![shard_from(0, &[], "211")]);
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1, "it was closed, and is forgotten");
}
