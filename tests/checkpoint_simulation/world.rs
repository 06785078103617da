//! Plays one script on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use fastrand::Rng;
use kinesis_shards::checkpoint::{CheckpointOptions, ShutdownReport};
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::{FakeKinesis, FakeKinesisBuilder, FakeStream, Fault, RandomFaults};
use kinesis_shards::{Checkpoints, ReadOptions, StartAt};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::consumer::{Consumer, CutAfterPolls};
use crate::oracle::{ActualShard, Oracle};
use crate::paused::{play_paused, timeouts};
use crate::refusals::Refusals;
use crate::script::{ConsumerMode, Script, Setup, Step};
use crate::store::{Store, StoreFaults};
use crate::subscriptions::{self, CONSUMER, Rival, SUBSCRIBING, five_minute_ends};
use crate::wire_format::WireFormat;

pub(crate) const PARTITION_KEYS: usize = 6;
const MAX_SHARDS: usize = 24;
const MAX_OPEN_SHARDS: usize = 6;

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<String>,
    pub(crate) digest: u64,
    pub(crate) records: u64,
    pub(crate) deliveries: u64,
    pub(crate) redeliveries: u64,
    /// The records that were processed in the order of their key.
    pub(crate) by_key: u64,
    pub(crate) chunks: u64,
    pub(crate) saves: u64,
    pub(crate) confirmed_saves: u64,
    pub(crate) lives: u64,
    pub(crate) crashes: u64,
    pub(crate) shutdowns: u64,
    pub(crate) complete_shutdowns: u64,
    pub(crate) rebuilds: u64,
    pub(crate) recreations: u64,
    pub(crate) refused_requests: u64,
    pub(crate) started_over: u64,
    pub(crate) shards: u64,
    /// Whether concurrent reads are limited.
    pub(crate) limited_seeds: u64,
    /// Whether the reads are tasks.
    pub(crate) spawned_seeds: u64,
    /// Whether the `Date` header is ahead.
    pub(crate) date_ahead_seeds: u64,
    /// Whether the requests are in CBOR.
    pub(crate) cbor_seeds: u64,
    /// Whether the consumer reads by fan-out.
    pub(crate) fan_out_seeds: u64,
    pub(crate) subscription_faults: u64,
    pub(crate) five_minute_ends: u64,
    pub(crate) takeovers: u64,
    pub(crate) deregistrations: u64,
}

struct World {
    script: Script,
    kinesis: FakeKinesis,
    stream: FakeStream,
    oracle: Arc<Mutex<Oracle>>,
    store: Store,
    consumer: Consumer,
    refusals: Arc<Mutex<Refusals>>,
    life: Option<Life>,
    crashes: u64,
    shutdowns: u64,
    complete_shutdowns: u64,
    rebuilds: u64,
    recreations: u64,
    /// The consumer of fan-out, if the readers subscribe.
    fan_out: Option<FanOut>,
    rival: Rival,
    deregistrations: u64,
    /// The state of the generator of partition keys.
    key_state: usize,
}

struct Life {
    checkpoints: Checkpoints,
    task: JoinHandle<()>,
    /// The number of polls after which the life is cut off, if it is.
    polls_left: Arc<Mutex<Option<u32>>>,
    mode: ConsumerMode,
}

pub(crate) fn wire_format(seed: u64) -> WireFormat {
    WireFormat::of_seed(seed, WireFormat::JsonResponses)
}

pub(crate) fn play(script: &Script) -> Outcome {
    let (mut outcome, alive) = play_paused(script.seed, || async {
        let mut world = World::new(script.clone());
        let violation = world.run().await;
        world.end(violation).await
    });
    if alive > 0 {
        outcome.violation.get_or_insert(format!("{alive} tasks are still alive"));
    }
    outcome
}

/// Returns a builder of the fake with this setup.
pub(crate) fn builder(setup: &Setup, format: WireFormat) -> FakeKinesisBuilder {
    FakeKinesis::builder()
        .cbor(format.support())
        .end_with_last_records(setup.end_with_last_records)
        .child_shards(setup.child_shards)
        .kinesalite_ends(setup.kinesalite_ends)
}

