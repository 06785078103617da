//! Who is whose parent, what is offered, closed, forgotten. Pure: no async, no I/O, no clock.

pub(crate) mod cycles;
pub(crate) mod links;
pub(crate) mod not_found;
pub(crate) mod recreated;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::iter::Flatten;
use std::sync::Arc;
use std::vec::IntoIter;

use aws_sdk_kinesis::types::{ChildShard, Shard};

use crate::lineage::graph::cycles::LateLink;
use crate::lineage::graph::not_found::NotFounds;
use crate::lineage::key::{FirstSequence, ShardKey};
use crate::lineage::late_parents::LateParents;
use crate::lineage::node::{Generation, Node, NodeId, State};
use crate::lineage::sequential_hasher::BuildSequential;
use crate::lineage::start_policy::StartPolicy;
use crate::listing::shard_list::{Extent, ShardList, is_closed, parent_ids};
use crate::listing::shard_lists::ListRequest;
use crate::shard::handle::Offer;
use crate::shard::outcome::ParentOutcome;
use crate::shard::stream_context::StreamContext;

#[derive(Debug, Default)]
pub(crate) struct ShardGraph {
    pub(crate) start_policy: StartPolicy,
    /// Set by the first list.
    context: Option<Arc<StreamContext>>,
    nodes: HashMap<ShardKey, Node, BuildSequential>,
    /// What is left of the last list.
    remaining: Option<Flatten<IntoIter<Vec<Shard>>>>,
    /// How much that list speaks of.
    extent: Extent,
    /// What that list named and is nobody's business.
    skipped: HashSet<String>,
    ready: VecDeque<(NodeId, Arc<Offer>)>,
    /// How many wait for a parent.
    waiting: usize,
    late_parents: LateParents,
    /// Links to late parents that may be part of a cycle.
    late_links: Vec<LateLink>,
    /// Closed since the last listing began, with no child known.
    awaiting_children: Vec<ShardKey>,
    /// A closing named a child that makes no sense.
    wants_additions: bool,
    wants_full: bool,
    not_founds: NotFounds,
    full_lists: u32,
    next_generation: Generation,
    /// The ids of the shards that were forgotten, where somebody wants to know.
    pub(crate) forgotten: Option<Vec<String>>,
}

impl ShardGraph {
    /// Takes in a list: new shards wait or become ready, those that two full lists in a row did not
    /// name are forgotten.
    ///
    /// The shards are looked at one by one, as they are taken: parents come first in a list, so
    /// nothing that follows is needed to judge one, and a shard that waits for nobody goes from the
    /// list to its handle without being stored on the way.
    ///
    /// True if the list shows that the stream was created again.
    pub(crate) fn absorb(&mut self, list: ShardList) -> bool {
        self.drain_list();
        if list.is_full() && list.shards().next().is_none() {
            // A stream has at least one shard: this list was made before it had, or is damaged.
            tracing::warn!(
                stream = list.context.id.name(),
                "a full list names no shard: it is ignored"
            );
            self.start_policy.ignore_list(&list);
            self.wants_full |= self.not_founds.is_open();
            return false;
        }
        let mut is_recreated = false;
        let full = list.is_full();
        if full {
            self.full_lists += 1;
            is_recreated = self.is_recreated(&list);
            if is_recreated {
                tracing::info!(
                    stream = list.context.id.name(),
                    "the stream was deleted and created again: its shards are new"
                );
                self.reset_for_new_stream(&list);
            }
        }
        self.start_policy.begin_list(&list);
        let ShardList { context, extent, pages, .. } = list;
        self.context = Some(context);
        if self.nodes.is_empty() {
            self.nodes.reserve(pages.iter().map(Vec::len).sum());
        }
        self.remaining = Some(pages.into_iter().flatten());
        self.extent = extent;
        is_recreated
    }

    /// The next shard to hand out.
    pub(crate) fn next_ready(&mut self) -> Option<(NodeId, Arc<Offer>)> {
        // A cycle can only be complete, and keep a shard from being ready, once the list is
        // through.
        while self.ready.is_empty() && (self.observe_next() || self.cut_cycles()) {}
        self.ready.pop_front()
    }

