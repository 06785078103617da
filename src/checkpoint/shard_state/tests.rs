//! What a race of a few instructions would need to show.

use std::sync::Arc;

use aws_sdk_kinesis::types::Shard;

use super::*;
use crate::checkpoint::memory::MemoryStore;
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::shared::Shared;

fn shard() -> Shard {
    Shard::builder().shard_id("shardId-000000000000").build().unwrap()
}

fn shared() -> Shared {
    Shared::new("orders".into(), Arc::new(MemoryStore::new()), CheckpointOptions::new(), Vec::new())
}

fn start() -> Checkpoint {
    Checkpoint::Start(StartPosition::TrimHorizon)
}

#[test]
fn an_entry_that_is_opened_is_not_dropped_before_it_begins() {
    let shared = shared();
    let (entry, incarnation, _) = shared.open(&shard());
    shared.drop_forgotten(&entry);
    shared.begin(&entry, &incarnation, &shard(), start(), false);
    assert!(shared.known(&entry.id).is_some_and(|known| Arc::ptr_eq(&known, &entry)));
}

#[test]
fn an_entry_that_is_forgotten_does_not_start_over() {
    let shared = shared();
    let (entry, incarnation, _) = shared.open(&shard());
    shared.begin(&entry, &incarnation, &shard(), start(), false);
    shared.forget(&entry.id);
    assert!(matches!(entry.poll_start_over(&incarnation), Poll::Ready(None)));
    assert_eq!(entry.begin(&incarnation, &shard(), start(), true), (Want::Nothing, false));
    assert_eq!(entry.checkpoint(), None);
}

#[test]
fn a_start_that_takes_the_place_of_another_is_waited_for_once() {
    let shared = shared();
    for _ in 0..2 {
        let (entry, incarnation, checkpoint) = shared.open(&shard());
        assert_eq!(checkpoint, None);
        shared.begin(&entry, &incarnation, &shard(), start(), true);
        assert!(shared.has_starts());
        shared.forget(&entry.id);
    }
    let (entry, ..) = shared.open(&shard());
    let change = entry.begin_save().unwrap();
    assert!(entry.end_save(&change).started);
    shared.remove_start();
    assert!(!shared.has_starts());
}

/// A save of the first ends late, or the shard is forgotten twice at once.
#[test]
fn an_entry_that_was_forgotten_takes_no_other_of_its_id_along() {
    let shared = shared();
    let (gone, incarnation, _) = shared.open(&shard());
    shared.begin(&gone, &incarnation, &shard(), start(), false);
    shared.forget(&gone.id);
    let change = gone.begin_save().unwrap();
    gone.end_save(&change);
    shared.drop_forgotten(&gone);
    assert!(shared.known(&gone.id).is_none());

    let (again, ..) = shared.open(&shard());
    shared.drop_forgotten(&gone);
    assert!(shared.known(&again.id).is_some_and(|known| Arc::ptr_eq(&known, &again)));
}
