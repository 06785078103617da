//! The graph of shards: their parents, and whether they wait, are offered, closed or forgotten. It
//! is pure: no async, no I/O, no clock.

use std::cmp::Reverse;
#[cfg(feature = "dynamodb")]
use std::collections::{BTreeMap, BTreeSet};
use std::collections::{HashMap, HashSet, VecDeque};
use std::iter::Flatten;
use std::sync::Arc;
use std::vec::IntoIter;

use aws_sdk_kinesis::types::ChildShard;

use crate::lineage::cycles::{LateLink, links_on_cycles};
use crate::lineage::final_list::FinalList;
use crate::lineage::key::{FirstSequence, ShardKey};
use crate::lineage::late_parents::LateParents;
use crate::lineage::node::{Generation, KnownChildren, Node, NodeId, Parent, State, Waiting};
use crate::lineage::reader_reports::{ReaderReports, Resolved};
use crate::lineage::sequential_hasher::BuildSequential;
use crate::lineage::start_policy::{StartPolicy, Verdict};
use crate::listing::shard_list::{Extent, ShardList};
use crate::listing::shard_lists::ListRequest;
use crate::shard::offer::Offer;
use crate::shard::outcome::ParentOutcome;
use crate::shard::stream_context::StreamContext;
use crate::util::received_shard::ReceivedShard;

/// The shards of one stream, linked to their parents.
///
/// # Usage
///
/// [`absorb`](Self::absorb) takes a list in, and [`next_ready`](Self::next_ready) returns the
/// shards that may be offered. Each shard that was offered comes back by [`close`](Self::close),
/// [`offer_again`](Self::offer_again) or [`not_found`](Self::not_found).
///
/// # Invariants
///
/// * A shard waits as long as at least one of its [`Parent`]s is open. Each open parent names the
///   shard among its children.
/// * A [`NodeId`] whose generation is not that of the node belongs to a stream that was deleted; it
///   changes nothing.
#[derive(Debug, Default)]
pub(crate) struct ShardGraph {
    pub(crate) start_policy: StartPolicy,
    /// Set by the first list of the stream.
    context: Option<Arc<StreamContext>>,
    /// Whether the id of a shard is never used again: see [`first_sequence`](Self::first_sequence).
    has_unique_ids: bool,
    nodes: HashMap<ShardKey, Node, BuildSequential>,
    /// The shards of the current list that were not observed yet.
    remaining: Option<Flatten<IntoIter<Vec<ReceivedShard>>>>,
    /// The extent of the current list.
    extent: Extent,
    /// Shards in the current list that this run does not read.
    skipped: HashSet<String>,
    ready: VecDeque<(NodeId, Arc<Offer>)>,
    /// How many shards wait for a parent.
    waiting: usize,
    late_parents: LateParents,
    /// Links to late parents that may be part of a cycle.
    late_links: Vec<LateLink>,
    /// Shards that were closed since the last listing began, with no child known.
    awaiting_children: Vec<ShardKey>,
    /// A closed shard named a child that cannot be used.
    wants_additions: bool,
    wants_full: bool,
    reports: ReaderReports,
    /// Set if the run ends when all its shards are read.
    pub(crate) final_list: Option<FinalList>,
    full_lists: u32,
    next_generation: Generation,
    /// The ids of the shards that were forgotten, if they are tracked.
    pub(crate) forgotten: Option<Vec<String>>,
}

