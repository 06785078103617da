//! Consumers that read up to a time, crash, and start again, until a run ends by itself. Then a run
//! without an end continues.
//!
//! These rules must hold:
//!
//! * The runs with an end deliver every record that arrived before it, and no other.
//! * No end is stored for a shard that has a record after the end.
//! * The run without an end delivers every other record once, and repeats none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use fastrand::Rng;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::checkpoint::{Checkpoint, CheckpointOptions};
use kinesis_shards::testing::{FakeKinesis, FakeStream};
use kinesis_shards::{
    Checkpoints, MemoryStore, ReadOptions, Record, ShardStreamExt, StopAt, all_shards,
};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::consumer::{CutAfterPolls, work};
use crate::paused::{play_paused, timeouts};
use crate::script::{ConsumerMode, Script, Setup, Step};
use crate::world::{PARTITION_KEYS, builder, retryable_faults, wire_format};

const STREAM: &str = "orders";
const LIMIT: Duration = Duration::from_mins(30);
const MAX_SHARDS: usize = 24;

struct Written {
    shard: String,
    arrived: SystemTime,
}

struct World {
    setup: Setup,
    kinesis: FakeKinesis,
    stream: FakeStream,
    client: Client,
    store: MemoryStore,
    written: Vec<Written>,
    /// The numbers of the records that the current life has delivered, and those of earlier lives.
    delivered: Arc<Mutex<Vec<usize>>>,
    drops: u32,
    rng: Rng,
}

/// A life of the consumer.
struct Life {
    checkpoints: Checkpoints,
    task: JoinHandle<()>,
    polls_left: Arc<Mutex<Option<u32>>>,
}

/// Plays a seed, and returns its violation.
pub(crate) fn play(script: &Script) -> Option<String> {
    let (violation, alive) = play_paused(script.seed, || World::new(script).run(script));
    violation.or_else(|| (alive > 0).then(|| format!("{alive} tasks are still alive")))
}

