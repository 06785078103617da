//! One life of the stream of shards, from its first poll until it is dropped: what its listings named, and what the ordering
//! contract promises once they have. Nothing is promised about what no listing showed: a parent that is left out of the
//! complete listing that first names its child counts as closed.

use std::collections::{BTreeMap, BTreeSet};

use kinesis_shards::{ParentOutcome, Progress, StartPosition};
use tokio::time::{Duration, Instant};

use crate::ledger::Truth;

/// Ids by their number.
pub(crate) type Id = u64;

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
    pub(crate) latest: bool,
    calm: bool,
    /// What an earlier life left; an entry is used once, and all are gone after two full lists.
    resume: BTreeMap<Id, Progress>,
    named: BTreeSet<Id>,
    pub(crate) members: BTreeMap<Id, Member>,
    full_lists: u32,
    extent: Extent,
    pages: Vec<Shown>,
    /// Under `FROM_TIMESTAMP` and `resume`, the first list is all shards, of which these are wanted.
    mask: Option<BTreeSet<Id>>,
    pub(crate) requests: Requests,
}

/// What the listing requests of this life are counted against.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) under_way: u32,
    pub(crate) begun: u64,
    pub(crate) failed: u64,
    pub(crate) closings: u64,
    /// Lists that want another: one that named a shard whose parents no list had, and the filtered one before the first.
    pub(crate) wanted: u64,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) known_since: Instant,
    /// The parents that were known when it was first named: it is not offered before they are closed.
    pub(crate) firm: Vec<Id>,
    named_in: u32,
    pub(crate) state: State,
    /// Where it must start, if the run before left that.
    exact: Option<StartPosition>,
    may_start_at_latest: bool,
    /// It may have been forgotten and seen anew, or its parents: when it was known is not.
    vague: bool,
    /// As far as the lists showed it; while they are true, that is as far as it is true.
    descends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// To be offered.
    Known,
    Out,
    HandedBack(Instant),
    Closed(ParentOutcome, Instant),
}

impl Member {
    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(..))
    }
}

impl Life {
    pub(crate) fn new(number: u32, latest: bool, calm: bool, resume: BTreeMap<Id, Progress>) -> Self {
        Self {
            number,
            begun: Instant::now(),
            latest,
            calm,
            named: resume.keys().copied().collect(),
            resume,
            members: BTreeMap::new(),
            full_lists: 0,
            extent: Extent::Full,
            pages: Vec::new(),
            mask: None,
            requests: Requests::default(),
        }
    }

    pub(crate) fn first_page(&mut self, extent: Extent) {
        self.requests.begun += 1;
        self.extent = extent;
        self.pages.clear();
    }

    /// Takes in a page; after the last, gives the shards that a `Latest` run counts as finished.
    pub(crate) fn hear_page(&mut self, shards: Vec<Shown>, is_last: bool, truth: &Truth) -> Vec<Id> {
        self.pages.extend(shards);
        if is_last { self.hear_list(truth) } else { Vec::new() }
    }