/// Lists.
impl ShardGraph {
    /// Takes a list in: new shards wait or become ready, and closed shards that two full lists in a
    /// row omit are forgotten. Returns whether the list shows that the stream was created again.
    ///
    /// The shards are observed one by one, as they are needed. Parents precede their children in a
    /// list, so that a shard that waits for no parent goes from the list to its handle without
    /// being stored in between.
    pub(crate) fn absorb(&mut self, list: ShardList) -> bool {
        self.drain_list();
        if list.is_full() && list.received().next().is_none() {
            // A stream has at least one shard: the stream is being created, or the list is damaged.
            tracing::warn!(
                stream = list.context.id.name(),
                "a full list names no shard, and is ignored"
            );
            self.start_policy.ignore_list(&list);
            self.wants_full |= self.reports.is_open();
            return false;
        }
        self.has_unique_ids = list.context.id.is_table_stream();
        let mut is_recreated = false;
        if list.is_full() {
            self.full_lists += 1;
            is_recreated = self.is_recreated(&list);
            if is_recreated {
                tracing::info!(
                    stream = list.context.id.name(),
                    "the stream was deleted and created again; its shards are new"
                );
                self.reset_for_new_stream(&list);
            }
        }
        self.start_policy.begin_list(&list);
        let ShardList { context, extent, pages, .. } = list;
        // A list that a user makes has a context of its own. The shards of one stream share one.
        if self.context.as_ref().is_none_or(|known| known.id != context.id) {
            self.context = Some(context);
        }
        if self.nodes.is_empty() {
            self.nodes.reserve(pages.iter().map(Vec::len).sum());
        }
        self.remaining = Some(pages.into_iter().flatten());
        self.extent = extent;
        is_recreated
    }

    /// Takes in the rest of the current list.
    pub(crate) fn drain_list(&mut self) {
        while self.observe_next() {}
    }

    /// Observes the next shard of the current list. Returns false if no shard is left.
    fn observe_next(&mut self) -> bool {
        let Some(remaining) = &mut self.remaining else { return false };
        if let Some(shard) = remaining.next() {
            self.observe(shard);
            return true;
        }
        self.remaining = None;
        self.end_list();
        false
    }

    fn end_list(&mut self) {
        let is_full = self.extent.is_full();
        let never_listed = self.start_policy.end_list(is_full);
        self.report_forgotten(never_listed.into_keys());
        self.skipped = HashSet::new();
        if is_full {
            let Self { reports, nodes, full_lists, .. } = self;
            reports.resolve(*full_lists, |id| {
                nodes.get(&id.key).is_some_and(|node| {
                    node.generation == id.generation && node.last_listed == *full_lists
                })
            });
            self.wants_full = self.reports.is_open();
            if let Some(final_list) = &mut self.final_list {
                final_list.end_list(self.full_lists);
            }
            self.forget();
        }
        let Self { awaiting_children, nodes, .. } = self;
        awaiting_children.retain(|key| nodes.get(key).is_some_and(|node| !node.has_child()));
        awaiting_children.shrink_to_fit();
    }

    fn observe(&mut self, shard: ReceivedShard) {
        let key = ShardKey::of(&shard);
        let first_sequence = self.first_sequence(&shard);
        if let Some(node) = self.nodes.get_mut(&key) {
            if node.first_sequence.is_compatible_with(first_sequence) {
                node.first_sequence.update(first_sequence);
                node.last_listed = self.full_lists;
                if shard.is_closed() {
                    node.note_closed();
                    if self.reports.has_claims() {
                        self.reports.confirm_end(&key);
                    }
                }
                if self.final_list.is_some() {
                    self.note_child(&shard);
                }
            } else {
                // A shard of another stream of this name. Only a full list shows which of the known
                // shards are left.
                node.is_superseded = true;
                self.wants_full = true;
            }
            return;
        }
        let parents = shard.parent_ids();
        let knows = |id: &&str| {
            self.nodes.get(&ShardKey::from(*id)).is_some_and(|node| !node.is_superseded)
        };
        if !self.extent.is_full() && !parents.iter().flatten().all(knows) {
            // The parent has expired, or an earlier list has omitted it: a full list decides.
            self.wants_full = true;
            return;
        }
        if let Extent::Filtered(wanted) = &self.extent {
            let is_wanted = wanted.contains(shard.shard_id())
                || self.start_policy.names(shard.shard_id()).is_some();
            // The first list decides which shards are skipped: the expiry of a parent changes
            // nothing later.
            let was_read = |id: &str| {
                if self.start_policy.is_first_list() {
                    self.may_have_been_read(id)
                } else {
                    self.start_policy.names(id).is_some()
                }
            };
            let descends = |id: &&str| knows(id) || was_read(id);
            if !is_wanted && !parents.iter().flatten().any(descends) {
                self.skipped.insert(shard.shard_id().to_owned());
                return;
            }
        }
        self.insert_shard(key, shard, first_sequence);
    }

