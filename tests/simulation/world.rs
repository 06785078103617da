//! Plays one script on a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::DateTime;
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::{FakeKinesis, FakeKinesisBuilder, FakeStream, Fault, RandomFaults};
use kinesis_shards::{StartAt, StreamId, all_shards, try_all_shards};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::consumer::{Consumer, Draining, Shards};
use crate::id::{Id, number};
use crate::latest::LatestTap;
use crate::member::Rules;
use crate::oracle::Oracle;
use crate::paused::{play_paused, timeouts};
use crate::pipeline::Pipeline;
use crate::rates;
use crate::script::{
    DuringRecreation, ITERATOR, LISTING, READING, Reading, STREAM, Script, ScriptedFault, Setup,
    Start, Step, kinds_of,
};
use crate::subscriptions::{CONSUMER, Rival, SUBSCRIBING, five_minute_ends};
use crate::tap::Tap;
use crate::wire_format::WireFormat;

pub(crate) const KEYS: u64 = 8;
const DAY: Duration = Duration::from_hours(24);

/// The outcome of one simulation.
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
    /// Whether the readers subscribe.
    pub(crate) fan_out_seeds: u64,
    pub(crate) five_minute_ends: u64,
    pub(crate) takeovers: u64,
    pub(crate) deregistrations: u64,
    pub(crate) ended_with_stream: u64,
    pub(crate) simulated: Duration,
    pub(crate) faults: BTreeMap<String, u64>,
}

pub(crate) struct World {
    script: Script,
    kinesis: FakeKinesis,
    pub(crate) stream: FakeStream,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    consumer: Arc<Consumer>,
    listing: Client,
    arn: String,
    pipeline: Option<JoinHandle<()>>,
    start_at: StartAt,
    written: u64,
    rival: Rival,
    deregistrations: u64,
}

pub(crate) fn play(script: &Script) -> Outcome {
    let (mut outcome, left) = play_paused(script.seed, || async {
        let mut world = World::new(script.clone());
        let begun = Instant::now();
        let violation = world.run().await;
        world.end(begun, violation).await
    });
    if left > 0 {
        outcome.violation.get_or_insert(format!("{left} tasks are left"));
    }
    outcome
}

impl World {
    fn new(script: Script) -> Self {
        let setup = &script.setup;
        let format = WireFormat::of_seed(script.seed, WireFormat::Cbor);
        let kinesis = builder(setup, format).date_header(!setup.date_ahead.is_zero()).build();
        let stream = create(&kinesis, setup, setup.shards);
        let is_listing_fault = |step: &Step| matches!(step, Step::Fault(LISTING, ..));
        let is_reliable =
            setup.fault_rate == 0 && !script.steps.iter().any(|(_, step)| is_listing_fault(step));
        let poll_interval = Duration::from_millis(setup.poll_ms);
        // While a consumer processes an item of the stream of all shards, nothing is polled.
        // Records are processed one by one, for a whole page.
        // The events of a subscription have no limit.
        let limited = script.visits.first().filter(|_| !setup.fan_out);
        let a_page = limited.map_or(1_000, |visit| u64::try_from(visit.limit).unwrap_or(1_000));
        let takes = match setup.reading {
            Reading::AllBatches => setup.consumer_ms,
            Reading::AllRecords => setup.consumer_ms * a_page,
            Reading::Own | Reading::EachShard => 0,
        };
        let slack = Duration::from_millis(1 + takes);
        let (kinesalite_ends, date_ahead) = (setup.kinesalite_ends, setup.date_ahead);
        let rules = Rules {
            poll_interval,
            is_reliable,
            slack,
            suspended: Vec::new(),
            kinesalite_ends,
            date_ahead,
        };
        let oracle = Arc::new(Mutex::new(Oracle::new(setup.on_drop, rules, setup.sdk_retries)));
        let protocol = format.protocol();
        let config = || kinesis.config().timeout_config(timeouts()).protocol(protocol.clone());
        let tap = Tap { kinesis: kinesis.http_client(), oracle: Arc::clone(&oracle) };
        let mut listing = config().http_client(tap);
        if !setup.sdk_retries {
            listing = listing.retry_config(RetryConfig::disabled());
        }
        let tap = LatestTap { kinesis: kinesis.clone(), oracle: Arc::clone(&oracle) };
        let client = config().http_client(tap).retry_config(RetryConfig::disabled());
        let client = Client::from_conf(client.build());
        let fan_out = setup.fan_out.then(|| FanOut::consumer(stream.register_consumer(CONSUMER)));
        let consumer = Consumer {
            fan_out: Mutex::new(fan_out),
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
            let subscribing = setup.fan_out.then_some(SUBSCRIBING);
            for operation in [LISTING, ITERATOR, READING].into_iter().chain(subscribing) {
                for fault in kinds_of(operation) {
                    faults = faults.rate_of(operation, fault, share);
                }
            }
            kinesis.fail_at_random(faults.rate(Fault::OmitSomeShards(0), share));
        }
        Self {
            kinesis,
            arn: stream.arn(),
            stream,
            oracle,
            consumer: Arc::new(consumer),
            listing: Client::from_conf(listing.build()),
            pipeline: None,
            start_at: StartAt::TrimHorizon,
            written: 0,
            rival: Rival::default(),
            deregistrations: 0,
            script,
        }
    }

