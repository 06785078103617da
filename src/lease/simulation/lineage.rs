//! The lineage of one process: which shards it offers to its machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::machine::placing::creating::AncestorRequest;
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
    /// When the last list was begun.
    pub(super) listed_at: Option<At>,
    /// The shards that were granted: their ancestors are closed once there is a list.
    pub(super) taken: BTreeSet<usize>,
    /// The ancestors that are closed once there is a list that was begun after this time.
    pub(super) to_close: Option<(AncestorRequest, At)>,
}

impl Lineage {
    /// Takes in a list of all shards, as they were at a time. Returns those that were no longer
    /// listed.
    pub(super) fn list(&mut self, stream: &Stream, begun: At, at: At) -> Vec<usize> {
        for shard in 0..stream.shards.len() {
            if stream.is_listed(shard, at) {
                self.nodes.entry(shard).or_insert(Node::Waiting);
                self.named.remove(&shard);
            }
        }
        self.listed_at = Some(begun);
        let is_unlisted = |shard: &usize| stream.shards[*shard].expired <= at;
        let unlisted: Vec<_> = self.nodes.keys().copied().filter(is_unlisted).collect();
        for shard in &unlisted {
            self.nodes.remove(shard);
        }
        unlisted
    }

    /// Takes the ancestors to close, if the shards were listed since.
    pub(super) fn take_to_close(&mut self) -> Option<AncestorRequest> {
        let listed_at = self.listed_at?;
        self.to_close.take_if(|(_, after)| listed_at >= *after).map(|(request, _)| request)
    }

    /// Returns the shards that are ready, and marks them as offered.
    pub(super) fn take_ready(&mut self, stream: &Stream) -> Vec<usize> {
        let ready: Vec<usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| **node == Node::Waiting)
            .map(|(shard, _)| *shard)
            .filter(|shard| {
                stream.shards[*shard].parents.iter().all(|parent| self.is_closed(*shard, *parent))
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

    /// Notes that this process holds a shard: all its ancestors are closed. Returns those that were
    /// not.
    pub(super) fn take_over(&mut self, stream: &Stream, shard: usize) -> Vec<usize> {
        self.nodes.entry(shard).or_insert(Node::Waiting);
        let shards = [(shard, Vec::new())];
        let closed = self.close_ancestors(stream, &shards, &BTreeSet::new());
        self.nodes.insert(shard, Node::Offered);
        closed
    }

    /// Closes the ancestors of shards, of which each has processed parents, but none that is
    /// unfinished or has an unfinished ancestor. Returns the closed ones.
    pub(super) fn close_ancestors(
        &mut self,
        stream: &Stream,
        started: &[(usize, Vec<usize>)],
        unfinished: &BTreeSet<usize>,
    ) -> Vec<usize> {
        let listed = || started.iter().filter(|(shard, _)| self.nodes.contains_key(shard));
        let parents = listed().flat_map(|(_, parents)| parents).copied();
        let mut ancestors: BTreeSet<_> = parents.filter(|parent| self.is_open(*parent)).collect();
        let mut below: Vec<usize> = listed().map(|(shard, _)| *shard).collect();
        below.extend(&ancestors);
        while let Some(shard) = below.pop() {
            // A shard that waits for no parent has only closed ancestors.
            if self.nodes.get(&shard) != Some(&Node::Waiting) {
                continue;
            }
            for parent in &stream.shards[shard].parents {
                if self.is_open(*parent) && ancestors.insert(*parent) {
                    below.push(*parent);
                }
            }
        }
        // Parents have lower numbers than their children.
        let mut closed = Vec::new();
        for shard in ancestors {
            let mut parents = stream.shards[shard].parents.iter();
            let is_waiting = parents.any(|parent| !self.is_closed(shard, *parent));
            if !is_waiting && !unfinished.contains(&shard) {
                self.nodes.insert(shard, Node::Closed);
                closed.push(shard);
            }
        }
        closed
    }

    /// Returns whether a shard is known, and not closed.
    fn is_open(&self, shard: usize) -> bool {
        self.nodes.get(&shard).is_some_and(|node| *node != Node::Closed)
    }

    /// Returns whether a parent of a shard is closed, or is no longer listed.
    fn is_closed(&self, shard: usize, parent: usize) -> bool {
        match self.nodes.get(&parent) {
            Some(node) => *node == Node::Closed,
            None => !self.named.contains(&shard),
        }
    }
}