    /// Notes in the parents of a shard that was listed again that they have a child: a parent may
    /// have been listed later than the shard.
    fn note_child(&mut self, shard: &ReceivedShard) {
        for id in shard.parent_ids().into_iter().flatten() {
            if let Some(parent) = self.nodes.get_mut(&ShardKey::from(id)) {
                parent.children = KnownChildren::Known;
            }
        }
    }

    /// Returns whether an earlier run may have read a shard that is not known here.
    fn may_have_been_read(&self, id: &str) -> bool {
        !self.skipped.contains(id) && self.start_policy.may_have_read(id)
    }

    /// Forgets the closed shards that two full lists in a row omit. No shard waits for a closed
    /// one.
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

    fn report_forgotten(&mut self, ids: impl Iterator<Item = String>) {
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.extend(ids);
        }
    }

    /// Returns the listing that the graph waits for, if any.
    pub(crate) fn take_list_request(&self) -> Option<ListRequest> {
        if self.wants_full {
            Some(ListRequest::Full)
        } else {
            (self.wants_additions || !self.awaiting_children.is_empty())
                .then_some(ListRequest::Additions)
        }
    }

    /// Notes that a listing begins: it serves all requests up to now.
    pub(crate) fn listing_begins(&mut self, full: bool) {
        self.awaiting_children = Vec::new();
        self.wants_additions = false;
        if full {
            self.wants_full = false;
            self.reports.listing_begins(self.full_lists);
            if let Some(final_list) = &mut self.final_list {
                final_list.listing_begins(self.full_lists);
            }
        }
    }
}

/// Links between shards.
impl ShardGraph {
    /// Inserts a shard that is observed for the first time.
    fn insert_shard(&mut self, key: ShardKey, shard: ReceivedShard, first_sequence: FirstSequence) {
        let Some(context) = self.context.clone() else { return };
        // An array's `map` is not inlined, and this runs for each new shard of a list.
        let [parent, adjacent] = shard.parent_ids();
        let (parent, follows_parent) = self.find_parent(parent);
        let (adjacent, follows_adjacent) = self.find_parent(adjacent);
        let parents = [parent, adjacent];
        let follows_a_reader = follows_parent || follows_adjacent;
        let waits = parents.iter().any(Parent::is_open);

        let generation = self.next_generation.take_next();
        let children =
            if shard.is_closed() { KnownChildren::Awaited } else { KnownChildren::Unknown };
        let state = match self.start_policy.decide(&shard, follows_a_reader) {
            Verdict::Closed(outcome) => State::Closed(outcome),
            Verdict::Offer(start) => {
                let outcomes = [parents[0].outcome(), parents[1].outcome()];
                let is_estimate = self.start_policy.is_estimate(&start);
                let mut offer = Offer::new(shard, context, start, outcomes);
                offer.is_estimate = is_estimate;
                let offer = Arc::new(offer);
                if waits {
                    self.link_parents(&key, &parents, &offer.shard);
                    State::Waiting(Waiting::new(offer))
                } else {
                    self.ready.push_back((NodeId { key: key.clone(), generation }, offer));
                    State::Open(Vec::new())
                }
            }
        };
        let late = (!self.late_parents.is_empty()).then(|| key.clone());
        let node = Node {
            generation,
            first_sequence,
            was_listed: first_sequence.is_known(),
            state,
            children,
            is_superseded: false,
            last_listed: self.full_lists,
        };
        self.nodes.insert(key, node);
        if let Some(late) = late {
            for child in self.late_parents.take_children(&late) {
                self.link_late_parent(&late, &child);
            }
        }
    }

    /// Finds a parent of a shard that is observed for the first time. Returns with it whether the
    /// shard continues what this run or an earlier one reads of the parent.
    #[inline]
    fn find_parent(&mut self, id: Option<&str>) -> (Parent, bool) {
        let Some(id) = id else { return (Parent::None, false) };
        let key = ShardKey::from(id);
        if let Some(parent) = self.nodes.get_mut(&key) {
            parent.children = KnownChildren::Known;
            let parent = parent.state.as_parent(key);
            let follows = parent.outcome() != Some(ParentOutcome::BeforeStart)
                && !self.start_policy.is_finished_ancestor(id);
            (parent, follows)
        } else {
            let parent = Parent::Ended(self.start_policy.unlisted(id));
            (parent, self.may_have_been_read(id))
        }
    }

