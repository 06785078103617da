//! The lineage of one process: which shards it offers to its machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::simulation::At;
use crate::lease::simulation::stream::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A parent is not closed.
    Waiting,
    /// It was offered, and may be held.
    Offered,
    Closed,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Lineage {
    pub(super) nodes: BTreeMap<usize, Node>,
    /// The shards that a parent's end named and that no list has named yet.
    named: BTreeSet<usize>,
}

impl Lineage {
    /// Takes in a list of all shards. Returns those that are no longer listed.
    pub(super) fn list(&mut self, stream: &Stream, now: At) -> Vec<usize> {
        for shard in 0..stream.shards.len() {
            if stream.is_listed(shard, now) {
                self.nodes.entry(shard).or_insert(Node::Waiting);
            }
        }
        self.named.clear();
        let unlisted: Vec<_> =
            self.nodes.keys().copied().filter(|shard| !stream.is_listed(*shard, now)).collect();
        for shard in &unlisted {
            self.nodes.remove(shard);
        }
        unlisted
    }

    /// Returns the shards that are ready, and marks them as offered.
    pub(super) fn take_ready(&mut self, stream: &Stream) -> Vec<usize> {
        let is_closed = |child: &usize, parent: &usize| match self.nodes.get(parent) {
            Some(node) => *node == Node::Closed,
            None => !self.named.contains(child),
        };
        let ready: Vec<usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| **node == Node::Waiting)
            .map(|(shard, _)| *shard)
            .filter(|shard| {
                stream.shards[*shard].parents.iter().all(|parent| is_closed(shard, parent))
            })
            .collect();
        for shard in &ready {
            self.nodes.insert(*shard, Node::Offered);
        }
        ready
    }

    /// Closes a shard, whose end may have named its children.
    pub(super) fn close(&mut self, shard: usize, children: &[usize]) {
        if let Some(node) = self.nodes.get_mut(&shard) {
            *node = Node::Closed;
        }
        for child in children {
            if !self.nodes.contains_key(child) {
                self.nodes.insert(*child, Node::Waiting);
                self.named.insert(*child);
            }
        }
    }

    /// Notes that this process holds a shard: all its ancestors are closed.
    pub(super) fn granted(&mut self, stream: &Stream, shard: usize) {
        self.nodes.insert(shard, Node::Offered);
        self.close_ancestors(stream, shard, &BTreeSet::new());
    }

    /// Closes the ancestors of a shard, but none that is unfinished or has an unfinished ancestor.
    pub(super) fn close_ancestors(
        &mut self,
        stream: &Stream,
        shard: usize,
        unfinished: &BTreeSet<usize>,
    ) {
        let mut memo = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut queue = stream.shards[shard].parents.clone();
        while let Some(parent) = queue.pop() {
            if !seen.insert(parent) {
                continue;
            }
            if !is_open(stream, parent, unfinished, &mut memo)
                && let Some(node) = self.nodes.get_mut(&parent)
                && *node != Node::Closed
            {
                *node = Node::Closed;
            }
            queue.extend(&stream.shards[parent].parents);
        }
    }
}

fn is_open(
    stream: &Stream,
    shard: usize,
    unfinished: &BTreeSet<usize>,
    memo: &mut BTreeMap<usize, bool>,
) -> bool {
    if let Some(known) = memo.get(&shard) {
        return *known;
    }
    let is_it = unfinished.contains(&shard)
        || stream.shards[shard]
            .parents
            .iter()
            .any(|parent| is_open(stream, *parent, unfinished, memo));
    memo.insert(shard, is_it);
    is_it
}