    /// Looks at the next shard of the list; false once it is through.
    fn observe_next(&mut self) -> bool {
        let Some(remaining) = &mut self.remaining else { return false };
        if let Some(shard) = remaining.next() {
            self.observe(shard);
            return true;
        }
        self.remaining = None;
        let full = self.extent.is_full();
        let never_listed = self.start_policy.end_list(full);
        self.tell_forgotten(never_listed.into_keys());
        self.skipped = HashSet::new();
        if full {
            self.resolve_not_found();
            self.wants_full = self.not_founds.is_open();
            self.forget();
        }
        let Self { awaiting_children, nodes, .. } = self;
        awaiting_children.retain(|key| nodes.get(key).is_some_and(|node| !node.has_child));
        awaiting_children.shrink_to_fit();
        false
    }

    /// Closes an offered shard: the children that waited for it alone become ready, as do those
    /// named in `children`.
    pub(crate) fn close(
        &mut self,
        id: &NodeId,
        outcome: ParentOutcome,
        mut children: Vec<ChildShard>,
    ) {
        if !self.end(id, outcome) {
            return;
        }
        // Of a child that is named twice, the one that names more of its parents counts.
        children.sort_by_key(|child| Reverse(child.parent_shards.len()));
        for child in children {
            self.wants_additions |= !self.observe_child(&id.key, child);
        }
        if self.node(id).is_some_and(|node| !node.has_child) {
            self.awaiting_children.push(id.key.clone());
        }
    }

    /// False for a shard of a stream that is gone.
    fn end(&mut self, id: &NodeId, outcome: ParentOutcome) -> bool {
        let Some(node) = self.node(id) else { return false };
        let was = std::mem::replace(&mut node.state, State::Closed(outcome));
        if let State::Open(waiting) = was {
            for child in waiting {
                self.end_parent(child, &id.key, outcome);
            }
        }
        self.not_founds.forget_claim(id);
        true
    }

    /// Offers again a shard that was handed back; false if it is one of a stream that is gone.
    pub(crate) fn offer_again(&mut self, id: NodeId, offer: Arc<Offer>) -> bool {
        if self.node(&id).is_none() {
            return false;
        }
        let start = self.start_policy.again(&offer.start);
        let offer = if start == offer.start {
            offer
        } else {
            let is_estimate = self.start_policy.is_estimate(&start);
            Arc::new(offer.again(start).estimated(is_estimate))
        };
        self.ready.push_back((id, offer));
        true
    }

    /// False for a shard of a stream that is gone.
    pub(crate) fn holds(&self, id: &NodeId) -> bool {
        self.nodes.get(&id.key).is_some_and(|node| node.generation == id.generation)
    }

