//! The table across splits and merges. The Kinesis Client Library (KCL) takes a parent without a
//! row for finished. It would read the child of a merge before a parent if the child's row existed
//! before the parent's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::types::Shard;
use fastrand::Rng;
use kinesis_shards::testing::Fault;

use super::table::Rows;
use super::*;

fn parents(shard: &Shard) -> impl Iterator<Item = &str> {
    [shard.parent_shard_id(), shard.adjacent_parent_shard_id()].into_iter().flatten()
}

/// What the watch has found.
#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    /// The children of merges that had no row when one of their parents ended.
    deferred: BTreeSet<String>,
}

/// Checks the table after each write.
fn watch(world: &World) -> Arc<Mutex<Seen>> {
    let (orders, seen) = (world.orders.clone(), Arc::<Mutex<Seen>>::default());
    let noted = Arc::clone(&seen);
    world.table.watch(move |Rows { rows, ever }| {
        let mut seen = noted.lock().unwrap();
        let has_ended =
            |id: &&str| rows.get(*id).is_some_and(|row| row["checkpoint"]["S"] == "SHARD_END");
        for shard in orders.shards() {
            let (child, parents) = (shard.shard_id(), parents(&shard).collect::<Vec<_>>());
            if rows.contains_key(child) && !parents.iter().all(|parent| ever.contains(*parent)) {
                seen.wrong.push(format!("{child} has a row, one of {parents:?} never had one"));
            }
            if ever.contains(child) || parents.is_empty() {
                continue;
            }
            if parents.iter().all(has_ended) {
                seen.wrong.push(format!("{parents:?} have ended, {child} has no row"));
            } else if parents.iter().any(has_ended) {
                seen.deferred.insert(child.to_owned());
            }
        }
    });
    seen
}

/// Returns a world in which shard 1 is split into 2 and 3, and 0 and 2 are merged into 4. All have
/// records.
fn merged() -> World {
    let world = World::new(2);
    for n in 0..2 {
        for record in 0..4 {
            world.orders.put_to(&id(n), format!("{n}:{record}"));
        }
    }
    assert_eq!(world.orders.split(&id(1)), (id(2), id(3)));
    world.orders.put_to(&id(2), "2:0");
    world.orders.put_to(&id(3), "3:0");
    assert_eq!(world.orders.merge(&id(0), &id(2)), id(4));
    world.orders.put_to(&id(4), "4:0");
    world.orders.put_to(&id(4), "4:1");
    world
}

/// Acknowledges all records. Returns the ids of their shards, each run of records once, in order.
async fn shards_read(records: &mut Records) -> Vec<String> {
    let mut seen = Vec::<String>::new();
    while let Ok(Some(record)) = timeout(Duration::from_mins(2), records.next()).await {
        let shard = record.unwrap().ack().shard_id().to_owned();
        if seen.last() != Some(&shard) {
            seen.push(shard);
        }
    }
    seen
}

/// Shard 0 has ended, and the consumer is dropped before the end of 1. Shard 2 has no row yet.
#[tokio::test(start_paused = true)]
async fn the_child_of_a_merge_has_no_row_before_both_of_its_parents_have() {
    let world = merged();
    let watched = watch(&world);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut kept = Vec::new();
    while let Ok(Some(record)) = timeout(Duration::from_mins(2), records.next()).await {
        let record = record.unwrap();
        if record.shard_id() == id(1) && text(&record) != "1:0" {
            kept.push(record);
        } else {
            record.ack();
        }
    }
    assert_eq!(kept.len(), 3);
    checkpoints.flush().await;
    assert_eq!(world.table.keys(), [id(0), id(1)]);
    assert_eq!(world.table.text(&id(0), "checkpoint"), "SHARD_END");
    // With these, the KCL creates the row.
    assert_eq!(world.table.row(&id(0)).unwrap()["childShardIds"]["SS"], serde_json::json!([id(4)]));
    drop((kept, records, checkpoints));

    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let read = shards_read(&mut records).await;
    let at = |n| read.iter().position(|shard| *shard == id(n)).unwrap();
    assert!(at(1) < at(2) && at(2) < at(4) && at(1) < at(3), "{read:?}");
    assert_eq!(world.table.keys(), (0..5).map(id).collect::<Vec<_>>());
    let watched = watched.lock().unwrap();
    assert_eq!(watched.wrong, [""; 0]);
    assert_eq!(watched.deferred, [id(4)].into());
}

/// The KCL does not list the children of a finished shard.
#[tokio::test(start_paused = true)]
async fn the_rows_of_children_that_no_end_names_are_created_from_a_listing() {
    let world = World::without_children(1);
    let watched = watch(&world);
    world.orders.put_to(&id(0), "0");
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    assert_eq!(text(&next(&mut records).await.ack()), "0");
    // The listings that confirm the end and show the children fail at first.
    let (left, right) = world.orders.split(&id(0));
    world.orders.put_to(&left, "1");
    world.orders.put_to(&right, "2");
    world.kinesis.fail_times("ListShards", 3, Fault::LimitExceeded);
    let seen = shards_read(&mut records).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let row = world.table.row(&id(0)).unwrap();
    assert_eq!(row["checkpoint"]["S"], "SHARD_END");
    let mut children = row["childShardIds"]["SS"].as_array().unwrap().clone();
    children.sort_by_key(ToString::to_string);
    assert_eq!(children, [left.as_str(), right.as_str()]);
    for child in [&left, &right] {
        let row = world.table.row(child).unwrap();
        assert_eq!(row["parentShardId"]["SS"], serde_json::json!([id(0)]));
        assert!(row.contains_key("startingHashKey"), "{row:?}");
    }
    assert_eq!(watched.lock().unwrap().wrong, [""; 0]);
}

