//! One life of the stream of shards, from its first poll until it is dropped: the shards that its
//! listings have named, and the promises of the ordering contract about them. There is no promise
//! about a shard that no listing has shown: a parent that is missing from the complete listing that
//! first names its child counts as closed.

mod offers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use kinesis_shards::shard::{ParentOutcome, Progress};
use tokio::time::Instant;

use crate::id::{Id, Offered};
use crate::member::{Member, State};
use crate::requests::Requests;
use crate::truth::Truth;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extent {
    Full,
    Additions,
    /// A listing with the filter `FROM_TIMESTAMP`.
    Filtered,
}

/// A shard as a page of a listing shows it.
#[derive(Debug)]
pub(crate) struct ListedShard {
    pub(crate) id: Id,
    pub(crate) parents: Vec<Id>,
    pub(crate) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) begun: Instant,
    /// The time of the first listing of a run from `Latest`.
    latest: Option<SystemTime>,
    began_before_stream: bool,
    is_reliable: bool,
    /// The progress of earlier lives. An entry is used once, and all are dropped after two full
    /// lists.
    resume: BTreeMap<Id, Progress>,
    named: BTreeSet<Id>,
    pub(crate) members: BTreeMap<Id, Member>,
    full_lists: u32,
    extent: Extent,
    pages: Vec<ListedShard>,
    list_begun: Instant,
    /// The shards that the filter `FROM_TIMESTAMP` selects. With `resume`, a list of all shards
    /// follows.
    filtered: Option<BTreeSet<Id>>,
    pub(crate) requests: Requests,
}

impl Life {
    pub(crate) fn new(
        number: u32,
        latest: Option<SystemTime>,
        is_reliable: bool,
        resume: BTreeMap<Id, Progress>,
        sdk_retries: bool,
    ) -> Self {
        Self {
            number,
            begun: Instant::now(),
            latest,
            began_before_stream: false,
            is_reliable,
            named: resume.keys().copied().collect(),
            resume,
            members: BTreeMap::new(),
            full_lists: 0,
            extent: Extent::Full,
            pages: Vec::new(),
            list_begun: Instant::now(),
            filtered: None,
            requests: Requests::new(sdk_retries),
        }
    }

    pub(crate) fn first_page(&mut self, extent: Extent) {
        if !self.requests.is_begun {
            // The machine may have been suspended before the first poll.
            self.latest = self.latest.map(|begun| begun + self.begun.elapsed());
        }
        if self.filtered.is_none() {
            self.list_begun = Instant::now();
        }
        self.extent = extent;
        self.pages.clear();
    }

    /// Notes that the run began before the stream was created, so that it reads closed shards too.
    pub(crate) fn has_no_stream(&mut self) {
        self.began_before_stream |= self.full_lists == 0;
    }

    pub(crate) fn latest(&self) -> Option<SystemTime> {
        self.latest
    }

    /// Returns whether no page of a full list has had a shard so far.
    pub(crate) fn has_listed_no_shard(&self) -> bool {
        self.extent != Extent::Additions && self.pages.is_empty()
    }

    /// Receives a page. After the last one, returns the shards that a `Latest` run counts as
    /// finished.
    pub(crate) fn receive_page(
        &mut self,
        shards: Vec<ListedShard>,
        is_last: bool,
        truth: &Truth,
    ) -> Vec<Id> {
        self.pages.extend(shards);
        if is_last { self.receive_list(truth) } else { Vec::new() }
    }