impl World {
    fn new(script: Script) -> Self {
        let setup = &script.setup;
        let format = wire_format(script.seed);
        let kinesis = builder(setup, format);
        let kinesis = kinesis.date_ahead(Duration::from_secs(setup.date_ahead_s)).build();
        let stream = kinesis.create_stream("orders", setup.shards);
        let config =
            kinesis.config().timeout_config(timeouts()).retry_config(RetryConfig::disabled());
        let config = config.protocol(format.protocol());
        if setup.kinesis_faults > 0 {
            let rate = f64::from(setup.kinesis_faults) / 1000.0;
            let mut faults = retryable_faults(script.seed, rate);
            if setup.fan_out {
                for fault in subscriptions::faults() {
                    faults = faults.rate_of(SUBSCRIBING, fault, rate);
                }
            }
            kinesis.fail_at_random(faults);
        }
        let oracle = Arc::<Mutex<Oracle>>::default();
        let store_faults = StoreFaults {
            rng: Rng::with_seed(script.seed),
            rate: setup.store_faults,
            down_until: None,
        };
        let options = ReadOptions::new().max_records(setup.page);
        let consumer = Consumer {
            client: Client::from_conf(config.build()),
            oracle: Arc::clone(&oracle),
            options: if setup.spawn { options.spawn_on(Handle::current()) } else { options },
            concurrent_reads: setup.concurrent_reads,
            max_run: setup.max_run,
            start_at: if setup.from_latest { StartAt::Latest } else { StartAt::TrimHorizon },
            drops: setup.drops,
            detached: Arc::default(),
            readers: Arc::default(),
        };
        let store =
            Store { oracle: Arc::clone(&oracle), faults: Arc::new(Mutex::new(store_faults)) };
        let refusals = Refusals::install(&kinesis, &oracle);
        let mut world = Self {
            refusals,
            kinesis,
            stream,
            store,
            oracle,
            consumer,
            life: None,
            crashes: 0,
            shutdowns: 0,
            complete_shutdowns: 0,
            rebuilds: 0,
            recreations: 0,
            fan_out: None,
            rival: Rival::default(),
            deregistrations: 0,
            key_state: 0,
            script,
        };
        world.register();
        world
    }

    fn violation(&self) -> Option<String> {
        self.oracle.lock().unwrap().violation.clone()
    }

    fn unfinished(&self) -> Option<String> {
        self.oracle.lock().unwrap().unfinished()
    }

    async fn run(&mut self) -> Option<String> {
        self.observe();
        if self.script.setup.from_latest {
            self.oracle.lock().unwrap().begin_from_latest([]);
        }
        for (wait, step) in std::mem::take(&mut self.script.steps) {
            sleep(Duration::from_millis(wait)).await;
            self.step(step).await;
            self.observe();
            if let Some(violation) = self.violation() {
                return Some(violation);
            }
        }
        self.kinesis.clear_faults();
        {
            let mut faults = self.store.faults.lock().unwrap();
            (faults.rate, faults.down_until) = (0, None);
        }
        self.consumer.drops = 0;
        self.script.setup.panics = 0;
        // Records that were dropped without acknowledgement come again in the next life.
        self.crash(0).await;
        let last_mode = match self.script.seed % 4 {
            0 => ConsumerMode::ByKey(4),
            1 => ConsumerMode::Chunks(6, 30_000),
            _ => ConsumerMode::Concurrent(4),
        };
        self.start(last_mode).await;
        let started = Instant::now();
        while let Some(unfinished) = self.unfinished() {
            if started.elapsed() > Duration::from_mins(20) {
                return Some(format!("at the end, after {:?}: {unfinished}", started.elapsed()));
            }
            if let Some(violation) = self.violation() {
                return Some(violation);
            }
            sleep(Duration::from_millis(500)).await;
        }
        let report = self.shut_down(60_000).await?;
        let unsaved = self.oracle.lock().unwrap().unsaved();
        if let Some(number) = unsaved {
            return Some(format!("record {number} is not saved after the shutdown: {report}"));
        }
        // A new life has no record to process.
        self.start(ConsumerMode::Loop).await;
        let deliveries = self.oracle.lock().unwrap().owed_deliveries;
        sleep(Duration::from_mins(2)).await;
        let redelivered = self.oracle.lock().unwrap().owed_deliveries - deliveries;
        if redelivered > 0 {
            return Some(format!("{redelivered} records came again after a complete shutdown"));
        }
        let oracle = self.oracle.lock().unwrap();
        let stale = oracle.rows.keys().find(|shard| !oracle.is_listed(shard));
        let stale =
            stale.map(|shard| format!("{shard} is unlisted, but the store keeps its checkpoint"));
        stale.or(oracle.violation.clone())
    }

