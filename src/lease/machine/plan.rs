//! The assignment of shards to workers, as pure functions.

use std::collections::BTreeSet;

/// How many leases a worker has, and how many it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) worker: String,
    pub(crate) run: u64,
    /// The leases that it holds, and those that are coming.
    pub(crate) leases: u64,
    pub(crate) max: Option<u64>,
}

impl Load {
    /// Returns whether the worker takes one more lease.
    pub(crate) fn takes_more(&self) -> bool {
        self.has_room(self.leases)
    }

    fn has_room(&self, leases: u64) -> bool {
        self.max.is_none_or(|max| leases < max)
    }
}

/// Assigns `shards` leases, each to the worker with the fewest, ties by run. Returns the index of
/// the worker for each; fewer than `shards` if all workers hold as many as they take.
pub(crate) fn fill(loads: &[Load], shards: usize) -> Vec<usize> {
    let keyed = |(index, load): (usize, &Load)| (load.leases, load.run, index);
    let mut queue: BTreeSet<_> = loads
        .iter()
        .enumerate()
        .filter(|(_, load)| load.has_room(load.leases))
        .map(keyed)
        .collect();
    let mut receivers = Vec::new();
    while receivers.len() < shards {
        let Some((leases, run, index)) = queue.pop_first() else { break };
        receivers.push(index);
        if loads[index].has_room(leases + 1) {
            queue.insert((leases + 1, run, index));
        }
    }
    receivers
}

/// Returns the moves that balance the workers, as pairs of indices: as long as two differ by 2 or
/// more, one lease from the fullest to the emptiest.
pub(crate) fn flows(loads: &[Load]) -> Vec<(usize, usize)> {
    let key = |leases: u64, index: usize| (leases, loads[index].run, index);
    let all = || loads.iter().enumerate().map(|(index, load)| key(load.leases, index));
    let mut fullest: BTreeSet<_> = all().collect();
    let mut emptiest: BTreeSet<_> =
        all().filter(|(leases, _, index)| loads[*index].has_room(*leases)).collect();
    let mut moves = Vec::new();
    while let (Some(&(most, _, from)), Some(&(least, _, to))) = (fullest.last(), emptiest.first()) {
        if most < least + 2 {
            break;
        }
        moves.push((from, to));
        for (index, before, after) in [(from, most, most - 1), (to, least, least + 1)] {
            fullest.remove(&key(before, index));
            emptiest.remove(&key(before, index));
            fullest.insert(key(after, index));
            if loads[index].has_room(after) {
                emptiest.insert(key(after, index));
            }
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn loads(leases: &[(u64, Option<u64>)]) -> Vec<Load> {
        let load = |(run, (leases, max)): (usize, &(u64, Option<u64>))| Load {
            worker: format!("w{run}"),
            run: run as u64,
            leases: *leases,
            max: *max,
        };
        leases.iter().enumerate().map(load).collect()
    }

    #[test]
    fn free_shards_go_to_the_workers_with_the_fewest() {
        assert_eq!(fill(&loads(&[(3, None), (0, None), (1, None)]), 5), [1, 1, 2, 1, 2]);
        assert_eq!(fill(&loads(&[(0, Some(1)), (0, Some(2))]), 9), [0, 1, 1], "all are full");
        assert_eq!(fill(&[], 3), Vec::<usize>::new());
    }

    #[test]
    fn the_fewest_moves_balance_the_workers() {
        assert_eq!(flows(&loads(&[(4, None), (0, None)])), [(0, 1), (0, 1)]);
        assert!(flows(&loads(&[(2, None), (1, None), (2, None)])).is_empty());
        assert_eq!(flows(&loads(&[(9, None), (0, Some(1))])), [(0, 1)]);
        let mut many = loads(&[(1_000, None), (1_000, None), (0, None), (7, None)]);
        let moves = flows(&many);
        for (from, to) in &moves {
            many[*from].leases -= 1;
            many[*to].leases += 1;
        }
        let counts: Vec<_> = many.iter().map(|load| load.leases).collect();
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        // The two fullest have 996 more than 502, and no move is needed beyond those.
        assert_eq!(moves.len(), 996);
    }

    /// Workers with a number of leases and, some of them, a greatest one.
    fn any_loads() -> impl Strategy<Value = Vec<Load>> {
        let load = (0_u64..60, proptest::option::of(0_u64..60));
        proptest::collection::vec(load, 1..12).prop_map(|leases| loads(&leases))
    }

    /// Returns who has how many leases, by run.
    fn by_run(loads: &[Load]) -> BTreeMap<u64, u64> {
        loads.iter().map(|load| (load.run, load.leases)).collect()
    }

    fn after_flows(loads: &[Load]) -> Vec<Load> {
        let mut after = loads.to_vec();
        for (from, to) in flows(loads) {
            after[from].leases -= 1;
            after[to].leases += 1;
        }
        after
    }

    proptest! {
        #[test]
        fn free_shards_are_assigned_evenly_and_within_bounds(
            before in any_loads(),
            shards in 0_usize..200,
        ) {
            let receivers = fill(&before, shards);
            let mut after = before.clone();
            for receiver in &receivers {
                prop_assert!(after[*receiver].has_room(after[*receiver].leases));
                after[*receiver].leases += 1;
            }
            let has_room = |load: &Load| load.has_room(load.leases);
            prop_assert!(receivers.len() == shards || !after.iter().any(has_room));
            for receiver in receivers {
                let others = after.iter().filter(|load| has_room(load));
                let least = others.map(|load| load.leases).min();
                prop_assert!(least.is_none_or(|least| after[receiver].leases <= least + 1));
            }
        }

        #[test]
        fn flows_balance_whatever_the_order_of_the_workers(
            before in any_loads(),
            seed in any::<u64>(),
        ) {
            let after = after_flows(&before);
            let most = after.iter().map(|load| load.leases).max();
            let with_room = after.iter().filter(|load| load.has_room(load.leases));
            let least = with_room.map(|load| load.leases).min();
            prop_assert!(least.is_none_or(|least| most <= Some(least + 1)));
            for (from, to) in flows(&before) {
                prop_assert!(after[from].leases < before[from].leases, "{from} only gives");
                prop_assert!(after[to].leases > before[to].leases, "{to} only receives");
                prop_assert!(after[to].max.is_none_or(|max| after[to].leases <= max));
            }
            let mut shuffled = before.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(by_run(&after_flows(&shuffled)), by_run(&after));
        }

        #[test]
        fn flows_are_the_fewest(leases in proptest::collection::vec(0_u64..60, 1..12)) {
            let leases: Vec<_> = leases.into_iter().map(|leases| (leases, None)).collect();
            let mut most_first: Vec<u64> = leases.iter().map(|(leases, _)| *leases).collect();
            most_first.sort_unstable_by(|a, b| b.cmp(a));
            let (total, workers) = (most_first.iter().sum::<u64>(), most_first.len() as u64);
            let target = |index: u64| total / workers + u64::from(index < total % workers);
            let surplus = (0..)
                .zip(&most_first)
                .map(|(index, has): (u64, &u64)| has.saturating_sub(target(index)));
            prop_assert_eq!(flows(&loads(&leases)).len() as u64, surplus.sum::<u64>());
        }
    }
}
