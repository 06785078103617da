//! Leases move to balance the workers.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_new_worker_gets_its_share_without_a_repeat() {
    let world = World::new(8);
    world.put(100);
    let a = world.join("a").await;
    world.wait_for_all().await;
    sleep(SECOND * 60).await;
    assert_eq!(a.leases.checkpoints().status().len(), 8);
    let b = world.join("b").await;
    for _ in 0..120 {
        world.put(8);
        sleep(SECOND).await;
    }
    world.wait_for_all().await;
    assert_eq!(world.owners(), [("a".to_owned(), 4), ("b".to_owned(), 4)].into());
    for worker in [a, b] {
        assert_eq!(worker.leases.checkpoints().status().len(), 4, "those that it holds");
    }
    assert_eq!(world.repeated(), 0);
    world.assert_tokens_grow();
}
