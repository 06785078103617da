//! One worker in a table that a Kinesis Client Library uses, too.

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::tests::{SHARD, World, after, put_started_child};
use crate::lease::machine::{Event, Failure, SaveError, SaveId};
use crate::lease::table::model::ModelTables;
use crate::lease::table::{LeaseRow, Writer};

fn moved() -> LeaseEnd {
    LeaseEnd::Moved { to: Some("java".to_owned()) }
}

#[test]
fn a_hand_over_that_a_kcl_asks_for_waits_for_the_records_in_flight() {
    let mut world = World::new(true);
    world.ask_for_hand_over();
    world.run(Duration::from_secs(4));
    assert_eq!(world.drains, [false], "the renewal has noticed it");

    // A KCL takes a lease whose counter does not move.
    let before = world.row();
    world.save("7");
    world.run(Duration::from_secs(4));
    assert_eq!(world.saved, [Ok(())]);
    let row = world.row();
    assert!(row.counter > before.counter + 1, "{row:?}");
    assert_eq!(row.checkpoint_owner.as_deref(), Some("rust"));
    assert_eq!(world.ends, []);

    world.drained("8");
    let row = world.row();
    assert_eq!((row.owner.as_deref(), row.checkpoint_owner), (Some("java"), None));
    assert_eq!(row.checkpoint, after("8"));
    assert_eq!(world.ends, [moved()]);
}

#[test]
fn a_save_notices_a_hand_over_and_takes_effect() {
    let mut world = World::new(false);
    world.ask_for_hand_over();
    world.save("7");
    assert_eq!((world.saved.as_slice(), world.drains.as_slice()), (&[Ok(())][..], &[false][..]));
    assert_eq!(world.row().checkpoint, after("7"));
    world.drained("7");
    assert_eq!(world.ends, [moved()]);
}

#[test]
fn a_hand_over_takes_place_with_records_in_flight_after_half_a_minute() {
    let mut world = World::new(true);
    world.ask_for_hand_over();
    world.run(Duration::from_secs(29));
    assert_eq!(world.drains, [false]);
    world.run(Duration::from_secs(6));
    assert_eq!(world.drains, [false, true]);
    world.drained("7");
    assert_eq!(world.ends, [moved()]);
}

#[test]
fn a_lease_that_the_leader_takes_meanwhile_is_lost() {
    let mut world = World::new(true);
    world.ask_for_hand_over();
    world.run(Duration::from_secs(4));
    let row = world.row();
    let counter = row.counter + 1;
    world.tables.put_row(LeaseRow { counter, checkpoint_owner: None, ..row });
    world.drained("8");
    assert_eq!(world.ends, [LeaseEnd::Lost { to: Some("java".to_owned()) }]);
    assert_ne!(world.row().checkpoint, after("8"));
}

#[test]
fn a_shard_that_ends_during_a_hand_over_ends_here() {
    let mut world = World::new(true);
    world.ask_for_hand_over();
    world.run(Duration::from_secs(4));
    world.event(Event::Save {
        shard_id: SHARD.to_owned(),
        id: SaveId(1),
        checkpoint: Checkpoint::End,
        children: Vec::new(),
    });
    assert_eq!(world.ends, [LeaseEnd::Finished]);
    let row = world.row();
    assert!(row.has_ended() && row.checkpoint_owner.is_none(), "{row:?}");
}

#[test]
fn a_hand_over_to_this_worker_is_taken_only_once_the_counter_is_still() {
    let writer = Writer { run: String::new(), counter: 1 };
    let mut tables = ModelTables::default();
    tables.put_row(LeaseRow {
        owner: Some("rust".to_owned()),
        checkpoint_owner: Some("java".to_owned()),
        ..LeaseRow::new(SHARD, std::iter::empty(), None, after("3"), writer)
    });
    let mut world = World::with_tables(true, tables);
    for _ in 0..30 {
        world.run(Duration::from_secs(3));
        world.renew_by_kcl();
    }
    assert_eq!(world.grants, 0, "its former owner still works on the shard");
    world.run(Duration::from_secs(25));
    assert_eq!(world.grants, 1);
    assert_eq!(world.row().owner.as_deref(), Some("rust"));
}

