//! Random families, listed in every wrong way, against an oracle that knows their true history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, SequenceNumberRange, Shard};
use proptest::prelude::*;

use super::super::family::Family;
use super::super::member::MemberId;
use crate::handle::Offer;
use crate::{ParentOutcome, ShardList};

/// One thing that happens; the numbers pick among what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Split(usize),
    Merge(usize, usize),
    /// A closed shard's records expire.
    Expire(usize),
    /// A full listing, in an order and with repeats and omissions made from the seed; one in `omit` shards is left out, none if 0.
    Full {
        seed: u64,
        omit: u64,
    },
    /// A listing of what is newer than the greatest id listed.
    Additions {
        seed: u64,
    },
    /// A listing that failed half-way: the family never hears of it.
    Fail,
    Take,
    Complete(usize),
    /// Completes it with the `ChildShards` of its last `GetRecords`.
    CompleteWith(usize),
    Drop(usize),
    HandBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = 0..64_usize;
    prop::collection::vec(
        prop_oneof![
            3 => pick.clone().prop_map(Step::Split),
            2 => (pick.clone(), pick.clone()).prop_map(|(a, b)| Step::Merge(a, b)),
            1 => pick.clone().prop_map(Step::Expire),
            2 => any::<u64>().prop_map(|seed| Step::Full { seed, omit: 0 }),
            1 => (any::<u64>(), 2..6_u64).prop_map(|(seed, omit)| Step::Full { seed, omit }),
            2 => any::<u64>().prop_map(|seed| Step::Additions { seed }),
            1 => Just(Step::Fail),
            4 => Just(Step::Take),
            3 => pick.clone().prop_map(Step::Complete),
            2 => pick.clone().prop_map(Step::CompleteWith),
            1 => pick.clone().prop_map(Step::Drop),
            1 => pick.prop_map(Step::HandBack),
        ],
        1..120,
    )
}

/// What is true of a shard.
#[derive(Debug, Clone)]
struct Truth {
    parents: Vec<usize>,
    open: bool,
    expired: bool,
}

/// A stream, the family that watches it, and what the family has been told and has done.
struct World {
    shards: Vec<Truth>,
    family: Family,
    greatest: Option<usize>,
    /// When a shard was first named by a list that the family could use.
    named_at: BTreeMap<usize, usize>,
    offered: BTreeSet<usize>,
    out: Vec<(MemberId, Arc<Offer>)>,
    handed_back: Vec<(MemberId, Arc<Offer>)>,
    closed: BTreeSet<usize>,
    /// Closed at least once: what is forgotten and then listed again is offered again.
    was_closed: BTreeSet<usize>,
    now: usize,
    full_lists: usize,
    may_return: BTreeSet<usize>,
    /// How many full lists there had been when a shard was last named.
    named_in: BTreeMap<usize, usize>,
}

fn id(n: usize) -> String {
    format!("shardId-{n:012}")
}

fn number(id: &str) -> usize {
    id["shardId-".len()..].parse().unwrap()
}

/// A small generator, so that a list's disorder is a function of its seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, usize::try_from(seed >> 33).unwrap() % (i + 1));
    }
}

