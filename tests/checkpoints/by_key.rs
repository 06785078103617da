//! Records that are processed concurrently, those of one key one after another.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::{FutureExt, ready};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The records whose processing began, and the keys in flight.
#[derive(Clone, Default)]
struct Processed(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    numbers: Vec<u32>,
    in_flight: BTreeSet<String>,
    max_in_flight: usize,
}

impl Processed {
    /// Processes a record. No other record of its key may be in flight.
    async fn process(self, record: Record, time: Duration) {
        let key = record.partition_key().unwrap().to_owned();
        {
            let mut state = self.0.lock().unwrap();
            assert!(state.in_flight.insert(key.clone()), "two records of {key} are in flight");
            state.max_in_flight = state.max_in_flight.max(state.in_flight.len());
            state.numbers.push(number(&record));
        }
        sleep(time).await;
        self.0.lock().unwrap().in_flight.remove(&key);
    }

    fn numbers(&self) -> Vec<u32> {
        self.0.lock().unwrap().numbers.clone()
    }

    fn max_in_flight(&self) -> usize {
        self.0.lock().unwrap().max_in_flight
    }
}

impl World {
    /// Puts the next records, with these keys.
    fn put_keys(&self, keys: &[&str]) {
        for key in keys {
            let number = self.orders.records(FIRST).len();
            self.orders.put_to_with_key(FIRST, key, number.to_string());
        }
    }