#[test]
fn delivery_pauses_before_a_kcl_may_take_a_lease_whose_counter_does_not_move() {
    let mut world = World::new(true);
    world.is_throttled = true;
    world.run(Duration::from_millis(4_500));
    assert!(world.drains.is_empty(), "the last write is not older than 0.8 of the failover time");
    world.run(Duration::from_secs(4));
    assert_eq!((world.drains.as_slice(), world.resumes), (&[false][..], 0));
    world.is_throttled = false;
    world.run(Duration::from_secs(4));
    assert_eq!((world.drains.as_slice(), world.resumes), (&[false][..], 1));
    assert_eq!(world.ends, []);
}

#[test]
fn a_renewal_without_a_response_is_sent_again_before_a_kcl_may_take_the_lease() {
    let mut world = World::new(true);
    let before = world.row().counter;
    world.is_hanging = true;
    world.run(Duration::from_millis(3_500));
    world.is_hanging = false;
    world.run(Duration::from_millis(3_500));
    assert!(world.row().counter > before, "{:?}", world.row());
    assert_eq!(world.ends, []);
}

#[test]
fn a_claim_whose_response_comes_late_delivers_nothing_before_the_next_write() {
    let mut world = World::hanging();
    world.run(Duration::from_secs(5));
    world.run(Duration::from_millis(3_500));
    for (ticket, request) in std::mem::take(&mut world.hanging) {
        let response = world.tables.apply(&request);
        world.event(Event::Responded(ticket, Ok(response)));
    }
    assert_eq!((world.grants, world.drains.as_slice()), (1, &[false][..]));
    world.is_hanging = false;
    world.run(Duration::from_secs(4));
    assert_eq!(world.resumes, 1);
}

#[test]
fn a_save_in_whose_place_a_newer_one_comes_gets_a_result() {
    let mut world = World::new(false);
    world.is_hanging = true;
    world.save("7");
    world.save("8");
    world.save("9");
    assert!(matches!(world.saved.as_slice(), [Err(SaveError::Failed(_))]), "{:?}", world.saved);
}

#[test]
fn a_row_that_a_kcl_has_deleted_after_the_end_of_its_shard_is_not_created_again() {
    let mut world = World::with_tables(true, with_deleted_parent());
    world.run(Duration::from_mins(3));
    assert_eq!(world.tables.row(SHARD), None);
    assert_eq!(world.grants, 0);
}

/// The tables of a shard that a KCL has ended, and whose row it has deleted. The child is started.
fn with_deleted_parent() -> ModelTables {
    let mut tables = ModelTables::default();
    put_started_child(&mut tables);
    tables
}

#[test]
fn a_deleted_row_is_not_created_again_though_no_list_has_named_the_child() {
    let mut world = World::with_tables(true, with_deleted_parent());
    world.knows_child = false;
    world.run(Duration::from_mins(3));
    assert_eq!(world.tables.row(SHARD), None);
    assert_eq!(world.grants, 0);
}

#[test]
fn the_creation_of_a_row_is_not_repeated_after_its_shard_was_read_elsewhere() {
    let mut world = World::hanging();
    world.run(Duration::from_secs(5));
    // A KCL creates the row, reads the shard to its end, and deletes the row again.
    put_started_child(&mut world.tables);
    world.is_hanging = false;
    let failure = Failure { is_permanent: false, text: "no response".to_owned() };
    for (ticket, _) in std::mem::take(&mut world.hanging) {
        world.event(Event::Responded(ticket, Err(failure.clone())));
    }
    world.run(Duration::from_mins(1));
    assert_eq!(world.tables.row(SHARD), None);
}
