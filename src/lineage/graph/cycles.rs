//! Links to late parents by which a shard would be its own ancestor.
//!
//! One list cannot name such a cycle, since it would be refused. Two lists can, if they contradict
//! each other, and only by a link that was made afterwards, when a missing parent turned up. So
//! these links are looked at, all that were made since the last time in one search: to look at each
//! by itself would climb the same ancestors again and again.

use std::collections::{HashMap, HashSet};

use crate::lineage::graph::ShardGraph;
use crate::lineage::key::ShardKey;
use crate::lineage::node::State;
use crate::shard::outcome::ParentOutcome;

/// A link that was made when a missing parent turned up.
#[derive(Debug)]
pub(crate) struct LateLink {
    pub(crate) parent: ShardKey,
    pub(crate) child: ShardKey,
}

impl ShardGraph {
    /// Cuts the late links that are part of a cycle: their children wait for those parents no more.
    /// Returns whether there were any links to look at.
    pub(crate) fn cut_cycles(&mut self) -> bool {
        let links = std::mem::take(&mut self.late_links);
        if links.is_empty() {
            return false;
        }
        let cycles = self.cycles(links.iter().map(|link| &link.parent));
        let mut cut: HashMap<ShardKey, HashSet<ShardKey>> = HashMap::new();
        for LateLink { parent, child } in &links {
            if cycles.get(parent).is_some_and(|cycle| cycles.get(child) == Some(cycle)) {
                cut.entry(parent.clone()).or_default().insert(child.clone());
            }
        }
        drop(cycles);
        for (parent, children) in &cut {
            if let Some(linked) =
                self.nodes.get_mut(parent).and_then(|parent| parent.state.children())
            {
                linked.retain(|child| !children.contains(child));
            }
        }
        for LateLink { parent, child } in links {
            if cut.get(&parent).is_some_and(|children| children.contains(&child)) {
                self.end_parent(child, &parent, ParentOutcome::Unlisted);
            }
        }
        true
    }

    /// Numbers the waiting ancestors of these shards, and the shards themselves, so that two have
    /// one number if and only if each is an ancestor of the other. Tarjan's algorithm: each
    /// ancestor is looked at once.
    fn cycles<'a>(
        &'a self,
        shards: impl Iterator<Item = &'a ShardKey>,
    ) -> HashMap<&'a ShardKey, usize> {
        let mut search = Search::default();
        for shard in shards {
            search.enter(shard, self.open_parents(shard));
            while let Some((at, parent)) = search.next() {
                match parent {
                    Some(parent) => search.climb(at, parent, self.open_parents(parent)),
                    None => search.leave(at),
                }
            }
        }
        search.found.into_iter().map(|(key, at)| (key, search.nodes[at].cycle)).collect()
    }

    fn open_parents(&self, key: &ShardKey) -> [Option<&ShardKey>; 2] {
        match self.nodes.get(key).map(|node| &node.state) {
            Some(State::Waiting(waiting)) => {
                let mut parents = waiting.open_parents();
                [parents.next(), parents.next()]
            }
            _ => [None, None],
        }
    }
}

/// A search up the ancestors, depth first. A node is the number of a shard in the order of
/// discovery.
#[derive(Default)]
struct Search<'a> {
    found: HashMap<&'a ShardKey, usize>,
    nodes: Vec<Node<'a>>,
    /// The nodes from the start of the search to where it is.
    way: Vec<usize>,
    /// The nodes whose cycle is not known yet.
    open: Vec<usize>,
}

struct Node<'a> {
    parents: std::iter::Flatten<std::array::IntoIter<Option<&'a ShardKey>, 2>>,
    /// The first node that is known to be on a cycle with this one.
    lowest: usize,
    /// The first node of its cycle; `OPEN` until that is known.
    cycle: usize,
}

const OPEN: usize = usize::MAX;

impl<'a> Search<'a> {
    /// Enters a shard, unless it was found before.
    fn enter(&mut self, key: &'a ShardKey, parents: [Option<&'a ShardKey>; 2]) {
        let at = self.nodes.len();
        if *self.found.entry(key).or_insert(at) == at {
            self.nodes.push(Node {
                parents: parents.into_iter().flatten(),
                lowest: at,
                cycle: OPEN,
            });
            self.way.push(at);
            self.open.push(at);
        }
    }

    /// Returns the node where the search is, and its next parent.
    fn next(&mut self) -> Option<(usize, Option<&'a ShardKey>)> {
        let at = *self.way.last()?;
        Some((at, self.nodes[at].parents.next()))
    }

    fn climb(&mut self, from: usize, parent: &'a ShardKey, parents: [Option<&'a ShardKey>; 2]) {
        match self.found.get(parent) {
            None => self.enter(parent, parents),
            Some(&known) if self.nodes[known].cycle == OPEN => self.lower(from, known),
            Some(_) => {}
        }
    }

    fn leave(&mut self, at: usize) {
        self.way.pop();
        let lowest = self.nodes[at].lowest;
        if lowest == at {
            while let Some(node) = self.open.pop() {
                self.nodes[node].cycle = at;
                if node == at {
                    break;
                }
            }
        }
        if let Some(&child) = self.way.last() {
            self.lower(child, lowest);
        }
    }

    fn lower(&mut self, at: usize, to: usize) {
        let lowest = &mut self.nodes[at].lowest;
        *lowest = to.min(*lowest);
    }
}