impl World {
    fn new(roots: usize) -> Self {
        Self {
            shards: vec![Truth { parents: vec![], open: true, expired: false }; roots],
            family: Family::default(),
            greatest: None,
            named_at: BTreeMap::new(),
            offered: BTreeSet::new(),
            out: Vec::new(),
            handed_back: Vec::new(),
            closed: BTreeSet::new(),
            was_closed: BTreeSet::new(),
            now: 0,
            full_lists: 0,
            may_return: BTreeSet::new(),
            named_in: BTreeMap::new(),
        }
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

    fn beget(&mut self, parents: Vec<usize>) {
        for &parent in &parents {
            self.shards[parent].open = false;
        }
        self.shards.push(Truth { parents, open: true, expired: false });
    }

    fn list(&mut self, full: bool, shown: &BTreeSet<usize>, seed: u64) {
        self.now += 1;
        self.family.settle();
        self.note_forgotten();
        let mut shards: Vec<Shard> = shown.iter().map(|&n| self.shard(n)).collect();
        shards.extend(shown.iter().filter(|&&n| (seed >> (n % 64)) & 1 == 1).map(|&n| self.shard(n)));
        shuffle(&mut shards, seed);
        if full {
            self.family.absorb(ShardList::full("orders", shards).unwrap());
            self.greatest = shown.last().copied();
            self.full_lists += 1;
        } else {
            self.family.absorb(ShardList::additions("orders", shards).unwrap());
            self.greatest = self.greatest.max(shown.last().copied());
        }
        for &n in shown {
            // A partial list is of use only as far as it names shards whose parents are known.
            let known = full
                || self.named_at.contains_key(&n)
                || self.shards[n].parents.iter().all(|parent| self.named_at.contains_key(parent));
            if known {
                self.named_at.entry(n).or_insert(self.now);
                self.named_in.insert(n, self.full_lists);
            }
        }
    }

    /// Rule 6: what is closed and was not named by two full lists in a row is forgotten, once the last of them is through. Should it
    /// be listed again, it is as good as new.
    fn may_be_forgotten(&self) -> impl Iterator<Item = usize> {
        self.closed.iter().copied().filter(|n| self.full_lists - self.named_in[n] >= 2)
    }

    fn note_forgotten(&mut self) {
        let may_be_forgotten: BTreeSet<usize> = self.may_be_forgotten().collect();
        let family = &self.family;
        self.named_at.retain(|&n, _| !may_be_forgotten.contains(&n) || family.knows(&id(n)));
        self.may_return.extend(may_be_forgotten);
    }

    fn listed(&self) -> BTreeSet<usize> {
        (0..self.shards.len()).filter(|&n| !self.shards[n].expired).collect()
    }

    fn take(&mut self) -> Result<bool, TestCaseError> {
        let Some((id, offer)) = self.family.next_ready() else { return Ok(false) };
        let n = number(offer.shard.shard_id());
        self.note_forgotten();
        if !self.offered.insert(n) {
            prop_assert!(self.may_return.remove(&n), "{n} was offered twice");
            self.closed.remove(&n);
        }
        // The list that named it may have been looked at only after its parent was named by the end of another shard.
        self.named_at.entry(n).or_insert(self.now);
        self.named_in.entry(n).or_insert(self.full_lists);
        for &parent in &self.shards[n].parents {
            let was_known = self.named_at.get(&parent).is_some_and(|at| *at <= self.named_at[&n]);
            prop_assert!(
                !was_known || self.was_closed.contains(&parent),
                "{n} was offered before {parent} closed"
            );
        }
        prop_assert_eq!(offer.parents.iter().flatten().count(), self.shards[n].parents.len());
        self.out.push((id, offer));
        Ok(true)
    }

    fn close(&mut self, pick: usize, outcome: ParentOutcome, tell_children: bool) {
        if self.out.is_empty() {
            return;
        }
        self.now += 1;
        self.note_forgotten();
        let (member, offer) = self.out.swap_remove(pick % self.out.len());
        let n = number(offer.shard.shard_id());
        self.closed.insert(n);
        self.was_closed.insert(n);
        let mut children = Vec::new();
        if tell_children && !self.shards[n].open {
            for (child, truth) in
                self.shards.iter().enumerate().filter(|(_, truth)| truth.parents.contains(&n))
            {
                let parents = Some(truth.parents.iter().copied().map(id).collect());
                children.push(
                    ChildShard::builder().shard_id(id(child)).set_parent_shards(parents).build().unwrap(),
                );
                // Its other parent may be unknown: then it is as if it had not been named.
                let has_parents = truth.parents.iter().all(|&parent| self.family.knows(&id(parent)));
                if has_parents && !self.family.knows(&id(child)) {
                    self.named_at.entry(child).or_insert(self.now);
                    self.named_in.insert(child, self.full_lists);
                }
            }
        }
        self.family.close(&member, outcome, children);
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Split(pick) => {
                let open = self.open();
                let parent = open[pick % open.len()];
                self.beget(vec![parent]);
                self.beget(vec![parent]);
            }
            Step::Merge(a, b) => {
                let open = self.open();
                let (a, b) = (open[a % open.len()], open[b % open.len()]);
                if a != b {
                    self.beget(vec![a, b]);
                }
            }
            Step::Expire(pick) => {
                // As in Kinesis: oldest first, and only what the consumer has closed, or it would be reading what is gone.
                let closed: Vec<usize> =
                    self.closed.iter().copied().filter(|&n| !self.shards[n].open).collect();
                if let Some(&n) = closed.get(pick % closed.len().max(1)) {
                    self.shards[n].expired = true;
                }
            }
            Step::Full { seed, omit } => {
                let mut shown = self.listed();
                shown.retain(|&n| {
                    omit == 0 || !(seed.rotate_left(u32::try_from(n % 64).unwrap())).is_multiple_of(omit)
                });
                self.list(true, &shown, seed);
            }
            Step::Additions { seed } => {
                let greatest = self.greatest;
                let mut shown = self.listed();
                shown.retain(|&n| greatest.is_none_or(|greatest| n > greatest));
                if self.full_lists == 0 {
                    return Ok(());
                }
                self.list(false, &shown, seed);
            }
            Step::Fail => {}
            Step::Take => {
                self.take()?;
            }
            Step::Complete(pick) => self.close(pick, ParentOutcome::Completed, false),
            Step::CompleteWith(pick) => self.close(pick, ParentOutcome::Completed, true),
            Step::Drop(pick) => self.close(pick, ParentOutcome::Dropped, false),
            Step::HandBack(pick) => {
                if !self.out.is_empty() {
                    let (member, offer) = self.out.swap_remove(pick % self.out.len());
                    self.offered.remove(&number(offer.shard.shard_id()));
                    self.handed_back.push((member, offer));
                }
            }
        }
        Ok(())
    }

    /// From here on everybody behaves: what was handed back is offered again, all that is offered is completed, the lists are true.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        for (id, offer) in std::mem::take(&mut self.handed_back) {
            self.family.offer_again(id, offer);
        }
        let listed = self.listed();
        for seed in [1, 2] {
            self.list(true, &listed, seed);
            loop {
                while self.take()? {}
                if self.out.is_empty() {
                    break;
                }
                self.close(0, ParentOutcome::Completed, false);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_shard_once_and_none_before_its_parents(roots in 1..6_usize, steps in steps()) {
        let mut world = World::new(roots);
        for step in steps {
            world.step(step)?;
        }
        world.drain()?;

        let never: Vec<_> = world.named_at.keys().filter(|n| !world.offered.contains(n)).collect();
        prop_assert!(never.is_empty(), "never offered: {:?}", never);
        prop_assert!(!world.family.is_waiting());

        // All are closed, and the last two full lists named what is not expired: just that is remembered.
        prop_assert_eq!(world.family.len(), world.listed().len());
        let none = BTreeSet::new();
        world.list(true, &none, 0);
        world.list(true, &none, 0);
        prop_assert!(!world.take()?);
        prop_assert_eq!(world.family.len(), 0);
        prop_assert!(world.family.is_empty_inside(), "{:?}", world.family);
    }
}
