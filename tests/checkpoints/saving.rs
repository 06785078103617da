//! How often, and what if it fails.

use super::store::Answer;
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
async fn many_records_are_saved_before_the_interval_is_over() {
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
    assert_eq!(calls, 1 + 3, "the start, and after each thousand");
    sleep(Duration::from_hours(2)).await;
    assert_eq!(world.store.calls(FIRST).len(), 1 + 3 + 1, "and the rest in time");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_is_asked_for_one_thing_of_a_shard_at_a_time_and_for_the_newest() {
    let world = World::new(1);
    world.put(0..50);
    let options =
        CheckpointOptions::new().save_interval(Duration::ZERO).save_timeout(Duration::from_mins(2));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    world.store.next([Answer::Late(Duration::from_mins(1))]);
    first.ack();
    sleep(MS).await;
    let mut last = None;
    for record in take(&mut records, 49).await {
        last = Some(record.ack());
        sleep(MS).await;
    }
    assert_eq!(world.store.calls(FIRST).len(), 2, "reading did not wait for it");
    checkpoints.flush().await;
    assert_eq!(world.store.calls(FIRST).len(), 3);
    assert_eq!(world.store.get(FIRST), Some(after(&last.unwrap())));
    assert_eq!(world.store.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn shards_are_saved_side_by_side_but_not_all_at_once() {
    let world = World::new(40);
    world.store.always(Answer::Late(Duration::from_secs(1)));
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_secs(20)).await;
    assert_eq!(world.store.most_at_once(), 16);
    assert_eq!(world.kinesis.count("GetShardIterator"), 40);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_again_ever_more_slowly_and_nothing_stops() {
    let world = World::new(1);
    world.put(0..5_000);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).auto_ack();
    next(&mut records).await;
    world.store.always(Answer::Fails);
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
async fn a_store_that_panics_is_one_that_fails() {
    let world = World::new(1);
    world.put(0..1);
    world.store.next([Answer::Panics]);
    let checkpoints = world.load().await;
    next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    assert_eq!(world.events()[0], "shardId-000000000000: failed 1");
    assert_eq!(world.store.get(FIRST), checkpoints.get(FIRST));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_confirmed_is_made_again() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    world.store.next([Answer::FailsButKeepsIt]);
    let first = first.ack();
    sleep(Duration::from_secs(10)).await;
    let again = Call::Save(after(&first));
    assert_eq!(world.store.calls(FIRST)[1..], [again.clone(), again]);
}

/// Above the limit a shard is not read on; the others are, and it is too when the store is back.
#[tokio::test(start_paused = true)]
async fn reading_pauses_when_the_store_is_down_for_too_long() {
    let world = World::new(1);
    world.put(0..10);
    let options = CheckpointOptions::new().store_outage_limit(Duration::from_mins(1));
    let checkpoints = world.load_with(options).await;
    let mut records = world.records(&checkpoints).auto_ack();
    take(&mut records, 10).await;
    world.store.always(Answer::Fails);
    nothing_for(&mut records, Duration::from_secs(30)).await;
    world.put(10..11);
    assert_eq!(number(&next(&mut records).await), 10, "the store is down for half a minute only");
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
    world.store.always(Answer::Fails);
    nothing_for(&mut records, Duration::from_hours(10)).await;
    world.put(1..2);
    assert_eq!(number(&next(&mut records).await), 1);
}

#[tokio::test(start_paused = true)]
async fn an_on_event_that_panics_ends_nothing() {
    let world = World::new(1);
    world.put(0..3);
    let options =
        CheckpointOptions::new().on_event(|_| panic!("on_event panics, as it was told to"));
    let checkpoints = Checkpoints::load_with(world.store.clone(), "orders", options).await.unwrap();
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await.ack();
    flush(&checkpoints).await;
    assert_eq!(world.store.get(FIRST), Some(after(&first)));
    let second = next(&mut records).await.ack();
    // A record that is dropped by a panic tells of it: that is no second one.
    let record = next(&mut records).await;
    let consumer = tokio::spawn(async move {
        let _record = record;
        panic!("the consumer panics, as it was told to")
    });
    assert!(consumer.await.unwrap_err().is_panic());
    flush(&checkpoints).await;
    assert_eq!(world.store.get(FIRST), Some(after(&second)));
}

async fn flush(checkpoints: &Checkpoints) {
    timeout(Duration::from_mins(1), checkpoints.flush()).await.expect("all is saved");
}

/// The task that saves is gone with it: while it waits for something to do, and while it saves.
#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_shut_down_takes_no_checkpoints_along() {
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
        let first = next(&mut records).await.ack();
        flush(&checkpoints).await;
        assert_eq!(world.store.get(FIRST), Some(after(&first)));
        next(&mut records).await.ack();
        assert!(checkpoints.shutdown(Duration::from_secs(1)).await.is_complete());
    }
}

/// More of them than are saved at a time.
#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_for_some_shards_is_one_that_fails_for_these() {
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

/// A save that takes for ever is under way; others wait for their turn. All of these are overdue.
#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_to_be_saved_pauses_too() {
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
    assert_eq!((paused, world.store.most_at_once()), (20, 16));
}

/// That it is not due yet is no outage.
#[tokio::test(start_paused = true)]
async fn a_long_interval_is_no_outage() {
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
async fn a_flush_does_not_wait_for_what_is_acknowledged_after_it() {
    const MOST: u32 = 5_000;
    let world = World::new(1);
    world.put(0..MOST);
    let checkpoints = world.load_with(CheckpointOptions::new().save_interval(Duration::ZERO)).await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await.ack();
    world.store.always(Answer::Late(50 * MS));
    let busy = async {
        for _ in 1..MOST {
            next(&mut records).await.ack();
            sleep(MS).await;
        }
    };
    let flush = async {
        sleep(MS).await;
        checkpoints.flush().await;
    };
    tokio::select! {
        () = busy => panic!("the flush has waited for all"),
        () = flush => {}
    }
    let saved = world.store.get(FIRST);
    assert!(
        saved.is_some() && saved != Some(Checkpoint::Start(StartPosition::TrimHorizon)),
        "{first:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_hurried_while_a_save_fails_is_tried_again_soon() {
    let world = World::new(1);
    world.put(0..1);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let record = next(&mut records).await;
    world.store.always(Answer::LateAndFails(Duration::from_secs(1)));
    record.ack();
    // Until it is tried but every few seconds.
    sleep(Duration::from_mins(2)).await;
    let attempts = world.store.calls(FIRST).len();
    while world.store.calls(FIRST).len() == attempts {
        sleep(10 * MS).await;
    }
    world.store.always(None);
    // This attempt fails.
    checkpoints.flush().await;
    let times = world.store.times(FIRST);
    let [.., failed, then] = times.as_slice() else { unreachable!("two and more") };
    assert_eq!(times.len(), attempts + 2);
    assert!(*then - *failed <= 1_200 * MS, "{:?}", *then - *failed);
}

#[tokio::test(start_paused = true)]
async fn the_records_that_one_acknowledgement_sets_free_are_counted() {
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
async fn times_without_end_are_times() {
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
    let stopped = checkpoints.shutdown(Duration::MAX).await;
    assert!(stopped.is_complete(), "{stopped}");
}
