//! When checkpoints are saved, and what happens if the store fails.

use super::store::Response;
use super::*;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_saved_together() {
    let world = World::new(1);
    world.put(0..500);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut last = None;
    let began = Instant::now();
    for record in take(&mut records, 500).await {
        last = Some(record.ack());
    }
    sleep(Duration::from_secs(30)).await;
    let last = Call::Save(after(last.as_ref().unwrap()));
    assert_eq!(
        world.store.calls(FIRST),
        [Call::Save(Checkpoint::Start(StartPosition::TrimHorizon)), last]
    );
    let waited = world.store.times(FIRST)[1] - began;
    assert!((5_000 * MS..5_500 * MS).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn many_acknowledgements_are_saved_before_the_interval_has_passed() {
    let world = World::new(1);
    world.put(0..3_500);
    let checkpoints =
        world.load_with(CheckpointOptions::new().save_interval(Duration::from_hours(1))).await;
    let mut records = world.records(&checkpoints).auto_ack();
    for _ in 0..3_500 {
        next(&mut records).await;
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(1)).await;
    let calls = world.store.calls(FIRST).len();
    assert_eq!(calls, 1 + 3, "the start, and one save for each thousand");
    sleep(Duration::from_hours(2)).await;
    assert_eq!(world.store.calls(FIRST).len(), 1 + 3 + 1, "the rest after the interval");
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_has_one_save_of_a_shard_in_flight_and_then_the_newest() {
    let world = World::new(1);
    world.put(0..50);
    let options =
        CheckpointOptions::new().save_interval(Duration::ZERO).save_timeout(Duration::from_mins(2));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    world.store.next([Response::Late(Duration::from_mins(1))]);
    first.ack();
    sleep(MS).await;
    let mut last = None;
    for record in take(&mut records, 49).await {
        last = Some(record.ack());
        sleep(MS).await;
    }
    assert_eq!(world.store.calls(FIRST).len(), 2, "reading did not wait for the save");
    checkpoints.flush().await;
    assert_eq!(world.store.calls(FIRST).len(), 3);
    assert_eq!(world.store.get(FIRST), Some(after(&last.unwrap())));
    assert_eq!(world.store.max_in_flight(), 1);
}

#[tokio::test(start_paused = true)]
async fn up_to_16_shards_are_saved_concurrently() {
    let world = World::new(40);
    world.store.always(Response::Late(Duration::from_secs(1)));
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_secs(20)).await;
    assert_eq!(world.store.max_in_flight(), 16);
    assert_eq!(world.kinesis.count("GetShardIterator"), 40);
}

#[tokio::test(start_paused = true)]
async fn failed_saves_are_retried_with_a_growing_delay_and_reading_continues() {
    let world = World::new(1);
    world.put(0..5_000);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    world.store.always(Response::Fails);
    let began = Instant::now();
    for _ in 0..4_000 {
        next(&mut records).await;
        sleep(MS).await;
    }
    sleep(Duration::from_mins(2)).await;
    let attempts = world.store.calls(FIRST).len();
    assert!((10..40).contains(&attempts), "{attempts} attempts in {:?}", began.elapsed());
    assert!(world.events().iter().any(|event| event == "shardId-000000000000: failed 5"));
    world.store.always(None);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
}

#[tokio::test(start_paused = true)]
async fn the_first_retry_follows_within_a_fifth_of_a_second() {
    let world = World::new(1);
    world.store.next([Response::Fails]);
    let checkpoints = world.load().await;
    nothing_for(&mut world.records(&checkpoints), Duration::from_secs(10)).await;
    let times = world.store.times(FIRST);
    let delay = times[1] - times[0];
    assert!(delay > Duration::ZERO && delay <= 200 * MS, "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn a_save_without_a_response_fails_at_its_timeout() {
    let world = World::new(1);
    world.store.silent_for([FIRST]);
    let errors = Arc::<Mutex<Vec<String>>>::default();
    let options = CheckpointOptions::new().save_timeout(Duration::from_secs(3)).on_event({
        let errors = Arc::clone(&errors);
        move |event| {
            if let CheckpointEventKind::SaveFailed { error, .. } = &event.kind {
                errors.lock().unwrap().push(error.to_string());
            }
        }
    });
    let checkpoints = world.load_with(options).await;
    nothing_for(&mut world.records(&checkpoints), Duration::from_secs(4)).await;
    assert_eq!(*errors.lock().unwrap(), ["no response from the store within 3s"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_store_is_a_failed_save() {
    let world = World::new(1);
    world.put(0..1);
    world.store.next([Response::Panics]);
    let checkpoints = world.load().await;
    next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    assert_eq!(world.events()[0], "shardId-000000000000: failed 1");
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_save_is_retried() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    world.store.next([Response::FailsAfterSaving]);
    let first = first.ack();
    sleep(Duration::from_secs(10)).await;
    let again = Call::Save(after(&first));
    assert_eq!(world.store.calls(FIRST)[1..], [again.clone(), again]);
}

/// Reading continues when the store is back.
#[tokio::test(start_paused = true)]
async fn reading_pauses_when_the_store_is_down_for_too_long() {
    let world = World::new(1);
    world.put(0..10);
    let options = CheckpointOptions::new().store_outage_limit(Duration::from_mins(1));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints).auto_ack();
    take(&mut records, 10).await;
    world.store.always(Response::Fails);
    nothing_for(&mut records, Duration::from_secs(30)).await;
    world.put(10..11);
    assert_eq!(number(&next(&mut records).await), 10, "the store has been down for half a minute");
    nothing_for(&mut records, Duration::from_mins(1)).await;
    world.put(11..12);
    nothing_for(&mut records, Duration::from_mins(30)).await;
    let paused: Vec<_> =
        world.events().into_iter().filter(|event| event.contains("Paused")).collect();
    assert_eq!(paused.len(), 1, "{paused:?}");
    world.store.always(None);
    assert_eq!(number(&next(&mut records).await), 11);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_reading_never_pauses() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load_with(CheckpointOptions::new().store_outage_limit(None)).await;
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    world.store.always(Response::Fails);
    nothing_for(&mut records, Duration::from_hours(10)).await;
    world.put(1..2);
    assert_eq!(number(&next(&mut records).await), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_event_has_no_effect() {
    let world = World::new(1);
    world.put(0..3);
    let options = CheckpointOptions::new().on_event(|_| panic!("on_event panics, as scripted"));
    let checkpoints = Checkpoints::load_with(world.store.clone(), "orders", options).await.unwrap();
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await.ack();
    flush(&checkpoints).await;
    assert_eq!(world.store.get(FIRST), Some(after(&first)));
    let second = next(&mut records).await.ack();
    // A record that is dropped by a panic calls `on_event`, whose panic must not abort the process.
    let record = next(&mut records).await;
    let consumer = tokio::spawn(async move {
        let _record = record;
        panic!("the consumer panics, as scripted")
    });
    assert!(consumer.await.unwrap_err().is_panic());
    flush(&checkpoints).await;
    assert_eq!(world.store.get(FIRST), Some(after(&second)));
}

async fn flush(checkpoints: &Checkpoints) {
    timeout(Duration::from_mins(1), checkpoints.flush())
        .await
        .expect("not all was saved within a minute");
}

/// The save task is idle, or has a save in flight, when its runtime is shut down.
#[tokio::test(start_paused = true)]
async fn the_save_task_moves_from_a_runtime_that_was_shut_down() {
    for is_saving in [false, true] {
        let world = World::new(1);
        world.put(0..3);
        world.store.silent_for(is_saving.then_some(FIRST));
        let checkpoints = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .start_paused(true)
                    .build();
                runtime.unwrap().block_on(async {
                    let checkpoints = world.load().await;
                    let mut records = world.records(&checkpoints);
                    if is_saving {
                        nothing_for(&mut records, Duration::from_secs(1)).await;
                    }
                    checkpoints
                })
            });
            other.join().unwrap()
        });
        assert_eq!(world.store.calls(FIRST).len(), usize::from(is_saving));
        world.store.silent_for([]);
        let mut records = world.records(&checkpoints);
        let first = timeout(Duration::from_secs(1), next(&mut records)).await;
        let first = first.expect("another save task at once").ack();
        flush(&checkpoints).await;
        assert_eq!(world.store.get(FIRST), Some(after(&first)));
        next(&mut records).await.ack();
        assert!(checkpoints.shutdown(Duration::from_secs(1)).await.is_complete());
    }
}

/// More shards than the limit of concurrent saves get no response.
#[tokio::test(start_paused = true)]
async fn saves_without_a_response_fail_and_do_not_block_others() {
    let world = World::new(20);
    let shards = world.orders.open_shards();
    world.store.silent_for(shards[..18].iter().map(String::as_str));
    for (n, id) in (0..).zip(&shards) {
        world.orders.put_to(id, u32::to_string(&n));
    }
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let mut seen = numbers(&take(&mut records, 2).await);
    seen.sort_unstable();
    assert_eq!(seen, [18, 19]);
    nothing_for(&mut records, Duration::from_mins(2)).await;
    let failed = format!("{}: failed 1", shards[0]);
    assert!(world.events().contains(&failed), "{:?}", world.events());
    world.store.silent_for([]);
    take(&mut records, 18).await;
}

/// 16 saves get no response, and the others wait for them. All are overdue.
#[tokio::test(start_paused = true)]
async fn a_shard_that_waits_for_other_saves_pauses_too() {
    let world = World::new(20);
    let shards = world.orders.open_shards();
    for id in &shards {
        world.orders.put_to(id, "1");
    }
    let options = CheckpointOptions::new()
        .save_timeout(Duration::MAX)
        .store_outage_limit(Duration::from_mins(1));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints);
    let taken = take(&mut records, 20).await;
    world.store.silent_for(shards.iter().map(String::as_str));
    for record in taken {
        record.ack();
    }
    nothing_for(&mut records, Duration::from_mins(5)).await;
    let paused = world.events().into_iter().filter(|event| event.contains("Paused")).count();
    assert_eq!((paused, world.store.max_in_flight()), (20, 16));
}

#[tokio::test(start_paused = true)]
async fn a_long_save_interval_is_not_an_outage() {
    let world = World::new(1);
    world.put(0..1);
    let options = CheckpointOptions::new()
        .save_interval(Duration::from_mins(10))
        .store_outage_limit(Duration::from_mins(1));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    nothing_for(&mut records, Duration::from_hours(1)).await;
    assert!(!world.events().iter().any(|event| event.contains("Paused")), "{:?}", world.events());
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_later_acknowledgements() {
    const RECORDS: u32 = 5_000;
    let world = World::new(1);
    world.put(0..RECORDS);
    let checkpoints = world.load_with(CheckpointOptions::new().save_interval(Duration::ZERO)).await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await.ack();
    world.store.always(Response::Late(50 * MS));
    let busy = async {
        for _ in 1..RECORDS {
            next(&mut records).await.ack();
            sleep(MS).await;
        }
    };
    let flush = async {
        sleep(MS).await;
        checkpoints.flush().await;
    };
    tokio::select! {
        () = busy => panic!("the flush waited for all acknowledgements"),
        () = flush => {}
    }
    let saved = world.store.get(FIRST);
    assert!(
        saved.is_some() && saved != Some(Checkpoint::Start(StartPosition::TrimHorizon)),
        "{first:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_flush_during_a_failing_save_shortens_the_backoff() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let record = next(&mut records).await;
    world.store.always(Response::LateAndFails(Duration::from_secs(1)));
    record.ack();
    // The backoff has grown to several seconds.
    sleep(Duration::from_mins(2)).await;
    let attempts = world.store.calls(FIRST).len();
    while world.store.calls(FIRST).len() == attempts {
        sleep(10 * MS).await;
    }
    world.store.always(None);
    // The save in flight fails.
    checkpoints.flush().await;
    let times = world.store.times(FIRST);
    let [.., failed, then] = times.as_slice() else { unreachable!("two and more") };
    assert_eq!(times.len(), attempts + 2);
    assert!(*then - *failed <= 1_200 * MS, "{:?}", *then - *failed);
}

#[tokio::test(start_paused = true)]
async fn all_records_that_an_acknowledgement_adds_to_the_prefix_are_counted() {
    let world = World::new(1);
    world.put(0..30);
    let options = CheckpointOptions::new().save_interval(Duration::from_hours(1)).save_records(30);
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints);
    let mut last = None;
    for record in take(&mut records, 30).await.into_iter().rev() {
        let record = record.ack();
        last = last.or(Some(record));
    }
    sleep(MS).await;
    assert_eq!(world.store.get(FIRST), last.as_ref().map(after));
}

#[tokio::test(start_paused = true)]
async fn durations_may_be_unlimited() {
    let world = World::new(1);
    world.put(0..2);
    let options = CheckpointOptions::new()
        .save_interval(Duration::MAX)
        .save_timeout(Duration::MAX)
        .store_outage_limit(Duration::MAX);
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    next(&mut records).await.ack();
    let report = checkpoints.shutdown(Duration::MAX).await;
    assert!(report.is_complete(), "{report}");
}