    pub(crate) fn is_on_demand(&self) -> bool {
        self.script.setup.on_demand
    }

    async fn run(&mut self) -> Option<String> {
        self.update_truth();
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
        self.update_truth();
        self.settle("after all closed shards expired").await
    }

    fn violation(&self) -> Option<String> {
        self.oracle.lock().unwrap().violation.clone()
    }

    /// Waits until no work is pending and three more full lists were received. Returns the
    /// violation.
    async fn settle(&mut self, when: &str) -> Option<String> {
        let setup = &self.script.setup;
        let full_lists = || self.oracle.lock().unwrap().life.full_lists();
        let enough = full_lists() + 3;
        let limit =
            Duration::from_mins(5) + Duration::from_millis(4 * (setup.full_ms + setup.poll_ms));
        let begun = Instant::now();
        loop {
            if let Some(violation) = self.violation() {
                return Some(violation);
            }
            let left = self.oracle.lock().unwrap().pending_work();
            if left.is_none() && full_lists() >= enough {
                return None;
            }
            if begun.elapsed() > limit {
                let left = left.unwrap_or_else(|| "full listings have stopped".to_owned());
                return Some(format!("{when}, after {limit:?}: {left}"));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Drops everything, and checks that nothing is left.
    async fn end(mut self, begun: Instant, violation: Option<String>) -> Outcome {
        let simulated = begun.elapsed();
        let leak = self.stop().await;
        let mut faults = BTreeMap::new();
        let requests = self.kinesis.take_requests();
        for request in &requests {
            if let Some(fault) = request.fault() {
                let name = format!("{fault:?}");
                let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
                *faults.entry(name).or_default() += 1;
            }
        }
        let rate_violation = {
            let oracle = self.oracle.lock().unwrap();
            rates::check(&requests, &oracle.offered, &oracle.deleted_at, begun)
        };
        let (takeovers, deregistrations) = (self.rival.takeovers, self.deregistrations);
        let is_by_fan_out = self.script.setup.fan_out;
        let Self { oracle, consumer, listing, .. } = self;
        drop(listing);
        drop(consumer);
        let held = Arc::strong_count(&oracle) - 1;
        let leak = leak.or_else(|| (held > 0).then(|| format!("{held} requests are left")));
        let oracle = oracle.lock().unwrap();
        Outcome {
            violation: violation.or(rate_violation).or(leak),
            digest: oracle.digest,
            shards: oracle.truth.len() as u64,
            offers: oracle.offers() as u64,
            records: oracle.ledger.len() as u64,
            deliveries: oracle.ledger.delivered,
            requests: requests.len() as u64,
            lives: u64::from(oracle.life.number),
            fan_out_seeds: u64::from(is_by_fan_out),
            five_minute_ends: five_minute_ends(&requests),
            takeovers,
            deregistrations,
            ended_with_stream: oracle.ended_with_stream,
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
                    self.oracle.lock().unwrap().polls_left = Some(polls);
                    self.stop_cleanly().await;
                    sleep(Duration::from_millis(pause_ms)).await;
                    self.begin();
                }
            }
            Step::AbortReader(pick) => {
                let readers = self.consumer.readers.lock().unwrap();
                if let Some(reader) = readers.values().nth(pick % readers.len().max(1)) {
                    reader.abort();
                }
            }
            Step::Suspend(seconds) => {
                let duration = Duration::from_secs(seconds);
                // Before the clock advances, since tasks run before `advance` returns.
                let until = Instant::now() + duration;
                self.oracle.lock().unwrap().rules.suspended.push((until, duration));
                tokio::time::advance(duration).await;
                let horizon = self.kinesis.now() - DAY;
                self.oracle.lock().unwrap().ledger.excuse(|_, written| written <= horizon);
            }
            Step::Fault(operation, trouble, times) => {
                let shards = self.stream.shards();
                let id = |pick: usize| shards[pick % shards.len()].shard_id().to_owned();
                let fault = match trouble {
                    ScriptedFault::Plain(fault) => fault,
                    ScriptedFault::Omit(pick) => Fault::OmitShard(id(pick)),
                    ScriptedFault::StillOpen(pick) => Fault::ParentStillOpen(id(pick)),
                    ScriptedFault::NoChildren(pick) => Fault::NoChildrenYet(id(pick)),
                };
                self.kinesis.fail_times(operation, times.into(), fault);
            }
            Step::ClearFaults => self.kinesis.clear_faults(),
            Step::Recreate { shards, gap_ms, consumer } => {
                self.recreate(shards, gap_ms, consumer).await;
            }
            Step::TakeOver(pick) => self.take_over(pick).await,
            Step::Deregister { gap_ms } => self.deregister(gap_ms).await,
            Step::Wait(seconds) => sleep(Duration::from_secs(seconds)).await,
            change => self.change(&change),
        }
        self.update_truth();
    }

    async fn recreate(&mut self, shards: u32, gap_ms: u64, meanwhile: DuringRecreation) {
        let restarts =
            meanwhile != DuringRecreation::Lives || self.script.setup.reading.reads_all();
        let was_running = self.pipeline.is_some();
        if was_running && restarts {
            self.stop_cleanly().await;
        } else if self.oracle.lock().unwrap().life.is_resuming() {
            // `resume` would apply the progress of the old stream to the new one, as its
            // documentation warns.
            return;
        }
        self.stream.delete();
        self.oracle.lock().unwrap().delete(self.kinesis.now());
        // A reader of all shards by fan-out needs the new consumer.
        let can_begin = !(self.script.setup.fan_out && self.script.setup.reading.reads_all());
        let begins_early = was_running && meanwhile == DuringRecreation::RestartsEarly && can_begin;
        if begins_early {
            self.begin();
            self.oracle.lock().unwrap().rules.is_reliable = false;
        }
        sleep(Duration::from_millis(gap_ms)).await;
        create(&self.kinesis, &self.script.setup, shards);
        self.register();
        self.update_truth();
        if was_running && restarts && !begins_early {
            self.begin();
        }
    }

    /// Registers the consumer of fan-out, if the readers subscribe.
    fn register(&self) {
        if self.script.setup.fan_out {
            let arn = self.stream.register_consumer(CONSUMER);
            *self.consumer.fan_out.lock().unwrap() = Some(FanOut::consumer(arn));
        }
    }

    async fn deregister(&mut self, gap_ms: u64) {
        if !self.script.setup.fan_out {
            return;
        }
        self.deregistrations += 1;
        self.stream.deregister_consumer(CONSUMER);
        sleep(Duration::from_millis(gap_ms)).await;
        let restarts = self.pipeline.is_some() && self.script.setup.reading.reads_all();
        if restarts {
            self.stop_cleanly().await;
        }
        self.register();
        if restarts {
            self.begin();
        }
    }

    /// Takes the subscription of a shard over, unless Kinesis refuses it.
    async fn take_over(&mut self, pick: usize) {
        let Some(consumer) = self.consumer.fan_out.lock().unwrap().clone() else { return };
        self.rival.take_over(&self.kinesis, &self.stream, &consumer, pick).await;
    }

    /// Updates the truth. Expired records are no longer owed.
    fn update_truth(&self) {
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
            let index = number(&shard).unwrap_or(u64::MAX);
            let shard = Id { generation: oracle.truth.generation, index };
            oracle.ledger.write(key, shard, self.kinesis.now());
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
                    oracle.start_time = Some(since);
                    StartAt::Timestamp(DateTime::from(since))
                }
            };
        }
        let resume =
            oracle.begin_life((self.start_at == StartAt::Latest).then(|| self.kinesis.now()));
        let life = oracle.life.number;
        drop(oracle);
        let name = if setup.by_arn { self.arn.clone() } else { STREAM.to_owned() };
        let (poll, full) =
            (Duration::from_millis(setup.poll_ms), Duration::from_millis(setup.full_ms));
        let stream = StreamId::from(name);
        let shards = if setup.fallible {
            let shards = try_all_shards(&self.listing, stream)
                .poll_interval(poll)
                .full_listing_interval(full);
            Shards::Try(shards.start_at(self.start_at).on_drop(setup.on_drop).resume(resume))
        } else {
            let shards =
                all_shards(&self.listing, stream).poll_interval(poll).full_listing_interval(full);
            Shards::All(shards.resume(resume).on_drop(setup.on_drop).start_at(self.start_at))
        };
        let pipeline = Pipeline::new(life, Arc::clone(&self.consumer), shards);
        self.pipeline = Some(tokio::spawn(pipeline));
    }

    async fn stop_cleanly(&mut self) {
        if let Some(leak) = self.stop().await {
            self.oracle.lock().unwrap().violate(leak);
        }
    }

    /// Ends the life of the consumer at the poll of its script, or after a second. Returns what is
    /// left of it.
    async fn stop(&mut self) -> Option<String> {
        let mut pipeline = self.pipeline.take()?;
        if timeout(Duration::from_secs(1), &mut pipeline).await.is_err() {
            pipeline.abort();
            // The task ends with an error because it was aborted.
            let _ = pipeline.await;
        }
        // Aborted tasks are gone once the clock advances.
        sleep(Duration::from_millis(1)).await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let readers = Arc::strong_count(&self.consumer) - 1;
        let is_left = tasks > 0 || readers > 0 || !self.consumer.readers.lock().unwrap().is_empty();
        is_left.then(|| format!("{tasks} tasks and {readers} readers outlive their consumer"))
    }
}

/// Returns a builder of the fake with this setup.
pub(crate) fn builder(setup: &Setup, format: WireFormat) -> FakeKinesisBuilder {
    FakeKinesis::builder()
        .cbor(format.support())
        .page_size(setup.page_size)
        .end_with_last_records(setup.end_with_last_records)
        .child_shards(setup.child_shards)
        .kinesalite_ends(setup.kinesalite_ends)
        .date_ahead(setup.date_ahead)
}

pub(crate) fn create(kinesis: &FakeKinesis, setup: &Setup, shards: u32) -> FakeStream {
    if setup.on_demand {
        kinesis.create_on_demand_stream(STREAM)
    } else {
        kinesis.create_stream(STREAM, shards)
    }
}
