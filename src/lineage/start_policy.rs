//! Where each shard starts, and which shards are not offered at all: the rules of `StartAt` and
//! `resume`.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use aws_sdk_kinesis::types::Shard;

use crate::listing::shard_list::ShardList;
use crate::shard::outcome::ParentOutcome;
use crate::shard::position::{Progress, StartAt, StartPosition};
use crate::shard::sdk_shard::{is_closed, parent_ids};

/// The rules of [`StartAt`] and `resume`, and what they need to remember.
#[derive(Debug, Default)]
pub(crate) struct StartPolicy {
    pub(crate) start_at: StartAt,
    /// The progress of an earlier run. The first shard with the id of an entry uses the entry up:
    /// a later one is another shard.
    resume: HashMap<String, Progress>,
    /// The shards of which an earlier run processed a record; empty after the first full list.
    past_start: HashSet<String>,
    /// The unnamed ancestors of those shards: the earlier run had finished them, and their
    /// checkpoints were removed since. A descendant of an unfinished shard is not among them.
    passed: HashSet<String>,
    full_lists: u32,
    /// When the run began: the time of the first listing, by Kinesis's clock.
    began: Option<SystemTime>,
    /// The stream did not exist when the run began.
    stream_was_missing: bool,
    /// The first full list named no shard.
    began_with_nothing: bool,
    /// The earlier run names shards that are unlisted now. A shard whose parents are unlisted too
    /// may descend from them.
    earlier_run_has_gaps: bool,
}

/// What becomes of a new shard.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Offer(StartPosition),
    /// The shard counts as closed and is never offered.
    Closed(ParentOutcome),
}

impl StartPolicy {
    pub(crate) fn resume(&mut self, progress: impl IntoIterator<Item = (String, Progress)>) {
        self.resume.extend(progress);
    }

    pub(crate) fn resume_past(&mut self, past_start: impl IntoIterator<Item = String>) {
        self.past_start.extend(past_start);
    }

    pub(crate) fn is_resumed(&self) -> bool {
        !self.resume.is_empty()
    }

    pub(crate) fn begin_list(&mut self, list: &ShardList) {
        self.began.get_or_insert(list.first_listed_at);
        self.stream_was_missing = list.stream_was_missing || self.began_with_nothing;
        if self.full_lists == 0 && !self.resume.is_empty() {
            let named: HashSet<_> = list
                .shards()
                .map(Shard::shard_id)
                .filter(|id| self.resume.contains_key(*id))
                .collect();
            self.earlier_run_has_gaps = named.len() < self.resume.len();
        }
        if list.is_full() {
            self.note_passed(list);
        }
    }

    /// Takes only the time from a full list that names no shard.
    pub(crate) fn ignore_list(&mut self, list: &ShardList) {
        self.began.get_or_insert(list.first_listed_at);
        self.began_with_nothing |= self.full_lists == 0;
    }

    /// Notes the unnamed ancestors of the shards of which a record was processed.
    fn note_passed(&mut self, list: &ShardList) {
        let past_start = std::mem::take(&mut self.past_start);
        if past_start.is_empty() {
            return;
        }
        // Children before parents.
        for shard in list.pages.iter().flatten().rev() {
            let id = shard.shard_id();
            if past_start.contains(id) || self.passed.contains(id) {
                let parents = parent_ids(shard).into_iter().flatten();
                self.passed.extend(
                    parents.filter(|parent| !self.resume.contains_key(*parent)).map(str::to_owned),
                );
            }
        }
        self.unfinish_passed(list);
    }

    /// Removes the descendants of unfinished shards: an earlier run may have read a child of a
    /// merge before one of its parents, since that parent's own parent was unfinished.
    fn unfinish_passed(&mut self, list: &ShardList) {
        if self.passed.is_empty() {
            return;
        }
        let mut follows = HashSet::new();
        // Parents before children.
        for shard in list.pages.iter().flatten() {
            let is_unfinished = |id: &str| matches!(self.resume.get(id), Some(Progress::At(_)));
            let mut parents = parent_ids(shard).into_iter().flatten();
            if parents.any(|parent| is_unfinished(parent) || follows.contains(parent)) {
                follows.insert(shard.shard_id());
                self.passed.remove(shard.shard_id());
            }
        }
    }

