//! Parents that are not listed yet, although a child of theirs waits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::lineage::key::ShardKey;
use crate::util::received_shard::ReceivedShard;

/// The waiting children of unlisted parents, each of which may be listed late.
#[derive(Debug, Default)]
pub(crate) struct LateParents {
    /// The children of each unlisted parent, with their order of insertion.
    by_parent: HashMap<ShardKey, HashMap<ShardKey, u64>>,
    added: u64,
}

impl LateParents {
    pub(crate) fn add(&mut self, child: ShardKey, parent: ShardKey) {
        self.added += 1;
        self.by_parent.entry(parent).or_default().insert(child, self.added);
    }

    /// Takes the children of a parent that is listed late, in their order of insertion.
    pub(crate) fn take_children(&mut self, parent: &ShardKey) -> Vec<ShardKey> {
        let children = self.by_parent.remove(parent).unwrap_or_default();
        let mut children: Vec<_> = children.into_iter().collect();
        children.sort_unstable_by_key(|(_, order)| *order);
        children.into_iter().map(|(child, _)| child).collect()
    }

    /// Removes a child that has become ready.
    pub(crate) fn remove(&mut self, child: &ShardKey, shard: &ReceivedShard) {
        if self.by_parent.is_empty() {
            return;
        }
        for parent in shard.parent_ids().into_iter().flatten() {
            if let Entry::Occupied(mut children) = self.by_parent.entry(ShardKey::from(parent)) {
                children.get_mut().remove(child);
                if children.get().is_empty() {
                    children.remove();
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_parent.is_empty()
    }
}
