//! Who waits for whom.

use std::sync::Arc;

use aws_sdk_kinesis::types::Shard;

use super::super::key::{FirstSequence, ShardKey};
use super::super::member::{Member, MemberId, Parent, State, Waiting};
use super::super::origin::Verdict;
use super::Family;
use super::cycles::LateLink;
use crate::ParentOutcome;
use crate::handle::Offer;
use crate::shard_list::parent_ids;

impl Family {
    /// Makes a member of a shard that is seen for the first time.
    pub(super) fn adopt(&mut self, key: ShardKey, shard: Shard, first_sequence: FirstSequence) {
        let Some(stream) = self.stream.clone() else { return };
        let mut follows_a_reader = false;
        let parents = parent_ids(&shard).map(|id| {
            let Some(id) = id else { return Parent::None };
            let key = ShardKey::from(id);
            if let Some(parent) = self.members.get_mut(&key) {
                parent.has_child = true;
                let parent = parent.state.as_parent(key);
                follows_a_reader |=
                    parent.outcome() != Some(ParentOutcome::BeforeStart) && !self.origin.has_passed(id);
                parent
            } else {
                follows_a_reader |= self.may_have_been_read(id);
                Parent::Ended(self.origin.unlisted(id))
            }
        });
        let waits = parents.iter().any(Parent::is_open);

        let serial = self.next_serial.take_next();
        let state = match self.origin.decide(&shard, follows_a_reader) {
            Verdict::Closed(outcome) => State::Closed(outcome),
            Verdict::Offer(start) => {
                let outcomes = parents.each_ref().map(Parent::outcome);
                let is_estimate = self.origin.is_estimate(&start);
                let offer = Offer::new(shard, stream, start, outcomes, self.origin.clock_offset);
                let offer = Arc::new(offer.estimated(is_estimate));
                if waits {
                    self.wait(&key, &parents, &offer.shard);
                    State::Waiting(Box::new(Waiting { offer, parents, children: Vec::new() }))
                } else {
                    self.ready.push_back((MemberId { key: key.clone(), serial }, offer));
                    State::Free(Vec::new())
                }
            }
        };
        let late_parent_of = self.orphans.of(&key);
        let late = (!late_parent_of.is_empty()).then(|| key.clone());
        let member = Member {
            serial,
            first_sequence,
            was_listed: first_sequence.is_told(),
            state,
            has_child: false,
            named_in: self.full_lists,
        };
        self.members.insert(key, member);
        if let Some(late) = late {
            for child in late_parent_of {
                self.reunite(&late, &child);
            }
        }
    }

    /// Whether an earlier run may have read a shard that is not known here.
    pub(super) fn may_have_been_read(&self, id: &str) -> bool {
        !self.passed_over.contains(id) && self.origin.may_have_read(id)
    }

    fn wait(&mut self, child: &ShardKey, parents: &[Parent; 2], shard: &Shard) {
        self.waiting += 1;
        for (parent, id) in parents.iter().zip(parent_ids(shard)) {
            match (parent, id) {
                (Parent::Open(parent), _) => {
                    if let Some(children) = self.members.get_mut(parent).and_then(|p| p.state.children()) {
                        children.push(child.clone());
                    }
                }
                (Parent::Ended(ParentOutcome::Unlisted), Some(id)) => {
                    self.orphans.add(child.clone(), ShardKey::from(id));
                }
                _ => {}
            }
        }
    }

    /// A parent that was not listed when its child was: the child waits for it after all, if it still waits.
    fn reunite(&mut self, late: &ShardKey, child: &ShardKey) {
        let Some(parent) = self.members.get_mut(late) else { return };
        parent.has_child = true;
        let link = parent.state.as_parent(late.clone());
        let waits = matches!(parent.state, State::Waiting(_));
        let Some(State::Waiting(waiting)) = self.members.get_mut(child).map(|member| &mut member.state)
        else {
            return;
        };
        for (slot, id) in waiting.parents.iter_mut().zip(parent_ids(&waiting.offer.shard)) {
            if id.is_some_and(|id| ShardKey::from(id) == *late) {
                *slot = link.clone();
            }
        }
        if let Some(children) = self.members.get_mut(late).and_then(|parent| parent.state.children()) {
            children.push(child.clone());
        }
        if waits {
            // It may wait for the child, which would be its own ancestor.
            self.late_links.push(LateLink { parent: late.clone(), child: child.clone() });
        }
    }

    pub(super) fn end_parent(&mut self, child: ShardKey, parent: &ShardKey, outcome: ParentOutcome) {
        let Some(member) = self.members.get_mut(&child) else { return };
        let State::Waiting(waiting) = &mut member.state else { return };
        for slot in waiting.parents.iter_mut().filter(|slot| slot.is(parent)) {
            *slot = Parent::Ended(outcome);
        }
        if waiting.open_parents().next().is_some() {
            return;
        }
        let children = std::mem::take(&mut waiting.children);
        let State::Waiting(waiting) = std::mem::replace(&mut member.state, State::Free(children)) else {
            return;
        };
        let Waiting { mut offer, parents, .. } = *waiting;
        // Nobody else has a shard that was never offered.
        if let Some(offer) = Arc::get_mut(&mut offer) {
            offer.parents = parents.each_ref().map(Parent::outcome);
        }
        self.waiting -= 1;
        self.orphans.remove(&child, &offer.shard);
        self.ready.push_back((MemberId { key: child, serial: member.serial }, offer));
    }
}
