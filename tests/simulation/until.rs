//! Runs with an end: the streams end by themselves, and have delivered exactly the records that
//! arrived before the end.
//!
//! Each seed has the stream, the changes and the faults of its script, and one consumer. The lists
//! are truthful, though they may fail, or name children late: the end of a run rests on them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use fastrand::Rng;
use futures::StreamExt;
use kinesis_shards::records::{Batch, FanOut};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, RandomFaults};
use kinesis_shards::{
    ReadError, ReadOptions, Record, ShardHandle, ShardStreamExt, StartAt, StopAt, all_shards,
    try_all_shards,
};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use crate::paused::{play_paused, timeouts};
use crate::script::{
    ITERATOR, LISTING, READING, Reading, STREAM, Script, ScriptedFault, Setup, Start, Step, Visit,
    kinds_of,
};
use crate::wire_format::WireFormat;
use crate::world::{KEYS, builder, create};
use crate::writer::reshard;

/// The time within which a run ends after its script and its end.
const LIMIT: Duration = Duration::from_mins(30);
const MAX_SUSPENSION: Duration = Duration::from_hours(1);

/// A record that was written.
struct Written {
    key: u64,
    arrived: SystemTime,
}

/// The records that were delivered, in order, each with its shard.
type Delivered = Arc<Mutex<Vec<usize>>>;

struct World {
    seed: u64,
    setup: Setup,
    kinesis: FakeKinesis,
    stream: FakeStream,
    written: Vec<Written>,
    rng: Rng,
}

/// A run that was begun.
struct Run {
    stop_at: StopAt,
    /// The time of the end, if it is known before the run.
    end: Option<SystemTime>,
    /// The start of a run that begins at a time.
    since: Option<SystemTime>,
    began: (SystemTime, Instant),
    delivered: Delivered,
    task: tokio::task::JoinHandle<()>,
}

/// Plays a seed, and returns its violation.
pub(crate) fn play(script: &Script) -> Option<String> {
    let (violation, alive) = play_paused(script.seed, || World::new(script).run(script));
    violation.or_else(|| (alive > 0).then(|| format!("{alive} tasks are still alive")))
}

impl World {
    fn new(script: &Script) -> Self {
        let setup = script.setup.clone();
        let format = WireFormat::of_seed(script.seed, WireFormat::Json);
        let kinesis = builder(&setup, format).date_header(script.seed.is_multiple_of(3)).build();
        let stream = create(&kinesis, &setup, setup.shards);
        if setup.fault_rate > 0 {
            let mut faults = RandomFaults::seeded(script.seed);
            let share = f64::from(setup.fault_rate) / 1000.0;
            for operation in [LISTING, ITERATOR, READING] {
                for fault in kinds_of(operation) {
                    faults = faults.rate_of(operation, fault, share);
                }
            }
            kinesis.fail_at_random(faults);
        }
        let rng = Rng::with_seed(script.seed);
        Self { seed: script.seed, setup, kinesis, stream, written: Vec::new(), rng }
    }

    async fn run(mut self, script: &Script) -> Option<String> {
        let mut run = None;
        for (wait, step) in &script.steps {
            sleep(Duration::from_millis(*wait)).await;
            match step {
                Step::Put(count) => self.put(*count),
                Step::Begin => run = Some(self.begin(&script.visits)),
                Step::Suspend(seconds) => {
                    // For less than a day, so that no record expires.
                    tokio::time::advance(Duration::from_secs(*seconds).min(MAX_SUSPENSION)).await;
                }
                Step::Fault(operation, fault, times) => self.fault(operation, fault, *times),
                Step::ClearFaults => self.kinesis.clear_faults(),
                change => reshard(&self.stream, self.setup.on_demand, change),
            }
        }
        let mut run = run.unwrap_or_else(|| self.begin(&script.visits));
        self.kinesis.clear_faults();
        // Some records arrive after the end.
        while run.end.is_some_and(|end| self.kinesis.now() < end) {
            self.put(1);
            sleep(Duration::from_millis(self.rng.u64(..2_000))).await;
        }
        self.put(5);
        if timeout(LIMIT, &mut run.task).await.map(Result::unwrap).is_err() {
            run.task.abort();
            let _ = run.task.await;
            return Some("the run does not end".to_owned());
        }
        self.check(&run)
    }

