//! The order of offers, for lists of any order and content.

use super::*;

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
fn a_list_in_any_order_is_offered_parents_first() {
    let mut driven =
        Driven::with(vec![shard(3, &[1]), shard(1, &[]), shard(4, &[3, 2]), shard(2, &[1])]);
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
fn an_unlisted_parent_counts_as_expired() {
    let mut driven = Driven::with(vec![shard(7, &[3]), shard(9, &[7, 8])]);
    let seven = driven.one();
    assert_eq!(outcomes(&seven), [ParentOutcome::Unlisted]);
    drop(seven);
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Dropped, ParentOutcome::Unlisted]);
}

#[test]
fn a_child_that_waits_also_waits_for_a_parent_that_is_listed_late() {
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
fn a_parent_that_is_listed_after_its_child_was_offered_is_offered_too() {
    let mut driven = Driven::with(vec![shard(2, &[0])]);
    let child = driven.one();
    driven.list(vec![shard(0, &[]), shard(2, &[0])]);
    assert_eq!(driven.one().id(), id(0));
    drop(child);
    driven.list(vec![shard(0, &[]), shard(2, &[0])]);
    driven.nothing();
}

#[test]
fn late_parents_cannot_complete_a_cycle() {
    let mut driven = Driven::with(vec![shard(1, &[]), shard(2, &[3, 1])]);
    let one = driven.one();
    driven.list(vec![shard(1, &[]), shard(2, &[9, 1]), shard(3, &[2])]);
    driven.nothing();
    one.complete();
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    two.complete();
    assert_eq!(driven.one().id(), id(3));
}

#[test]
fn a_known_parent_stays_a_parent_when_later_lists_omit_it() {
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
fn the_other_children_of_a_shard_on_a_cycle_still_wait_for_it() {
    let mut driven = Driven::with(vec![shard(1, &[]), shard(2, &[3, 1]), shard(4, &[2])]);
    let one = driven.one();
    // 3 is listed late, and waits for 2, which waits for 3.
    driven.list(vec![shard(1, &[]), shard(2, &[1]), shard(3, &[2]), shard(5, &[3])]);
    driven.nothing();
    one.complete();
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    two.complete();
    let mut children = driven.ready();
    assert_eq!(ids(&children), [4, 3]);
    children.pop().unwrap().complete();
    assert_eq!(driven.one().id(), id(5));
}

#[test]
fn the_children_of_a_parent_that_is_listed_late_keep_their_order() {
    let children = || (10..40).map(|n| shard(n, &[0, 1]));
    let mut driven = Driven::with([shard(1, &[])].into_iter().chain(children()).collect());
    let one = driven.one();
    driven.list([shard(0, &[]), shard(1, &[])].into_iter().chain(children()).collect());
    let zero = driven.one();
    one.complete();
    driven.nothing();
    zero.complete();
    assert_eq!(ids(&driven.ready()), (10..40).collect::<Vec<_>>());
}

/// So that their readers spread their requests, and a child's reader knows when its parent ended.
#[test]
fn shards_of_all_lists_share_the_context_of_their_stream() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let first = driven.one();
    driven.list(vec![shard(0, &[]), shard(1, &[])]);
    let second = driven.one();
    assert!(Arc::ptr_eq(&first.offer().context, &second.offer().context));
    driven.send(ShardList::full("payments", vec![shard(2, &[])]));
    assert_eq!(driven.one().stream().name(), "payments");
}
