//! Who is whose parent, what is offered, closed, forgotten. Pure: no async, no I/O, no clock.

mod cycles;
mod doubt;
mod kinship;
mod recreation;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::iter::Flatten;
use std::sync::Arc;
use std::vec::IntoIter;

use aws_sdk_kinesis::types::{ChildShard, Shard};

use self::cycles::LateLink;
use self::doubt::Doubts;
pub(super) use self::doubt::Judged;
use super::key::{FirstSequence, ShardKey};
use super::member::{Member, MemberId, Serial, State};
use super::origin::Origin;
use super::orphans::Orphans;
use super::sequential_hasher::BuildSequential;
use crate::handle::Offer;
use crate::shard_list::{Extent, is_closed, parent_ids};
use crate::{ParentOutcome, ShardList, StreamId};

#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) origin: Origin,
    /// Set by the first list.
    stream: Option<Arc<StreamId>>,
    members: HashMap<ShardKey, Member, BuildSequential>,
    /// What is left of the last list.
    unseen: Option<Flatten<IntoIter<Vec<Shard>>>>,
    /// How much that list speaks of.
    extent: Extent,
    /// What that list named and is nobody's business.
    passed_over: HashSet<String>,
    ready: VecDeque<(MemberId, Arc<Offer>)>,
    /// How many wait for a parent.
    waiting: usize,
    orphans: Orphans,
    /// Links to late parents that may be part of a cycle.
    late_links: Vec<LateLink>,
    /// Closed since the last listing began, with no child known.
    childless: Vec<ShardKey>,
    /// A closing named a child that makes no sense.
    wants_additions: bool,
    wants_full: bool,
    doubts: Doubts,
    full_lists: u32,
    next_serial: Serial,
    /// The ids of the shards that were forgotten, where somebody wants to know.
    pub(super) forgotten: Option<Vec<String>>,
}

/// A listing that would help the lineage now; see [`Lineage::wanted`](crate::Lineage::wanted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WantedList {
    /// What is new: a shard was closed whose children are not known yet.
    Additions,
    /// All shards: a partial list named a shard whose parent is not known, or showed that the stream
    /// was created again; or a reader was told that there is no such shard, or got a response that may
    /// be the end of its shard and does not say so.
    Full,
}

impl Family {
    /// Takes in a list: new shards wait or become ready, those that two full lists in a row did not name are forgotten.
    ///
    /// The shards are looked at one by one, as they are taken: parents come first in a list, so nothing that follows is needed to judge one, and a
    /// shard that waits for nobody goes from the list to its handle without being stored on the way.
    ///
    /// True if the list shows that the stream was created again.
    pub(super) fn absorb(&mut self, list: ShardList) -> bool {
        self.settle();
        if list.is_full() && list.shards().next().is_none() {
            // A stream has at least one shard: this list was made before it had, or is damaged.
            tracing::warn!(stream = list.stream.name(), "a full list names no shard: it is ignored");
            self.origin.ignore_list(&list);
            self.wants_full |= self.doubts.is_open();
            return false;
        }
        let mut is_recreated = false;
        let full = list.is_full();
        if full {
            self.full_lists += 1;
            is_recreated = self.is_recreated(&list);
            if is_recreated {
                tracing::info!(
                    stream = list.stream.name(),
                    "the stream was deleted and created again: its shards are new"
                );
                self.bury(&list);
            }
        }
        self.origin.begin_list(&list);
        let ShardList { stream, extent, pages, .. } = list;
        self.stream = Some(stream);
        if self.members.is_empty() {
            self.members.reserve(pages.iter().map(Vec::len).sum());
        }
        self.unseen = Some(pages.into_iter().flatten());
        self.extent = extent;
        is_recreated
    }

    /// The next shard to hand out.
    pub(super) fn next_ready(&mut self) -> Option<(MemberId, Arc<Offer>)> {
        // A cycle can only be complete, and keep a shard from being ready, once the list is
        // through.
        while self.ready.is_empty() && (self.see_next() || self.cut_cycles()) {}
        self.ready.pop_front()
    }

    /// Looks at the next shard of the list; false once it is through.
    fn see_next(&mut self) -> bool {
        let Some(unseen) = &mut self.unseen else { return false };
        if let Some(shard) = unseen.next() {
            self.see(shard);
            return true;
        }
        self.unseen = None;
        let full = self.extent.is_full();
        let never_listed = self.origin.end_list(full);
        self.tell_forgotten(never_listed.into_keys());
        self.passed_over = HashSet::new();
        if full {
            self.judge();
            self.wants_full = self.doubts.is_open();
            self.forget();
        }
        let Self { childless, members, .. } = self;
        childless.retain(|key| members.get(key).is_some_and(|member| !member.has_child));
        childless.shrink_to_fit();
        false
    }

    /// Closes an offered shard: the children that waited for it alone become ready, as do those named in `children`.
    pub(super) fn close(&mut self, id: &MemberId, outcome: ParentOutcome, mut children: Vec<ChildShard>) {
        if !self.end(id, outcome) {
            return;
        }
        // Of a child that is named twice, the one that names more of its parents counts.
        children.sort_by_key(|child| Reverse(child.parent_shards.len()));
        for child in children {
            self.wants_additions |= !self.see_child(&id.key, child);
        }
        if self.member(id).is_some_and(|member| !member.has_child) {
            self.childless.push(id.key.clone());
        }
    }

    /// False for a shard of a stream that is gone.
    fn end(&mut self, id: &MemberId, outcome: ParentOutcome) -> bool {
        let Some(member) = self.member(id) else { return false };
        let was = std::mem::replace(&mut member.state, State::Closed(outcome));
        if let State::Free(waiting) = was {
            for child in waiting {
                self.end_parent(child, &id.key, outcome);
            }
        }
        self.doubts.forget_claim(id);
        true
    }