    fn put(&mut self, count: u8) {
        for _ in 0..count {
            let key = self.rng.u64(..KEYS);
            self.stream.put(&format!("customer {key}"), self.written.len().to_string());
            self.written.push(Written { key, arrived: self.kinesis.now() });
        }
    }

    /// Scripts a fault, unless it makes a list untrue.
    fn fault(&self, operation: &str, fault: &ScriptedFault, times: u8) {
        let shards = self.stream.shards();
        let fault = match fault {
            ScriptedFault::Plain(Fault::StaleListing(_) | Fault::OmitSomeShards(_))
            | ScriptedFault::Omit(_)
            | ScriptedFault::StillOpen(_) => return,
            ScriptedFault::Plain(fault) => fault.clone(),
            ScriptedFault::NoChildren(pick) => {
                Fault::NoChildrenYet(shards[pick % shards.len()].shard_id().to_owned())
            }
        };
        self.kinesis.fail_times(operation, times.into(), fault);
    }

    fn begin(&mut self, visits: &[Visit]) -> Run {
        let now = self.kinesis.now();
        let millis = Duration::from_millis;
        let end = match self.seed % 4 {
            0 => None,
            // The lags of the shards are by another clock.
            _ if !self.setup.date_ahead.is_zero() => None,
            1 => Some(now - millis(self.rng.u64(..4_000))),
            _ => Some(now + millis(self.rng.u64(1..40_000))),
        };
        let stop_at = end.map_or(StopAt::Tip, |end| StopAt::Timestamp(end.into()));
        let since = match self.setup.start {
            Start::Timestamp(ago) => Some(now - millis(ago)),
            Start::TrimHorizon | Start::Latest => None,
        };
        let delivered = Delivered::default();
        let start_at = since.map_or(StartAt::TrimHorizon, |at| StartAt::Timestamp(at.into()));
        let task = self.consume(stop_at, start_at, visits, Arc::clone(&delivered));
        let began = (now, Instant::now());
        Run { stop_at, end, since, began, delivered, task: tokio::spawn(task) }
    }

