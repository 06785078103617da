//! One life of the consumer, which may be dropped at any poll.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::future::{AbortHandle, Abortable, BoxFuture, FutureExt};
use futures::{Stream, StreamExt};
use kinesis_shards::checkpoint::{CheckpointedShard, CheckpointedShards, UnackedRecord};
use kinesis_shards::records::AllRecords;
use kinesis_shards::{
    Checkpoints, ReadError, ReadOptions, Record, ShardStreamExt, StartAt, all_shards,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::oracle::Oracle;
use crate::script::ConsumerMode;

#[derive(Clone)]
pub(crate) struct Consumer {
    pub(crate) client: Client,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) options: ReadOptions,
    pub(crate) concurrent_reads: usize,
    pub(crate) max_run: usize,
    pub(crate) start_at: StartAt,
    /// The share of records that are dropped without acknowledgement, in thousandths.
    pub(crate) drops: u32,
    /// The tasks that acknowledge records, also after their reader was dropped.
    pub(crate) detached: Arc<Mutex<JoinSet<()>>>,
    pub(crate) readers: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Consumer {
    /// Runs the pipeline, until the checkpoints are shut down.
    pub(crate) fn run(
        self,
        checkpoints: &Checkpoints,
        mode: ConsumerMode,
    ) -> BoxFuture<'static, ()> {
        let shards = self.shards(checkpoints);
        match mode {
            ConsumerMode::Tasks => return self.by_tasks(shards).boxed(),
            ConsumerMode::Few(n) => return self.few(shards, n).boxed(),
            _ => {}
        }
        let records = self.records(shards);
        let checkpoints = checkpoints.clone();
        async move {
            match mode {
                ConsumerMode::Loop => self.one_by_one(records.auto_ack()).await,
                ConsumerMode::Concurrent(n) => self.concurrently(records, n).await,
                ConsumerMode::Detached(n) => self.detached(records, n).await,
                ConsumerMode::ByKey(n) => self.by_key(records, n).await,
                ConsumerMode::TryByKey(n) => self.try_by_key(records, n, &checkpoints).await,
                ConsumerMode::Chunks(max, wait) => {
                    self.chunks(records, max, Duration::from_millis(wait)).await;
                }
                ConsumerMode::Tasks | ConsumerMode::Few(_) => unreachable!("returned above"),
            }
        }
        .boxed()
    }

    fn shards(&self, checkpoints: &Checkpoints) -> CheckpointedShards {
        all_shards(&self.client, "orders")
            .poll_interval(Duration::from_secs(5))
            .full_listing_interval(Duration::from_secs(20))
            .start_at(self.start_at)
            .checkpoints(checkpoints)
    }

    fn records(&self, shards: CheckpointedShards) -> AllRecords<CheckpointedShards> {
        let records = shards.records(&self.client).with_options(self.options.clone());
        records.max_concurrent_reads(self.concurrent_reads).max_run(self.max_run)
    }

    async fn one_by_one(&self, records: impl Stream<Item = Result<Record, ReadError>>) {
        let mut records = std::pin::pin!(records);
        let mut last = None;
        loop {
            if let Some(last) = last.take() {
                self.oracle.lock().unwrap().acknowledge(last);
            }
            match records.next().await {
                Some(Ok(record)) => {
                    last = Some(self.oracle.lock().unwrap().deliver(&record));
                    work().await;
                }
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    async fn concurrently(
        &self,
        records: impl Stream<Item = Result<UnackedRecord, ReadError>>,
        n: usize,
    ) {
        let work = records.map(|record| async move {
            let Ok(record) = record else { return };
            let number = self.oracle.lock().unwrap().deliver(&record);
            work().await;
            self.finish(record, number);
        });
        work.buffer_unordered(n).for_each(|()| async {}).await;
    }

    /// Acknowledges the record, or drops it.
    fn finish(&self, record: UnackedRecord, number: usize) {
        if fastrand::u32(..1_000) >= self.drops {
            self.oracle.lock().unwrap().acknowledge(number);
            record.ack();
        }
    }

    async fn by_key(&self, records: AllRecords<CheckpointedShards>, n: usize) {
        let keys = KeysInFlight::default();
        let process = |record: Result<Record, ReadError>| async {
            let Ok(record) = record else { return };
            let number = self.process(&record, &keys).await;
            self.oracle.lock().unwrap().acknowledge(number);
        };
        records.for_each_by_key(n, process).max_waiting(n).await;
    }

    async fn try_by_key(
        &self,
        mut records: AllRecords<CheckpointedShards>,
        n: usize,
        checkpoints: &Checkpoints,
    ) {
        loop {
            let keys = KeysInFlight::default();
            let process = |record: Record| async {
                let record = record;
                let number = self.process(&record, &keys).await;
                if fastrand::u32(..1_000) < self.drops {
                    return Err(Box::<dyn std::error::Error + Send + Sync>::from("as scripted"));
                }
                self.oracle.lock().unwrap().acknowledge(number);
                Ok(())
            };
            if records.try_for_each_by_key(n, process).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
            records = self.records(self.shards(checkpoints));
        }
    }

    /// Processes a record while no other of its key is in flight.
    async fn process(&self, record: &Record, keys: &KeysInFlight) -> usize {
        let number = self.oracle.lock().unwrap().process(record);
        let key = record.partition_key().unwrap_or_default().to_owned();
        let is_first = keys.0.lock().unwrap().insert(key.clone());
        let _in_flight = KeyInFlight { keys, key };
        if !is_first {
            self.oracle.lock().unwrap().violate("two records of one key are in flight");
        }
        work().await;
        number
    }

    async fn chunks(&self, records: AllRecords<CheckpointedShards>, max: usize, wait: Duration) {
        let mut chunks = std::pin::pin!(records.chunks(max, wait));
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else { continue };
            let numbers = self.oracle.lock().unwrap().deliver_chunk(chunk.records(), max);
            work().await;
            if fastrand::u32(..1_000) >= self.drops {
                let mut oracle = self.oracle.lock().unwrap();
                for number in numbers {
                    oracle.acknowledge(number);
                }
                drop(oracle);
                chunk.ack();
            }
        }
    }

    async fn detached(
        &self,
        records: impl Stream<Item = Result<UnackedRecord, ReadError>>,
        n: usize,
    ) {
        let mut records = std::pin::pin!(records);
        while let Some(record) = records.next().await {
            let Ok(record) = record else { continue };
            let number = self.oracle.lock().unwrap().deliver(&record);
            let (_, ack) = record.into_parts();
            let oracle = Arc::clone(&self.oracle);
            let drops = fastrand::u32(..1_000) < self.drops;
            let acknowledge = async move {
                work().await;
                if !drops {
                    oracle.lock().unwrap().acknowledge(number);
                    ack.ack();
                }
            };
            self.detached.lock().unwrap().spawn(acknowledge);
            while self.detached.lock().unwrap().len() > n {
                let done =
                    std::future::poll_fn(|cx| self.detached.lock().unwrap().poll_join_next(cx));
                done.await;
            }
        }
    }

    async fn few(self, shards: impl Stream<Item = CheckpointedShard> + Send + 'static, n: usize) {
        let read = |shard: CheckpointedShard| {
            let records = shard.records(&self.client).with_options(self.options.clone());
            self.one_by_one(records.auto_ack())
        };
        shards.for_each_concurrent(n, read).await;
    }

    async fn by_tasks(self, shards: impl Stream<Item = CheckpointedShard> + Send + 'static) {
        let mut shards = std::pin::pin!(shards);
        let mut tasks = JoinSet::new();
        while let Some(shard) = shards.next().await {
            let records = shard.records(&self.client).with_options(self.options.clone());
            let consumer = self.clone();
            let reader = async move {
                if fastrand::bool() {
                    consumer.one_by_one(records.auto_ack()).await;
                } else {
                    consumer.concurrently(records, 3).await;
                }
            };
            let (abort, registration) = AbortHandle::new_pair();
            self.readers.lock().unwrap().push(abort);
            tasks.spawn(Abortable::new(reader, registration).map(drop));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// The keys of the records in flight.
#[derive(Default)]
struct KeysInFlight(Mutex<BTreeSet<String>>);

/// A record in flight, which may be dropped at any point.
struct KeyInFlight<'a> {
    keys: &'a KeysInFlight,
    key: String,
}

impl Drop for KeyInFlight<'_> {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap().remove(&self.key);
    }
}

/// Processes a record, mostly at once.
pub(crate) async fn work() {
    match fastrand::u32(..8) {
        0 => sleep(Duration::from_millis(fastrand::u64(..1_500))).await,
        1 | 2 => tokio::task::yield_now().await,
        _ => {}
    }
}

/// A life that is cut off after a number of polls, if any is set.
pub(crate) struct CutAfterPolls {
    pub(crate) life: BoxFuture<'static, ()>,
    pub(crate) polls_left: Arc<Mutex<Option<u32>>>,
}

impl Future for CutAfterPolls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let is_cut = match &mut *self.polls_left.lock().unwrap() {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if is_cut { Poll::Ready(()) } else { self.life.as_mut().poll(cx) }
    }
}