    /// Returns whether the earlier run had finished a shard that it does not name.
    pub(crate) fn has_passed(&self, id: &str) -> bool {
        !self.passed.is_empty() && self.passed.contains(id)
    }

    /// Returns whether no full list has been taken in yet.
    pub(crate) fn is_first_list(&self) -> bool {
        self.full_lists == 0
    }

    /// Ends a list. After two full lists, returns the entries that no shard has used: their shards
    /// have expired.
    pub(crate) fn end_list(&mut self, list_was_full: bool) -> HashMap<String, Progress> {
        self.full_lists += u32::from(list_was_full);
        if self.full_lists < 2 {
            return HashMap::new();
        }
        self.passed = HashSet::new();
        std::mem::take(&mut self.resume)
    }

    /// Forgets the earlier run, and returns its unused entries: a stream that was created again is
    /// not the one that it read.
    pub(crate) fn forget_earlier_run(&mut self) -> HashMap<String, Progress> {
        self.earlier_run_has_gaps = false;
        self.past_start = HashSet::new();
        self.passed = HashSet::new();
        std::mem::take(&mut self.resume)
    }

    /// Returns the unused entry for a shard.
    pub(crate) fn names(&self, id: &str) -> Option<&Progress> {
        self.resume.get(id)
    }

    /// Returns whether an earlier run may have read a shard that is unlisted: the run names it, or
    /// names other shards that are unlisted now.
    pub(crate) fn may_have_read(&self, unlisted: &str) -> bool {
        self.earlier_run_has_gaps || self.resume.contains_key(unlisted)
    }

    /// Returns how an unlisted parent ended.
    pub(crate) fn unlisted(&self, id: &str) -> ParentOutcome {
        match self.resume.get(id) {
            Some(Progress::Finished) => ParentOutcome::EarlierRun,
            None if self.has_passed(id) => ParentOutcome::EarlierRun,
            _ => ParentOutcome::Unlisted,
        }
    }

    /// Returns where an abandoned shard starts: where it started before, except that `Latest` would
    /// skip what was written meanwhile, and becomes the time when the run began.
    pub(crate) fn again(&self, start: &StartPosition) -> StartPosition {
        match (start, self.began) {
            (StartPosition::Latest, Some(began)) => StartPosition::Timestamp(began.into()),
            _ => start.clone(),
        }
    }

    /// Returns whether a start is the time that stands for `Latest`; see [`again`](Self::again).
    pub(crate) fn is_estimate(&self, start: &StartPosition) -> bool {
        self.start_at == StartAt::Latest
            && matches!(start, StartPosition::Timestamp(_))
            && *start == self.again(&StartPosition::Latest)
    }

    /// Decides about a new shard. It follows a reader if this run reads a parent of it, or an
    /// earlier run may have.
    pub(crate) fn decide(&mut self, shard: &Shard, follows_a_reader: bool) -> Verdict {
        if self.resume.is_empty() {
            return self.unnamed(shard, follows_a_reader);
        }
        match self.resume.remove(shard.shard_id()) {
            Some(Progress::Finished) => Verdict::Closed(ParentOutcome::EarlierRun),
            Some(Progress::At(position)) => Verdict::Offer(position),
            None if self.has_passed(shard.shard_id()) => Verdict::Closed(ParentOutcome::EarlierRun),
            None => self.unnamed(shard, follows_a_reader),
        }
    }

    fn unnamed(&self, shard: &Shard, follows_a_reader: bool) -> Verdict {
        let position = match self.start_at {
            _ if self.full_lists > 0 || follows_a_reader => StartPosition::TrimHorizon,
            // The run began before the stream existed, or Kinesis was wrong: either way nothing is
            // skipped, and nothing is replayed.
            StartAt::Latest if self.stream_was_missing => self.again(&StartPosition::Latest),
            StartAt::TrimHorizon => StartPosition::TrimHorizon,
            StartAt::Latest if is_closed(shard) => {
                return Verdict::Closed(ParentOutcome::BeforeStart);
            }
            StartAt::Latest => StartPosition::Latest,
            StartAt::Timestamp(timestamp) => StartPosition::Timestamp(timestamp),
        };
        Verdict::Offer(position)
    }
}
