//! Workers that read by enhanced fan-out, as one consumer.

use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use kinesis_shards::ReadOptions;
use kinesis_shards::lease::LeaseEnd;
use kinesis_shards::records::{FanOut, ReadEventKind};

use super::*;

/// A worker that subscribes, and the codes of the errors that its readers have retried.
struct Subscriber {
    leases: Leases,
    task: JoinHandle<()>,
    retries: Arc<Mutex<Vec<String>>>,
    lease_events: Arc<Mutex<Vec<LeaseEventKind>>>,
}

impl World {
    /// Creates a stream with AWS's limits and the consumer `billing`.
    fn with_consumer(shards: u32) -> (Self, FanOut) {
        let world = Self::new(shards);
        world.kinesis.set_limits(Limits::aws());
        let consumer = FanOut::consumer(world.orders.register_consumer("billing"));
        (world, consumer)
    }

    async fn subscribe(&self, worker: &str, consumer: &FanOut) -> Subscriber {
        self.subscribe_and_hold(worker, consumer, Duration::ZERO).await
    }

    /// Joins a worker that acknowledges each record after this time.
    async fn subscribe_and_hold(
        &self,
        worker: &str,
        consumer: &FanOut,
        hold: Duration,
    ) -> Subscriber {
        let lease_events = Arc::<Mutex<Vec<_>>>::default();
        let options = LeaseOptions::new().worker(worker).on_event({
            let events = Arc::clone(&lease_events);
            move |event| events.lock().unwrap().push(event.kind.clone())
        });
        let leases = Leases::join_with(&self.board, "application", "orders", options).await;
        let leases = leases.unwrap();
        let retries = Arc::<Mutex<Vec<_>>>::default();
        let options = ReadOptions::new().fan_out(consumer).on_event({
            let retries = Arc::clone(&retries);
            move |event| {
                if let ReadEventKind::Retry { error, .. } = event.kind {
                    retries.lock().unwrap().push(error.code().unwrap_or("none").to_owned());
                }
            }
        });
        let world = self.clone();
        let task = tokio::spawn({
            let leases = leases.clone();
            async move {
                let shards = all_shards(&world.client, "orders").leased(&leases);
                let mut records = shards.records(&world.client).with_options(options);
                while let Some(record) = records.next().await {
                    if let Ok(record) = record {
                        world.note(&leases, &record);
                        tokio::spawn(async move {
                            sleep(hold).await;
                            record.ack();
                        });
                    }
                }
            }
        });
        Subscriber { leases, task, retries, lease_events }
    }
}

impl Subscriber {
    fn retries(&self) -> Vec<String> {
        std::mem::take(&mut *self.retries.lock().unwrap())
    }

    fn ends(&self) -> Vec<LeaseEnd> {
        let events = self.lease_events.lock().unwrap();
        let ends = events.iter().filter_map(|event| match event {
            LeaseEventKind::Ended { end, .. } => Some(end.clone()),
            _ => None,
        });
        ends.collect()
    }
}

/// AWS refuses a second subscription within 5 s, and lets it take over after that.
#[tokio::test(start_paused = true)]
async fn a_worker_ends_its_subscription_before_it_gives_the_shard_away() {
    let (world, consumer) = World::with_consumer(8);
    world.put(50);
    let a = world.subscribe("a", &consumer).await;
    world.wait_for_all().await;
    sleep(SECOND * 60).await;
    let b = world.subscribe("b", &consumer).await;
    for _ in 0..120 {
        world.put(8);
        sleep(SECOND).await;
    }
    world.wait_for_all().await;
    assert_eq!(world.owners(), [("a".to_owned(), 4), ("b".to_owned(), 4)].into());
    assert_eq!(world.repeated(), 0);
    assert_eq!((a.retries(), b.retries()), (Vec::new(), Vec::new()));
    assert!(a.leases.shutdown(SECOND * 25).await.is_complete());
    world.put(8);
    world.wait_for_all().await;
    assert_eq!(world.repeated(), 0);
    assert!(b.retries().is_empty());
    world.assert_tokens_grow();
    b.task.abort();
}

/// The records in flight are waited for, and none is delivered meanwhile.
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_being_given_away_has_no_subscriber() {
    let (world, consumer) = World::with_consumer(8);
    let shards = world.orders.open_shards();
    let a = world.subscribe_and_hold("a", &consumer, SECOND * 20).await;
    sleep(SECOND * 60).await;
    assert!(shards.iter().all(|shard| world.orders.subscribers(shard) == ["billing"]));
    let b = world.subscribe("b", &consumer).await;
    let mut without_subscriber = 0;
    for _ in 0..120 {
        world.put(50);
        sleep(SECOND).await;
        if world.owners() == [("a".to_owned(), 8)].into() {
            let is_free = |shard: &&String| world.orders.subscribers(shard).is_empty();
            let free = shards.iter().filter(is_free).count();
            without_subscriber = without_subscriber.max(free);
        }
    }
    assert!(without_subscriber > 0, "no move has waited for records in flight");
    assert_eq!(world.owners(), [("a".to_owned(), 4), ("b".to_owned(), 4)].into());
    assert_eq!(world.repeated(), 0);
    a.task.abort();
    b.task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_takeover_makes_the_worker_check_its_lease() {
    let (world, consumer) = World::with_consumer(1);
    world.put(4);
    let a = world.subscribe("a", &consumer).await;
    world.wait_for_all().await;
    sleep(SECOND * 10).await;
    // Nothing but a write to the row shows that the lease is gone.
    world.board.delete_lease("application", "shardId-000000000000");
    sleep(SECOND).await;
    assert!(a.ends().is_empty(), "no write has noticed it");
    let other = subscribe_at_latest(&world, &consumer).await;
    sleep(SECOND).await;
    assert_eq!(a.ends(), [LeaseEnd::Lost { to: None }]);
    assert_eq!(a.retries()[0], "ResourceInUseException");
    drop(other);
    a.task.abort();
}

/// Another application uses the consumer by mistake.
#[tokio::test(start_paused = true)]
async fn a_takeover_by_a_stranger_costs_neither_the_lease_nor_a_record() {
    let (world, consumer) = World::with_consumer(1);
    world.put(4);
    let a = world.subscribe("a", &consumer).await;
    world.wait_for_all().await;
    for _ in 0..3 {
        sleep(SECOND * 10).await;
        let other = subscribe_at_latest(&world, &consumer).await;
        world.put(4);
        world.wait_for_all().await;
        drop(other);
    }
    assert_eq!(world.repeated(), 0);
    assert!(a.ends().is_empty());
    let retries = a.retries();
    assert!(retries.len() >= 3, "{retries:?}");
    assert!(retries.iter().all(|code| code == "ResourceInUseException"), "{retries:?}");
    world.assert_tokens_grow();
    a.task.abort();
}

async fn subscribe_at_latest(
    world: &World,
    consumer: &FanOut,
) -> aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput {
    let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
    let request = world.client.subscribe_to_shard().consumer_arn(consumer.arn());
    request.shard_id("shardId-000000000000").starting_position(latest).send().await.unwrap()
}
