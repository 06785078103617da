//! Where each shard starts, and which shards are not offered at all: the rules of `StartAt` and
//! `resume`.

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use crate::listing::shard_list::ShardList;
use crate::shard::outcome::ParentOutcome;
use crate::shard::position::{Progress, StartAt, StartPosition};
use crate::util::received_shard::ReceivedShard;

/// The rules of [`StartAt`] and `resume`, and what they need to remember.
#[derive(Debug, Default)]
pub(crate) struct StartPolicy {
    pub(crate) start_at: StartAt,
    /// The progress of an earlier run. The first shard with the id of an entry uses the entry up:
    /// a later one is another shard.
    resume: HashMap<String, Progress>,
    /// The shards of which an earlier run processed a record; empty after the first full list.
    started: HashSet<String>,
    /// The unnamed ancestors of those shards: the earlier run had finished them, and their
    /// checkpoints were removed since. A descendant of an unfinished shard is not among them.
    finished_ancestors: HashSet<String>,
    full_lists: u32,
    /// When the run began: the time of the first listing, by Kinesis's clock.
    run_began: Option<SystemTime>,
    /// The stream did not exist when the run began.
    stream_was_missing: bool,
    /// The first full list named no shard.
    began_with_nothing: bool,
    /// The earlier run names shards that are unlisted now. A shard whose parents are unlisted too
    /// may descend from them.
    earlier_run_has_gaps: bool,
}

/// The decision about a new shard.
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

    pub(crate) fn resume_started(&mut self, started: impl IntoIterator<Item = String>) {
        self.started.extend(started);
    }

    pub(crate) fn is_resumed(&self) -> bool {
        !self.resume.is_empty()
    }

    pub(crate) fn begin_list(&mut self, list: &ShardList) {
        self.run_began.get_or_insert(list.run_began);
        self.stream_was_missing = list.stream_was_missing || self.began_with_nothing;
        if self.full_lists == 0 && !self.resume.is_empty() {
            let named: HashSet<_> = list
                .received()
                .map(ReceivedShard::shard_id)
                .filter(|id| self.resume.contains_key(*id))
                .collect();
            self.earlier_run_has_gaps = named.len() < self.resume.len();
        }
        if list.is_full() {
            self.note_finished_ancestors(list);
        }
    }

    /// Takes only the time from a full list that names no shard.
    pub(crate) fn ignore_list(&mut self, list: &ShardList) {
        self.run_began.get_or_insert(list.run_began);
        self.began_with_nothing |= self.full_lists == 0;
    }

    /// Notes the unnamed ancestors of the shards of which a record was processed.
    fn note_finished_ancestors(&mut self, list: &ShardList) {
        let started = std::mem::take(&mut self.started);
        if started.is_empty() {
            return;
        }
        // Children before parents.
        for shard in list.received().rev() {
            let id = shard.shard_id();
            if started.contains(id) || self.finished_ancestors.contains(id) {
                let parents = shard.parent_ids().into_iter().flatten();
                self.finished_ancestors.extend(
                    parents.filter(|parent| !self.resume.contains_key(*parent)).map(str::to_owned),
                );
            }
        }
        self.remove_descendants_of_unfinished(list);
    }

    /// Removes the descendants of unfinished shards: an earlier run may have read a child of a
    /// merge before one of its parents, since that parent's own parent was unfinished.
    fn remove_descendants_of_unfinished(&mut self, list: &ShardList) {
        if self.finished_ancestors.is_empty() {
            return;
        }
        let mut follows = HashSet::new();
        // Parents before children.
        for shard in list.received() {
            let is_unfinished = |id: &str| matches!(self.resume.get(id), Some(Progress::At(_)));
            let mut parents = shard.parent_ids().into_iter().flatten();
            if parents.any(|parent| is_unfinished(parent) || follows.contains(parent)) {
                follows.insert(shard.shard_id());
                self.finished_ancestors.remove(shard.shard_id());
            }
        }
    }

    /// Returns whether the earlier run had finished a shard that it does not name.
    pub(crate) fn is_finished_ancestor(&self, id: &str) -> bool {
        !self.finished_ancestors.is_empty() && self.finished_ancestors.contains(id)
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
        self.finished_ancestors = HashSet::new();
        std::mem::take(&mut self.resume)
    }

    /// Forgets the earlier run, and returns its unused entries: a stream that was created again is
    /// not the one that it read.
    pub(crate) fn forget_earlier_run(&mut self) -> HashMap<String, Progress> {
        self.earlier_run_has_gaps = false;
        self.started = HashSet::new();
        self.finished_ancestors = HashSet::new();
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
            None if self.is_finished_ancestor(id) => ParentOutcome::EarlierRun,
            _ => ParentOutcome::Unlisted,
        }
    }

    /// Returns where an abandoned shard starts: where it started before, except that `Latest` would
    /// skip what was written meanwhile, and becomes the time when the run began.
    pub(crate) fn again(&self, start: &StartPosition) -> StartPosition {
        match (start, self.run_began) {
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
    pub(crate) fn decide(&mut self, shard: &ReceivedShard, follows_a_reader: bool) -> Verdict {
        if self.resume.is_empty() {
            return self.unnamed(shard, follows_a_reader);
        }
        match self.resume.remove(shard.shard_id()) {
            Some(Progress::Finished) => Verdict::Closed(ParentOutcome::EarlierRun),
            Some(Progress::At(position)) => Verdict::Offer(position),
            None if self.is_finished_ancestor(shard.shard_id()) => {
                Verdict::Closed(ParentOutcome::EarlierRun)
            }
            None => self.unnamed(shard, follows_a_reader),
        }
    }

    fn unnamed(&self, shard: &ReceivedShard, follows_a_reader: bool) -> Verdict {
        let position = match self.start_at {
            _ if self.full_lists > 0 || follows_a_reader => StartPosition::TrimHorizon,
            // The run began before the stream existed, or Kinesis was wrong: either way nothing is
            // skipped, and nothing is replayed.
            StartAt::Latest if self.stream_was_missing => self.again(&StartPosition::Latest),
            StartAt::TrimHorizon => StartPosition::TrimHorizon,
            StartAt::Latest if shard.is_closed() => {
                return Verdict::Closed(ParentOutcome::BeforeStart);
            }
            StartAt::Latest => StartPosition::Latest,
            StartAt::Timestamp(timestamp) => StartPosition::Timestamp(timestamp),
        };
        Verdict::Offer(position)
    }
}