    /// Links a shard that waits to its open parents, and remembers the unlisted ones.
    fn link_parents(&mut self, child: &ShardKey, parents: &[Parent; 2], shard: &ReceivedShard) {
        self.waiting += 1;
        for (parent, id) in parents.iter().zip(shard.parent_ids()) {
            match (parent, id) {
                (Parent::Open(parent), _) => {
                    if let Some(parent) = self.nodes.get_mut(parent) {
                        parent.state.add_child(child.clone());
                    }
                }
                (Parent::Ended(ParentOutcome::Unlisted), Some(id)) => {
                    self.late_parents.add(child.clone(), ShardKey::from(id));
                }
                _ => {}
            }
        }
    }

    /// Links a shard to a parent that was listed later than the shard, if the shard still waits.
    fn link_late_parent(&mut self, late: &ShardKey, child: &ShardKey) {
        let Some(parent) = self.nodes.get_mut(late) else { return };
        parent.children = KnownChildren::Known;
        let link = parent.state.as_parent(late.clone());
        let parent_waits = matches!(parent.state, State::Waiting(_));
        let Some(State::Waiting(waiting)) = self.nodes.get_mut(child).map(|node| &mut node.state)
        else {
            return;
        };
        waiting.set_parent(late, &link);
        if let Some(parent) = self.nodes.get_mut(late) {
            parent.state.add_child(child.clone());
        }
        if parent_waits {
            // The parent may wait for the child, which would then be its own ancestor.
            self.late_links.push(LateLink { parent: late.clone(), child: child.clone() });
        }
    }

    /// Notes in a shard that waits how one of its parents ended. The shard becomes ready with its
    /// last parent.
    fn end_parent(&mut self, child: ShardKey, parent: &ShardKey, outcome: ParentOutcome) {
        let Some(node) = self.nodes.get_mut(&child) else { return };
        let State::Waiting(waiting) = &mut node.state else { return };
        waiting.set_parent(parent, &Parent::Ended(outcome));
        if waiting.open_parents().next().is_some() {
            return;
        }
        let open = State::Open(std::mem::take(&mut waiting.children));
        let State::Waiting(waiting) = std::mem::replace(&mut node.state, open) else { return };
        let offer = waiting.into_offer();
        self.waiting -= 1;
        self.late_parents.remove(&child, &offer.shard);
        self.ready.push_back((NodeId { key: child, generation: node.generation }, offer));
    }

    /// Cuts the late links that are part of a cycle: their children stop waiting for those parents.
    /// Returns whether there were any late links.
    fn cut_cycles(&mut self) -> bool {
        let links = std::mem::take(&mut self.late_links);
        if links.is_empty() {
            return false;
        }
        let nodes = &self.nodes;
        let cut = links_on_cycles(&links, |key| match nodes.get(key).map(|node| &node.state) {
            Some(State::Waiting(waiting)) => waiting.open_parents().collect(),
            _ => Vec::new(),
        });
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
}

/// Shards that are offered.
impl ShardGraph {
    /// Returns the next shard to offer.
    pub(crate) fn next_ready(&mut self) -> Option<(NodeId, Arc<Offer>)> {
        // Only at the end of a list can a cycle be complete and keep a shard from becoming ready.
        while self.ready.is_empty() && (self.observe_next() || self.cut_cycles()) {}
        self.ready.pop_front()
    }

    /// Closes an offered shard: the children that waited for it alone become ready, and so do those
    /// that `children` names.
    pub(crate) fn close(&mut self, id: &NodeId, outcome: ParentOutcome, children: Vec<ChildShard>) {
        let Some(mut known_children) = self.end(id, outcome) else { return };
        if !children.is_empty() {
            known_children = self.observe_children(id, children);
        }
        if known_children != KnownChildren::Known {
            self.awaiting_children.push(id.key.clone());
        }
    }

    /// Closes a shard that a full list omits. The list names all its children, so none is
    /// awaited.
    pub(crate) fn close_unlisted(&mut self, id: &NodeId) {
        self.end(id, ParentOutcome::Unlisted);
    }

