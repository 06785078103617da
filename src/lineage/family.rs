//! Who is whose parent, what is offered, closed, forgotten. Pure: no async, no I/O, no clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::iter::Flatten;
use std::sync::Arc;
use std::vec::IntoIter;

use aws_sdk_kinesis::types::{ChildShard, Shard};

use super::key::{FirstSequence, ShardKey};
use super::member::{Member, Parent, State};
use super::origin::{Ancestry, Origin, Verdict};
use super::orphans::Orphans;
use super::serial::{BuildNeighbourly, Serial, SerialMap};
use crate::handle::Offer;
use crate::shard_list::{Extent, parent_ids};
use crate::{ParentOutcome, ShardList, StreamId};

#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) origin: Origin,
    /// Set by the first list.
    stream: Option<Arc<StreamId>>,
    /// The shards of the stream as it is now.
    index: HashMap<ShardKey, Serial, BuildNeighbourly>,
    members: SerialMap<Member>,
    /// What is left of the last list.
    unseen: Option<Flatten<IntoIter<Vec<Shard>>>>,
    /// How much that list speaks of.
    extent: Extent,
    ready: VecDeque<(Serial, Arc<Offer>)>,
    /// How many wait for a parent.
    waiting: usize,
    orphans: Orphans,
    /// Closed since the last listing began, with no child known.
    childless: Vec<Serial>,
    wants_full: bool,
    full_lists: u32,
    next_serial: Serial,
}

/// A listing that would help the lineage now; see [`Lineage::wanted`](crate::Lineage::wanted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedList {
    /// What is new: a shard was closed whose children are not known yet.
    Additions,
    /// All shards: a partial list named a shard whose parent is not known, or showed that the stream was created again.
    Full,
}

impl Family {
    /// Takes in a list: new shards wait or become ready, those that two full lists in a row did not name are forgotten.
    ///
    /// The shards are looked at one by one, as they are taken: parents come first in a list, so nothing that follows is needed to judge one, and a
    /// shard that waits for nobody goes from the list to its handle without being stored on the way.
    pub(super) fn absorb(&mut self, list: ShardList) {
        while self.see_next() {}
        let full = list.is_full();
        if full {
            self.full_lists += 1;
            if self.is_recreated(&list) {
                tracing::info!(
                    stream = list.stream.name(),
                    "the stream was deleted and created again: its shards are new"
                );
                self.bury();
            }
        }
        self.origin.begin_list(&list);
        let ShardList { stream, extent, pages, .. } = list;
        self.stream = Some(stream);
        if self.index.is_empty() {
            let shards = pages.iter().map(Vec::len).sum();
            self.index.reserve(shards);
            self.members.reserve(shards);
        }
        self.unseen = Some(pages.into_iter().flatten());
        self.extent = extent;
    }

    /// The next shard to hand out.
    pub(super) fn next_ready(&mut self) -> Option<(Serial, Arc<Offer>)> {
        while self.ready.is_empty() && self.see_next() {}
        let (serial, mut offer) = self.ready.pop_front()?;
        let member = self.members.get_mut(&serial)?;
        member.state = State::Offered;
        // Nobody else has a shard that was never offered; of one that was, the parents have ended as they had then.
        if let Some(offer) = Arc::get_mut(&mut offer) {
            offer.parents = member.parents.map(Parent::outcome);
        }
        Some((serial, offer))
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
        self.origin.end_list(full);
        if full {
            self.wants_full = false;
            self.forget();
        }
        let Self { childless, members, .. } = self;
        childless.retain(|serial| members.get(serial).is_some_and(|member| !member.has_child));
        false
    }

    /// Closes an offered shard: the children that waited for it alone become ready, as do those named in `children`.
    pub(super) fn close(&mut self, serial: Serial, outcome: ParentOutcome, children: Vec<ChildShard>) {
        let Some(member) = self.members.get_mut(&serial) else { return };
        member.state = State::Closed(outcome);
        if member.is_buried {
            self.members.remove(&serial);
            return;
        }
        let mut has_child = member.has_child;
        for child in std::mem::take(&mut member.children) {
            self.end_parent(child, serial, outcome);
        }
        for child in children {
            has_child |= self.see_child(serial, child);
        }
        if !has_child {
            self.childless.push(serial);
        }
    }

    /// Offers again a shard that was handed back.
    pub(super) fn offer_again(&mut self, serial: Serial, offer: Arc<Offer>) {
        let Some(member) = self.members.get_mut(&serial) else { return };
        if member.is_buried {
            self.members.remove(&serial);
        } else {
            member.state = State::Ready;
            self.ready.push_back((serial, offer));
        }
    }