/// The row of shard 4 exists without that of its parent 2, whether 4 was read or not.
#[tokio::test(start_paused = true)]
async fn a_parent_without_a_row_is_read_although_its_child_was_started() {
    for child in ["TRIM_HORIZON", "first", "SHARD_END"] {
        let world = merged();
        let number =
            |shard, n: usize| world.orders.records(&id(shard))[n].sequence_number().to_owned();
        world.table.put_lease(&id(0), "SHARD_END", &[]);
        world.table.put_lease(&id(1), &number(1, 0), &[]);
        let at = if child == "first" { number(4, 0) } else { child.to_owned() };
        world.table.put_lease(&id(4), &at, &[&id(0), &id(2)]);
        let checkpoints = world.load().await;
        let mut records = world.records(&checkpoints);
        let mut seen = Vec::new();
        while let Ok(Some(record)) = timeout(Duration::from_mins(2), records.next()).await {
            seen.push(text(&record.unwrap().ack()));
        }
        let of_4: &[&str] = match child {
            "TRIM_HORIZON" => &["4:0", "4:1"],
            "first" => &["4:1"],
            _ => &[],
        };
        let of = |shard| seen.iter().filter(|record| record.starts_with(shard)).collect::<Vec<_>>();
        assert_eq!(of("0"), [""; 0]);
        assert_eq!(of("1"), ["1:1", "1:2", "1:3"]);
        assert_eq!(of("2"), ["2:0"], "{child}");
        assert_eq!(of("3"), ["3:0"], "{child}");
        assert_eq!(of("4"), of_4);
        let position = |record: &str| seen.iter().position(|other| other == record);
        assert!(position("4:1").is_none_or(|of_4| position("2:0") < Some(of_4)), "{seen:?}");
    }
}

/// The records that were written, and those that were acknowledged.
#[derive(Default)]
struct Ledger {
    /// The shard of each record.
    written: BTreeMap<String, String>,
    acknowledged: BTreeSet<String>,
}

impl Ledger {
    /// Checks that all records of the ancestors of the record's shard were acknowledged.
    fn check_delivery(&self, world: &World, record: &UnackedRecord) {
        let shards = world.orders.shards();
        let mut ancestors = BTreeSet::from([record.shard_id()]);
        for shard in shards.iter().rev() {
            if ancestors.contains(shard.shard_id()) {
                ancestors.extend(parents(shard));
            }
        }
        ancestors.remove(record.shard_id());
        let early = self.written.iter().find(|(of, shard)| {
            ancestors.contains(shard.as_str()) && !self.acknowledged.contains(*of)
        });
        assert_eq!(early, None, "{} of {} came before it", text(record), record.shard_id());
    }
}

/// Changes the stream at random.
fn change(world: &World, rng: &mut Rng, ledger: &mut Ledger) {
    let open = world.orders.open_shards();
    let one = rng.usize(..open.len());
    match rng.u32(..10) {
        0 if open.len() < 6 => drop(world.orders.split(&open[one])),
        1 | 2 if open.len() > 1 => {
            let one = rng.usize(..open.len() - 1);
            world.orders.merge(&open[one], &open[one + 1]);
        }
        _ => {
            let data = ledger.written.len().to_string();
            world.orders.put_to(&open[one], &data);
            ledger.written.insert(data, open[one].clone());
        }
    }
}

/// The streams are random, and the consumers are dropped at any time. Every record comes after
/// those of its shard's ancestors.
#[test]
fn after_each_write_a_row_of_a_merge_implies_those_of_its_parents() {
    let mut deferred = 0;
    for seed in 0..30 {
        // The jitter of the crate and of the SDK.
        fastrand::seed(seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        deferred += runtime.block_on(play(seed));
    }
    println!("children of merges whose rows were deferred: {deferred}");
    assert!(deferred > 20, "{deferred}");
}

async fn play(seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let shards = rng.u32(1..4);
    let world = if rng.bool() { World::new(shards) } else { World::without_children(shards) };
    let watched = watch(&world);
    let mut ledger = Ledger::default();
    for _ in 0..30 {
        change(&world, &mut rng, &mut ledger);
    }
    let mut lives = 0;
    let throttled = rng.u32(..4);
    let mut chance = rng.fork();
    world.table.on_request(move |operation, _| {
        let is_hit = operation != "Scan" && chance.u32(..4) < throttled;
        is_hit.then_some(table::Fault::Throttled)
    });
    while ledger.acknowledged.len() < ledger.written.len() {
        lives += 1;
        assert!(
            lives < 100,
            "seed {seed}: {} of {}",
            ledger.acknowledged.len(),
            ledger.written.len()
        );
        let checkpoints = world.load().await;
        let mut records = world.records(&checkpoints);
        let mut held = Vec::new();
        for _ in 0..rng.usize(..20) {
            if rng.u32(..4) == 0 && ledger.written.len() < 80 {
                change(&world, &mut rng, &mut ledger);
            }
            let wait = Duration::from_millis(rng.u64(..20_000));
            let Ok(Some(record)) = timeout(wait, records.next()).await else { continue };
            let record = record.unwrap();
            ledger.check_delivery(&world, &record);
            if rng.u32(..6) == 0 {
                held.push(record);
            } else {
                ledger.acknowledged.insert(text(&record));
                record.ack();
            }
        }
        if rng.bool() {
            let _ = timeout(Duration::from_secs(rng.u64(..30)), checkpoints.flush()).await;
        }
    }
    let watched = watched.lock().unwrap();
    assert_eq!(watched.wrong, [""; 0], "seed {seed}");
    watched.deferred.len()
}
