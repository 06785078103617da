//! Leases that a later run of the same worker may hold.

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::lease::machine::Death;
use crate::lease::machine::tests::{SHARD, World};
use crate::lease::table::model::ModelTables;
use crate::lease::table::{LeaseRow, Request, Response, Writer};

/// Moves the counter of the lease, as a write of this run does.
fn write_by_run(world: &mut World, run: u64) {
    let row = world.row();
    let counter = row.counter + 1;
    let writer = Some(Writer { run: run.to_string(), counter });
    world.tables.put_row(LeaseRow { counter, writer, ..row });
}

#[test]
fn a_lease_that_a_later_run_has_claimed_is_not_claimed_back() {
    let mut world = World::new(false);
    let Response::Joined { run, .. } = world.tables.apply(&Request::Join) else { panic!("a run") };
    let mut later = world.tables.workers().next().expect("this worker").clone();
    (later.run, later.beat, later.held) = (run, 0, 0);
    world.tables.apply(&Request::Register(later));
    write_by_run(&mut world, run);
    let claimed = world.row();

    world.save("7");
    assert_eq!(world.ends, [LeaseEnd::Lost { to: None }]);
    world.run(Duration::from_secs(5));
    assert_eq!(world.death, Some(Death::Superseded));
    assert_eq!((world.row(), world.grants), (claimed, 1));
}

#[test]
fn a_lease_that_a_worker_has_given_that_left_is_claimed_after_a_beat() {
    let world = World::new(false);
    let row = world.row();
    let mut tables = ModelTables::default();
    let writer = Some(Writer { run: "9".to_owned(), counter: row.counter });
    tables.put_row(LeaseRow { writer, ..row });
    let mut world = World::with_tables(false, tables);
    world.run(Duration::from_secs(30));
    assert_eq!(world.grants, 1);
    assert_eq!(world.row().shard_id, SHARD);
    assert_eq!(world.row().writer.map(|writer| writer.run).as_deref(), Some("1"));
}
