//! How one worker stops.

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::lease::machine::tests::{SHARD, World, after};
use crate::lease::machine::{Death, Event};
use crate::lease::table::Permission;

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
