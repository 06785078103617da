//! The cost of unusual shard graphs, counted in comparisons of keys.

use super::*;
use crate::lineage::key::comparisons;

/// Drives a lineage through these lists, completes all shards, and returns how many shards were
/// offered and how many comparisons that took.
fn run(lists: Vec<Vec<Shard>>) -> (usize, usize) {
    comparisons::take();
    let mut driven = Driven::with(Vec::new());
    let mut held = Vec::new();
    for list in lists {
        driven.list(list);
        held.append(&mut driven.ready());
    }
    let mut offered = 0;
    while !held.is_empty() {
        offered += held.len();
        for handle in held.drain(..) {
            handle.complete();
        }
        held = driven.ready();
    }
    (offered, comparisons::take())
}

#[test]
fn ids_that_are_far_apart_cost_no_more_than_consecutive_ones() {
    const COUNT: u64 = 20_000;
    for step in [1, 2, 64, 1 << 10, 1 << 16, 1 << 23, 3 << 24] {
        let list = || (0..COUNT).map(|n| shard(n * step, &[])).collect();
        let (offered, comparisons) = run(vec![list(), list()]);
        assert_eq!(offered, 20_000);
        assert!(comparisons < 6 * offered, "{step} apart: {comparisons} comparisons");
    }
}

#[test]
fn late_parents_below_a_long_waiting_chain_cost_no_more_than_other_shards() {
    const COUNT: u64 = 2_000;
    // An offered root, a chain below it, and merge children of the root whose other parents are
    // unlisted.
    let chain = (1..=COUNT).map(|n| shard(n, &[n - 1]));
    let children = (1..=COUNT).map(|n| shard(20_000 + n, &[0, 10_000 + n]));
    let all = || [shard(0, &[])].into_iter().chain(chain.clone()).chain(children.clone());
    let late = (1..=COUNT).map(|n| shard(10_000 + n, &[COUNT]));
    let (offered, comparisons) = run(vec![all().collect(), all().chain(late).collect()]);
    assert_eq!(offered, 6_001);
    assert!(comparisons < 60 * offered, "{comparisons} comparisons");
}

#[test]
fn many_children_of_one_unlisted_parent_cost_no_more_than_other_shards() {
    const COUNT: u64 = 2_000;
    let roots = (0..COUNT).map(|n| shard(n, &[]));
    let children = (0..COUNT).map(|n| shard(10_000 + n, &[n, 9_999]));
    let (offered, comparisons) = run(vec![roots.chain(children).collect()]);
    assert_eq!(offered, 4_000);
    assert!(comparisons < 30 * offered, "{comparisons} comparisons");
}

/// By the second list, each late parent is a descendant of its own child.
#[test]
fn many_cycles_are_cut_in_one_search() {
    const COUNT: u64 = 2_000;
    // `n` waits for the root and is a child of `10_000 + n`, which is a child of `n + 1`.
    let children = || (1..=COUNT).map(|n| shard(n, &[0, 10_000 + n]));
    let others = || (1..=COUNT).map(|n| shard(n, &[0]));
    let late = (1..=COUNT).map(|n| shard(10_000 + n, &[n % COUNT + 1]));
    let (offered, comparisons) = run(vec![
        [shard(0, &[])].into_iter().chain(children()).collect(),
        [shard(0, &[])].into_iter().chain(others()).chain(late).collect(),
    ]);
    assert_eq!(offered, 4_001, "no shard waits for itself");
    assert!(comparisons < 60 * offered, "{comparisons} comparisons");
}

#[test]
fn only_the_links_of_a_cycle_are_cut() {
    // 2 waits for 1 and the unlisted 3; 5 waits for 1 and the unlisted 4.
    let mut driven = Driven::with(vec![shard(1, &[]), shard(2, &[1, 3]), shard(5, &[1, 4])]);
    let one = driven.one();
    // 3 is a child of 2, which is a cycle. 4 is a child of 2 too, which is no cycle.
    driven.list(vec![
        shard(1, &[]),
        shard(2, &[1]),
        shard(3, &[2]),
        shard(4, &[2]),
        shard(5, &[1]),
    ]);
    driven.nothing();
    one.complete();
    let two = driven.one();
    assert_eq!(two.id(), id(2));
    two.complete();
    let mut ready = driven.ready();
    ready.sort_by(|a, b| a.id().cmp(b.id()));
    assert_eq!(ids(&ready), [3, 4], "5 waits for 4");
    ready.remove(0).complete();
    driven.nothing();
    ready.remove(0).complete();
    assert_eq!(driven.one().id(), id(5));
}

#[test]
fn a_child_that_a_list_names_with_and_without_its_parent_waits_for_it() {
    for list in [
        vec![shard(1, &[]), shard(1, &[0]), shard(0, &[])],
        vec![shard(0, &[]), shard(1, &[]), shard(1, &[0])],
        vec![shard(0, &[]), shard(1, &[0]), shard(1, &[])],
    ] {
        let mut driven = Driven::with(list);
        let parent = driven.one();
        assert_eq!(parent.id(), id(0));
        parent.complete();
        let child = driven.one();
        assert_eq!((child.id(), outcomes(&child)), (&*id(1), vec![ParentOutcome::Completed]));
    }
}

#[test]
fn a_child_that_a_response_names_with_one_and_with_both_parents_waits_for_both() {
    for children in [
        [child_shard(2, &[0]), child_shard(2, &[0, 1])],
        [child_shard(2, &[0, 1]), child_shard(2, &[0])],
    ] {
        let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
        let mut parents = driven.ready();
        parents.remove(0).complete_with(children);
        driven.nothing();
        parents.remove(0).complete();
        assert_eq!(driven.one().id(), id(2));
    }
}
