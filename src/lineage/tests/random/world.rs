//! A stream, the graph under test, and the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, SequenceNumberRange, Shard};
use proptest::prelude::*;

use crate::lineage::graph::ShardGraph;
use crate::lineage::node::NodeId;
use crate::lineage::reader_reports::Resolved;
use crate::lineage::tests::random::starts::Starts;
use crate::lineage::tests::random::{Run, Step, id, number, shuffle};
use crate::listing::shard_list::ShardList;
use crate::shard::offer::Offer;
use crate::shard::outcome::ParentOutcome;

/// The true state of a shard.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) parents: Vec<usize>,
    pub(crate) open: bool,
    pub(crate) expired: bool,
}

/// A stream, the graph under test, and a record of the graph's inputs and offers.
pub(crate) struct World {
    shards: Vec<Truth>,
    pub(crate) graph: ShardGraph,
    starts: Starts,
    greatest: Option<usize>,
    /// When a list that the graph could use first named each shard.
    named_at: BTreeMap<usize, usize>,
    offered: BTreeSet<usize>,
    out: Vec<(NodeId, Arc<Offer>)>,
    abandoned: Vec<(NodeId, Arc<Offer>)>,
    /// How many reports of shards that were not found are open.
    not_found: usize,
    /// The shards in the last full list.
    shown: BTreeSet<usize>,
    closed: BTreeSet<usize>,
    /// The shards that were closed at least once. One that is forgotten and listed again is
    /// offered again.
    was_closed: BTreeSet<usize>,
    now: usize,
    full_lists: usize,
    may_return: BTreeSet<usize>,
    /// The number of full lists when each shard was last named.
    last_listed: BTreeMap<usize, usize>,
}

impl World {
    pub(crate) fn new(roots: usize, run: &Run) -> Result<Self, TestCaseError> {
        let mut world = Self {
            shards: vec![Truth { parents: vec![], open: true, expired: false }; roots],
            graph: ShardGraph::default(),
            starts: Starts::new(run.start),
            greatest: None,
            named_at: BTreeMap::new(),
            offered: BTreeSet::new(),
            out: Vec::new(),
            abandoned: Vec::new(),
            not_found: 0,
            shown: BTreeSet::new(),
            closed: BTreeSet::new(),
            was_closed: BTreeSet::new(),
            now: 0,
            full_lists: 0,
            may_return: BTreeSet::new(),
            last_listed: BTreeMap::new(),
        };
        for &step in &run.before {
            world.step(step)?;
        }
        world.graph.start_policy.start_at = run.start;
        for &(pick, finished) in &run.named {
            let n = pick % world.shards.len();
            let progress = world.starts.name(n, finished);
            world.graph.start_policy.resume([(id(n), progress)]);
        }
        Ok(world)
    }

    fn shard(&self, n: usize) -> Shard {
        let truth = &self.shards[n];
        let range = SequenceNumberRange::builder()
            .starting_sequence_number(format!("49{n:054}"))
            .set_ending_sequence_number((!truth.open).then(|| "49".to_owned()));
        Shard::builder()
            .shard_id(id(n))
            .set_parent_shard_id(truth.parents.first().copied().map(id))
            .set_adjacent_parent_shard_id(truth.parents.get(1).copied().map(id))
            .sequence_number_range(range.build().unwrap())
            .build()
            .unwrap()
    }