impl World {
    fn new(script: &Script) -> Self {
        let setup = script.setup.clone();
        let format = wire_format(script.seed);
        let kinesis = builder(&setup, format).build();
        let stream = kinesis.create_stream(STREAM, setup.shards);
        if setup.kinesis_faults > 0 {
            let share = f64::from(setup.kinesis_faults) / 1000.0;
            kinesis.fail_at_random(retryable_faults(script.seed, share));
        }
        let config =
            kinesis.config().timeout_config(timeouts()).retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(config.protocol(format.protocol()).build()),
            drops: setup.drops,
            setup,
            kinesis,
            stream,
            store: MemoryStore::new(),
            written: Vec::new(),
            delivered: Arc::default(),
            rng: Rng::with_seed(script.seed),
        }
    }

    async fn run(mut self, script: &Script) -> Option<String> {
        let now = self.kinesis.now();
        let end = now + Duration::from_millis(self.rng.u64(..40_000));
        let mut life = None;
        for (wait, step) in &script.steps {
            sleep(Duration::from_millis(*wait)).await;
            match *step {
                Step::Put(count) => self.put(count),
                Step::Start(mode) if life.is_none() => {
                    life = Some(self.begin(Some(end), mode).await);
                }
                Step::Crash(polls) => crash(life.take(), polls).await,
                Step::Shutdown(limit) => {
                    if let Some(life) = life.take() {
                        let _ = life.checkpoints.shutdown(Duration::from_millis(limit)).await;
                        crash(Some(life), u32::MAX).await;
                    }
                }
                Step::Split(index) => self.split(index),
                Step::Merge(index) => self.merge(index),
                _ => {}
            }
        }
        crash(life.take(), 0).await;
        self.kinesis.clear_faults();
        self.drops = 0;
        let mode = ConsumerMode::Concurrent(4);
        let Life { checkpoints, mut task, .. } = self.begin(Some(end), mode).await;
        while self.kinesis.now() < end {
            self.put(1);
            sleep(Duration::from_millis(self.rng.u64(..3_000))).await;
        }
        self.put(7);
        if timeout(LIMIT, &mut task).await.is_err() {
            task.abort();
            return Some("the run does not end".to_owned());
        }
        let report = checkpoints.shutdown(LIMIT).await;
        if !report.is_complete() {
            return Some(format!("the shutdown is not complete: {report}"));
        }
        drop(checkpoints);
        if let Some(violation) = self.check_end(end) {
            return Some(violation);
        }
        self.delivered.lock().unwrap().clear();
        self.put(5);
        let life = self.begin(None, mode).await;
        let violation = self.wait_for_rest(end).await;
        crash(Some(life), 0).await;
        violation
    }

    fn put(&mut self, count: u8) {
        for _ in 0..count {
            let key = self.rng.usize(..PARTITION_KEYS);
            let number = self.written.len().to_string();
            let (shard, _) = self.stream.put(&format!("customer {key}"), number);
            self.written.push(Written { shard, arrived: self.kinesis.now() });
        }
    }

    fn split(&self, index: usize) {
        let open = self.stream.open_shards();
        if open.len() < 6 && self.stream.shards().len() < MAX_SHARDS {
            self.stream.split(&open[index % open.len()]);
        }
    }

    /// Merges the shards of a split again.
    fn merge(&self, index: usize) {
        let (open, shards) = (self.stream.open_shards(), self.stream.shards());
        let range = |id: &String| {
            let shard = shards.iter().find(|shard| shard.shard_id() == id.as_str())?;
            let range = shard.hash_key_range()?;
            let first: u128 = range.starting_hash_key().parse().ok()?;
            Some((first, range.ending_hash_key().parse::<u128>().ok()?))
        };
        let lower = &open[index % open.len()];
        let next = range(lower).and_then(|(_, last)| last.checked_add(1));
        let upper = open.iter().find(|id| range(id).map(|(first, _)| first) == next);
        if let Some(upper) = upper.filter(|_| shards.len() < MAX_SHARDS) {
            self.stream.merge(lower, upper);
        }
    }

    async fn begin(&self, end: Option<SystemTime>, mode: ConsumerMode) -> Life {
        let options = CheckpointOptions::new()
            .save_interval(Duration::from_millis(self.setup.save_ms))
            .save_records(self.setup.save_records);
        let checkpoints = Checkpoints::load_with(self.store.clone(), STREAM, options);
        let checkpoints = checkpoints.await.expect("this store always loads");
        let life = self.consume(&checkpoints, end, mode);
        let polls_left = Arc::default();
        let task = tokio::spawn(CutAfterPolls { life, polls_left: Arc::clone(&polls_left) });
        Life { checkpoints, task, polls_left }
    }

    /// Reads until the stream ends.
    fn consume(
        &self,
        checkpoints: &Checkpoints,
        end: Option<SystemTime>,
        mode: ConsumerMode,
    ) -> BoxFuture<'static, ()> {
        let mut shards = all_shards(&self.client, STREAM).poll_interval(Duration::from_secs(5));
        if let Some(end) = end {
            shards = shards.until(StopAt::Timestamp(end.into()));
        }
        let shards = shards.checkpoints(checkpoints);
        let mut options = ReadOptions::new().max_records(self.setup.page);
        if self.setup.spawn {
            options = options.spawn_on(Handle::current());
        }
        let (client, delivered, drops) =
            (self.client.clone(), Arc::clone(&self.delivered), self.drops);
        let deliver = move |record: &Record| {
            let text = std::str::from_utf8(record.data()).unwrap();
            delivered.lock().unwrap().push(text.parse().unwrap());
        };
        let drops = move || fastrand::u32(..1_000) < drops;
        match mode {
            ConsumerMode::Few(_) | ConsumerMode::Tasks => async move {
                let batches = shards.batches(&client).with_options(options);
                let work = batches.map(|batch| async {
                    let Ok(batch) = batch else { return };
                    batch.records().iter().for_each(&deliver);
                    work().await;
                    if !drops() {
                        batch.ack();
                    }
                });
                work.buffer_unordered(3).for_each(|()| async {}).await;
            }
            .boxed(),
            ConsumerMode::Loop => {
                let records = shards.records(&client).with_options(options);
                let records = records.max_run(self.setup.max_run).auto_ack();
                async move {
                    let mut records = std::pin::pin!(records);
                    while let Some(record) = records.next().await {
                        record.iter().for_each(&deliver);
                        work().await;
                    }
                }
                .boxed()
            }
            ConsumerMode::Concurrent(n)
            | ConsumerMode::Detached(n)
            | ConsumerMode::ByKey(n)
            | ConsumerMode::TryByKey(n)
            | ConsumerMode::Chunks(n, _) => {
                let records = shards.records(&client).with_options(options);
                let records = records.max_concurrent_reads(self.setup.concurrent_reads);
                async move {
                    let work = records.map(|record| async {
                        let Ok(record) = record else { return };
                        deliver(&record);
                        work().await;
                        if !drops() {
                            record.ack();
                        }
                    });
                    work.buffer_unordered(n).for_each(|()| async {}).await;
                }
                .boxed()
            }
        }
    }

    fn check_end(&self, end: SystemTime) -> Option<String> {
        let seen: BTreeSet<_> = self.delivered.lock().unwrap().iter().copied().collect();
        for (number, Written { shard, arrived }) in self.written.iter().enumerate() {
            let is_before = *arrived < end;
            if is_before != seen.contains(&number) {
                let what = if is_before { "is lost" } else { "came, though it is not" };
                return Some(format!("record {number} of {shard}, before the end, {what}"));
            }
            if !is_before && self.store.get(STREAM, shard) == Some(Checkpoint::End) {
                return Some(format!(
                    "the end of {shard} is stored, and record {number} is unread"
                ));
            }
        }
        None
    }

    /// Waits until the run without an end has delivered the rest.
    async fn wait_for_rest(&self, end: SystemTime) -> Option<String> {
        let is_rest = |number: &usize| self.written[*number].arrived >= end;
        let rest: BTreeSet<_> = (0..self.written.len()).filter(is_rest).collect();
        let started = Instant::now();
        let mut times = BTreeMap::<usize, u32>::new();
        while !rest.iter().all(|number| times.contains_key(number)) {
            if started.elapsed() > LIMIT {
                let lost = rest.iter().find(|number| !times.contains_key(number));
                return Some(format!("record {lost:?}, after the end, is lost"));
            }
            sleep(Duration::from_secs(1)).await;
            for number in self.delivered.lock().unwrap().drain(..) {
                *times.entry(number).or_default() += 1;
            }
        }
        let again = times.iter().find(|(number, times)| !rest.contains(number) || **times > 1);
        again.map(|(number, _)| format!("record {number} came again after the run had ended"))
    }
}

/// Drops a life after this number of polls, or after a second.
async fn crash(life: Option<Life>, polls: u32) {
    let Some(Life { checkpoints, mut task, polls_left }) = life else { return };
    *polls_left.lock().unwrap() = Some(polls);
    let _ = timeout(Duration::from_secs(1), &mut task).await;
    task.abort();
    if !task.is_finished() {
        let _ = task.await;
    }
    drop(checkpoints);
    sleep(Duration::from_millis(1)).await;
}
