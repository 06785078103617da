//! How one worker stops.

use std::collections::BTreeSet;

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::lease::machine::tests::{SHARD, World, after};
use crate::lease::machine::{Death, Event};
use crate::lease::table::{Beat, Permission, Request, Response, WorkerRow, WorkerState};

/// Lets a worker with a lease run without a permission until it stops. The consumer has
/// acknowledged all records.
fn stop_without(permission: Permission) -> World {
    let mut world = World::new(false);
    world.denied = Some(permission);
    let started = world.now;
    while world.death.is_none() {
        assert!(world.now < started + Duration::from_mins(5), "it runs on");
        world.run(Duration::from_millis(100));
        if !std::mem::take(&mut world.drains).is_empty() {
            world.drained("7");
        }
    }
    assert_eq!(world.death, Some(Death::Failed("denied".to_owned())));
    world
}

#[test]
fn a_worker_without_a_permission_gives_its_leases_away_and_leaves() {
    for permission in [Permission::ScanWorkers, Permission::ScanLeases] {
        let world = stop_without(permission);
        assert_eq!(world.tables.workers().count(), 0, "{permission:?}");
        assert_eq!((world.row().owner, world.row().checkpoint), (None, after("7")));
        assert_eq!(world.ends, [LeaseEnd::Moved { to: None }]);
    }
}

#[test]
fn a_worker_that_cannot_give_its_leases_away_removes_its_row() {
    let mut world = World::new(false);
    world.denied = Some(Permission::WriteLeases);
    for number in ["7", "8", "9"] {
        world.save(number);
    }
    world.run(Duration::from_secs(7));
    assert_eq!(world.death, Some(Death::Failed("denied".to_owned())));
    assert_eq!(world.tables.workers().count(), 0);
    assert_eq!(world.ends, [LeaseEnd::Lost { to: None }]);
    assert_eq!(world.row().owner.as_deref(), Some("rust"), "the others take it: its owner is gone");
}

#[test]
fn a_worker_that_cannot_beat_leaves_too() {
    let world = stop_without(Permission::WriteWorkers);
    assert_eq!(world.tables.workers().count(), 0);
    assert_eq!(world.row().owner, None);
}

#[test]
fn a_shutdown_of_a_worker_that_stops_changes_nothing() {
    let mut world = World::new(false);
    world.denied = Some(Permission::ScanWorkers);
    while !world.machine.is_leaving() {
        world.run(Duration::from_millis(100));
    }
    world.event(Event::Shutdown { limit: Duration::from_mins(1) });
    world.run(Duration::from_secs(7));
    assert!(world.death.is_some());
    assert_eq!(world.row().shard_id, SHARD);
}

/// Registers another worker, whose stream of shards is not polled yet.
fn register_newcomer(world: &mut World) -> u64 {
    let Response::Joined { run, .. } = world.tables.apply(&Request::Join) else { panic!("a run") };
    let row = WorkerRow { id: "newcomer".to_owned(), run, max: Some(0), ..WorkerRow::default() };
    assert!(matches!(world.tables.apply(&Request::Register(row)), Response::Worker(_)));
    run
}

/// Beats for the newcomer, which takes up to `max` leases from now on.
fn beat_for_newcomer(world: &mut World, run: u64, beat: u64, max: Option<u64>) {
    let request = Request::Beat(Beat {
        worker: "newcomer".to_owned(),
        run,
        beat,
        state: WorkerState::Up,
        held: 0,
        max,
        audits: 0,
        arrived: BTreeSet::new(),
    });
    assert!(matches!(world.tables.apply(&request), Response::Worker(_)));
}

/// Returns the leases that are announced to the newcomer.
fn announced(world: &World) -> usize {
    let mut workers = world.tables.workers();
    workers.find(|row| row.id == "newcomer").expect("the newcomer").coming.len()
}

#[test]
fn a_worker_that_leaves_waits_for_one_that_has_just_joined_to_take_leases() {
    let mut world = World::new(false);
    let run = register_newcomer(&mut world);
    world.event(Event::Shutdown { limit: Duration::from_secs(25) });
    world.run(Duration::from_millis(500));
    assert_eq!(announced(&world), 0, "it takes none yet");
    beat_for_newcomer(&mut world, run, 1, None);
    world.run(Duration::from_millis(300));
    assert_eq!(announced(&world), 1);
    world.run(Duration::from_secs(3));
    world.drained("7");
    assert_eq!(world.row().owner.as_deref(), Some("newcomer"));
}

#[test]
fn a_worker_that_leaves_waits_for_a_newcomer_only_for_half_a_beat() {
    let mut world = World::new(false);
    register_newcomer(&mut world);
    world.event(Event::Shutdown { limit: Duration::from_secs(25) });
    world.run(Duration::from_millis(900));
    assert!(world.drains.is_empty(), "it waits");
    world.run(Duration::from_millis(300));
    assert_eq!(world.drains, [false], "without a receiver, the lease is released");
}

#[test]
fn a_worker_that_leaves_does_not_wait_for_one_that_has_not_taken_leases_for_long() {
    let mut world = World::new(false);
    let run = register_newcomer(&mut world);
    for beat in 1..=80 {
        beat_for_newcomer(&mut world, run, beat, Some(0));
        world.run(Duration::from_millis(250));
    }
    world.event(Event::Shutdown { limit: Duration::from_secs(25) });
    world.run(Duration::from_millis(100));
    assert_eq!(world.drains, [false], "the lease is released at once");
}
