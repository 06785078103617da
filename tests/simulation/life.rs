//! One life of the stream of shards, from its first poll until it is dropped: what its listings
//! named, and what the ordering contract promises once they have. Nothing is promised about what no
//! listing showed: a parent that is left out of the complete listing that first names its child
//! counts as closed.

mod offers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use kinesis_shards::shard::{ParentOutcome, Progress};
use tokio::time::Instant;

use crate::id::Id;
use crate::ledger::Truth;
use crate::member::{Member, State};
use crate::requests::Requests;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extent {
    Full,
    Additions,
    /// `FROM_TIMESTAMP`.
    Filtered,
}

/// A shard as a page of a listing showed it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) id: Id,
    pub(crate) parents: Vec<Id>,
    pub(crate) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) begun: Instant,
    /// When its first listing began, if from `Latest`.
    latest: Option<SystemTime>,
    began_before_stream: bool,
    calm: bool,
    /// What an earlier life left; an entry is used once, and all are gone after two full lists.
    resume: BTreeMap<Id, Progress>,
    named: BTreeSet<Id>,
    pub(crate) members: BTreeMap<Id, Member>,
    full_lists: u32,
    extent: Extent,
    pages: Vec<Shown>,
    list_begun: Instant,
    /// Under `FROM_TIMESTAMP` and `resume`, a full list is all shards, of which these are wanted.
    mask: Option<BTreeSet<Id>>,
    pub(crate) requests: Requests,
}

impl Life {
    pub(crate) fn new(
        number: u32,
        latest: Option<SystemTime>,
        calm: bool,
        resume: BTreeMap<Id, Progress>,
        sdk_retries: bool,
    ) -> Self {
        Self {
            number,
            begun: Instant::now(),
            latest,
            began_before_stream: false,
            calm,
            named: resume.keys().copied().collect(),
            resume,
            members: BTreeMap::new(),
            full_lists: 0,
            extent: Extent::Full,
            pages: Vec::new(),
            list_begun: Instant::now(),
            mask: None,
            requests: Requests::new(sdk_retries),
        }
    }

    pub(crate) fn first_page(&mut self, extent: Extent) {
        if !self.requests.is_begun {
            // The machine may have been suspended before the first poll.
            self.latest = self.latest.map(|begun| begun + self.begun.elapsed());
        }
        if self.mask.is_none() {
            self.list_begun = Instant::now();
        }
        self.extent = extent;
        self.pages.clear();
    }

    /// The run began before the stream did: it is read from then on, closed shards too.
    pub(crate) fn has_no_stream(&mut self) {
        self.began_before_stream |= self.full_lists == 0;
    }

    pub(crate) fn latest(&self) -> Option<SystemTime> {
        self.latest
    }

    /// Whether the last page of a full list came, and no page had a shard.
    pub(crate) fn hears_no_shard(&self) -> bool {
        self.extent != Extent::Additions && self.pages.is_empty()
    }

    /// Takes in a page; after the last, gives the shards that a `Latest` run counts as finished.
    pub(crate) fn hear_page(
        &mut self,
        shards: Vec<Shown>,
        is_last: bool,
        truth: &Truth,
    ) -> Vec<Id> {
        self.pages.extend(shards);
        if is_last { self.hear_list(truth) } else { Vec::new() }
    }

