//! The consumers of leased shards.

use futures::future::join;
use kinesis_shards::lease::LeaseEnd;
use kinesis_shards::records::{EndReason, ReadEventKind};
use kinesis_shards::{ReadOptions, StartAt};

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

#[tokio::test(start_paused = true)]
async fn a_page_in_hand_is_interrupted_at_the_deadline_and_continues_where_it_was() {
    let world = World::new(1);
    world.put(10);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let records = all_shards(&world.client, "orders").leased(&leases);
    let mut records = records.records(&world.client);
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let record = records.next().await.unwrap().unwrap().ack();
        numbers.push(number(&record));
    }
    world.board.set_down(true);
    sleep(SECOND * 12).await;
    assert!(futures::poll!(records.next()).is_pending(), "the page has six records left");
    world.board.set_down(false);
    for _ in 0..6 {
        let record = records.next().await.unwrap().unwrap().ack();
        numbers.push(number(&record));
    }
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_lease_waits_for_the_records_in_flight_before_it_is_given_away() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let ends = Arc::<Mutex<Vec<EndReason>>>::default();
    let options = ReadOptions::new().on_event({
        let ends = Arc::clone(&ends);
        move |event| {
            if let ReadEventKind::Ended(end) = &event.kind {
                ends.lock().unwrap().push((*end).clone());
            }
        }
    });
    let records = all_shards(&world.client, "orders").leased(&leases);
    let mut records = records.records(&world.client).with_options(options);
    let first = records.next().await.unwrap().unwrap();
    let lease = first.lease().unwrap().clone();
    assert!(lease.is_held());
    let shutdown = leases.shutdown(SECOND * 25);
    let acknowledge = async {
        // It reads first who is there to take the lease.
        sleep(SECOND).await;
        // No further record is delivered meanwhile.
        assert!(tokio::time::timeout(SECOND * 5, records.next()).await.is_err());
        assert!(lease.is_held());
        first.ack();
        assert!(records.next().await.is_none());
    };
    let (report, ()) = join(shutdown, acknowledge).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(lease.ended().await, LeaseEnd::Moved { to: None });
    assert!(!lease.is_held());
    let _b = world.join("b").await;
    world.put(1);
    sleep(SECOND * 30).await;
    let numbers: Vec<_> = world.deliveries().iter().map(|delivery| delivery.number).collect();
    assert_eq!(numbers, [1, 2, 3], "the next worker begins after the acknowledged record");
    assert!(*ends.lock().unwrap() == [EndReason::LeaseMoved], "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_a_shutdown_the_records_in_flight_come_again() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let records = all_shards(&world.client, "orders").leased(&leases);
    let mut records = records.records(&world.client);
    let first = records.next().await.unwrap().unwrap();
    let report = leases.shutdown(SECOND * 10).await;
    assert!(!report.is_complete());
    assert_eq!(report.unacknowledged(), 1, "{report}");
    let (record, acker) = first.into_parts();
    assert_eq!(record.shard_id(), acker.lease().unwrap().shard_id());
    let error = acker.try_ack().unwrap_err();
    assert!(error.to_string().contains("has no effect"), "{error}");
    assert_eq!(error.lease().token(), 1);
    let _b = world.join("b").await;
    world.wait_for_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_deleted_by_hand_is_made_again_and_read_from_its_start() {
    let world = World::new(1);
    world.put(5);
    let options = LeaseOptions::new().worker("a").checkpoints(save_at_once());
    let a = world.join_with(options).await;
    world.wait_for_all().await;
    world.board.delete_lease("application", "shardId-000000000000");
    world.put(5);
    sleep(SECOND * 90).await;
    world.wait_for_all().await;
    assert_eq!(world.board.leases("application").len(), 1);
    let lost = |event: &LeaseEventKind| {
        matches!(event, LeaseEventKind::Ended { end: LeaseEnd::Lost { to: None }, .. })
    };
    assert!(a.events().iter().any(lost), "{:?}", a.events());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_loses_its_permissions_ends_with_one_error() {
    let world = World::new(1);
    world.put(5);
    let a = world.join("a").await;
    world.wait_for_all().await;
    world.board.set_denied(true);
    let error = a.task.await.unwrap().expect("an error");
    assert!(error.contains("stream orders is not read any longer"), "{error}");
    assert!(error.contains("denies every request"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_nobody_polls_is_reported_once_and_keeps_its_lease() {
    let world = World::new(1);
    let events = Arc::<Mutex<Vec<_>>>::default();
    let options = LeaseOptions::new().on_event({
        let events = Arc::clone(&events);
        move |event| events.lock().unwrap().push(event.kind.clone())
    });
    let leases = Leases::join_with(&world.board, "application", "orders", options).await.unwrap();
    let mut shards = all_shards(&world.client, "orders").leased(&leases);
    let shard = shards.next().await.unwrap();
    sleep(SECOND * 300).await;
    let stalled = LeaseEventKind::Stalled { shard_id: shard.id().to_owned() };
    assert_eq!(events.lock().unwrap().iter().filter(|event| **event == stalled).count(), 1);
    assert!(shard.lease().unwrap().is_held());
}

/// The reader is polled once for its page, and each record of it takes some time.
#[tokio::test(start_paused = true)]
async fn a_shard_whose_records_are_taken_slowly_is_not_reported() {
    let world = World::new(1);
    world.put(10);
    let events = Arc::<Mutex<Vec<_>>>::default();
    let options = LeaseOptions::new().on_event({
        let events = Arc::clone(&events);
        move |event| events.lock().unwrap().push(event.kind.clone())
    });
    let leases = Leases::join_with(&world.board, "application", "orders", options).await.unwrap();
    let mut records = all_shards(&world.client, "orders").leased(&leases).records(&world.client);
    for _ in 0..10 {
        records.next().await.unwrap().unwrap().ack();
        sleep(SECOND * 40).await;
    }
    let is_stalled = |event: &LeaseEventKind| matches!(event, LeaseEventKind::Stalled { .. });
    assert!(!events.lock().unwrap().iter().any(is_stalled), "{events:?}");
}

/// A reader whose lease is lost does not abandon its shard: each offer would come later.
#[tokio::test(start_paused = true)]
async fn a_shard_is_offered_at_once_however_often_its_lease_was_lost() {
    let world = World::new(1);
    world.put(1);
    let options = LeaseOptions::new().worker("a").checkpoints(save_at_once());
    let leases = Leases::join_with(&world.board, "application", "orders", options).await.unwrap();
    let shards = all_shards(&world.client, "orders").poll_interval(SECOND * 3_600);
    let mut records = shards.leased(&leases).records(&world.client);
    for _ in 0..16 {
        let record = tokio::time::timeout(SECOND * 120, records.next()).await;
        let record = record.expect("the lease is granted again").unwrap().unwrap();
        let lease = record.lease().unwrap().clone();
        world.board.delete_lease("application", "shardId-000000000000");
        record.ack(); // the save is refused
        assert_eq!(lease.ended().await, LeaseEnd::Lost { to: None });
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_delivered_and_acknowledged_under_leases_too() {
    let world = World::new(1);
    world.put(10);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let batches = all_shards(&world.client, "orders").leased(&leases);
    let mut batches = batches.batches(&world.client);
    let batch = batches.next().await.unwrap().unwrap();
    assert!(batch.lease().unwrap().is_held());
    assert_eq!(batch.try_ack().unwrap().len(), 10);
    let report = leases.shutdown(SECOND * 10).await;
    assert!(report.is_complete(), "{report}");
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_starts_at_latest_skips_nothing_after_its_first_worker() {
    let world = World::new(2);
    world.put(20);
    sleep(SECOND * 2).await;
    let start = |leases: &Leases| {
        let shards = all_shards(&world.client, "orders").start_at(StartAt::Latest).leased(leases);
        shards.records(&world.client).auto_ack()
    };
    let a = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut records = start(&a);
    assert!(tokio::time::timeout(SECOND * 5, records.next()).await.is_err(), "nothing is new");
    drop((records, a));
    // Nobody reads this, and the next worker does.
    world.put(20);
    let b = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut records = start(&b);
    let mut numbers = BTreeSet::new();
    while numbers.len() < 20 {
        let record = tokio::time::timeout(SECOND * 60, records.next()).await;
        let record = record.unwrap_or_else(|_| panic!("{:#?}", world.board.leases("application")));
        numbers.insert(number(&record.unwrap().unwrap()));
    }
    assert_eq!(numbers, (20..40).collect());
}

#[tokio::test(start_paused = true)]
async fn a_second_stream_of_the_same_leases_fails_and_the_first_continues() {
    let world = World::new(1);
    world.put(5);
    let a = world.join("a").await;
    world.wait_for_all().await;
    let second = all_shards(&world.client, "orders").leased(&a.leases);
    let mut second = second.records(&world.client);
    let error = second.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("in use by another stream of shards"), "{error}");
    assert!(error.is_worker_stopped());
    assert!(second.next().await.is_none());
    drop(second);
    world.put(5);
    world.wait_for_all().await;
    assert_eq!(world.repeated(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_is_replaced_by_the_next_of_the_same_leases() {
    let world = World::new(2);
    world.put(10);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let stream = || all_shards(&world.client, "orders").leased(&leases).records(&world.client);
    let mut records = stream();
    let mut numbers = BTreeSet::new();
    for _ in 0..3 {
        let record = records.next().await.unwrap().unwrap().ack();
        numbers.insert(record.data().to_vec());
    }
    drop(records);
    let mut records = stream();
    for _ in 0..7 {
        let record = records.next().await.unwrap().unwrap().ack();
        assert!(numbers.insert(record.data().to_vec()), "it came twice");
    }
    let report = leases.shutdown(SECOND * 10).await;
    assert!(report.is_complete(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn ready_returns_for_a_stream_that_is_over_and_for_one_that_does_not_exist() {
    let world = World::new(1);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let _first = all_shards(&world.client, "orders").leased(&leases);
    let second = all_shards(&world.client, "orders").leased(&leases).ready().await.unwrap();
    let mut second = second.records(&world.client);
    assert!(second.next().await.unwrap().is_err());

    let leases = Leases::join(&world.board, "other", "ordres").await.unwrap();
    let shards = all_shards(&world.client, "ordres").start_at(StartAt::Latest).leased(&leases);
    let error = shards.ready().await.unwrap_err();
    assert!(error.to_string().contains("stream ordres was not found"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn ready_retries_the_request_for_the_time_of_the_server() {
    let world = World::new(1);
    world.kinesis.fail_times("ListShards", 3, Fault::ConnectionRefused);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let shards = all_shards(&world.client, "orders").start_at(StartAt::Latest).leased(&leases);
    let mut shards = shards.ready().await.unwrap();
    assert_eq!(shards.next().await.unwrap().id(), "shardId-000000000000");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_stream_of_leases_that_waits_to_be_ready() {
    let world = World::new(1);
    world.kinesis.fail_always("ListShards", Fault::ConnectionRefused);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let ready = tokio::spawn(all_shards(&world.client, "orders").leased(&leases).ready());
    sleep(SECOND * 300).await;
    assert!(!ready.is_finished());
    assert!(leases.shutdown(SECOND * 30).await.is_complete());
    let mut shards = ready.await.unwrap().unwrap();
    assert!(shards.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_dropped_unacknowledged_is_in_the_report_of_a_shutdown() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut records = all_shards(&world.client, "orders").leased(&leases).records(&world.client);
    drop(records.next().await.unwrap().unwrap());
    let report = leases.shutdown(SECOND * 10).await;
    assert!(!report.is_complete());
    assert_eq!(report.held(), ["shardId-000000000000"]);
    assert_eq!(leases.shutdown(SECOND).await.held(), report.held(), "it is the same later");
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_a_worker_whose_task_is_gone_have_ended() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut shards = all_shards(&world.client, "orders").leased(&leases);
    let mut records = shards.next().await.unwrap().records(&world.client);
    let record = records.next().await.unwrap().unwrap();
    drop((shards, leases));
    assert_eq!(record.lease().unwrap().ended().await, LeaseEnd::Lost { to: None });
    record.ack();
    assert!(records.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_oldest_worker_that_does_not_poll_does_not_keep_the_others_from_reading() {
    let world = World::new(2);
    world.put(10);
    let _idle = Leases::join(&world.board, "application", "orders").await.unwrap();
    let _b = world.join("b").await;
    sleep(SECOND * 300).await;
    world.wait_for_all().await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_times_do_not_overflow() {
    let world = World::new(2);
    world.put(10);
    let options = LeaseOptions::new()
        .worker("a")
        .settle(Duration::MAX)
        .rest(Duration::MAX)
        .move_timeout(Duration::MAX);
    let a = world.join_with(options).await;
    let _b = world.join("b").await;
    world.wait_for_all().await;
    assert!(a.leases.shutdown(Duration::MAX).await.is_complete());
}