    /// Closes a shard, and ends the wait of its children for it. Returns what is known of its
    /// children, or `None` for a shard of a deleted stream.
    fn end(&mut self, id: &NodeId, outcome: ParentOutcome) -> Option<KnownChildren> {
        let node = self.node_mut(id)?;
        let known_children = node.children;
        if let State::Open(children) = std::mem::replace(&mut node.state, State::Closed(outcome))
            && !children.is_empty()
        {
            for child in children {
                self.end_parent(child, &id.key, outcome);
            }
        }
        self.reports.forget_claim(id);
        self.note_end();
        Some(known_children)
    }

    /// Stops a shard before its end: neither the shard nor a descendant is offered again.
    pub(crate) fn stop(&mut self, id: &NodeId) {
        if let Some(node) = self.node_mut(id) {
            node.state = State::Stopped;
            self.reports.forget_claim(id);
            self.note_end();
        }
    }

    fn note_end(&mut self) {
        if let Some(final_list) = &mut self.final_list {
            final_list.shard_ends(self.full_lists);
        }
    }

    /// Returns whether a run with an end has read all its shards, if none of them is out: a list
    /// that was requested after the last of them had ended names no other. If the list has not come
    /// yet, it is requested.
    pub(crate) fn is_all_read(&mut self) -> bool {
        let Some(final_list) = &mut self.final_list else { return false };
        if !self.ready.is_empty() || self.remaining.is_some() || self.reports.is_open() {
            return false;
        }
        if !final_list.is_received() {
            self.wants_full |= final_list.take_wanted();
            return false;
        }
        !self.nodes.values().any(|node| node.awaits_child(self.full_lists))
    }

    /// Takes in the children that the last `GetRecords` of a closed shard named. Returns what is
    /// known of its children then.
    fn observe_children(&mut self, id: &NodeId, mut children: Vec<ChildShard>) -> KnownChildren {
        if let Some(node) = self.node_mut(id) {
            node.note_closed();
        }
        // If a child is named twice, the entry with more parents counts.
        children.sort_by_key(|child| Reverse(child.parent_shards.len()));
        for child in children {
            self.wants_additions |= !self.observe_child(&id.key, child);
        }
        self.node_mut(id).map_or(KnownChildren::Unknown, |node| node.children)
    }

    /// Takes in a child that the last `GetRecords` of its parent named. Returns false if the child
    /// is malformed or its other parent is not known, so that it is left to the next list.
    fn observe_child(&mut self, parent: &ShardKey, child: ChildShard) -> bool {
        let key = ShardKey::from(child.shard_id());
        let parents: Vec<_> =
            child.parent_shards.iter().map(|id| ShardKey::from(id.as_str())).collect();
        let has_known_parents = match parents.as_slice() {
            [only] => only == parent,
            [a, b] => {
                a != b
                    && parents.contains(parent)
                    && parents.iter().all(|p| self.nodes.contains_key(p))
            }
            _ => false,
        };
        if child.shard_id.is_empty() || key == *parent || !has_known_parents {
            return false;
        }
        if !self.nodes.contains_key(&key) {
            self.insert_child(key, child);
        }
        true
    }

    /// Inserts a shard that no list has named.
    fn insert_child(&mut self, key: ShardKey, child: ChildShard) {
        let shard = ReceivedShard::from(child);
        let first_sequence = self.first_sequence(&shard);
        self.insert_shard(key, shard, first_sequence);
    }

    /// Re-offers an abandoned shard. Returns false for a shard of a deleted stream.
    pub(crate) fn offer_again(&mut self, id: NodeId, offer: Arc<Offer>) -> bool {
        if !self.holds(&id) {
            return false;
        }
        let start = self.start_policy.again(&offer.start);
        let offer = if start == offer.start {
            offer
        } else {
            let is_estimate = self.start_policy.is_estimate(&start);
            Arc::new(offer.again(start, is_estimate))
        };
        self.ready.push_back((id, offer));
        true
    }

    /// Takes the report of a reader that Kinesis knows no such shard: the next full list resolves
    /// it. Returns false for a shard of a deleted stream.
    pub(crate) fn not_found(&mut self, id: NodeId, offer: Arc<Offer>) -> bool {
        if !self.holds(&id) {
            return false;
        }
        self.wants_full = true;
        self.reports.add_not_found(id, offer, self.full_lists);
        true
    }

