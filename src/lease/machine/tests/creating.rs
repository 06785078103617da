//! Which rows one worker creates, and when.

use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::tests::{SHARD, World, put_started_child};
use crate::lease::machine::{Event, SaveError, SaveId};
use crate::lease::table::Permission;
use crate::lease::table::model::ModelTables;

const CHILD: &str = "shardId-000000000001";

/// A worker that is offered a shard without a row, in a table with the row of a grandchild.
fn with_grandchild() -> World {
    let mut tables = ModelTables::default();
    put_started_child(&mut tables);
    let mut row = tables.row(CHILD).expect("a row").clone();
    row.parents = vec!["shardId-000000000003".to_owned()];
    tables.put_row(row);
    let mut world = World::idle(true, tables);
    // No list names the shard between.
    world.knows_child = false;
    world.is_list_missing = true;
    world.start();
    world
}

#[test]
fn a_row_is_created_only_after_a_list_that_is_newer_than_the_rows() {
    let mut world = with_grandchild();
    world.run(Duration::from_secs(30));
    assert_eq!(world.tables.row(SHARD), None);
    let request = world.unlisted.pop().expect("a request for a list");
    let between = "shardId-000000000003".to_owned();
    assert_eq!(request.started, [(CHILD.to_owned(), vec![between])].into());
    world.is_list_missing = false;
    world.knows_child = true;
    world.run(Duration::from_mins(2));
    assert_eq!(world.tables.row(SHARD), None, "the list has shown that the shard was processed");
}

#[test]
fn a_row_is_created_after_a_list_that_names_no_descendant() {
    let mut world = with_grandchild();
    world.is_list_missing = false;
    world.run(Duration::from_secs(30));
    assert_eq!(world.row().owner.as_deref(), Some("rust"));
    assert_eq!(world.grants, 1);
}

#[test]
fn a_row_is_not_created_by_rows_that_were_read_long_ago() {
    let mut world = with_grandchild();
    world.run(Duration::from_secs(30));
    let request = world.unlisted.pop().expect("a request for a list");
    world.denied = Some(Permission::ScanLeases);
    world.event(Event::AncestorsClosed { number: request.number });
    assert_eq!(world.tables.row(SHARD), None);
}

#[test]
fn rows_of_children_are_not_created_by_a_worker_that_has_not_proved_lately_that_it_lives() {
    let mut world = World::new(false);
    let end = |id| Event::Save {
        shard_id: SHARD.to_owned(),
        id: SaveId(id),
        checkpoint: Checkpoint::End,
        children: vec![
            ChildShard::builder()
                .shard_id(CHILD)
                .parent_shards(SHARD)
                .build()
                .expect("all required fields are set"),
        ],
    };
    // The process is stopped, and its first event is the end of the shard.
    world.now += Duration::from_secs(9);
    world.event(end(1));
    assert!(matches!(world.saved.as_slice(), [Err(SaveError::Failed(_))]), "{:?}", world.saved);
    assert_eq!(world.tables.row(CHILD), None);
    world.run(Duration::from_secs(1));
    world.event(end(2));
    assert_eq!(world.saved.last(), Some(&Ok(())));
    assert!(world.tables.row(CHILD).is_some());
}
