//! Workers share the shards, join and leave.

use super::*;

#[tokio::test(start_paused = true)]
async fn workers_share_the_shards_evenly_and_read_every_record_once() {
    let world = World::new(6);
    world.put(300);
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(world.join(name).await);
    }
    world.wait_for_all().await;
    sleep(SECOND * 120).await;
    assert_eq!(
        world.owners(),
        [("a", 2), ("b", 2), ("c", 2)].map(|(w, n)| (w.to_owned(), n)).into()
    );
    world.put(300);
    world.wait_for_all().await;
    assert_eq!(world.repeated(), 0);
    world.assert_tokens_grow();
    let known = workers[0].leases.workers();
    assert_eq!(known.iter().map(|worker| worker.leases).collect::<Vec<_>>(), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_loses_its_leases_after_the_failover_time() {
    let world = World::new(4);
    world.put(100);
    let a = world.join("a").await;
    let b = world.join_with(LeaseOptions::new().worker("b").checkpoints(save_at_once())).await;
    world.wait_for_all().await;
    sleep(SECOND * 120).await;
    assert_eq!(world.owners().len(), 2);
    b.kill().await;
    let killed_at = Instant::now();
    world.put(100);
    world.wait_for_all().await;
    let took = killed_at.elapsed();
    assert!((SECOND * 10..SECOND * 20).contains(&took), "{took:?}");
    assert_eq!(world.owners(), [("a".to_owned(), 4)].into());
    assert!(a.events().contains(&LeaseEventKind::Fenced { worker: "b".to_owned() }));
    world.assert_tokens_grow();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_shuts_down_repeats_nothing_and_the_others_read_at_once() {
    let world = World::new(4);
    world.put(100);
    let _a = world.join("a").await;
    let b = world.join("b").await;
    world.wait_for_all().await;
    sleep(SECOND * 120).await;
    let report = b.leases.shutdown(SECOND * 25).await;
    assert!(report.is_complete(), "{report}");
    let left_at = Instant::now();
    world.put(100);
    world.wait_for_all().await;
    assert!(left_at.elapsed() < SECOND * 3, "{:?}", left_at.elapsed());
    assert_eq!(b.task.await.unwrap(), None, "its records have ended");
    assert_eq!((world.repeated(), world.owners()), (0, [("a".to_owned(), 4)].into()));
    world.assert_tokens_grow();
}

#[tokio::test(start_paused = true)]
async fn the_last_worker_releases_its_leases_and_the_next_reads_on() {
    let world = World::new(3);
    world.put(60);
    let a = world.join("a").await;
    world.wait_for_all().await;
    let report = a.leases.shutdown(SECOND * 25).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(world.owners(), [(String::new(), 3)].into(), "they have no owner");
    world.put(60);
    let _b = world.join("b").await;
    world.wait_for_all().await;
    assert_eq!(world.repeated(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_the_id_of_a_live_one_cannot_join() {
    let world = World::new(1);
    let a = world.join("a").await;
    let error = world.try_join(LeaseOptions::new().worker("a")).await.err().unwrap();
    assert!(error.is_worker_id_taken(), "{error}");
    world.put(10);
    world.wait_for_all().await;
    assert!(!a.task.is_finished(), "the first is not disturbed");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_restarts_under_its_id_takes_up_its_leases_within_seconds() {
    let world = World::new(2);
    world.put(40);
    let a = world.join_with(LeaseOptions::new().worker("a").checkpoints(save_at_once())).await;
    world.wait_for_all().await;
    sleep(SECOND).await;
    a.kill().await;
    let killed_at = Instant::now();
    let _a = world.join("a").await;
    world.put(40);
    world.wait_for_all().await;
    assert!(killed_at.elapsed() < SECOND * 5, "{:?}", killed_at.elapsed());
    assert_eq!(world.repeated(), 0);
    world.assert_tokens_grow();
}

/// The first shard has ended: its lease is over, and its children are held.
#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_leave_reports_the_leases_that_it_keeps() {
    let world = World::new(1);
    world.put(10);
    let (left, right) = world.orders.split("shardId-000000000000");
    let a = world.join("a").await;
    world.wait_for_all().await;
    world.put(10);
    world.wait_for_all().await;
    sleep(SECOND * 60).await;
    world.board.set_down(true);
    let report = a.leases.shutdown(SECOND * 10).await;
    assert!(!report.is_complete());
    assert_eq!(report.unsaved(), [left, right]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a run of many workers has no end")]
async fn a_run_of_many_workers_has_no_end() {
    let world = World::new(1);
    let leases = world.join("worker-1").await.leases;
    let shards = all_shards(&world.client, "orders").until(kinesis_shards::StopAt::Tip);
    let _shards = shards.leased(&leases);
}