    /// Takes the claim of a reader that its shard has ended: a list confirms or refuses it, and the
    /// reader retries meanwhile.
    pub(crate) fn hear_end_claim(&mut self, id: NodeId, offer: Arc<Offer>) {
        if !self.holds(&id) {
            offer.refuse_end();
            return;
        }
        self.wants_full = true;
        self.reports.add_claim(id, offer, self.full_lists);
    }

    /// Returns the next shard that was not found and about which a full list has decided.
    pub(crate) fn next_resolved(&mut self) -> Option<Resolved> {
        self.reports.next_resolved()
    }

    /// Resolves all reports: the lists have ended.
    pub(crate) fn resolve_without_list(&mut self) {
        self.reports.resolve_without_list();
    }

    /// Returns whether the graph holds this shard. A shard of a deleted stream is not held.
    pub(crate) fn holds(&self, id: &NodeId) -> bool {
        self.nodes.get(&id.key).is_some_and(|node| node.generation == id.generation)
    }

    /// Returns none for a shard of a deleted stream, though a new one may have its key.
    fn node_mut(&mut self, id: &NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id.key).filter(|node| node.generation == id.generation)
    }

    /// Returns how many shards are remembered.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

/// Shards that another worker has read.
#[cfg(feature = "dynamodb")]
impl ShardGraph {
    /// Closes all ancestors of a shard that another worker hands over, and inserts the shard if no
    /// list has named it. Returns the ids of the ancestors, or `None` before the first list.
    pub(crate) fn take_over(&mut self, shard: ChildShard) -> Option<Vec<String>> {
        self.context.as_ref()?;
        self.drain_list();
        let key = ShardKey::from(shard.shard_id());
        if self.nodes.contains_key(&key) {
            return Some(self.close_above(vec![key], BTreeSet::new(), &BTreeSet::new()));
        }
        let parents = shard.parent_shards.iter().cloned().collect();
        let closed = self.close_above(Vec::new(), parents, &BTreeSet::new());
        self.insert_child(key, shard);
        Some(closed)
    }

    /// Closes the ancestors of shards that have a processed record, except those of `unfinished`
    /// and what lies between. Returns the ids of the closed ones, or `None` before the first list.
    ///
    /// `started` names the shards, each with its processed parents: it may no longer wait for a
    /// parent that was listed after the shard was read. A shard that this graph does not know
    /// closes nothing: it may be one of a deleted stream, or not be listed here yet. The request
    /// before rows are created comes after a full list.
    pub(crate) fn close_ancestors(
        &mut self,
        started: &BTreeMap<String, Vec<String>>,
        unfinished: &BTreeSet<String>,
    ) -> Option<Vec<String>> {
        self.context.as_ref()?;
        self.drain_list();
        let mut below = Vec::new();
        let mut processed = BTreeSet::new();
        for (id, parents) in started {
            let key = ShardKey::from(id.as_str());
            if self.nodes.contains_key(&key) {
                below.push(key);
                processed.extend(parents.iter().cloned());
            }
        }
        Some(self.close_above(below, processed, unfinished))
    }

    /// Closes the shards of `ancestors`, and all ancestors of them and of `below`, except those of
    /// `unfinished` and what lies between.
    fn close_above(
        &mut self,
        mut below: Vec<ShardKey>,
        mut ancestors: BTreeSet<String>,
        unfinished: &BTreeSet<String>,
    ) -> Vec<String> {
        below.extend(ancestors.iter().map(|id| ShardKey::from(id.as_str())));
        while let Some(key) = below.pop() {
            // A shard that does not wait has no open ancestor among the listed shards.
            let Some(State::Waiting(waiting)) = self.nodes.get(&key).map(|node| &node.state) else {
                continue;
            };
            for parent in waiting.open_parents() {
                if ancestors.insert(parent.to_string()) {
                    below.push(parent);
                }
            }
        }
        let keys: Vec<_> = ancestors.iter().map(|id| ShardKey::from(id.as_str())).collect();
        self.close_open(keys, unfinished)
    }