    fn hear_list(&mut self, truth: &Truth) -> Vec<Id> {
        let mut shards = std::mem::take(&mut self.pages);
        shards.sort_by_key(|shard| shard.id);
        let is_first = self.full_lists == 0;
        if self.extent == Extent::Filtered && !self.named.is_empty() {
            self.mask = Some(shards.iter().map(|shard| shard.id).collect());
            self.requests.allow();
            return Vec::new();
        }
        let is_full = self.extent != Extent::Additions;
        if is_full {
            self.see_recreation(&shards);
        }
        for shard in &shards {
            let full_lists = self.full_lists;
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.vague |= member.is_closed() && full_lists - member.last_listed >= 2;
            }
        }
        self.full_lists += u32::from(is_full);
        let mask = if is_full { self.mask.take() } else { None };
        let listed: BTreeSet<Id> = shards.iter().map(|shard| shard.id).collect();
        // What the earlier run knew is not all there: what has a parent that is not, may descend
        // from it.
        let has_gaps = is_first && !self.named.is_subset(&listed);
        let mut before_start = Vec::new();
        for shard in shards {
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.last_listed = self.full_lists;
                continue;
            }
            let namesake = self.under_the_name_of(shard.id).filter(|_| !is_full);
            if namesake.is_some_and(|id| !self.may_be_gone(id)) {
                // Another stream: which of its shards are the same in name only, a full list has to
                // say.
                self.requests.allow();
                continue;
            }
            let knows = |id: &Id| self.members.contains_key(id);
            // The parents of an addition are told by their ids alone: they may be another stream's.
            let is_mistaken = |parent: &Id| self.under_the_name_of(*parent).is_some();
            let all_known = shard.parents.iter().all(|parent| knows(parent) || is_mistaken(parent));
            let vague = shard
                .parents
                .iter()
                .any(|parent| is_mistaken(parent) || self.may_be_forgotten(*parent));
            if !is_full && (!all_known || vague) {
                self.requests.allow();
            }
            if !is_full && !all_known {
                continue;
            }
            let is_wanted = mask.as_ref().is_none_or(|mask| {
                mask.contains(&shard.id)
                    || self.named.contains(&shard.id)
                    || shard
                        .parents
                        .iter()
                        .any(|parent| self.named.contains(parent) || knows(parent))
                    || has_gaps && shard.parents.iter().any(|parent| !listed.contains(parent))
            });
            if is_wanted && self.adopt(&shard, is_first && is_full, vague, truth) {
                before_start.push(shard.id);
            }
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.is_told = true;
            }
        }
        if is_full {
            self.judge();
        }
        if self.full_lists >= 2 {
            self.resume.clear();
        }
        before_start
    }

    /// A member that has the shard's name, and is not it.
    fn under_the_name_of(&self, id: Id) -> Option<Id> {
        self.members.keys().rev().copied().find(|member| member.is_under_the_name_of(id))
    }

    /// Rule 7: the stream was created again. What is out of the one before ends into the void; of
    /// what may have been forgotten, nothing tells.
    fn see_recreation(&mut self, shards: &[Shown]) {
        let Some(newest) = shards.iter().map(|shard| shard.id.generation).max() else { return };
        let same_names: Vec<Id> =
            shards.iter().filter_map(|shard| self.under_the_name_of(shard.id)).collect();
        if same_names.is_empty() {
            return;
        }
        let is_certain = same_names.iter().any(|id| !self.may_be_gone(*id));
        if is_certain {
            self.members.retain(|id, member| id.generation == newest && member.is_told);
        }
        for (_, member) in self.members.iter_mut().filter(|(id, _)| id.generation != newest) {
            member.may_be_buried = true;
        }
        self.resume.clear();
    }

    /// Whether what an earlier life left might still be taken for what another stream holds.
    pub(crate) fn is_resuming(&self) -> bool {
        !self.named.is_empty() && self.full_lists < 2
    }

    /// True if it counts as finished because the run began at `Latest`.
    fn adopt(&mut self, shard: &Shown, in_first_list: bool, vague: bool, truth: &Truth) -> bool {
        let now = Instant::now();
        let firm: Vec<Id> = shard
            .parents
            .iter()
            .copied()
            .filter(|parent| self.members.contains_key(parent))
            .collect();
        let waits = firm.iter().any(|parent| !self.is_closed(*parent));
        let descends = shard.parents.iter().any(|parent| {
            self.named.contains(parent)
                || self.members.get(parent).is_some_and(|member| member.descends)
        }) || self.calm && truth.descends(shard.id, &self.named);
        let from_latest = self.latest.is_some()
            && !self.began_before_stream
            && in_first_list
            && !waits
            && !descends;
        let mut exact = None;
        let mut before_start = false;
        let state = match self.resume.remove(&shard.id) {
            Some(Progress::Finished) => State::Closed(ParentOutcome::EarlierRun, now),
            Some(Progress::At(position)) => {
                exact = Some(position);
                State::Known
            }
            None if from_latest && shard.closed => {
                before_start = true;
                State::Closed(ParentOutcome::BeforeStart, now)
            }
            None => State::Known,
        };
        let member = Member {
            known_since: now,
            firm,
            last_listed: self.full_lists,
            state,
            exact,
            may_start_at_latest: from_latest && !shard.closed,
            vague,
            descends: descends || self.named.contains(&shard.id),
            is_told: false,
            may_be_buried: false,
        };
        self.members.insert(shard.id, member);
        before_start
    }

    pub(crate) fn is_closed(&self, id: Id) -> bool {
        self.members.get(&id).is_some_and(Member::is_closed)
    }

    /// Rule 6: closed, and not named by two full lists in a row. Should it be listed again, it is
    /// as good as new.
    fn may_be_forgotten(&self, id: Id) -> bool {
        self.members
            .get(&id)
            .is_some_and(|m| m.vague || m.is_closed() && self.full_lists - m.last_listed >= 2)
    }

    fn may_be_gone(&self, id: Id) -> bool {
        self.may_be_forgotten(id)
            || self.members.get(&id).is_some_and(|member| member.may_be_buried)
    }

    pub(crate) fn close(
        &mut self,
        id: Id,
        outcome: ParentOutcome,
        children: &[(Id, Vec<Id>)],
        truth: &Truth,
    ) {
        self.requests.allow();
        let Some(member) = self.members.get_mut(&id) else { return };
        member.state = State::Closed(outcome, Instant::now());
        for (child, parents) in children {
            // By their ids, which may be another stream's.
            let is_mistaken = |parent: &Id| self.under_the_name_of(*parent).is_some();
            let all_known = parents
                .iter()
                .all(|parent| self.members.contains_key(parent) || is_mistaken(parent));
            if all_known && !self.members.contains_key(child) {
                let vague = parents
                    .iter()
                    .any(|parent| is_mistaken(parent) || self.may_be_forgotten(*parent));
                let shown = Shown { id: *child, parents: parents.clone(), closed: false };
                self.adopt(&shown, false, vague, truth);
            }
        }
    }

    pub(crate) fn doubt(&mut self, id: Id) {
        self.requests.allow();
        if let Some(member) = self.members.get_mut(&id) {
            member.state = State::Doubted { since: Instant::now(), was_omitted: false };
        }
    }

    /// A full list is through: what was in doubt is closed if it is not there, and else comes back.
    fn judge(&mut self) {
        let now = Instant::now();
        for member in self.members.values_mut() {
            let State::Doubted { since, .. } = member.state else { continue };
            let is_omitted = member.last_listed < self.full_lists;
            member.state = match (is_omitted, self.list_begun > since) {
                (true, true) => State::Closed(ParentOutcome::Unlisted, now),
                (false, true) => State::HandedBack(now),
                (was_omitted, false) => State::Doubted { since, was_omitted },
            };
        }
    }

    pub(crate) fn hand_back(&mut self, id: Id) {
        if let Some(member) = self.members.get_mut(&id) {
            member.state = State::HandedBack(Instant::now());
        }
    }

    /// Whether `ancestor` comes before `id`, so that its records do too.
    pub(crate) fn is_firmly_before(&self, ancestor: Id, id: Id) -> bool {
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            if id == ancestor {
                return true;
            }
            if let Some(member) = self.members.get(&id).filter(|member| !member.vague) {
                next.extend(&member.firm);
            }
        }
        false
    }

    /// The first half of a list: what the filter shows, before all that is there.
    pub(crate) fn has_half_a_list(&self) -> bool {
        self.mask.is_some()
    }

    /// The shard of this name that the lists speak of.
    pub(crate) fn named(&self, index: u64) -> Option<Id> {
        self.members.keys().rev().copied().find(|id| id.index == index)
    }

    pub(crate) fn full_lists(&self) -> u32 {
        self.full_lists
    }
}