    pub(super) fn wanted(&self) -> Option<WantedList> {
        if self.wants_full {
            Some(WantedList::Full)
        } else {
            (!self.childless.is_empty()).then_some(WantedList::Additions)
        }
    }

    /// The wanted listing begins: what is closed from now on wants another.
    pub(super) fn listing_begins(&mut self) {
        self.childless.clear();
        self.wants_full = false;
    }

    /// Whether any shard waits, for a parent or for being taken.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0 || !self.ready.is_empty() || self.unseen.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty_inside(&self) -> bool {
        self.index.is_empty()
            && self.members.is_empty()
            && self.ready.is_empty()
            && self.orphans.is_empty()
            && self.childless.is_empty()
            && self.waiting == 0
    }

    fn see(&mut self, shard: Shard) {
        let key = ShardKey::from(shard.shard_id());
        let first_sequence = FirstSequence::of(&shard);
        if let Some(member) = self.index.get(&key).and_then(|serial| self.members.get_mut(serial)) {
            if member.first_sequence.may_become(first_sequence) {
                member.first_sequence.update(first_sequence);
                member.named_in = self.full_lists;
            } else {
                // Another stream under the same name; only a full list can say what became of the other shards.
                self.wants_full = true;
            }
            return;
        }
        let parents = parent_ids(&shard);
        let known = parents.map(|id| self.index.get(&ShardKey::from(id?)).copied());
        let has_unknown_parent = parents.iter().zip(known).any(|(id, known)| id.is_some() && known.is_none());
        if has_unknown_parent && !self.extent.is_full() {
            // It may have expired, or an earlier list may have left it out: only a full list can tell.
            self.wants_full = true;
            return;
        }
        if let Extent::FullButOnly(wanted) = &self.extent {
            let is_wanted =
                wanted.contains(shard.shard_id()) || self.origin.names(shard.shard_id()).is_some();
            let descends = parents.iter().flatten().any(|id| self.origin.names(id).is_some());
            if !is_wanted && !descends && known.iter().all(Option::is_none) {
                return;
            }
        }
        self.adopt(key, shard, first_sequence, known);
    }

    /// A child that its parent's last `GetRecords` named; false if it makes no sense, and so is left to the next list.
    fn see_child(&mut self, parent: Serial, child: ChildShard) -> bool {
        let key = ShardKey::from(child.shard_id());
        if child.shard_id.is_empty() || self.index.contains_key(&key) {
            return false;
        }
        let known: Vec<_> = child
            .parent_shards
            .iter()
            .map(|id| self.index.get(&ShardKey::from(id.as_str())).copied())
            .collect();
        let known = match *known.as_slice() {
            [only] if only == Some(parent) => [only, None],
            [one @ Some(a), other @ Some(b)] if a != b && (a == parent || b == parent) => [one, other],
            _ => return false,
        };
        let mut parents = child.parent_shards.into_iter();
        let shard = Shard::builder()
            .shard_id(child.shard_id)
            .set_parent_shard_id(parents.next())
            .set_adjacent_parent_shard_id(parents.next())
            .set_hash_key_range(child.hash_key_range)
            .build();
        let Ok(shard) = shard else { return false };
        let first_sequence = FirstSequence::of(&shard);
        self.adopt(key, shard, first_sequence, known);
        true
    }

    /// Makes a member of a shard that is seen for the first time.
    fn adopt(
        &mut self,
        key: ShardKey,
        shard: Shard,
        first_sequence: FirstSequence,
        known: [Option<Serial>; 2],
    ) {
        let Some(stream) = self.stream.clone() else { return };
        let mut ancestry = Ancestry::default();
        let mut parents = [Parent::None; 2];
        for ((slot, id), known) in parents.iter_mut().zip(parent_ids(&shard)).zip(known) {
            let Some(id) = id else { continue };
            *slot = if let Some((serial, parent)) =
                known.and_then(|serial| Some((serial, self.members.get_mut(&serial)?)))
            {
                parent.has_child = true;
                ancestry.has_parent = true;
                ancestry.descends |= parent.descends;
                parent.state.as_parent(serial)
            } else {
                ancestry.descends |= self.origin.names(id).is_some();
                Parent::Ended(self.origin.unlisted(id))
            };
        }
        ancestry.waits = parents.iter().any(|parent| parent.is_open());

        let serial = self.next_serial.take_next();
        let (named, verdict) = self.origin.decide(&shard, ancestry);
        let state = match verdict {
            Verdict::Closed(outcome) => State::Closed(outcome),
            Verdict::Offer(start) => {
                if ancestry.waits {
                    self.wait(serial, &parents, &shard);
                }
                let offer = Arc::new(Offer::new(shard, stream, start));
                if ancestry.waits {
                    State::Waiting(offer)
                } else {
                    self.ready.push_back((serial, offer));
                    State::Ready
                }
            }
        };
        let late_parent_of = self.orphans.of(&key);
        self.index.insert(key.clone(), serial);
        self.members.insert(
            serial,
            Member {
                key,
                first_sequence,
                parents,
                state,
                children: Vec::new(),
                has_child: false,
                is_buried: false,
                descends: named || ancestry.descends,
                named_in: self.full_lists,
            },
        );
        for child in late_parent_of {
            self.reunite(serial, child);
        }
    }

    fn wait(&mut self, child: Serial, parents: &[Parent; 2], shard: &Shard) {
        self.waiting += 1;
        for (parent, id) in parents.iter().zip(parent_ids(shard)) {
            match (parent, id) {
                (Parent::Open(parent), _) => {
                    if let Some(parent) = self.members.get_mut(parent) {
                        parent.children.push(child);
                    }
                }
                (Parent::Ended(ParentOutcome::Unlisted), Some(id)) => {
                    self.orphans.add(child, id);
                }
                _ => {}
            }
        }
    }

    /// A parent that was not listed when its child was: the child waits for it after all, if it still waits.
    fn reunite(&mut self, late: Serial, child: Serial) {
        if self.waits_for(late, child) {
            // It would be its own ancestor.
            return;
        }
        let Some(parent) = self.members.get_mut(&late) else { return };
        let (key, link) = (parent.key.clone(), parent.state.as_parent(late));
        parent.has_child = true;
        if link.is_open() {
            parent.children.push(child);
        }
        let Some(member) = self.members.get_mut(&child) else { return };
        let State::Waiting(offer) = &member.state else { return };
        for (slot, id) in member.parents.iter_mut().zip(parent_ids(&offer.shard)) {
            if id.is_some_and(|id| ShardKey::from(id) == key) {
                *slot = link;
            }
        }
    }

    /// Whether `ancestor` must close before `serial` may.
    fn waits_for(&self, serial: Serial, ancestor: Serial) -> bool {
        let mut seen = HashSet::new();
        let mut next = vec![serial];
        while let Some(serial) = next.pop() {
            if serial == ancestor {
                return true;
            }
            if let Some(member) = self.members.get(&serial).filter(|_| seen.insert(serial)) {
                next.extend(member.parents.iter().filter_map(|parent| parent.open()));
            }
        }
        false
    }

    fn end_parent(&mut self, child: Serial, parent: Serial, outcome: ParentOutcome) {
        let Some(member) = self.members.get_mut(&child) else { return };
        for slot in member.parents.iter_mut().filter(|slot| slot.open() == Some(parent)) {
            *slot = Parent::Ended(outcome);
        }
        if member.parents.iter().any(|parent| parent.is_open()) {
            return;
        }
        match std::mem::replace(&mut member.state, State::Ready) {
            State::Waiting(offer) => {
                self.waiting -= 1;
                self.orphans.remove(child, &offer.shard);
                self.ready.push_back((child, offer));
            }
            state => member.state = state,
        }
    }

    fn is_recreated(&self, list: &ShardList) -> bool {
        !self.index.is_empty()
            && list.shards().any(|shard| {
                let member =
                    self.index.get(&ShardKey::from(shard.shard_id())).and_then(|s| self.members.get(s));
                member.is_some_and(|m| !m.first_sequence.may_become(FirstSequence::of(shard)))
            })
    }

    /// Lets go of a stream that is gone: of its shards only those whose handles are out are kept, until they end.
    fn bury(&mut self) {
        self.members.retain(|_, member| {
            member.is_buried = true;
            matches!(member.state, State::Offered)
        });
        self.index.clear();
        self.ready.clear();
        self.orphans = Orphans::default();
        self.childless.clear();
        self.waiting = 0;
        self.origin.forget_earlier_run();
    }

    /// Forgets what is closed and was not named by two full lists in a row. Nobody waits for what is closed.
    fn forget(&mut self) {
        let Self { members, index, full_lists, .. } = self;
        members.retain(|_, member| {
            let keep = !matches!(member.state, State::Closed(_)) || *full_lists - member.named_in < 2;
            if !keep {
                index.remove(&member.key);
            }
            keep
        });
        if members.capacity() / 4 > members.len() {
            members.shrink_to_fit();
            index.shrink_to_fit();
            self.ready.shrink_to_fit();
        }
    }
}
