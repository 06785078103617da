//! A takeover of the events of a shard by another subscriber.

use tokio::time::Duration;

use crate::checkpoint::lease::LeaseEnd;
use crate::lease::machine::Event;
use crate::lease::machine::tests::{SHARD, World};
use crate::lease::table::LeaseRow;

fn take_over(world: &mut World) {
    world.event(Event::TakenOver(SHARD.to_owned()));
}

#[test]
fn a_write_confirms_the_lease_and_the_delivery_continues() {
    for beside_kcl in [false, true] {
        let mut world = World::new(beside_kcl);
        for takeovers in 1..3 {
            let before = world.row();
            take_over(&mut world);
            assert_eq!((world.drains.len(), world.resumes), (takeovers, takeovers));
            let row = world.row();
            assert_eq!((row.counter, row.owner), (before.counter + 1, before.owner));
            assert_eq!(row.checkpoint, before.checkpoint);
        }
        assert_eq!(world.ends, []);
    }
}

#[test]
fn a_lease_that_another_worker_has_is_lost_at_once() {
    let mut world = World::new(false);
    let row = world.row();
    let (counter, owner) = (row.counter + 1, Some("java".to_owned()));
    world.tables.put_row(LeaseRow { counter, owner, ..row });
    take_over(&mut world);
    assert_eq!(world.ends, [LeaseEnd::Lost { to: Some("java".to_owned()) }]);
    assert_eq!(world.resumes, 0);
    take_over(&mut world);
    assert_eq!(world.drains, [false], "there is no lease to drain");
}

#[test]
fn the_delivery_stays_paused_until_the_table_is_back() {
    let mut world = World::new(false);
    world.is_throttled = true;
    take_over(&mut world);
    world.run(Duration::from_mins(1));
    take_over(&mut world);
    world.save("7");
    assert_eq!((world.drains.as_slice(), world.resumes), (&[false][..], 0));
    world.is_throttled = false;
    world.run(Duration::from_secs(2));
    assert_eq!((world.resumes, world.ends.len()), (1, 0));
}

#[test]
fn a_write_that_was_sent_before_the_takeover_confirms_nothing() {
    let mut world = World::new(false);
    world.is_hanging = true;
    world.save("7");
    take_over(&mut world);
    let (ticket, request) = world.hanging.remove(0);
    let response = world.tables.apply(&request);
    world.event(Event::Responded(ticket, Ok(response)));
    assert_eq!((world.saved.as_slice(), world.resumes), (&[Ok(())][..], 0));
    let (ticket, request) = world.hanging.remove(0);
    let response = world.tables.apply(&request);
    // Another worker may have the lease by the time at which a late response comes.
    world.now += Duration::from_secs(8);
    world.is_hanging = false;
    world.event(Event::Responded(ticket, Ok(response)));
    assert_eq!((world.resumes, world.ends.len()), (1, 0), "a second write has confirmed it");
}