    async fn step(&mut self, step: Step) {
        let stream = &self.stream;
        let open = stream.open_shards();
        let has_room = stream.shards().len() < MAX_SHARDS;
        match step {
            Step::Put(count) => self.put(count),
            Step::Split(index) if has_room && open.len() < MAX_OPEN_SHARDS => {
                stream.split(&open[index % open.len()]);
            }
            Step::Merge(index) if has_room => {
                let shards = stream.shards();
                let range = |id: &str| {
                    let range =
                        shards.iter().find(|shard| shard.shard_id() == id)?.hash_key_range()?;
                    let first: u128 = range.starting_hash_key().parse().ok()?;
                    Some((first, range.ending_hash_key().parse::<u128>().ok()?))
                };
                let lower = &open[index % open.len()];
                let next = range(lower).and_then(|(_, last)| last.checked_add(1));
                let upper = open.iter().find(|id| range(id).map(|(first, _)| first) == next);
                if let Some(upper) = upper {
                    stream.merge(lower, upper);
                }
            }
            Step::Expire => {
                let shards = stream.shards();
                let closed =
                    shards.iter().find(|shard| !open.iter().any(|id| id == shard.shard_id()));
                if let Some(closed) = closed {
                    stream.expire(closed.shard_id());
                    self.oracle.lock().unwrap().expire(closed.shard_id());
                }
            }
            Step::Start(mode) => self.start(mode).await,
            Step::Crash(polls) => self.crash(polls).await,
            Step::Shutdown(limit) => {
                self.shut_down(limit).await;
            }
            Step::Rebuild(mode) => self.rebuild(mode).await,
            Step::Recreate(shards) => self.recreate(shards).await,
            Step::AbortReader(index) => {
                let readers = self.consumer.readers.lock().unwrap();
                if !readers.is_empty() {
                    readers[index % readers.len()].abort();
                }
            }
            Step::Outage(ms) => {
                let until = Instant::now() + Duration::from_millis(ms);
                self.store.faults.lock().unwrap().down_until = Some(until);
            }
            Step::RefuseOnce => self.refusals.lock().unwrap().single += 1,
            Step::Refuse(ms) => {
                let until = Instant::now() + Duration::from_millis(ms);
                self.refusals.lock().unwrap().until = Some(until);
            }
            Step::TakeOver(pick) => {
                if let Some(consumer) = &self.fan_out {
                    self.rival.take_over(&self.kinesis, &self.stream, consumer, pick).await;
                }
            }
            Step::Deregister(gap, mode) => self.deregister(gap, mode).await,
            Step::Wait(seconds) => sleep(Duration::from_secs(seconds)).await,
            Step::Split(_) | Step::Merge(_) => {}
        }
    }

    fn put(&mut self, count: u8) {
        for _ in 0..count {
            self.key_state = self.key_state.wrapping_mul(31).wrapping_add(7);
            let key = u8::try_from(self.key_state / 5 % PARTITION_KEYS).unwrap_or_default();
            let mut oracle = self.oracle.lock().unwrap();
            let number = oracle.written();
            let (shard, sequence_number) =
                self.stream.put(&format!("customer {key}"), number.to_string());
            oracle.write(key, &shard, sequence_number);
        }
    }

    /// Registers the consumer of fan-out, if the readers subscribe.
    fn register(&mut self) {
        if self.script.setup.fan_out {
            let consumer = FanOut::consumer(self.stream.register_consumer(CONSUMER));
            self.consumer.options = self.consumer.options.clone().fan_out(&consumer);
            self.fan_out = Some(consumer);
        }
    }

    async fn deregister(&mut self, gap: u64, mode: ConsumerMode) {
        if self.fan_out.is_none() {
            return;
        }
        self.deregistrations += 1;
        self.stream.deregister_consumer(CONSUMER);
        sleep(Duration::from_millis(gap)).await;
        self.register();
        self.crash(0).await;
        self.start(mode).await;
    }