    fn receive_list(&mut self, truth: &Truth) -> Vec<Id> {
        let mut shards = std::mem::take(&mut self.pages);
        shards.sort_by_key(|shard| shard.id);
        let is_first = self.full_lists == 0;
        if self.extent == Extent::Filtered && !self.named.is_empty() {
            self.filtered = Some(shards.iter().map(|shard| shard.id).collect());
            self.requests.allow();
            return Vec::new();
        }
        let is_full = self.extent != Extent::Additions;
        if is_full {
            self.detect_recreation(&shards);
        }
        for shard in &shards {
            let full_lists = self.full_lists;
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.is_uncertain |= member.is_closed() && full_lists - member.last_listed >= 2;
            }
        }
        self.full_lists += u32::from(is_full);
        let filtered = if is_full { self.filtered.take() } else { None };
        let listed: BTreeSet<Id> = shards.iter().map(|shard| shard.id).collect();
        // If shards of the earlier run are missing, a shard with a missing parent may descend from
        // them.
        let has_gaps = is_first && !self.named.is_subset(&listed);
        let mut before_start = Vec::new();
        for shard in shards {
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.last_listed = self.full_lists;
                continue;
            }
            let namesake = self.namesake_of(shard.id).filter(|_| !is_full);
            if namesake.is_some_and(|id| !self.may_be_gone(id)) {
                // The stream was created again, and a full list must follow.
                self.requests.allow();
                continue;
            }
            let knows = |id: &Id| self.members.contains_key(id);
            // The parents of an addition are known by their ids alone, so they may be of an old
            // stream.
            let is_of_old_stream = |parent: &Id| self.namesake_of(*parent).is_some();
            let all_known =
                shard.parents.iter().all(|parent| knows(parent) || is_of_old_stream(parent));
            let is_uncertain = shard
                .parents
                .iter()
                .any(|parent| is_of_old_stream(parent) || self.may_be_forgotten(*parent));
            if !is_full && (!all_known || is_uncertain) {
                self.requests.allow();
            }
            if !is_full && !all_known {
                continue;
            }
            let is_wanted = filtered.as_ref().is_none_or(|filtered| {
                filtered.contains(&shard.id)
                    || self.named.contains(&shard.id)
                    || shard
                        .parents
                        .iter()
                        .any(|parent| self.named.contains(parent) || knows(parent))
                    || has_gaps && shard.parents.iter().any(|parent| !listed.contains(parent))
            });
            if is_wanted && self.insert(&shard, is_first && is_full, is_uncertain, truth) {
                before_start.push(shard.id);
            }
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.is_listed = true;
            }
        }
        if is_full {
            self.resolve_not_found();
        }
        if self.full_lists >= 2 {
            self.resume.clear();
        }
        before_start
    }

    /// Returns another shard with the same name.
    fn namesake_of(&self, id: Id) -> Option<Id> {
        self.members.keys().rev().copied().find(|member| member.is_namesake_of(id))
    }

    /// Detects rule 7, a stream that was created again: the handles of the old one close without
    /// effect. A shard that may have been forgotten proves nothing.
    fn detect_recreation(&mut self, shards: &[ListedShard]) {
        let Some(newest) = shards.iter().map(|shard| shard.id.generation).max() else { return };
        let same_names: Vec<Id> =
            shards.iter().filter_map(|shard| self.namesake_of(shard.id)).collect();
        if same_names.is_empty() {
            return;
        }
        let is_certain = same_names.iter().any(|id| !self.may_be_gone(*id));
        if is_certain {
            self.members.retain(|id, member| id.generation == newest && member.is_listed);
        }
        for (_, member) in self.members.iter_mut().filter(|(id, _)| id.generation != newest) {
            member.stream_may_be_gone = true;
        }
        self.resume.clear();
    }

    /// Returns whether the progress of an earlier life might still be applied to another stream.
    pub(crate) fn is_resuming(&self) -> bool {
        !self.named.is_empty() && self.full_lists < 2
    }

    /// Inserts a shard. Returns whether it counts as finished because the run began at `Latest`.
    fn insert(
        &mut self,
        shard: &ListedShard,
        in_first_list: bool,
        is_uncertain: bool,
        truth: &Truth,
    ) -> bool {
        let now = Instant::now();
        let known_parents: Vec<Id> = shard
            .parents
            .iter()
            .copied()
            .filter(|parent| self.members.contains_key(parent))
            .collect();
        let waits = known_parents.iter().any(|parent| !self.is_closed(*parent));
        let descends = shard.parents.iter().any(|parent| {
            self.named.contains(parent)
                || self.members.get(parent).is_some_and(|member| member.descends)
        }) || self.is_reliable && truth.descends(shard.id, &self.named);
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
                State::Unoffered
            }
            None if from_latest && shard.closed => {
                before_start = true;
                State::Closed(ParentOutcome::BeforeStart, now)
            }
            None => State::Unoffered,
        };
        let member = Member {
            known_since: now,
            known_parents,
            last_listed: self.full_lists,
            state,
            offered: None,
            exact,
            may_start_at_latest: from_latest && !shard.closed,
            is_uncertain,
            descends: descends || self.named.contains(&shard.id),
            is_listed: false,
            stream_may_be_gone: false,
        };
        self.members.insert(shard.id, member);
        before_start
    }

    pub(crate) fn is_closed(&self, id: Id) -> bool {
        self.members.get(&id).is_some_and(Member::is_closed)
    }

    /// Returns whether rule 6 permits to forget the shard: it is closed, and missing from two full
    /// lists in a row. If it is listed again, it counts as new.
    fn may_be_forgotten(&self, id: Id) -> bool {
        self.members.get(&id).is_some_and(|m| {
            m.is_uncertain || m.is_closed() && self.full_lists - m.last_listed >= 2
        })
    }

    fn may_be_gone(&self, id: Id) -> bool {
        self.may_be_forgotten(id)
            || self.members.get(&id).is_some_and(|member| member.stream_may_be_gone)
    }

    /// Returns the shard of this offer, unless it was offered again since.
    fn member_of(&mut self, offered: Offered) -> Option<&mut Member> {
        self.members.get_mut(&offered.id).filter(|member| member.offered == Some(offered))
    }

    /// Returns the latest offer of a shard.
    pub(crate) fn latest_offer(&self, id: Id) -> Option<Offered> {
        self.members.get(&id)?.offered
    }

    pub(crate) fn close(
        &mut self,
        offered: Offered,
        outcome: ParentOutcome,
        children: &[(Id, Vec<Id>)],
        truth: &Truth,
    ) {
        self.requests.allow();
        let Some(member) = self.member_of(offered) else { return };
        member.state = State::Closed(outcome, Instant::now());
        for (child, parents) in children {
            // The ids may be those of another stream.
            let is_of_old_stream = |parent: &Id| self.namesake_of(*parent).is_some();
            let all_known = parents
                .iter()
                .all(|parent| self.members.contains_key(parent) || is_of_old_stream(parent));
            if all_known && !self.members.contains_key(child) {
                let is_uncertain = parents
                    .iter()
                    .any(|parent| is_of_old_stream(parent) || self.may_be_forgotten(*parent));
                let listed = ListedShard { id: *child, parents: parents.clone(), closed: false };
                self.insert(&listed, false, is_uncertain, truth);
            }
        }
    }

    pub(crate) fn report_not_found(&mut self, offered: Offered) {
        self.requests.allow();
        if let Some(member) = self.member_of(offered) {
            member.state = State::NotFound { since: Instant::now(), was_omitted: false };
        }
    }

    /// After a full list, closes the missing shards that were not found, and re-offers the others.
    fn resolve_not_found(&mut self) {
        let now = Instant::now();
        for member in self.members.values_mut() {
            let State::NotFound { since, .. } = member.state else { continue };
            let is_omitted = member.last_listed < self.full_lists;
            member.state = match (is_omitted, self.list_begun > since) {
                (true, true) => State::Closed(ParentOutcome::Unlisted, now),
                (false, true) => State::Abandoned(now),
                (was_omitted, false) => State::NotFound { since, was_omitted },
            };
        }
    }

    pub(crate) fn abandon(&mut self, offered: Offered) {
        if let Some(member) = self.member_of(offered) {
            member.state = State::Abandoned(Instant::now());
        }
    }

    /// Returns whether `ancestor` is a known ancestor of `id`, so that its records come first.
    pub(crate) fn is_known_ancestor(&self, ancestor: Id, id: Id) -> bool {
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            if id == ancestor {
                return true;
            }
            if let Some(member) = self.members.get(&id).filter(|member| !member.is_uncertain) {
                next.extend(&member.known_parents);
            }
        }
        false
    }

    /// Returns whether a filtered list was received whose list of all shards must follow.
    pub(crate) fn has_filtered_half(&self) -> bool {
        self.filtered.is_some()
    }

    /// Returns the latest shard of this name.
    pub(crate) fn named(&self, index: u64) -> Option<Id> {
        self.members.keys().rev().copied().find(|id| id.index == index)
    }

    pub(crate) fn full_lists(&self) -> u32 {
        self.full_lists
    }
}
