//! What the consumer of a leased shard sees.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_records_of_a_worker_whose_tables_are_down_pause_and_continue() {
    let world = World::new(1);
    world.put(10);
    let a = world.join("a").await;
    world.wait_for_all().await;
    world.board.set_down(true);
    sleep(SECOND * 9).await;
    world.put(10);
    sleep(SECOND * 60).await;
    assert_eq!(world.deliveries().len(), 10, "another worker might have the lease");
    world.board.set_down(false);
    world.wait_for_all().await;
    assert_eq!(world.repeated(), 0);
    let events = a.events();
    assert!(events.ends_with(&[LeaseEventKind::Paused, LeaseEventKind::Resumed]), "{events:?}");
}