    fn hear_list(&mut self, truth: &Truth) -> Vec<Id> {
        let mut shards = std::mem::take(&mut self.pages);
        shards.sort_by_key(|shard| shard.id);
        let is_first = self.full_lists == 0;
        if self.extent == Extent::Filtered && is_first && !self.named.is_empty() {
            self.mask = Some(shards.iter().map(|shard| shard.id).collect());
            self.requests.wanted += 1;
            return Vec::new();
        }
        let is_full = self.extent != Extent::Additions;
        for shard in &shards {
            let full_lists = self.full_lists;
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.vague |= member.is_closed() && full_lists - member.named_in >= 2;
            }
        }
        self.full_lists += u32::from(is_full);
        let mask = if is_full { self.mask.take() } else { None };
        let mut before_start = Vec::new();
        for shard in shards {
            if let Some(member) = self.members.get_mut(&shard.id) {
                member.named_in = self.full_lists;
                continue;
            }
            let knows = |id: &Id| self.members.contains_key(id);
            let all_known = shard.parents.iter().all(knows);
            let vague = shard.parents.iter().any(|parent| self.may_be_forgotten(*parent));
            if !is_full && (!all_known || vague) {
                self.requests.wanted += 1;
            }
            if !is_full && !all_known {
                continue;
            }
            let is_wanted = mask.as_ref().is_none_or(|mask| {
                mask.contains(&shard.id)
                    || self.named.contains(&shard.id)
                    || shard.parents.iter().any(|parent| self.named.contains(parent) || knows(parent))
            });
            if is_wanted && self.adopt(&shard, is_first && is_full, vague, truth) {
                before_start.push(shard.id);
            }
        }
        if self.full_lists >= 2 {
            self.resume.clear();
        }
        before_start
    }

    /// True if it counts as finished because the run began at `Latest`.
    fn adopt(&mut self, shard: &Shown, in_first_list: bool, vague: bool, truth: &Truth) -> bool {
        let now = Instant::now();
        let firm: Vec<Id> =
            shard.parents.iter().copied().filter(|parent| self.members.contains_key(parent)).collect();
        let waits = firm.iter().any(|parent| !self.is_closed(*parent));
        let descends = shard.parents.iter().any(|parent| {
            self.named.contains(parent) || self.members.get(parent).is_some_and(|member| member.descends)
        }) || self.calm && truth.descends(shard.id, &self.named);
        let from_latest = self.latest && in_first_list && !waits && !descends;
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
            named_in: self.full_lists,
            state,
            exact,
            may_start_at_latest: from_latest && !shard.closed,
            vague,
            descends: descends || self.named.contains(&shard.id),
        };
        self.members.insert(shard.id, member);
        before_start
    }

    pub(crate) fn is_closed(&self, id: Id) -> bool {
        self.members.get(&id).is_some_and(Member::is_closed)
    }

    /// Rule 6: closed, and not named by two full lists in a row. Should it be listed again, it is as good as new.
    fn may_be_forgotten(&self, id: Id) -> bool {
        self.members.get(&id).is_some_and(|m| m.vague || m.is_closed() && self.full_lists - m.named_in >= 2)
    }

    /// Checks that this shard may be offered now, from there, with these parents.
    pub(crate) fn offer(
        &mut self,
        id: Id,
        start: &StartPosition,
        parents: &[(Id, ParentOutcome)],
        rules: &Rules,
        truth: &Truth,
    ) -> Result<(), String> {
        let now = Instant::now();
        if !self.members.contains_key(&id) {
            return Err("no list named it that says what became of its parents".to_owned());
        }
        let may_return = self.may_be_forgotten(id);
        let member = &self.members[&id];
        match member.state {
            State::Known => {}
            State::HandedBack(at) => {
                let waited = now - at;
                if waited < rules.poll_interval.min(Duration::from_millis(100)) {
                    return Err(format!("it came back after {waited:?} already"));
                }
                if waited > rules.poll_interval + rules.slack {
                    return Err(format!("it came back only after {waited:?}"));
                }
            }
            State::Closed(..) if may_return => {}
            // After a run that has gaps, what cannot be told from a descendant of it is read rather than skipped.
            State::Closed(ParentOutcome::BeforeStart, _) if !self.named.is_empty() => {}
            State::Closed(outcome, _) => return Err(format!("it is closed already, {outcome:?}")),
            State::Out => return Err("it is out".to_owned()),
        }
        for parent in &member.firm {
            if !self.is_closed(*parent) && !self.members[parent].vague {
                return Err(format!("its parent {parent} is not closed"));
            }
        }
        match start {
            // Once it was forgotten, the run before is as well.
            _ if member.is_closed() => {}
            _ if member.exact.as_ref().is_some_and(|exact| exact != start) => {
                return Err(format!(
                    "it starts at {start:?}, not where the run before left it: {:?}",
                    member.exact
                ));
            }
            StartPosition::Latest if member.exact.is_none() && !member.may_start_at_latest => {
                return Err("it starts at Latest".to_owned());
            }
            _ => {}
        }
        if member.state == State::Known && !member.vague {
            self.check_outcomes(parents)?;
            self.check_delay(id, member, rules, truth)?;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.state = State::Out;
        }
        Ok(())
    }

    /// Each parent's outcome is the one that was seen.
    fn check_outcomes(&self, parents: &[(Id, ParentOutcome)]) -> Result<(), String> {
        for (parent, told) in parents {
            let Some(member) = self.members.get(parent) else { continue };
            let State::Closed(outcome, _) = member.state else { continue };
            if outcome != *told && !self.may_be_forgotten(*parent) && *told != ParentOutcome::Unlisted {
                return Err(format!("it says that its parent {parent} is {told:?}, which is {outcome:?}"));
            }
        }
        Ok(())
    }

    /// Rule 4: no timer between parent and child. A child that is known is offered once the last parent is closed; while listings
    /// succeed and are true, so is one that is not.
    fn check_delay(&self, id: Id, member: &Member, rules: &Rules, truth: &Truth) -> Result<(), String> {
        let closed_at = |parent: &Id| match self.members.get(parent)?.state {
            State::Closed(_, at) => Some(at),
            _ => None,
        };
        // A parent that turns up late is waited for too, while there is another to wait for.
        let parents = truth.parents(id).unwrap_or_default();
        let of_parents = parents.iter().filter_map(closed_at).max();
        let mut ready = of_parents.unwrap_or(self.begun).max(member.known_since);
        let by_handle = |parent: &Id| {
            matches!(
                self.members.get(parent).map(|m| m.state),
                Some(State::Closed(ParentOutcome::Completed, _))
            )
        };
        if rules.calm && !parents.is_empty() && parents.iter().all(by_handle) {
            ready = parents.iter().filter_map(closed_at).max().unwrap_or(ready);
            ready = ready.max(truth.born(id).unwrap_or(ready));
            // Closed in Kinesis before it was completed: then its children were there to be found.
            if parents.iter().any(|parent| truth.was_open_when_completed(*parent)) {
                return Ok(());
            }
        }
        let waited = ready.elapsed();
        if waited > rules.slack {
            return Err(format!("it was kept waiting for {waited:?}"));
        }
        Ok(())
    }

    pub(crate) fn close(
        &mut self,
        id: Id,
        outcome: ParentOutcome,
        children: &[(Id, Vec<Id>)],
        truth: &Truth,
    ) {
        self.requests.closings += 1;
        let Some(member) = self.members.get_mut(&id) else { return };
        member.state = State::Closed(outcome, Instant::now());
        for (child, parents) in children {
            let all_known = parents.iter().all(|parent| self.members.contains_key(parent));
            if all_known && !self.members.contains_key(child) {
                let vague = parents.iter().any(|parent| self.may_be_forgotten(*parent));
                let shown = Shown { id: *child, parents: parents.clone(), closed: false };
                self.adopt(&shown, false, vague, truth);
            }
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

    pub(crate) fn full_lists(&self) -> u32 {
        self.full_lists
    }
}

/// What the checks of one moment depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) poll_interval: Duration,
    /// The listings have all succeeded, and told the truth.
    pub(crate) calm: bool,
    /// How late anything may be: nearly nothing, but after a machine was suspended.
    pub(crate) slack: Duration,
}