    fn unacknowledged(checkpoints: &Checkpoints) -> u64 {
        checkpoints.status().iter().map(|shard| shard.unacknowledged).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_processed_concurrently_and_the_records_of_a_key_in_order() {
    for (limit, max_in_flight) in [(8, 3), (2, 2), (1, 1)] {
        let world = World::new(1);
        world.put_keys(&["a", "a", "b", "c", "b", "a", "c", "c", "a"]);
        let checkpoints = world.load().await;
        let processed = Processed::default();
        let consumer = tokio::spawn(world.records(&checkpoints).for_each_by_key(limit, {
            let processed = processed.clone();
            move |record| processed.clone().process(record.unwrap(), SECOND)
        }));
        sleep(Duration::from_mins(1)).await;
        let report = checkpoints.shutdown(SECOND).await;
        consumer.await.unwrap();
        assert!(report.is_complete(), "{report}");
        assert_eq!(processed.max_in_flight(), max_in_flight);
        for key in [[0, 1, 5, 8].as_slice(), &[2, 4], &[3, 6, 7]] {
            let numbers = processed.numbers();
            let of_key: Vec<_> = numbers.iter().filter(|number| key.contains(number)).collect();
            assert!(of_key.into_iter().eq(key), "{numbers:?}");
        }
        let last = &world.orders.records(FIRST)[8];
        assert_eq!(world.store.get(FIRST).unwrap().to_string(), last.sequence_number());
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_acknowledged_when_its_future_is_ready() {
    let world = World::new(1);
    world.put_keys(&["a", "b"]);
    let checkpoints = world.load().await;
    let consumer = tokio::spawn(world.records(&checkpoints).for_each_by_key(8, |record| {
        let number = number(&record.unwrap());
        sleep(SECOND * (20 - 10 * number))
    }));
    sleep(SECOND * 15).await;
    assert_eq!(World::unacknowledged(&checkpoints), 1, "the second is acknowledged");
    let start = Checkpoint::Start(StartPosition::TrimHorizon);
    assert_eq!(checkpoints.get(FIRST), Some(start));
    sleep(SECOND * 15).await;
    assert_eq!(World::unacknowledged(&checkpoints), 0);
    assert!(matches!(checkpoints.get(FIRST), Some(Checkpoint::After { .. })));
    consumer.abort();
}

/// Counts the polls of a future.
struct Counted<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.future.as_mut().poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn the_records_that_wait_for_a_hot_key_are_bounded_and_cost_no_polls() {
    for (max_waiting, unacknowledged) in [(None, 21), (Some(5), 6), (Some(0), 2)] {
        let world = World::new(1);
        world.put_keys(&["hot"; 100]);
        world.put_keys(&["cold"]);
        let checkpoints = world.load().await;
        let mut stuck = world.records(&checkpoints).for_each_by_key(2, |_| pending());
        if let Some(records) = max_waiting {
            stuck = stuck.max_waiting(records);
        }
        let polls = Arc::<AtomicUsize>::default();
        let future = Box::pin(stuck);
        let consumer = tokio::spawn(Counted { future, polls: Arc::clone(&polls) });
        // The timer of the next listing wakes it once.
        sleep(SECOND * 60).await;
        assert_eq!(World::unacknowledged(&checkpoints), unacknowledged);
        let before = polls.load(Ordering::Relaxed);
        sleep(Duration::from_hours(1)).await;
        assert_eq!(polls.load(Ordering::Relaxed), before, "nothing can be done");
        assert_eq!(World::unacknowledged(&checkpoints), unacknowledged);
        consumer.abort();
    }
}

/// Each poll takes a bounded number of records, so that other futures of the task are polled.
#[tokio::test(start_paused = true)]
async fn a_page_of_records_that_are_ready_does_not_block_the_task() {
    let world = World::new(1);
    for number in 0..2_000 {
        world.orders.put_to_with_key(FIRST, &format!("customer {number}"), number.to_string());
    }
    let checkpoints = world.load().await;
    let taken = AtomicUsize::new(0);
    let mut all = pin!(world.records(&checkpoints).for_each_by_key(16, |_| {
        taken.fetch_add(1, Ordering::Relaxed);
        ready(())
    }));
    let mut most = 0;
    while taken.load(Ordering::Relaxed) < 2_000 {
        let before = taken.load(Ordering::Relaxed);
        assert!(poll!(&mut all).is_pending());
        most = most.max(taken.load(Ordering::Relaxed) - before);
        sleep(Duration::from_millis(1)).await;
    }
    assert!((100..=300).contains(&most), "{most} records in one poll");
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_in_order_across_a_split_and_a_merge() {
    let world = World::new(1);
    let put = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            for key in ["customer 1", "customer 2", "customer 3", "customer 4"] {
                world.orders.put(key, number.to_string());
            }
        }
    };
    put(0..3);
    let (lower, upper) = world.orders.split(FIRST);
    put(3..6);
    world.orders.merge(&lower, &upper);
    put(6..9);
    let checkpoints = world.load().await;
    let by_key = Arc::<Mutex<std::collections::BTreeMap<String, Vec<u32>>>>::default();
    let consumer = tokio::spawn(world.records(&checkpoints).for_each_by_key(3, {
        let by_key = Arc::clone(&by_key);
        move |record| {
            let record = record.unwrap();
            let key = record.partition_key().unwrap().to_owned();
            let number = number(&record);
            by_key.lock().unwrap().entry(key).or_default().push(number);
            sleep(SECOND * (number * 7 % 5))
        }
    }));
    sleep(Duration::from_mins(5)).await;
    assert!(checkpoints.shutdown(SECOND).await.is_complete());
    consumer.await.unwrap();
    let by_key = by_key.lock().unwrap();
    assert_eq!(by_key.len(), 4);
    assert!(by_key.values().all(|numbers| *numbers == (0..9).collect::<Vec<_>>()), "{by_key:?}");
    assert_eq!(world.store.get(&upper), Some(Checkpoint::End));
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_it_and_the_records_in_flight_come_again() {
    let world = World::new(1);
    world.put_keys(&["a", "b", "c", "b"]);
    let checkpoints = world.load().await;
    let result = world.records(&checkpoints).try_for_each_by_key(8, |record| async move {
        match number(&record) {
            0 => Ok(()),
            1 => {
                sleep(SECOND).await;
                Err(Failure::from("rejected"))
            }
            _ => pending().await,
        }
    });
    assert_eq!(result.await.unwrap_err().to_string(), "rejected");
    assert_eq!(World::unacknowledged(&checkpoints), 0, "they were dropped");
    let events = world.events();
    assert!(!events.iter().any(|event| event.contains("Unacknowledged")), "{events:?}");
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 3).await), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_the_stream_are_not_swallowed() {
    let world = World::new(1);
    world.put_keys(&["a"]);
    world.kinesis.fail_next("GetRecords", Fault::KmsDisabled);
    let checkpoints = world.load().await;
    let failed =
        world.records(&checkpoints).try_for_each_by_key(8, |_| ready(Ok::<_, ReadError>(())));
    let error = failed.await.unwrap_err();
    assert_eq!(error.code(), Some("KMSDisabledException"));

    world.kinesis.fail_next("GetRecords", Fault::KmsDisabled);
    let items = Arc::<Mutex<Vec<_>>>::default();
    let consumer = tokio::spawn(world.records(&checkpoints).for_each_by_key(8, {
        let items = Arc::clone(&items);
        move |record| {
            let item = record.map(|record| number(&record));
            items.lock().unwrap().push(item.map_err(|error| error.code().map(str::to_owned)));
            ready(())
        }
    }));
    sleep(SECOND * 30).await;
    let error = Err(Some("KMSDisabledException".to_owned()));
    assert_eq!(*items.lock().unwrap(), [error, Ok(0)], "the shard is offered again");
    assert!(checkpoints.shutdown(SECOND).await.is_complete());
    consumer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_records_that_wait_for_their_key() {
    let world = World::new(1);
    world.put_keys(&["a"; 6]);
    let checkpoints = world.load().await;
    let processed = Processed::default();
    let consumer = tokio::spawn(world.records(&checkpoints).for_each_by_key(2, {
        let processed = processed.clone();
        move |record| processed.clone().process(record.unwrap(), SECOND)
    }));
    sleep(SECOND * 2).await;
    let report = checkpoints.shutdown(SECOND * 30).await;
    consumer.await.unwrap();
    assert!(report.is_complete(), "{report}");
    assert_eq!(processed.numbers(), (0..6).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_future_panics_comes_again() {
    let world = World::new(1);
    world.put_keys(&["a", "b"]);
    let checkpoints = world.load().await;
    let consumer = world.records(&checkpoints).for_each_by_key(8, |record| async move {
        assert_eq!(number(&record.unwrap()), 0, "panics, as scripted");
    });
    assert!(tokio::spawn(consumer).await.unwrap_err().is_panic());
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 1).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn another_key_may_be_set() {
    let world = World::new(1);
    world.put_keys(&["a"; 6]);
    let checkpoints = world.load().await;
    let processed = Arc::<Mutex<Vec<u32>>>::default();
    let future = world.records(&checkpoints).for_each_by_key(8, {
        let processed = Arc::clone(&processed);
        move |record| {
            processed.lock().unwrap().push(number(&record.unwrap()));
            sleep(SECOND * 10)
        }
    });
    let consumer = tokio::spawn(future.key_by(|record| number(record) % 2));
    sleep(SECOND * 5).await;
    assert_eq!(*processed.lock().unwrap(), [0, 1]);
    sleep(SECOND * 10).await;
    assert_eq!(*processed.lock().unwrap(), [0, 1, 2, 3]);
    consumer.abort();
}

#[tokio::test(start_paused = true)]
async fn the_records_of_one_shard_are_processed_to_its_end() {
    let world = World::new(1);
    world.put_keys(&["a", "b", "a"]);
    world.orders.split(FIRST);
    let checkpoints = world.load().await;
    let shard = world.shards().checkpoints(&checkpoints).next().await.unwrap();
    let processed = Processed::default();
    let each = |record| processed.clone().process(record, SECOND).map(Ok::<_, ReadError>);
    let all = shard.records(&world.client).try_for_each_by_key(8, each);
    timeout(Duration::from_mins(1), all).await.expect("the end").unwrap();
    assert_eq!(processed.numbers(), [0, 1, 2]);
    assert_eq!(world.store.get(FIRST), Some(Checkpoint::End));
}

#[tokio::test]
#[should_panic(expected = "the limit is 0")]
async fn a_limit_of_zero_is_refused() {
    let world = World::new(1);
    let checkpoints = world.load().await;
    drop(world.records(&checkpoints).for_each_by_key(0, |_| ready(())));
}
