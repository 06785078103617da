//! Random shard graphs, listed in wrong ways, against an oracle that knows their true history.

mod starts;
mod world;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::Shard;
use proptest::prelude::*;

use crate::lineage::tests::random::world::World;
use crate::listing::shard_list::ShardList;
use crate::shard::outcome::ParentOutcome;
use crate::shard::position::StartAt;

/// One event. The numbers pick among the shards that exist.
#[derive(Debug, Clone, Copy)]
enum Step {
    Split(usize),
    Merge(usize, usize),
    /// The oldest shard that the consumer has closed expires.
    Expire,
    /// A full list, with order, repeats and omissions derived from the seed: it omits one in `omit`
    /// shards, or none if that is 0.
    Full {
        seed: u64,
        omit: u64,
    },
    /// A list of the shards after the greatest listed id.
    Additions {
        seed: u64,
    },
    Take,
    Complete(usize),
    /// Completes a shard with the `ChildShards` of its last `GetRecords`.
    CompleteWith(usize),
    Drop(usize),
    Abandon(usize),
    /// An abandoned shard is re-offered.
    Reoffer(usize),
    /// A reader gets `ResourceNotFoundException`.
    NotFound(usize),
    /// A full listing begins.
    Begin,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = 0..64_usize;
    prop::collection::vec(
        prop_oneof![
            3 => pick.clone().prop_map(Step::Split),
            2 => (pick.clone(), pick.clone()).prop_map(|(a, b)| Step::Merge(a, b)),
            1 => Just(Step::Expire),
            2 => any::<u64>().prop_map(|seed| Step::Full { seed, omit: 0 }),
            1 => (any::<u64>(), 2..6_u64).prop_map(|(seed, omit)| Step::Full { seed, omit }),
            2 => any::<u64>().prop_map(|seed| Step::Additions { seed }),
            4 => Just(Step::Take),
            3 => pick.clone().prop_map(Step::Complete),
            2 => pick.clone().prop_map(Step::CompleteWith),
            1 => pick.clone().prop_map(Step::Drop),
            2 => pick.clone().prop_map(Step::Abandon),
            2 => pick.clone().prop_map(Step::Reoffer),
            1 => pick.prop_map(Step::NotFound),
            1 => Just(Step::Begin),
        ],
        1..120,
    )
}

/// Where a run begins, the splits and merges before it, and what it resumes: picks of shards, and
/// whether each is finished.
#[derive(Debug, Clone)]
struct Run {
    start: StartAt,
    before: Vec<Step>,
    named: Vec<(usize, bool)>,
}

fn runs() -> impl Strategy<Value = Run> {
    let pick = 0..64_usize;
    let reshard = prop_oneof![
        pick.clone().prop_map(Step::Split),
        (pick.clone(), pick.clone()).prop_map(|(a, b)| Step::Merge(a, b)),
    ];
    let start = prop_oneof![
        Just(StartAt::TrimHorizon),
        Just(StartAt::Latest),
        Just(StartAt::Timestamp(DateTime::from_secs(1_700_000_000))),
    ];
    let named = prop::collection::vec((pick, any::<bool>()), 0..4);
    (start, prop::collection::vec(reshard, 0..6), named).prop_map(|(start, before, named)| Run {
        start,
        before,
        named,
    })
}

fn id(n: usize) -> String {
    format!("shardId-{n:012}")
}

fn number(id: &str) -> usize {
    id["shardId-".len()..].parse().unwrap()
}

/// Shuffles by a small generator, so that the order of a list is a function of its seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, usize::try_from(seed >> 33).unwrap() % (i + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_shard_is_offered_once_and_none_before_its_parents(
        roots in 1..6_usize,
        run in runs(),
        steps in steps(),
    ) {
        let mut world = World::new(roots, &run)?;
        for step in steps {
            world.step(step)?;
        }
        world.drain()?;

        let never = world.never_offered();
        prop_assert!(never.is_empty(), "never offered: {:?}", never);
        prop_assert!(!world.graph.is_waiting());

        // All shards are closed, and those that the last two full lists named are remembered.
        prop_assert_eq!(world.graph.len(), world.listed().len());
        let other = || {
            let shard = Shard::builder().shard_id("other").build().unwrap();
            ShardList::full("orders", vec![shard]).unwrap()
        };
        world.graph.absorb(other());
        let (id, _) = world.graph.next_ready().unwrap();
        world.graph.close(&id, ParentOutcome::Completed, Vec::new());
        world.graph.absorb(other());
        prop_assert!(world.graph.next_ready().is_none());
        prop_assert_eq!(world.graph.len(), 1);
        world.graph.listing_begins(true);
        prop_assert!(world.graph.holds_only_nodes(), "{:?}", world.graph);
    }
}
