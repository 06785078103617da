//! A stream that was deleted and created again: other shards under the same ids.

use std::collections::HashSet;

use crate::lineage::graph::ShardGraph;
use crate::lineage::key::{FirstSequence, ShardKey};
use crate::lineage::late_parents::LateParents;
use crate::lineage::node::State;
use crate::listing::shard_list::ShardList;

impl ShardGraph {
    pub(crate) fn is_recreated(&self, list: &ShardList) -> bool {
        !self.nodes.is_empty()
            && list.shards().any(|shard| {
                let node = self.nodes.get(&ShardKey::from(shard.shard_id()));
                node.is_some_and(|m| !m.first_sequence.is_compatible_with(FirstSequence::of(shard)))
            })
    }

    /// Lets go of a stream that is gone. Handles that are out end into the void.
    pub(crate) fn reset_for_new_stream(&mut self, list: &ShardList) {
        let never_listed = self.start_policy.forget_earlier_run();
        self.tell_forgotten(never_listed.into_keys());
        let stay = self.of_the_new_stream(list);
        let (nodes, gone) =
            std::mem::take(&mut self.nodes).into_iter().partition(|(key, _)| stay.contains(key));
        self.nodes = nodes;
        self.tell_forgotten(gone.into_keys().map(|key| key.to_string()));
        for node in self.nodes.values_mut() {
            // The children that wait are judged anew, each by its parents in this list.
            if let Some(children) = node.state.children() {
                children.clear();
            }
        }
        self.ready.retain(|(id, _)| stay.contains(&id.key));
        self.not_founds.retain(|id| stay.contains(&id.key));
        self.awaiting_children.retain(|key| stay.contains(key));
        self.late_parents = LateParents::default();
        self.late_links = Vec::new();
        self.waiting = 0;
    }

    /// Partial lists may have named shards of the new stream already, those whose ids the old one
    /// did not have: they were offered, and are not to be offered again. A shard that only its
    /// parent has named may be the old stream's.
    fn of_the_new_stream(&self, list: &ShardList) -> HashSet<ShardKey> {
        let stays = |shard| {
            let key = ShardKey::from(aws_sdk_kinesis::types::Shard::shard_id(shard));
            let node = self.nodes.get(&key)?;
            let is_the_same = node.was_listed && node.first_sequence == FirstSequence::of(shard);
            (is_the_same && !matches!(node.state, State::Waiting(_))).then_some(key)
        };
        list.shards().filter_map(stays).collect()
    }
}
