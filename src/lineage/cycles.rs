//! Links to late parents by which a shard would be its own ancestor.
//!
//! One list cannot name such a cycle: it would be refused. Two lists that contradict each other
//! can, but only by a link to a parent that was listed late. So only such links are searched, all
//! links since the last search together: one search per link would climb the same ancestors
//! repeatedly.

use std::collections::{HashMap, HashSet};

use crate::lineage::key::ShardKey;

/// A link between a shard that waits and a parent that was listed later.
#[derive(Debug)]
pub(crate) struct LateLink {
    pub(crate) parent: ShardKey,
    pub(crate) child: ShardKey,
}

/// Returns the links that are part of a cycle, as the children to cut off from each parent.
pub(crate) fn links_on_cycles(
    links: &[LateLink],
    open_parents: impl Fn(&ShardKey) -> Vec<ShardKey>,
) -> HashMap<ShardKey, HashSet<ShardKey>> {
    let mut search = Search::default();
    for LateLink { parent, .. } in links {
        search.enter(parent, &open_parents);
        while let Some((at, parent)) = search.next() {
            match parent {
                Some(parent) => search.climb(at, &parent, &open_parents),
                None => search.leave(at),
            }
        }
    }
    let mut on_cycles: HashMap<ShardKey, HashSet<ShardKey>> = HashMap::new();
    for LateLink { parent, child } in links {
        if search.is_one_cycle(parent, child) {
            on_cycles.entry(parent.clone()).or_default().insert(child.clone());
        }
    }
    on_cycles
}

/// A depth-first search up the ancestors by Tarjan's algorithm, which visits each ancestor once.
///
/// A node is known by its number in the order of discovery.
#[derive(Default)]
struct Search {
    found: HashMap<ShardKey, usize>,
    nodes: Vec<Visited>,
    /// The nodes from the start of the search to its current position.
    path: Vec<usize>,
    /// The nodes whose cycle is not known yet.
    open: Vec<usize>,
}

struct Visited {
    parents: std::vec::IntoIter<ShardKey>,
    /// The first node that is known to be on a cycle with this one.
    lowest: usize,
    /// The first node of its cycle; `OPEN` until that is known.
    cycle: usize,
}

const OPEN: usize = usize::MAX;

impl Search {
    /// Enters a shard, unless it was found before.
    fn enter(&mut self, key: &ShardKey, open_parents: impl Fn(&ShardKey) -> Vec<ShardKey>) {
        let at = self.nodes.len();
        if *self.found.entry(key.clone()).or_insert(at) == at {
            let parents = open_parents(key).into_iter();
            self.nodes.push(Visited { parents, lowest: at, cycle: OPEN });
            self.path.push(at);
            self.open.push(at);
        }
    }

    /// Returns the node at which the search is, and its next parent.
    fn next(&mut self) -> Option<(usize, Option<ShardKey>)> {
        let at = *self.path.last()?;
        Some((at, self.nodes[at].parents.next()))
    }

    fn climb(
        &mut self,
        from: usize,
        parent: &ShardKey,
        open_parents: impl Fn(&ShardKey) -> Vec<ShardKey>,
    ) {
        match self.found.get(parent) {
            None => self.enter(parent, open_parents),
            Some(&known) if self.nodes[known].cycle == OPEN => self.lower(from, known),
            Some(_) => {}
        }
    }

    fn leave(&mut self, at: usize) {
        self.path.pop();
        let lowest = self.nodes[at].lowest;
        if lowest == at {
            while let Some(node) = self.open.pop() {
                self.nodes[node].cycle = at;
                if node == at {
                    break;
                }
            }
        }
        if let Some(&child) = self.path.last() {
            self.lower(child, lowest);
        }
    }

    fn lower(&mut self, at: usize, to: usize) {
        let lowest = &mut self.nodes[at].lowest;
        *lowest = to.min(*lowest);
    }

    /// Returns whether each of two shards is an ancestor of the other.
    fn is_one_cycle(&self, a: &ShardKey, b: &ShardKey) -> bool {
        let cycle = |key| self.found.get(key).map(|&at| self.nodes[at].cycle);
        cycle(a).is_some_and(|of_a| cycle(b) == Some(of_a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph of shards that wait for other shards, and the links that are searched.
    fn cut(parents: &[(u64, &[u64])], links: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let parents: HashMap<u64, Vec<ShardKey>> = parents
            .iter()
            .map(|(n, parents)| (*n, parents.iter().copied().map(ShardKey::Numbered).collect()))
            .collect();
        let key = ShardKey::Numbered;
        let late: Vec<_> = links
            .iter()
            .map(|(parent, child)| LateLink { parent: key(*parent), child: key(*child) })
            .collect();
        let cut = links_on_cycles(&late, |key| {
            let ShardKey::Numbered(n) = key else { panic!("{key:?}") };
            parents.get(n).cloned().unwrap_or_default()
        });
        let is_cut = |&&(parent, child): &&(u64, u64)| {
            cut.get(&key(parent)).is_some_and(|children| children.contains(&key(child)))
        };
        links.iter().filter(is_cut).copied().collect()
    }

    #[test]
    fn each_link_of_a_cycle_is_cut_and_no_link_beside_it() {
        // 1 and 2 wait for each other. 3 waits for 1, and 1 for 4 too.
        let parents: [(u64, &[u64]); 3] = [(1, &[2, 4]), (2, &[1]), (3, &[1])];
        assert_eq!(cut(&parents, &[(4, 1), (1, 2), (1, 3), (2, 1)]), [(1, 2), (2, 1)]);
    }

    #[test]
    fn ancestors_that_an_earlier_search_has_left_are_on_no_later_cycle() {
        // 3 waits for 1, 5 for 3, and 6 for 5. The ancestors of 1 are searched first.
        let parents: [(u64, &[u64]); 4] = [(1, &[0]), (3, &[1]), (5, &[3]), (6, &[5])];
        assert_eq!(cut(&parents, &[(1, 3), (5, 6), (3, 5)]), []);
    }
}
