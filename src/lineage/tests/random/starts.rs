//! Where each shard must start, by the third rule of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use proptest::prelude::*;

use crate::lineage::tests::random::world::Truth;
use crate::shard::position::{Progress, StartAt, StartPosition};

#[derive(Debug)]
pub(crate) struct Starts {
    start: StartAt,
    /// The entries of an earlier run that no shard has used. After two full lists the rest has
    /// expired.
    named: BTreeMap<usize, Progress>,
    full_lists: usize,
    pub(crate) began: Option<SystemTime>,
    /// A full list without a shard came before the first list.
    began_with_nothing: bool,
    /// The starts other than the horizon.
    expected: BTreeMap<usize, StartPosition>,
    /// Shards that were closed before the run, or finished by an earlier one.
    skipped: BTreeSet<usize>,
    /// Shards that the earlier run names, and a parent's end or an insufficient list too: their
    /// start depends on which came first.
    uncertain: BTreeSet<usize>,
}

impl Starts {
    pub(crate) fn new(start: StartAt) -> Self {
        Self {
            start,
            named: BTreeMap::new(),
            full_lists: 0,
            began: None,
            began_with_nothing: false,
            expected: BTreeMap::new(),
            skipped: BTreeSet::new(),
            uncertain: BTreeSet::new(),
        }
    }

    pub(crate) fn name(&mut self, n: usize, finished: bool) -> Progress {
        let after = StartPosition::After(format!("49{n}"));
        let progress = if finished { Progress::Finished } else { Progress::At(after) };
        self.named.insert(n, progress.clone());
        progress
    }

    pub(crate) fn ignore_list(&mut self, run_began: SystemTime) {
        self.began.get_or_insert(run_began);
        self.began_with_nothing |= self.full_lists == 0;
    }

    /// Takes a list in, like a graph that knows these shards. Parents have smaller numbers than
    /// their children.
    pub(crate) fn list(
        &mut self,
        full: bool,
        shown: &BTreeSet<usize>,
        shards: &[Truth],
        knows: impl Fn(usize) -> bool,
    ) {
        if self.full_lists >= 2 {
            self.named.clear();
        }
        let is_first = self.full_lists == 0;
        self.full_lists += usize::from(full);
        let named_at_first: BTreeSet<usize> = self.named.keys().copied().collect();
        let has_gaps = !named_at_first.is_subset(shown);
        let mut before_the_run = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for &n in shown {
            if knows(n) {
                continue;
            }
            if !full
                && !shards[n].parents.iter().all(|parent| knows(*parent) || taken.contains(parent))
            {
                // A partial list is insufficient, unless a parent's end names the shard while the
                // list is observed.
                if self.named.remove(&n).is_some() {
                    self.uncertain.insert(n);
                }
                continue;
            }
            taken.insert(n);
            match self.named.remove(&n) {
                Some(Progress::Finished) => {
                    self.skipped.insert(n);
                }
                Some(Progress::At(position)) => {
                    self.expected.insert(n, position);
                }
                None if is_first => {
                    let follows = shards[n].parents.iter().any(|parent| {
                        if shown.contains(parent) {
                            !before_the_run.contains(parent)
                        } else {
                            has_gaps || named_at_first.contains(parent)
                        }
                    });
                    match self.start {
                        _ if follows => {}
                        StartAt::TrimHorizon => {}
                        StartAt::Latest if self.began_with_nothing => {
                            let began = self.began.expect("it is set by that list");
                            self.expected.insert(n, StartPosition::Timestamp(began.into()));
                        }
                        StartAt::Latest if !shards[n].open => {
                            before_the_run.insert(n);
                            self.skipped.insert(n);
                        }
                        StartAt::Latest => {
                            self.expected.insert(n, StartPosition::Latest);
                        }
                        StartAt::Timestamp(t) => {
                            self.expected.insert(n, StartPosition::Timestamp(t));
                        }
                    }
                }
                None => {}
            }
        }
    }

    /// Notes a shard that its parent's end has named. Its descendants in a list that omits it
    /// follow it if they are observed only later.
    pub(crate) fn child(&mut self, n: usize, shards: &[Truth]) {
        if self.named.remove(&n).is_some() {
            self.uncertain.insert(n);
        }
        let mut graph = BTreeSet::from([n]);
        for (child, shard) in shards.iter().enumerate() {
            if shard.parents.iter().any(|parent| graph.contains(parent)) {
                graph.insert(child);
                if self.expected.remove(&child).is_some() || self.skipped.remove(&child) {
                    self.uncertain.insert(child);
                }
            }
        }
    }

    /// Notes a re-offer: `Latest` would skip what was written meanwhile.
    pub(crate) fn again(&mut self, n: usize, before: &StartPosition) {
        let again = match (before, self.began) {
            (StartPosition::Latest, Some(began)) => StartPosition::Timestamp(began.into()),
            _ => before.clone(),
        };
        self.expected.insert(n, again);
    }

    pub(crate) fn is_skipped(&self, n: usize) -> bool {
        self.skipped.contains(&n)
    }

    pub(crate) fn may_be_skipped(&self, n: usize) -> bool {
        self.skipped.contains(&n) || self.uncertain.contains(&n)
    }

    /// Checks the start of an offered shard. One that had been forgotten is new.
    pub(crate) fn check(
        &mut self,
        n: usize,
        start: &StartPosition,
        was_forgotten: bool,
    ) -> Result<(), TestCaseError> {
        if was_forgotten {
            self.expected.remove(&n);
            self.skipped.remove(&n);
        }
        if !self.uncertain.contains(&n) {
            prop_assert_eq!(
                start,
                self.expected.get(&n).unwrap_or(&StartPosition::TrimHorizon),
                "{}",
                n
            );
        }
        Ok(())
    }
}
