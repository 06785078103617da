//! Who waits for whom.

use std::sync::Arc;

use aws_sdk_kinesis::types::Shard;

use crate::lineage::graph::ShardGraph;
use crate::lineage::graph::cycles::LateLink;
use crate::lineage::key::{FirstSequence, ShardKey};
use crate::lineage::node::{Node, NodeId, Parent, State, Waiting};
use crate::lineage::start_policy::Verdict;
use crate::listing::shard_list::parent_ids;
use crate::shard::handle::Offer;
use crate::shard::outcome::ParentOutcome;

impl ShardGraph {
    /// Makes a node of a shard that is seen for the first time.
    pub(crate) fn insert_shard(
        &mut self,
        key: ShardKey,
        shard: Shard,
        first_sequence: FirstSequence,
    ) {
        let Some(context) = self.context.clone() else { return };
        let mut follows_a_reader = false;
        let parents = parent_ids(&shard).map(|id| {
            let Some(id) = id else { return Parent::None };
            let key = ShardKey::from(id);
            if let Some(parent) = self.nodes.get_mut(&key) {
                parent.has_child = true;
                let parent = parent.state.as_parent(key);
                follows_a_reader |= parent.outcome() != Some(ParentOutcome::BeforeStart)
                    && !self.start_policy.has_passed(id);
                parent
            } else {
                follows_a_reader |= self.may_have_been_read(id);
                Parent::Ended(self.start_policy.unlisted(id))
            }
        });
        let waits = parents.iter().any(Parent::is_open);

        let generation = self.next_generation.take_next();
        let state = match self.start_policy.decide(&shard, follows_a_reader) {
            Verdict::Closed(outcome) => State::Closed(outcome),
            Verdict::Offer(start) => {
                let outcomes = parents.each_ref().map(Parent::outcome);
                let is_estimate = self.start_policy.is_estimate(&start);
                let offer = Offer::new(shard, context, start, outcomes);
                let offer = Arc::new(offer.estimated(is_estimate));
                if waits {
                    self.wait(&key, &parents, &offer.shard);
                    State::Waiting(Box::new(Waiting { offer, parents, children: Vec::new() }))
                } else {
                    self.ready.push_back((NodeId { key: key.clone(), generation }, offer));
                    State::Open(Vec::new())
                }
            }
        };
        let late_parent_of = self.late_parents.of(&key);
        let late = (!late_parent_of.is_empty()).then(|| key.clone());
        let node = Node {
            generation,
            first_sequence,
            was_listed: first_sequence.is_told(),
            state,
            has_child: false,
            is_superseded: false,
            last_listed: self.full_lists,
        };
        self.nodes.insert(key, node);
        if let Some(late) = late {
            for child in late_parent_of {
                self.link_late_parent(&late, &child);
            }
        }
    }

    /// Whether an earlier run may have read a shard that is not known here.
    pub(crate) fn may_have_been_read(&self, id: &str) -> bool {
        !self.skipped.contains(id) && self.start_policy.may_have_read(id)
    }

    fn wait(&mut self, child: &ShardKey, parents: &[Parent; 2], shard: &Shard) {
        self.waiting += 1;
        for (parent, id) in parents.iter().zip(parent_ids(shard)) {
            match (parent, id) {
                (Parent::Open(parent), _) => {
                    if let Some(children) =
                        self.nodes.get_mut(parent).and_then(|p| p.state.children())
                    {
                        children.push(child.clone());
                    }
                }
                (Parent::Ended(ParentOutcome::Unlisted), Some(id)) => {
                    self.late_parents.add(child.clone(), ShardKey::from(id));
                }
                _ => {}
            }
        }
    }

    /// A parent that was not listed when its child was: the child waits for it after all, if it
    /// still waits.
    fn link_late_parent(&mut self, late: &ShardKey, child: &ShardKey) {
        let Some(parent) = self.nodes.get_mut(late) else { return };
        parent.has_child = true;
        let link = parent.state.as_parent(late.clone());
        let waits = matches!(parent.state, State::Waiting(_));
        let Some(State::Waiting(waiting)) = self.nodes.get_mut(child).map(|node| &mut node.state)
        else {
            return;
        };
        for (slot, id) in waiting.parents.iter_mut().zip(parent_ids(&waiting.offer.shard)) {
            if id.is_some_and(|id| ShardKey::from(id) == *late) {
                *slot = link.clone();
            }
        }
        if let Some(children) = self.nodes.get_mut(late).and_then(|parent| parent.state.children())
        {
            children.push(child.clone());
        }
        if waits {
            // It may wait for the child, which would be its own ancestor.
            self.late_links.push(LateLink { parent: late.clone(), child: child.clone() });
        }
    }

    pub(crate) fn end_parent(
        &mut self,
        child: ShardKey,
        parent: &ShardKey,
        outcome: ParentOutcome,
    ) {
        let Some(node) = self.nodes.get_mut(&child) else { return };
        let State::Waiting(waiting) = &mut node.state else { return };
        for slot in waiting.parents.iter_mut().filter(|slot| slot.is(parent)) {
            *slot = Parent::Ended(outcome);
        }
        if waiting.open_parents().next().is_some() {
            return;
        }
        let children = std::mem::take(&mut waiting.children);
        let State::Waiting(waiting) = std::mem::replace(&mut node.state, State::Open(children))
        else {
            return;
        };
        let Waiting { mut offer, parents, .. } = *waiting;
        // Nobody else has a shard that was never offered.
        if let Some(offer) = Arc::get_mut(&mut offer) {
            offer.parents = parents.each_ref().map(Parent::outcome);
        }
        self.waiting -= 1;
        self.late_parents.remove(&child, &offer.shard);
        self.ready.push_back((NodeId { key: child, generation: node.generation }, offer));
    }
}