    /// Closes those of these shards that wait for no parent, and then those of their children that
    /// are among them.
    fn close_open(&mut self, shards: Vec<ShardKey>, unfinished: &BTreeSet<String>) -> Vec<String> {
        let among: HashSet<_> =
            shards.iter().filter(|key| !unfinished.contains(&key.to_string())).cloned().collect();
        let mut next: Vec<_> = shards;
        let mut closed = Vec::new();
        while let Some(key) = next.pop() {
            let Some(node) = self.nodes.get(&key) else { continue };
            let State::Open(children) = &node.state else { continue };
            if !among.contains(&key) {
                continue;
            }
            let children = children.clone();
            let id = NodeId { key: key.clone(), generation: node.generation };
            self.end(&id, ParentOutcome::EarlierRun);
            closed.push(key.to_string());
            next.extend(children);
        }
        if !closed.is_empty() {
            let Self { ready, nodes, .. } = self;
            ready.retain(|(id, _)| {
                nodes.get(&id.key).is_some_and(|node| matches!(node.state, State::Open(_)))
            });
        }
        closed
    }
}

/// A stream that was deleted and created again: other shards with the same ids.
impl ShardGraph {
    /// Returns what distinguishes a shard from one of a deleted stream with the same id.
    ///
    /// In the change stream of a DynamoDB table nothing needs to: a new stream has a new ARN. The
    /// API does not say whether `StartingSequenceNumber` stays when records are
    /// trimmed, and in ministack it is that of the oldest record that is left.
    fn first_sequence(&self, shard: &ReceivedShard) -> FirstSequence {
        if self.has_unique_ids { FirstSequence::UNKNOWN } else { FirstSequence::of(shard) }
    }

    fn is_recreated(&self, list: &ShardList) -> bool {
        !self.nodes.is_empty()
            && list.received().any(|shard| {
                let node = self.nodes.get(&ShardKey::of(shard));
                node.is_some_and(|node| {
                    !node.first_sequence.is_compatible_with(self.first_sequence(shard))
                })
            })
    }

    /// Removes the deleted stream. Its handles end without effect.
    fn reset_for_new_stream(&mut self, list: &ShardList) {
        let never_listed = self.start_policy.forget_earlier_run();
        self.report_forgotten(never_listed.into_keys());
        let kept = self.kept_for_new_stream(list);
        let (nodes, removed) =
            std::mem::take(&mut self.nodes).into_iter().partition(|(key, _)| kept.contains(key));
        self.nodes = nodes;
        self.report_forgotten(removed.into_keys().map(|key| key.to_string()));
        for node in self.nodes.values_mut() {
            // Children that wait are inserted again, each with its parents in this list.
            if let Some(children) = node.state.children() {
                children.clear();
            }
        }
        self.ready.retain(|(id, _)| kept.contains(&id.key));
        self.reports.retain(|id| kept.contains(&id.key));
        self.awaiting_children.retain(|key| kept.contains(key));
        self.late_parents = LateParents::default();
        self.late_links = Vec::new();
        self.waiting = 0;
    }

    /// Returns the shards of the new stream that were offered already, since a partial list named
    /// them and the deleted stream had no shards with their ids. A shard that only its parent has
    /// named may belong to the deleted stream.
    fn kept_for_new_stream(&self, list: &ShardList) -> HashSet<ShardKey> {
        let kept = |shard: &ReceivedShard| {
            let key = ShardKey::of(shard);
            let node = self.nodes.get(&key)?;
            let is_the_same = node.was_listed && node.first_sequence == self.first_sequence(shard);
            (is_the_same && !matches!(node.state, State::Waiting(_))).then_some(key)
        };
        list.received().filter_map(kept).collect()
    }
}

#[cfg(test)]
impl ShardGraph {
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.nodes.contains_key(&ShardKey::from(id))
    }

    /// Returns whether any shard waits for a parent, or waits to be taken.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting > 0 || !self.ready.is_empty() || self.remaining.is_some()
    }

    /// Returns the number of shards for which the table has room.
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.capacity()
    }

    pub(crate) fn holds_only_nodes(&self) -> bool {
        self.ready.is_empty()
            && self.late_parents.is_empty()
            && self.late_links.is_empty()
            && self.awaiting_children.is_empty()
            && !self.reports.is_open()
            && self.waiting == 0
    }
}