    /// Reads until the stream ends.
    fn consume(
        &self,
        stop_at: StopAt,
        start_at: StartAt,
        visits: &[Visit],
        delivered: Delivered,
    ) -> impl Future<Output = ()> + Send + use<> {
        let format = WireFormat::of_seed(self.seed, WireFormat::Json);
        let config = self.kinesis.config().timeout_config(timeouts()).protocol(format.protocol());
        let client = Client::from_conf(config.retry_config(RetryConfig::disabled()).build());
        let setup = self.setup.clone();
        let visit = visits.first().unwrap_or(&Visit::FAITHFUL);
        let mut options = ReadOptions::new()
            .idle_interval(Duration::from_millis(visit.idle_ms))
            .max_records(u16::try_from(visit.limit).unwrap_or(1_000));
        if setup.spawn {
            options = options.spawn_on(Handle::current());
        }
        // Kinesalite knows no fan-out.
        if setup.reading == Reading::Own && !setup.kinesalite_ends {
            options = options.fan_out(&FanOut::consumer(self.stream.register_consumer("billing")));
        }
        let poll = Duration::from_millis(setup.poll_ms);
        let full = Duration::from_millis(setup.full_ms);
        async move {
            let take = |record: Record| {
                let text = std::str::from_utf8(record.data()).unwrap();
                delivered.lock().unwrap().push(text.parse().unwrap());
            };
            let shards = all_shards(&client, STREAM).poll_interval(poll).start_at(start_at);
            let shards = shards.full_listing_interval(full).until(stop_at);
            // A shard that fails is offered again.
            match setup.reading {
                Reading::EachShard => {
                    let (client, options) = (&client, &options);
                    let read = |shard: ShardHandle| async move {
                        let mut batches = shard.batches(client).with_options(options.clone());
                        while let Some(batch) = batches.next().await {
                            batch.into_iter().flatten().for_each(take);
                        }
                    };
                    shards.for_each_concurrent(None, read).await;
                }
                Reading::AllBatches => {
                    let batches = shards.batches(&client).with_options(options);
                    let batches = batches.max_concurrent_reads(setup.max_concurrent_reads);
                    let process = |batch: Result<Batch, ReadError>| {
                        batch.into_iter().flatten().for_each(take);
                        sleep(Duration::from_millis(setup.consumer_ms))
                    };
                    batches.for_each(process).await;
                }
                Reading::AllRecords | Reading::Own if setup.fallible => {
                    let shards = try_all_shards(&client, STREAM).start_at(start_at);
                    let shards = shards.poll_interval(poll).until(stop_at);
                    let records = shards.records(&client).with_options(options);
                    let mut records =
                        pin!(records.max_concurrent_reads(setup.max_concurrent_reads));
                    while let Some(record) = records.next().await {
                        record.into_iter().for_each(take);
                    }
                }
                Reading::AllRecords | Reading::Own => {
                    let records = shards.records(&client).with_options(options);
                    let records = records.max_concurrent_reads(setup.max_concurrent_reads);
                    let mut records = pin!(records.max_run(setup.run));
                    while let Some(record) = records.next().await {
                        record.into_iter().for_each(take);
                    }
                }
            }
        }
    }

    /// Checks that the run has delivered the records before its end, and no others.
    fn check(&self, run: &Run) -> Option<String> {
        let delivered = run.delivered.lock().unwrap();
        let seen: BTreeSet<_> = delivered.iter().copied().collect();
        let (began, began_at) = run.began;
        let end = run.end.unwrap_or(began);
        let since = run.since.unwrap_or(SystemTime::UNIX_EPOCH);
        let is_owed = |record: &Written| (since..end).contains(&record.arrived);
        let lost = self
            .written
            .iter()
            .enumerate()
            .find(|(number, record)| is_owed(record) && !seen.contains(number));
        if let Some((number, record)) = lost {
            let before = end.duration_since(record.arrived).unwrap_or_default();
            return Some(format!(
                "{:?}: record {number}, {before:?} before the end, is lost",
                run.stop_at
            ));
        }
        // The tip is that of the first list, after which the readers begin, by Kinesis's clock,
        // which the client knows in whole seconds.
        let begins_reading = |operation| matches!(operation, ITERATOR | "SubscribeToShard");
        let requests = self.kinesis.requests();
        let first_read = requests.iter().find(|request| begins_reading(request.operation()));
        let listed_in = first_read.map_or(Duration::ZERO, |request| request.at() - began_at);
        let rounding = Duration::from_secs(1) + self.setup.date_ahead;
        let latest_end = run.end.unwrap_or(began + listed_in + rounding);
        let late = seen.iter().find(|number| self.written[**number].arrived >= latest_end);
        if let Some(number) = late {
            let after = self.written[*number].arrived.duration_since(end).unwrap_or_default();
            return Some(format!(
                "{:?}: record {number} came, {after:?} after the end",
                run.stop_at
            ));
        }
        let mut last_of_key = BTreeMap::<u64, usize>::new();
        let mut again = BTreeSet::new();
        for number in &*delivered {
            if !again.insert(*number) {
                continue;
            }
            let record = &self.written[*number];
            let before = last_of_key.insert(record.key, *number);
            if let Some(before) = before.filter(|before| before > number && is_owed(record)) {
                return Some(format!("record {number} came after {before}, of the same key"));
            }
        }
        None
    }
}