    /// Offers again a shard that was handed back; false if it is one of a stream that is gone.
    pub(super) fn offer_again(&mut self, id: MemberId, offer: Arc<Offer>) -> bool {
        if self.member(&id).is_none() {
            return false;
        }
        let start = self.origin.again(&offer.start);
        let offer = if start == offer.start {
            offer
        } else {
            let is_estimate = self.origin.is_estimate(&start);
            Arc::new(offer.again(start).estimated(is_estimate))
        };
        self.ready.push_back((id, offer));
        true
    }

    /// False for a shard of a stream that is gone.
    pub(super) fn holds(&self, id: &MemberId) -> bool {
        self.members.get(&id.key).is_some_and(|member| member.serial == id.serial)
    }

    /// None for a shard of a stream that is gone, though a new one may have its key.
    fn member(&mut self, id: &MemberId) -> Option<&mut Member> {
        self.members.get_mut(&id.key).filter(|member| member.serial == id.serial)
    }

    pub(super) fn wanted(&self) -> Option<WantedList> {
        if self.wants_full {
            Some(WantedList::Full)
        } else {
            (self.wants_additions || !self.childless.is_empty()).then_some(WantedList::Additions)
        }
    }

    /// A listing begins: what is closed from now on wants another.
    pub(super) fn listing_begins(&mut self, full: bool) {
        self.childless = Vec::new();
        self.wants_additions = false;
        if full {
            self.wants_full = false;
            self.doubts.listing_begins(self.full_lists);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Takes in what is left of the last list.
    pub(super) fn settle(&mut self) {
        while self.see_next() {}
    }

    #[cfg(test)]
    pub(super) fn knows(&self, id: &str) -> bool {
        self.members.contains_key(&ShardKey::from(id))
    }

    /// Whether any shard waits, for a parent or for being taken.
    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0 || !self.ready.is_empty() || self.unseen.is_some()
    }

    #[cfg(test)]
    pub(super) fn holds_nothing_but_members(&self) -> bool {
        self.ready.is_empty()
            && self.orphans.is_empty()
            && self.late_links.is_empty()
            && self.childless.is_empty()
            && !self.doubts.is_open()
            && self.waiting == 0
    }

    fn see(&mut self, shard: Shard) {
        let key = ShardKey::from(shard.shard_id());
        let first_sequence = FirstSequence::of(&shard);
        if let Some(member) = self.members.get_mut(&key) {
            if member.first_sequence.may_become(first_sequence) {
                member.first_sequence.update(first_sequence);
                member.named_in = self.full_lists;
                if self.doubts.has_claims() && is_closed(&shard) {
                    self.doubts.confirm_end(&key);
                }
            } else {
                // Another stream under the same name; only a full list can say what became of the other shards.
                self.wants_full = true;
            }
            return;
        }
        let parents = parent_ids(&shard);
        let knows = |id: &&str| self.members.contains_key(&ShardKey::from(*id));
        if !self.extent.is_full() && !parents.iter().flatten().all(knows) {
            // It may have expired, or an earlier list may have left it out: only a full list can tell.
            self.wants_full = true;
            return;
        }
        if let Extent::FullButOnly(wanted) = &self.extent {
            let is_wanted =
                wanted.contains(shard.shard_id()) || self.origin.names(shard.shard_id()).is_some();
            // The first list has decided what is nobody's business: that a parent of it expires later changes nothing.
            let was_read = |id: &str| {
                if self.origin.is_first_list() {
                    self.may_have_been_read(id)
                } else {
                    self.origin.names(id).is_some()
                }
            };
            let descends = |id: &&str| knows(id) || was_read(id);
            if !is_wanted && !parents.iter().flatten().any(descends) {
                self.passed_over.insert(shard.shard_id);
                return;
            }
        }
        self.adopt(key, shard, first_sequence);
    }

    /// A child that its parent's last `GetRecords` named; false if it is not known now, since it makes no sense.
    fn see_child(&mut self, parent: &ShardKey, child: ChildShard) -> bool {
        let key = ShardKey::from(child.shard_id());
        let parents: Vec<_> = child.parent_shards.iter().map(|id| ShardKey::from(id.as_str())).collect();
        let makes_sense = match parents.as_slice() {
            [only] => only == parent,
            [a, b] => {
                a != b && parents.contains(parent) && parents.iter().all(|p| self.members.contains_key(p))
            }
            _ => false,
        };
        if child.shard_id.is_empty() || key == *parent || !makes_sense {
            return false;
        }
        if self.members.contains_key(&key) {
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
        self.adopt(key, shard, first_sequence);
        true
    }

    fn tell_forgotten(&mut self, ids: impl Iterator<Item = String>) {
        if let Some(forgotten) = &mut self.forgotten {
            forgotten.extend(ids);
        }
    }

    /// Forgets what is closed and was not named by two full lists in a row. Nobody waits for what is closed.
    fn forget(&mut self) {
        let full_lists = self.full_lists;
        let forgotten = &mut self.forgotten;
        self.members.retain(|key, member| {
            let keep = !matches!(member.state, State::Closed(_)) || full_lists - member.named_in < 2;
            if let (false, Some(forgotten)) = (keep, &mut *forgotten) {
                forgotten.push(key.to_string());
            }
            keep
        });
        if self.members.capacity() / 4 > self.members.len() {
            self.members.shrink_to_fit();
            self.ready.shrink_to_fit();
        }
    }
}
