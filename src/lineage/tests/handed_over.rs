//! Shards that another worker has read.

use super::*;

use std::collections::{BTreeMap, BTreeSet};

fn started(shards: &[u64]) -> BTreeMap<String, Vec<String>> {
    shards.iter().map(|shard| (id(*shard), Vec::new())).collect()
}

fn with_parents(shard: u64, processed: &[u64]) -> BTreeMap<String, Vec<String>> {
    [(id(shard), processed.iter().copied().map(id).collect())].into()
}

#[test]
fn the_ancestors_of_a_started_shard_are_closed_and_told() {
    let mut driven = Driven::new(|lineage| lineage);
    let none = BTreeSet::new();
    assert_eq!(driven.lineage.close_ancestors(&started(&[3]), &none), None, "no list has come");
    // 3 is a merge of 1 and 2, and 4 is no ancestor.
    driven.list(vec![
        shard(0, &[]),
        shard(1, &[0]),
        shard(2, &[]),
        shard(3, &[1, 2]),
        shard(4, &[]),
    ]);
    let Poll::Ready(Some(Ok(zero))) = driven.poll() else { panic!("0 is not ready") };
    let closed = driven.lineage.close_ancestors(&started(&[3]), &none).unwrap();
    assert_eq!(closed.into_iter().collect::<BTreeSet<_>>(), [0, 1, 2].map(id).into());
    let out = driven.ready();
    assert_eq!(ids(&out), [4, 3], "2 was ready, and is not offered");
    assert_eq!(outcomes(&out[1]), [ParentOutcome::EarlierRun; 2]);
    zero.complete();
    driven.nothing();
    assert_eq!(driven.lineage.close_ancestors(&started(&[3]), &none), Some(vec![]));
}

/// The worker read 4 before a list named its parent 3, and 4 waits for none.
#[test]
fn the_ancestors_of_a_parent_that_is_listed_late_are_closed() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[]), shard(2, &[])]);
    let out = driven.ready();
    assert_eq!(ids(&out), [0, 1, 2]);
    driven.lineage.take_over(child_shard(4, &[2, 3])).expect("a list has come");
    driven.one().complete();
    let list =
        vec![shard(0, &[]), shard(1, &[]), shard(2, &[]), shard(3, &[0, 1]), shard(4, &[2, 3])];
    driven.list(list);
    driven.nothing();
    let none = BTreeSet::new();
    let closed = driven.lineage.close_ancestors(&with_parents(4, &[3]), &none);
    assert_eq!(closed.map(BTreeSet::from_iter), Some([0, 1, 3].map(id).into()));
    driven.nothing();
}

/// The row of 1 is one of a deleted stream, in which 1 was a child of 0.
#[test]
fn a_started_shard_that_is_not_listed_closes_nothing() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let zero = driven.one();
    let closed = driven.lineage.close_ancestors(&with_parents(1, &[0]), &BTreeSet::new());
    assert_eq!(closed, Some(vec![]));
    zero.complete();
}

/// The row of 0 shows that neither it nor its child was processed to its end.
#[test]
fn a_processed_parent_below_an_unfinished_shard_stays_open() {
    let mut driven =
        Driven::with(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[]), shard(3, &[1, 2])]);
    let out = driven.ready();
    assert_eq!(ids(&out), [0, 2]);
    let unfinished = [id(0)].into();
    let closed = driven.lineage.close_ancestors(&with_parents(3, &[1, 2]), &unfinished);
    assert_eq!(closed, Some(vec![id(2)]));
}

#[test]
fn an_unfinished_ancestor_and_what_follows_it_stay_open() {
    let mut driven = Driven::with(vec![
        shard(0, &[]),
        shard(1, &[0]),
        shard(2, &[1]),
        shard(3, &[2]),
        shard(5, &[]),
        shard(6, &[3, 5]),
    ]);
    let out = driven.ready();
    assert_eq!(ids(&out), [0, 5]);
    let closed = driven.lineage.close_ancestors(&started(&[6]), &[id(1)].into());
    let closed: BTreeSet<_> = closed.unwrap().into_iter().collect();
    assert_eq!(closed, [0, 5].map(id).into());
    let one = driven.one();
    assert_eq!(one.id(), id(1));
    one.complete();
    assert_eq!(driven.one().id(), id(2));
}

#[test]
fn a_closing_of_no_ancestor_leaves_the_ready_shards() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let Poll::Ready(Some(Ok(_zero))) = driven.poll() else { panic!("0 is not ready") };
    let none = BTreeSet::new();
    assert_eq!(driven.lineage.close_ancestors(&started(&[1]), &none), Some(vec![]));
    assert_eq!(driven.one().id(), id(1));
}

#[test]
fn a_shard_that_is_taken_over_is_offered_although_no_list_has_named_it() {
    let mut driven = Driven::new(|lineage| lineage);
    assert_eq!(driven.lineage.take_over(child_shard(2, &[1])), None, "no list has come");
    driven.list(vec![shard(0, &[]), shard(1, &[0])]);
    let zero = driven.one();
    let closed = driven.lineage.take_over(child_shard(2, &[1]));
    assert_eq!(closed, Some(vec![id(0), id(1)]));
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    zero.complete();
    driven.list(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[1])]);
    driven.nothing();
    two.complete();
}

#[test]
fn a_listed_shard_that_is_taken_over_does_not_wait_for_its_ancestors() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[1])]);
    let _zero = driven.one();
    let closed = driven.lineage.take_over(child_shard(2, &[1]));
    assert_eq!(closed, Some(vec![id(0), id(1)]));
    assert_eq!(driven.one().id(), id(2));
}
