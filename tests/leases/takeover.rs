//! Splits and merges across workers.

use kinesis_shards::{ReadOptions, StartAt};

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

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_created_again_is_read_from_its_beginning() {
    let world = World::new(2);
    world.put(20);
    let _workers = [world.join("a").await, world.join("b").await];
    world.wait_for_all().await;
    world.kinesis.delete_stream("orders");
    let orders = world.kinesis.create_stream("orders", 2);
    let world = World { orders, ..world };
    world.put(20);
    world.wait_for_all().await;
    sleep(SECOND * 1_500).await;
    world.put(20);
    world.wait_for_all().await;
    assert_eq!(world.owners().values().sum::<usize>(), 2);
}

/// The rows of finished shards are deleted when Kinesis stops listing them, and no earlier.
#[tokio::test(start_paused = true)]
async fn the_rows_of_finished_shards_are_deleted_after_their_retention() {
    let world = World::new(1);
    world.put(20);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let options = ReadOptions::new().idle_interval(SECOND * 600);
    let shards = all_shards(&world.client, "orders").leased(&leases);
    let mut records = shards.records(&world.client).with_options(options).auto_ack();
    let mut read = 0;
    let mut read_for = async |time: Duration| {
        let end = Instant::now() + time;
        while let Ok(record) = tokio::time::timeout_at(end, records.next()).await {
            record.unwrap().unwrap();
            read += 1;
        }
        read
    };
    assert_eq!(read_for(SECOND * 60).await, 20);
    world.orders.split("shardId-000000000000");
    world.put(20);
    assert_eq!(read_for(SECOND * 3_600 * 20).await, 40);
    assert_eq!(world.board.leases("application").len(), 3);
    assert_eq!(read_for(SECOND * 3_600 * 10).await, 40);
    let open = world.board.leases("application");
    assert_eq!(open.len(), 2, "{open:#?}");
}

/// The ended row of an old shard must not count for the new one of its id.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_created_again_after_a_split_is_read_from_its_beginning() {
    for workers in [1, 3] {
        let world = World::new(1);
        world.put(20);
        let mut running = Vec::new();
        for worker in 0..workers {
            running.push(world.join(&format!("w{worker}")).await);
        }
        world.wait_for_all().await;
        world.orders.split("shardId-000000000000");
        world.put(20);
        world.wait_for_all().await;
        sleep(SECOND * 120).await;
        world.kinesis.delete_stream("orders");
        let orders = world.kinesis.create_stream("orders", 1);
        let world = World { orders, ..world };
        world.put(20);
        sleep(SECOND * 1_500).await;
        world.wait_for_all().await;
        world.orders.split("shardId-000000000000");
        world.put(20);
        world.wait_for_all().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_of_shards_reads_children_whose_parent_was_read_elsewhere() {
    let world = World::new(2);
    world.put(20);
    let _a = world.join("a").await;
    let b = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut records = all_shards(&world.client, "orders").leased(&b).records(&world.client);
    let mut read_for = async |time: Duration| {
        let end = Instant::now() + time;
        while let Ok(record) = tokio::time::timeout_at(end, records.next()).await {
            record.unwrap().unwrap().ack();
        }
    };
    read_for(SECOND * 120).await;
    world.orders.split("shardId-000000000000");
    world.orders.split("shardId-000000000001");
    read_for(SECOND * 120).await;
    assert_eq!(world.owners().len(), 2, "both have two of four children");
    drop(records);
    world.put(40);
    let mut records = all_shards(&world.client, "orders").leased(&b).records(&world.client);
    let mut numbers: BTreeSet<_> = BTreeSet::new();
    let end = Instant::now() + SECOND * 120;
    while let Ok(record) = tokio::time::timeout_at(end, records.next()).await {
        let record = record.unwrap().unwrap().ack();
        numbers.insert(number(&record));
    }
    numbers.extend(world.deliveries().iter().map(|delivery| delivery.number));
    let missing: Vec<_> = (20..60).filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A KCL has left a closed shard half read, and the fleet that follows starts at the tip.
#[tokio::test(start_paused = true)]
async fn a_fleet_at_latest_finishes_what_an_earlier_application_has_begun() {
    let world = World::new(1);
    world.put(20);
    let a = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut records = all_shards(&world.client, "orders").leased(&a).records(&world.client);
    for _ in 0..5 {
        records.next().await.unwrap().unwrap().ack();
    }
    assert!(a.shutdown(SECOND * 10).await.is_complete());
    drop(records);
    world.orders.split("shardId-000000000000");
    world.put(20);
    sleep(SECOND * 60).await;
    // The workers table, with the start of the fleet, is another one.
    let options = LeaseOptions::new().tables("application", "new-workers");
    world.board.move_leases("application", "application-workers", "new-workers");
    let b = Leases::join_with(&world.board, "application", "orders", options).await.unwrap();
    let shards = all_shards(&world.client, "orders").start_at(StartAt::Latest).leased(&b);
    let mut records = shards.records(&world.client).auto_ack();
    let mut numbers = BTreeSet::new();
    let end = Instant::now() + SECOND * 120;
    while let Ok(record) = tokio::time::timeout_at(end, records.next()).await {
        let record = record.unwrap().unwrap();
        numbers.insert(number(&record));
    }
    assert_eq!(numbers, (5..40).collect());
}
