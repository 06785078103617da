//! Which worker gets which shard. Pure functions.

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
}
