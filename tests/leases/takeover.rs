//! Splits and merges across workers.

use super::*;

#[tokio::test(start_paused = true)]
async fn children_are_read_after_their_parents_on_whichever_worker() {
    let world = World::new(2);
    world.put(50);
    let _workers = [world.join("a").await, world.join("b").await, world.join("c").await];
    world.wait_for_all().await;
    world.orders.split("shardId-000000000000");
    world.put(50);
    world.wait_for_all().await;
    sleep(SECOND * 60).await;
    world.orders.merge("shardId-000000000003", "shardId-000000000001");
    world.put(50);
    world.wait_for_all().await;
    sleep(SECOND * 120).await;
    assert_eq!(world.repeated(), 0);
    world.assert_tokens_grow();
    // The records of a customer are in order, across all shards and workers.
    let mut last = BTreeMap::new();
    for Delivery { number, .. } in world.deliveries() {
        let last = last.entry(number % 50).or_insert(number);
        assert!(number >= *last, "{number} came after {last}");
        *last = number;
    }
    assert_eq!(world.owners().values().sum::<usize>(), 2, "two shards are open");
}
