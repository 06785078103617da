//! Many workers in one process, on a paused clock: the fake Kinesis, and the tables in memory.
#![cfg(all(feature = "testing", feature = "dynamodb"))]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::checkpoint::{Checkpoint, CheckpointOptions, UnackedRecord};
use kinesis_shards::lease::{LeaseEventKind, LeaseOptions, Leases};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, LeaseBoard, Limits};
use kinesis_shards::{Record, ShardStreamExt, all_shards};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

mod combinators;
mod consumers;
mod costs;
mod fan_out;
mod members;
mod moves;
mod random;
mod takeover;

/// One stream with the workers of one application, and what they were delivered.
#[derive(Clone)]
struct World {
    kinesis: FakeKinesis,
    orders: FakeStream,
    client: Client,
    board: LeaseBoard,
    log: Arc<Mutex<Vec<Delivery>>>,
    put: Arc<Mutex<usize>>,
}

/// A record that was delivered.
#[derive(Clone, Debug)]
struct Delivery {
    at: Instant,
    worker: String,
    shard: String,
    token: u64,
    number: usize,
}

/// A worker, and the task that consumes its records.
struct Worker {
    leases: Leases,
    task: JoinHandle<Option<String>>,
    events: Arc<Mutex<Vec<LeaseEventKind>>>,
}

const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn new(shards: u32) -> Self {
        let kinesis = FakeKinesis::new();
        kinesis.set_limits(Limits::none());
        let orders = kinesis.create_stream("orders", shards);
        let client = kinesis.client();
        let (log, put) = (Arc::default(), Arc::default());
        Self { kinesis, orders, client, board: LeaseBoard::new(), log, put }
    }

    /// Puts records with numbers that grow from 0, over all shards.
    fn put(&self, records: usize) {
        let mut put = self.put.lock().unwrap();
        for _ in 0..records {
            self.orders.put(&format!("customer {}", *put % 50), put.to_string());
            *put += 1;
        }
    }

    async fn join(&self, worker: &str) -> Worker {
        self.join_with(LeaseOptions::new().worker(worker)).await
    }

    async fn join_with(&self, options: LeaseOptions) -> Worker {
        self.try_join(options).await.unwrap()
    }

    /// Joins a worker that acknowledges each record. Its task returns the last error.
    async fn try_join(
        &self,
        options: LeaseOptions,
    ) -> Result<Worker, kinesis_shards::lease::LeaseError> {
        let events = Arc::<Mutex<Vec<_>>>::default();
        let options = options.on_event({
            let events = Arc::clone(&events);
            move |event| events.lock().unwrap().push(event.kind.clone())
        });
        let leases = Leases::join_with(&self.board, "application", "orders", options).await?;
        let world = self.clone();
        let task = tokio::spawn({
            let leases = leases.clone();
            async move {
                let mut records =
                    all_shards(&world.client, "orders").leased(&leases).records(&world.client);
                let mut last_error = None;
                while let Some(record) = records.next().await {
                    match record {
                        Ok(record) => {
                            world.note(&leases, &record);
                            record.ack();
                        }
                        Err(error) => last_error = Some(error.to_string()),
                    }
                }
                last_error
            }
        });
        Ok(Worker { leases, task, events })
    }

    /// Notes a record that was delivered to a worker.
    fn note(&self, leases: &Leases, record: &UnackedRecord) {
        self.log.lock().unwrap().push(Delivery {
            at: Instant::now(),
            worker: leases.worker_id().to_owned(),
            shard: record.shard_id().to_owned(),
            token: record.lease().expect("a lease").token(),
            number: number(record),
        });
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until every record was delivered.
    async fn wait_for_all(&self) {
        let put = *self.put.lock().unwrap();
        for _ in 0..600 {
            let numbers: BTreeSet<_> = self.deliveries().iter().map(|d| d.number).collect();
            if numbers.len() == put {
                return;
            }
            sleep(SECOND).await;
        }
        let numbers: BTreeSet<_> = self.deliveries().iter().map(|d| d.number).collect();
        let missing: Vec<_> = (0..put).filter(|number| !numbers.contains(number)).collect();
        panic!("{missing:?} did not come: {:#?}", self.board.leases("application"));
    }

    /// Returns how many records were delivered more than once.
    fn repeated(&self) -> usize {
        let deliveries = self.deliveries();
        let numbers: BTreeSet<_> = deliveries.iter().map(|d| d.number).collect();
        deliveries.len() - numbers.len()
    }

    /// Returns the number of open leases of each worker.
    fn owners(&self) -> BTreeMap<String, usize> {
        let mut owners = BTreeMap::new();
        for lease in self.board.leases("application") {
            if lease.checkpoint != Checkpoint::End {
                *owners.entry(lease.owner.unwrap_or_default()).or_default() += 1;
            }
        }
        owners
    }

    /// Checks that no record of a shard was delivered under a token that is smaller than an earlier
    /// one.
    fn assert_tokens_grow(&self) {
        let mut tokens = BTreeMap::new();
        for Delivery { shard, token, worker, at, .. } in self.deliveries() {
            let newest = tokens.entry(shard.clone()).or_insert(token);
            assert!(token >= *newest, "{worker} at {at:?}: {shard} under {token} after {newest}");
            *newest = token;
        }
    }
}

impl Worker {
    /// Kills the worker: nothing of it runs any longer.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        drop(self.leases);
    }

    fn events(&self) -> Vec<LeaseEventKind> {
        self.events.lock().unwrap().clone()
    }
}

/// Returns the number that a record holds.
fn number(record: &Record) -> usize {
    String::from_utf8_lossy(record.data()).parse().unwrap()
}

fn save_at_once() -> CheckpointOptions {
    CheckpointOptions::new().save_interval(Duration::ZERO)
}