    /// None for a shard of a stream that is gone, though a new one may have its key.
    fn node(&mut self, id: &NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id.key).filter(|node| node.generation == id.generation)
    }

    pub(crate) fn take_list_request(&self) -> Option<ListRequest> {
        if self.wants_full {
            Some(ListRequest::Full)
        } else {
            (self.wants_additions || !self.awaiting_children.is_empty())
                .then_some(ListRequest::Additions)
        }
    }

    /// A listing begins: what is closed from now on wants another.
    pub(crate) fn listing_begins(&mut self, full: bool) {
        self.awaiting_children = Vec::new();
        self.wants_additions = false;
        if full {
            self.wants_full = false;
            self.not_founds.listing_begins(self.full_lists);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Takes in what is left of the last list.
    pub(crate) fn drain_list(&mut self) {
        while self.observe_next() {}
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.nodes.contains_key(&ShardKey::from(id))
    }

    /// Whether any shard waits, for a parent or for being taken.
    #[cfg(test)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting > 0 || !self.ready.is_empty() || self.remaining.is_some()
    }

    #[cfg(test)]
    pub(crate) fn holds_nothing_but_members(&self) -> bool {
        self.ready.is_empty()
            && self.late_parents.is_empty()
            && self.late_links.is_empty()
            && self.awaiting_children.is_empty()
            && !self.not_founds.is_open()
            && self.waiting == 0
    }

    fn observe(&mut self, shard: Shard) {
        let key = ShardKey::from(shard.shard_id());
        let first_sequence = FirstSequence::of(&shard);
        if let Some(node) = self.nodes.get_mut(&key) {
            if node.first_sequence.is_compatible_with(first_sequence) {
                node.first_sequence.update(first_sequence);
                node.last_listed = self.full_lists;
                if self.not_founds.has_claims() && is_closed(&shard) {
                    self.not_founds.confirm_end(&key);
                }
            } else {
                // Another stream under the same name; only a full list can say what became of the
                // other shards.
                node.is_superseded = true;
                self.wants_full = true;
            }
            return;
        }
        let parents = parent_ids(&shard);
        let knows = |id: &&str| {
            self.nodes.get(&ShardKey::from(*id)).is_some_and(|node| !node.is_superseded)
        };
        if !self.extent.is_full() && !parents.iter().flatten().all(knows) {
            // It may have expired, or an earlier list may have left it out: only a full list can
            // tell.
            self.wants_full = true;
            return;
        }
        if let Extent::Filtered(wanted) = &self.extent {
            let is_wanted = wanted.contains(shard.shard_id())
                || self.start_policy.names(shard.shard_id()).is_some();
            // The first list has decided what is nobody's business: that a parent of it expires
            // later changes nothing.
            let was_read = |id: &str| {
                if self.start_policy.is_first_list() {
                    self.may_have_been_read(id)
                } else {
                    self.start_policy.names(id).is_some()
                }
            };
            let descends = |id: &&str| knows(id) || was_read(id);
            if !is_wanted && !parents.iter().flatten().any(descends) {
                self.skipped.insert(shard.shard_id);
                return;
            }
        }
        self.insert_shard(key, shard, first_sequence);
    }

    /// A child that its parent's last `GetRecords` named; false if it is not known now, since it
    /// makes no sense.
    fn observe_child(&mut self, parent: &ShardKey, child: ChildShard) -> bool {
        let key = ShardKey::from(child.shard_id());
        let parents: Vec<_> =
            child.parent_shards.iter().map(|id| ShardKey::from(id.as_str())).collect();
        let makes_sense = match parents.as_slice() {
            [only] => only == parent,
            [a, b] => {
                a != b
                    && parents.contains(parent)
                    && parents.iter().all(|p| self.nodes.contains_key(p))
            }
            _ => false,
        };
        if child.shard_id.is_empty() || key == *parent || !makes_sense {
            return false;
        }
        if self.nodes.contains_key(&key) {
            return true;
        }
        let mut parents = child.parent_shards.into_iter();
        let shard = Shard::builder()
            .shard_id(child.shard_id)
            .set_parent_shard_id(parents.next())
            .set_adjacent_parent_shard_id(parents.next())
            .set_hash_key_range(child.hash_key_range)
            .build();
        let Ok(shard) = shard else { return false };
        let first_sequence = FirstSequence::of(&shard);
        self.insert_shard(key, shard, first_sequence);
        true
    }

    fn tell_forgotten(&mut self, ids: impl Iterator<Item = String>) {
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.extend(ids);
        }
    }

    /// Forgets what is closed and was not named by two full lists in a row. Nobody waits for what
    /// is closed.
    fn forget(&mut self) {
        let full_lists = self.full_lists;
        let forgotten = &mut self.forgotten;
        self.nodes.retain(|key, node| {
            let keep = !matches!(node.state, State::Closed(_)) || full_lists - node.last_listed < 2;
            if let (false, Some(forgotten)) = (keep, &mut *forgotten) {
                forgotten.push(key.to_string());
            }
            keep
        });
        if self.nodes.capacity() / 4 > self.nodes.len() {
            self.nodes.shrink_to_fit();
            self.ready.shrink_to_fit();
        }
    }
}