    /// Shows the actual shards to the oracle.
    fn observe(&self) {
        let (shards, open) = (self.stream.shards(), self.stream.open_shards());
        let mut oracle = self.oracle.lock().unwrap();
        for shard in &shards {
            let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
            let is_open = open.iter().any(|id| id == shard.shard_id());
            let known =
                oracle.shards.entry(shard.shard_id().to_owned()).or_insert_with(|| ActualShard {
                    parents: parents.into_iter().flatten().map(str::to_owned).collect(),
                    is_open,
                    is_listed: true,
                });
            known.is_open = is_open;
        }
    }

    async fn start(&mut self, mode: ConsumerMode) {
        if self.life.is_some() {
            return;
        }
        self.refusals.lock().unwrap().begin_life();
        let is_first = self.oracle.lock().unwrap().begin_life();
        if is_first && self.script.setup.from_latest {
            self.oracle.lock().unwrap().begin_from_latest(self.stream.open_shards());
        }
        let setup = &self.script.setup;
        let panics = setup.panics;
        let options = CheckpointOptions::new()
            .on_event(move |_| {
                assert!(fastrand::u32(..1_000) >= panics, "on_event panics, as scripted");
            })
            .save_timeout(Duration::from_secs(4))
            .save_interval(Duration::from_millis(setup.save_ms))
            .save_records(setup.save_records)
            .store_outage_limit(setup.outage_limit_ms.map(Duration::from_millis));
        let checkpoints = Checkpoints::load_with(self.store.clone(), "orders", options).await;
        let checkpoints = checkpoints.expect("this store always loads");
        self.life = Some(self.run_on(checkpoints, mode));
    }

    fn run_on(&self, checkpoints: Checkpoints, mode: ConsumerMode) -> Life {
        let life = self.consumer.clone().run(&checkpoints, mode);
        let polls_left = Arc::default();
        let task = tokio::spawn(CutAfterPolls { life, polls_left: Arc::clone(&polls_left) });
        Life { checkpoints, task, polls_left, mode }
    }

    /// Rebuilds the pipeline. The process lives on, and late acknowledgements count.
    async fn rebuild(&mut self, mode: ConsumerMode) {
        let Some(Life { checkpoints, task, .. }) = self.life.take() else { return };
        self.rebuilds += 1;
        task.abort();
        let _ = task.await;
        self.consumer.readers.lock().unwrap().clear();
        self.life = Some(self.run_on(checkpoints, mode));
    }

