//! Plays one script on a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::primitives::DateTime;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, RandomFaults};
use kinesis_shards::{StartAt, StreamId, all_shards, try_all_shards};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::consumer::{Consumer, Draining, Pipeline, Shards};
use crate::life::Rules;
use crate::oracle::{Oracle, number};
use crate::script::{ITERATOR, LISTING, READING, Script, Start, Step, Trouble, kinds_of};
use crate::tap::Tap;

pub(crate) const STREAM: &str = "orders";
const KEYS: u64 = 8;
const DAY: Duration = Duration::from_hours(24);

/// What one simulation came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) digest: u64,
    pub(crate) shards: u64,
    pub(crate) offers: u64,
    pub(crate) records: u64,
    pub(crate) deliveries: u64,
    pub(crate) requests: u64,
    pub(crate) lives: u64,
    pub(crate) simulated: Duration,
    pub(crate) faults: BTreeMap<String, u64>,
}

pub(crate) struct World {
    script: Script,
    kinesis: FakeKinesis,
    pub(crate) stream: FakeStream,
    oracle: Arc<Mutex<Oracle>>,
    consumer: Arc<Consumer>,
    listing: Client,
    pipeline: Option<JoinHandle<()>>,
    start_at: StartAt,
    written: u64,
}

pub(crate) fn play(script: &Script) -> Outcome {
    // The core and the SDK draw from this thread's generator.
    fastrand::seed(script.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let mut outcome = runtime.block_on(async {
        let mut world = World::new(script.clone());
        let begun = Instant::now();
        let violation = world.run().await;
        world.end(begun, violation).await
    });
    let left = runtime.metrics().num_alive_tasks();
    if left > 0 {
        outcome.violation.get_or_insert(format!("{left} tasks are left"));
    }
    outcome
}

impl World {
    fn new(script: Script) -> Self {
        let setup = &script.setup;
        let kinesis = FakeKinesis::builder()
            .page_size(setup.page_size)
            .end_with_last_records(setup.end_with_last_records)
            .build();
        let stream = kinesis.create_stream(STREAM, setup.shards);
        let is_listing_fault = |step: &Step| matches!(step, Step::Fault(LISTING, ..));
        let calm = setup.fault_rate == 0 && !script.steps.iter().any(|(_, step)| is_listing_fault(step));
        let poll_interval = Duration::from_millis(setup.poll_ms);
        let rules = Rules { poll_interval, calm, slack: Duration::from_millis(1) };
        let oracle = Arc::new(Mutex::new(Oracle::new(setup.on_drop, rules)));
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(3)).build();
        let config = || kinesis.config().timeout_config(timeouts.clone());
        let tap = Tap { kinesis: kinesis.http_client(), oracle: Arc::clone(&oracle) };
        let mut listing = config().http_client(tap);
        if !setup.sdk_retries {
            listing = listing.retry_config(RetryConfig::disabled());
        }
        let client = Client::from_conf(config().retry_config(RetryConfig::disabled()).build());
        let consumer = Consumer {
            setup: setup.clone(),
            visits: script.visits.clone(),
            kinesis: kinesis.clone(),
            client,
            oracle: Arc::clone(&oracle),
            draining: Draining::default(),
            readers: Mutex::default(),
        };
        if setup.fault_rate > 0 {
            let mut faults = RandomFaults::seeded(script.seed);
            let share = f64::from(setup.fault_rate) / 1000.0;
            for operation in [LISTING, ITERATOR, READING] {
                for fault in kinds_of(operation) {
                    faults = faults.rate_of(operation, fault, share);
                }
            }
            kinesis.fail_at_random(faults.rate(Fault::OmitSomeShards(0), share));
        }
        Self {
            kinesis,
            stream,
            oracle,
            consumer: Arc::new(consumer),
            listing: Client::from_conf(listing.build()),
            pipeline: None,
            start_at: StartAt::TrimHorizon,
            written: 0,
            script,
        }
    }

    async fn run(&mut self) -> Option<String> {
        self.look();
        for (wait, step) in std::mem::take(&mut self.script.steps) {
            sleep(Duration::from_millis(wait)).await;
            self.step(step).await;
            if let Some(violation) = self.violation() {
                return Some(violation);
            }
        }
        self.kinesis.clear_faults();
        if self.oracle.lock().unwrap().life.number == 0 {
            self.begin();
        }
        self.consumer.draining.begin();
        if let Some(violation) = self.settle("at the end").await {
            return Some(violation);
        }
        for shard in self.stream.shards() {
            let open = self.stream.open_shards();
            if !open.iter().any(|id| id == shard.shard_id()) {
                self.stream.expire(shard.shard_id());
            }
        }
        self.look();
        self.settle("once all closed shards had expired").await
    }

    fn violation(&self) -> Option<String> {
        self.oracle.lock().unwrap().violation.clone()
    }

    /// Waits until nothing is left to be done, and two full lists have seen that; gives what was violated.
    async fn settle(&mut self, when: &str) -> Option<String> {
        let setup = &self.script.setup;
        let full_lists = || self.oracle.lock().unwrap().life.full_lists();
        let enough = full_lists() + 3;
        let patience = Duration::from_mins(5) + Duration::from_millis(4 * (setup.full_ms + setup.poll_ms));
        let begun = Instant::now();
        loop {
            if let Some(violation) = self.violation() {
                return Some(violation);
            }
            let left = self.oracle.lock().unwrap().unsettled();
            if left.is_none() && full_lists() >= enough {
                return None;
            }
            if begun.elapsed() > patience {
                let left = left.unwrap_or_else(|| "there are no more full listings".to_owned());
                return Some(format!("{when}, after {patience:?}: {left}"));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Drops everything, and looks at what is left.
    async fn end(mut self, begun: Instant, violation: Option<String>) -> Outcome {
        let simulated = begun.elapsed();
        self.stop().await;
        let mut faults = BTreeMap::new();
        let requests = self.kinesis.take_requests();
        for request in &requests {
            if let Some(fault) = request.fault() {
                let name = format!("{fault:?}");
                let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
                *faults.entry(name).or_default() += 1;
            }
        }
        let too_often = requests.iter().find(|request| {
            request.fault().is_none()
                && matches!(
                    request.error(),
                    Some("ProvisionedThroughputExceededException" | "LimitExceededException")
                )
        });
        let Self { oracle, consumer, listing, .. } = self;
        drop(listing);
        let mut leak = None;
        if Arc::strong_count(&consumer) > 1 {
            leak = Some(format!("{} readers are left", Arc::strong_count(&consumer) - 1));
        }
        drop(consumer);
        if Arc::strong_count(&oracle) > 1 {
            leak.get_or_insert(format!("{} requests are left", Arc::strong_count(&oracle) - 1));
        }
        let too_often = too_often.map(|request| format!("too many requests: {request:?}"));
        let oracle = oracle.lock().unwrap();
        Outcome {
            violation: violation.or(too_often).or(leak),
            digest: oracle.digest,
            shards: oracle.truth.len() as u64,
            offers: oracle.offers as u64,
            records: oracle.ledger.len() as u64,
            deliveries: oracle.ledger.delivered,
            requests: requests.len() as u64,
            lives: u64::from(oracle.life.number),
            simulated,
            faults,
        }
    }

    pub(crate) async fn step(&mut self, step: Step) {
        match step {
            Step::Put(count) => self.put(count),
            Step::Begin => {
                if self.oracle.lock().unwrap().life.number == 0 {
                    self.begin();
                }
            }
            Step::Restart { polls, pause_ms } => {
                if self.pipeline.is_some() {
                    self.oracle.lock().unwrap().cut_in = Some(polls);
                    self.stop().await;
                    sleep(Duration::from_millis(pause_ms)).await;
                    self.begin();
                }
            }
            Step::AbortReader(pick) => {
                let readers = self.consumer.readers.lock().unwrap();
                if !readers.is_empty() {
                    readers[pick % readers.len()].abort();
                }
            }
            Step::Suspend(seconds) => {
                self.oracle.lock().unwrap().rules.slack = Duration::MAX / 4;
                tokio::time::advance(Duration::from_secs(seconds)).await;
                let horizon = self.kinesis.now() - DAY;
                self.oracle.lock().unwrap().ledger.excuse(|_, written| written <= horizon);
            }
            Step::Fault(operation, trouble, times) => {
                let shards = self.stream.shards();
                let id = |pick: usize| shards[pick % shards.len()].shard_id().to_owned();
                let fault = match trouble {
                    Trouble::Plain(fault) => fault,
                    Trouble::Omit(pick) => Fault::OmitShard(id(pick)),
                    Trouble::StillOpen(pick) => Fault::ParentStillOpen(id(pick)),
                    Trouble::NoChildren(pick) => Fault::NoChildrenYet(id(pick)),
                };
                self.kinesis.fail_times(operation, times.into(), fault);
            }
            Step::Calm => self.kinesis.clear_faults(),
            change => self.change(&change),
        }
        self.look();
    }

    /// Looks at what is true now; what has expired is no longer owed.
    fn look(&self) {
        let (shards, now) = (self.stream.shards(), self.kinesis.now());
        let mut oracle = self.oracle.lock().unwrap();
        let gone = oracle.truth.update(&shards, now);
        if !gone.is_empty() {
            oracle.ledger.excuse(|shard, _| gone.contains(&shard));
        }
    }

    fn put(&mut self, count: u8) {
        for _ in 0..count {
            self.written = self.written.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = u8::try_from((self.written >> 40) % KEYS).unwrap_or_default();
            let mut oracle = self.oracle.lock().unwrap();
            let record = oracle.ledger.len();
            let (shard, _) = self.stream.put(&format!("customer {key}"), record.to_string());
            oracle.ledger.write(key, number(&shard).unwrap_or(u64::MAX), self.kinesis.now());
        }
    }

    fn begin(&mut self) {
        let setup = &self.script.setup;
        let mut oracle = self.oracle.lock().unwrap();
        if oracle.life.number == 0 {
            self.start_at = match setup.start {
                Start::TrimHorizon => StartAt::TrimHorizon,
                Start::Latest => StartAt::Latest,
                Start::Timestamp(ago) => {
                    let since = self.kinesis.now() - Duration::from_millis(ago);
                    oracle.ledger.excuse(|_, written| written < since);
                    oracle.since = Some(since);
                    StartAt::Timestamp(DateTime::from(since))
                }
            };
        }
        let resume = oracle.begin_life(self.start_at == StartAt::Latest);
        let life = oracle.life.number;
        drop(oracle);
        let name = if setup.by_arn { self.stream.arn() } else { STREAM.to_owned() };
        let (poll, full) = (Duration::from_millis(setup.poll_ms), Duration::from_millis(setup.full_ms));
        let stream = StreamId::from(name);
        let shards = if setup.fallible {
            let shards =
                try_all_shards(&self.listing, stream).poll_interval(poll).full_listing_interval(full);
            Shards::Try(shards.start_at(self.start_at).on_drop(setup.on_drop).resume(resume))
        } else {
            let shards = all_shards(&self.listing, stream).poll_interval(poll).full_listing_interval(full);
            Shards::All(shards.resume(resume).on_drop(setup.on_drop).start_at(self.start_at))
        };
        let pipeline = Pipeline::new(life, Arc::clone(&self.consumer), shards);
        self.pipeline = Some(tokio::spawn(pipeline));
    }

    /// Ends the consumer's life: where its script says, or else after a second.
    async fn stop(&mut self) {
        let Some(mut pipeline) = self.pipeline.take() else { return };
        if timeout(Duration::from_secs(1), &mut pipeline).await.is_err() {
            pipeline.abort();
            // An error is that it was aborted.
            let _ = pipeline.await;
        }
        // Its tasks are aborted; once the clock moves they are gone.
        sleep(Duration::from_millis(1)).await;
    }
}