    fn open(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|&n| self.shards[n].open).collect()
    }

    fn add_shard(&mut self, parents: Vec<usize>) {
        for &parent in &parents {
            self.shards[parent].open = false;
        }
        self.shards.push(Truth { parents, open: true, expired: false });
    }

    pub(crate) fn list(
        &mut self,
        full: bool,
        shown: &BTreeSet<usize>,
        seed: u64,
    ) -> Result<(), TestCaseError> {
        self.now += 1;
        self.graph.drain_list();
        self.note_forgotten();
        self.note_resolved()?;
        if full && shown.is_empty() {
            let list = ShardList::full("orders", Vec::new()).unwrap();
            self.starts.ignore_list(list.run_began);
            self.graph.absorb(list);
            return Ok(());
        }
        let graph = &self.graph;
        self.starts.list(full, shown, &self.shards, |n| graph.knows(&id(n)));
        let mut shards: Vec<Shard> = shown.iter().map(|&n| self.shard(n)).collect();
        shards
            .extend(shown.iter().filter(|&&n| (seed >> (n % 64)) & 1 == 1).map(|&n| self.shard(n)));
        shuffle(&mut shards, seed);
        if full {
            let list = ShardList::full("orders", shards).unwrap();
            self.starts.began.get_or_insert(list.run_began);
            self.graph.absorb(list);
            self.greatest = shown.last().copied();
            self.full_lists += 1;
            self.shown.clone_from(shown);
        } else {
            self.graph.absorb(ShardList::additions("orders", shards).unwrap());
            self.greatest = self.greatest.max(shown.last().copied());
        }
        for &n in shown {
            // The graph uses a partial list only for shards with known parents.
            let known = full
                || self.named_at.contains_key(&n)
                || self.shards[n].parents.iter().all(|parent| self.named_at.contains_key(parent));
            if known {
                self.named_at.entry(n).or_insert(self.now);
                self.last_listed.insert(n, self.full_lists);
                if self.starts.is_skipped(n) && !self.may_return.contains(&n) {
                    // The shard counts as closed from the start.
                    self.closed.insert(n);
                    self.was_closed.insert(n);
                }
            }
        }
        Ok(())
    }

    /// Checks the decisions about shards that were not found.
    fn note_resolved(&mut self) -> Result<(), TestCaseError> {
        while let Some(Resolved { id, offer, is_listed }) = self.graph.next_resolved() {
            let n = number(offer.shard.shard_id());
            prop_assert_eq!(is_listed, self.shown.contains(&n), "{}", n);
            self.not_found -= 1;
            if is_listed {
                self.offered.remove(&n);
                self.abandoned.push((id, offer));
            } else {
                self.now += 1;
                self.closed.insert(n);
                self.was_closed.insert(n);
                self.graph.close_unlisted(&id);
            }
        }
        Ok(())
    }

    /// Returns the shards that may be forgotten by rule 6: closed, and omitted by two full lists in
    /// a row. One that is listed again later is new.
    fn may_be_forgotten(&self) -> impl Iterator<Item = usize> {
        self.closed.iter().copied().filter(|n| self.full_lists - self.last_listed[n] >= 2)
    }

    fn note_forgotten(&mut self) {
        let may_be_forgotten: BTreeSet<usize> = self.may_be_forgotten().collect();
        let graph = &self.graph;
        self.named_at.retain(|&n, _| !may_be_forgotten.contains(&n) || graph.knows(&id(n)));
        self.may_return.extend(may_be_forgotten);
    }

    pub(crate) fn listed(&self) -> BTreeSet<usize> {
        (0..self.shards.len()).filter(|&n| !self.shards[n].expired).collect()
    }

    pub(crate) fn take(&mut self) -> Result<bool, TestCaseError> {
        let Some((id, offer)) = self.graph.next_ready() else { return Ok(false) };
        let n = number(offer.shard.shard_id());
        self.note_forgotten();
        let is_again = !self.offered.insert(n) || self.starts.is_skipped(n);
        if is_again {
            prop_assert!(
                self.may_return.remove(&n),
                "{n} was offered twice, or must not be offered"
            );
            self.closed.remove(&n);
        }
        self.starts.check(n, &offer.start, is_again)?;
        // The list that named it may have been observed only after the end of another shard named
        // its parent.
        self.named_at.entry(n).or_insert(self.now);
        self.last_listed.entry(n).or_insert(self.full_lists);
        for &parent in &self.shards[n].parents {
            let was_known = self.named_at.get(&parent).is_some_and(|at| *at <= self.named_at[&n]);
            prop_assert!(
                !was_known
                    || self.was_closed.contains(&parent)
                    || self.starts.may_be_skipped(parent),
                "{n} was offered before {parent} closed"
            );
        }
        prop_assert_eq!(offer.parents.iter().flatten().count(), self.shards[n].parents.len());
        self.out.push((id, offer));
        Ok(true)
    }

    fn close(&mut self, pick: usize, outcome: ParentOutcome, name_children: bool) {
        if self.out.is_empty() {
            return;
        }
        self.now += 1;
        self.note_forgotten();
        let (node, offer) = self.out.swap_remove(pick % self.out.len());
        let n = number(offer.shard.shard_id());
        self.closed.insert(n);
        self.was_closed.insert(n);
        let mut children = Vec::new();
        if name_children && !self.shards[n].open {
            for (child, truth) in
                self.shards.iter().enumerate().filter(|(_, truth)| truth.parents.contains(&n))
            {
                let parents = Some(truth.parents.iter().copied().map(id).collect());
                children.push(
                    ChildShard::builder()
                        .shard_id(id(child))
                        .set_parent_shards(parents)
                        .build()
                        .unwrap(),
                );
                // A child whose other parent is unknown is ignored.
                let has_parents = truth.parents.iter().all(|&parent| self.graph.knows(&id(parent)));
                if has_parents && !self.graph.knows(&id(child)) {
                    self.starts.child(child, &self.shards);
                    self.named_at.entry(child).or_insert(self.now);
                    self.last_listed.insert(child, self.full_lists);
                }
            }
        }
        self.graph.close(&node, outcome, children);
    }

    pub(crate) fn never_offered(&self) -> Vec<usize> {
        let named = self.named_at.keys().copied();
        named.filter(|&n| !self.offered.contains(&n) && !self.starts.may_be_skipped(n)).collect()
    }

    pub(crate) fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Split(pick) => {
                let open = self.open();
                let parent = open[pick % open.len()];
                self.add_shard(vec![parent]);
                self.add_shard(vec![parent]);
            }
            Step::Merge(a, b) => {
                let open = self.open();
                let (a, b) = (open[a % open.len()], open[b % open.len()]);
                if a != b {
                    self.add_shard(vec![a, b]);
                }
            }
            Step::Expire => {
                // The oldest shard expires first, as in Kinesis, and only one that the consumer has
                // closed.
                let is_left = |n: &usize| !self.shards[*n].open && !self.shards[*n].expired;
                if let Some(n) = self.closed.iter().copied().find(is_left) {
                    self.shards[n].expired = true;
                }
            }
            Step::Full { seed, omit } => {
                let mut shown = self.listed();
                shown.retain(|&n| {
                    omit == 0
                        || !(seed.rotate_left(u32::try_from(n % 64).unwrap())).is_multiple_of(omit)
                });
                self.list(true, &shown, seed)?;
            }
            Step::Additions { seed } => {
                let greatest = self.greatest;
                let mut shown = self.listed();
                shown.retain(|&n| greatest.is_none_or(|greatest| n > greatest));
                if self.full_lists == 0 {
                    return Ok(());
                }
                self.list(false, &shown, seed)?;
            }
            Step::Take => {
                self.take()?;
            }
            Step::Complete(pick) => self.close(pick, ParentOutcome::Completed, false),
            Step::CompleteWith(pick) => self.close(pick, ParentOutcome::Completed, true),
            Step::Drop(pick) => self.close(pick, ParentOutcome::Dropped, false),
            Step::Abandon(pick) => {
                if !self.out.is_empty() {
                    let (node, offer) = self.out.swap_remove(pick % self.out.len());
                    self.offered.remove(&number(offer.shard.shard_id()));
                    self.abandoned.push((node, offer));
                }
            }
            Step::Reoffer(pick) => {
                if !self.abandoned.is_empty() {
                    let index = pick % self.abandoned.len();
                    self.reoffer(index)?;
                }
            }
            Step::NotFound(pick) => {
                if !self.out.is_empty() {
                    let (node, offer) = self.out.swap_remove(pick % self.out.len());
                    self.not_found += 1;
                    prop_assert!(self.graph.not_found(node, offer));
                }
            }
            Step::Begin => self.graph.listing_begins(true),
        }
        self.note_resolved()
    }

    fn reoffer(&mut self, index: usize) -> Result<(), TestCaseError> {
        let (node, offer) = self.abandoned.swap_remove(index);
        self.starts.again(number(offer.shard.shard_id()), &offer.start);
        prop_assert!(self.graph.offer_again(node, offer));
        Ok(())
    }

    /// Ends the run with true lists: re-offers all abandoned shards, and completes all shards.
    pub(crate) fn drain(&mut self) -> Result<(), TestCaseError> {
        let listed = self.listed();
        for seed in [1, 2] {
            self.graph.listing_begins(true);
            self.list(true, &listed, seed)?;
            loop {
                while self.take()? {}
                self.note_resolved()?;
                while !self.abandoned.is_empty() {
                    self.reoffer(0)?;
                }
                while self.take()? {}
                if self.out.is_empty() {
                    break;
                }
                self.close(0, ParentOutcome::Completed, false);
            }
        }
        prop_assert_eq!(self.not_found, 0);
        Ok(())
    }
}