    /// Creates the stream again while the consumer runs, after two full listings. Between two runs,
    /// or before these listings, the crate cannot notice it.
    async fn recreate(&mut self, shards: u32) {
        // A consumer that takes few shards at a time may list none meanwhile, and one that is
        // rebuilt after an error lists them as a new run does.
        let may_notice = |mode| !matches!(mode, ConsumerMode::Few(_) | ConsumerMode::TryByKey(_));
        if !self.life.as_ref().is_some_and(|life| may_notice(life.mode)) {
            return;
        }
        // The new stream would have no consumer with this ARN.
        if self.fan_out.is_some() {
            return;
        }
        let number = self.oracle.lock().unwrap().written();
        self.put(1);
        sleep(Duration::from_mins(1)).await;
        if !self.oracle.lock().unwrap().has_begun(number) {
            return;
        }
        self.recreations += 1;
        self.oracle.lock().unwrap().recreate();
        self.kinesis.delete_stream("orders");
        self.stream = self.kinesis.create_stream("orders", shards);
        self.observe();
        self.put(8);
        let shards = self.stream.open_shards();
        let started = Instant::now();
        while !self.oracle.lock().unwrap().is_recreated(&shards) {
            if started.elapsed() > Duration::from_mins(10) {
                let what = "the consumer does not notice that the stream was created again";
                return self.oracle.lock().unwrap().violate(what);
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Drops the consumer, as if the process were killed.
    async fn crash(&mut self, polls: u32) {
        let Some(Life { checkpoints, mut task, polls_left, .. }) = self.life.take() else { return };
        self.crashes += 1;
        *polls_left.lock().unwrap() = Some(polls);
        if timeout(Duration::from_secs(3), &mut task).await.is_err() {
            task.abort();
            let _ = task.await;
        }
        drop(checkpoints);
        self.end_life().await;
    }

    /// Drops all tasks of a life before the next begins.
    async fn end_life(&self) {
        *self.consumer.detached.lock().unwrap() = JoinSet::new();
        self.consumer.readers.lock().unwrap().clear();
        sleep(Duration::from_millis(1)).await;
    }

    async fn shut_down(&mut self, limit: u64) -> Option<ShutdownReport> {
        let Life { checkpoints, mut task, .. } = self.life.take()?;
        self.shutdowns += 1;
        let report = checkpoints.shutdown(Duration::from_millis(limit)).await;
        // The streams have ended, so the consumer ends when the records in flight are processed.
        if timeout(Duration::from_mins(1), &mut task).await.is_err() {
            task.abort();
            self.oracle.lock().unwrap().violate("the consumer did not end after its shutdown");
        }
        if report.is_complete() {
            self.complete_shutdowns += 1;
            let mut oracle = self.oracle.lock().unwrap();
            if let Some(number) = oracle.repeated_by_next_life() {
                let what = "was delivered and comes again, but the shutdown was complete";
                oracle.violate(format!("record {number} {what}"));
            }
        }
        drop(checkpoints);
        self.end_life().await;
        Some(report)
    }

    async fn end(mut self, violation: Option<String>) -> Outcome {
        self.crash(0).await;
        let requests = self.kinesis.take_requests();
        let subscriptions = requests.iter().filter(|it| it.operation() == SUBSCRIBING);
        let Self { oracle, store, consumer, script, refusals, .. } = self;
        let violation = violation.or(oracle.lock().unwrap().violation.clone());
        drop((store, consumer));
        let leaked = Arc::strong_count(&oracle) - 1;
        let leak = (leaked > 0).then(|| format!("{leaked} parts of the consumer were leaked"));
        let oracle = oracle.lock().unwrap();
        Outcome {
            violation: violation.or(leak),
            digest: oracle.digest,
            records: oracle.written() as u64,
            deliveries: oracle.deliveries,
            redeliveries: oracle.redeliveries,
            by_key: oracle.by_key,
            chunks: oracle.chunks,
            saves: oracle.saves,
            confirmed_saves: oracle.confirmed_saves,
            lives: u64::from(oracle.life),
            crashes: self.crashes,
            shutdowns: self.shutdowns,
            complete_shutdowns: self.complete_shutdowns,
            rebuilds: self.rebuilds,
            recreations: self.recreations,
            refused_requests: refusals.lock().unwrap().count,
            started_over: oracle.started_over,
            shards: oracle.shards.len() as u64,
            limited_seeds: u64::from(script.setup.concurrent_reads < usize::MAX),
            spawned_seeds: u64::from(script.setup.spawn),
            date_ahead_seeds: u64::from(script.setup.date_ahead_s > 0),
            cbor_seeds: u64::from(wire_format(script.seed) == WireFormat::Cbor),
            fan_out_seeds: u64::from(script.setup.fan_out),
            subscription_faults: subscriptions.filter(|it| it.fault().is_some()).count() as u64,
            five_minute_ends: five_minute_ends(&requests),
            takeovers: self.rival.takeovers,
            deregistrations: self.deregistrations,
        }
    }
}

/// Returns faults after which a careful consumer retries. A missing stream is not one of them.
pub(crate) fn retryable_faults(seed: u64, rate: f64) -> RandomFaults {
    let everywhere = [
        Fault::Throttled,
        Fault::LimitExceeded,
        Fault::InternalFailure,
        Fault::AccessDenied,
        Fault::NeverResponds,
        Fault::Late(Duration::from_millis(700)),
        Fault::ConnectionReset,
        Fault::TruncatedBody,
    ];
    let mut faults = RandomFaults::seeded(seed);
    for fault in everywhere {
        faults = faults.rate(fault, rate);
    }
    faults
        .rate_of("ListShards", Fault::ExpiredNextToken, rate)
        .rate_of("GetShardIterator", invalid_argument(), rate)
        .rate_of("GetRecords", Fault::ExpiredIterator, rate)
        .rate_of("GetRecords", Fault::EmptyRead, rate)
        .rate_of("GetRecords", Fault::NoNextIterator, rate)
        .rate_of("GetRecords", Fault::Body("{}".to_owned()), rate)
        .rate_of("GetRecords", Fault::Body(String::new()), rate)
        .rate_of("GetShardIterator", Fault::Body("{}".to_owned()), rate)
        .rate_of("ListShards", Fault::NoShards, rate)
        .rate_of("GetRecords", Fault::KmsDisabled, rate)
}

/// Returns a refusal whose message is not about the sequence number.
fn invalid_argument() -> Fault {
    Fault::Error { status: 400, code: "InvalidArgumentException".to_owned() }
}
