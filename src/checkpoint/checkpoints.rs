//! The checkpoints of one stream.

use std::collections::BTreeMap;
#[cfg(feature = "dynamodb")]
use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use tokio::time::{Duration, timeout_at};

use crate::checkpoint::consumer::Consumer;
use crate::checkpoint::deadline::deadline_in;
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease::LeaseEnd;
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::shard::CheckpointedShard;
use crate::checkpoint::shard_state::ShardState;
use crate::checkpoint::shared::Shared;
use crate::checkpoint::status::CheckpointStatus;
use crate::checkpoint::store::{CheckpointStore, StoreError, respond_within};
use crate::checkpoint::value::Checkpoint;
use crate::shard::handle::ShardHandle;
use crate::shard::position::{Progress, StartPosition};
use crate::shard::stream_id::StreamId;
#[cfg(feature = "metrics")]
use crate::util::metrics::ShardTotals;
use crate::util::runtime::Timer;

/// The checkpoints of one stream, and the store that keeps them.
///
/// Checkpoints are loaded once at the start, given to
/// [`AllShards::checkpoints`](crate::AllShards::checkpoints), and [shut down](Self::shutdown) at
/// the end. Clones share the same checkpoints.
///
/// A task saves the acknowledgements while a clone, or a stream made with one, lives. The task is
/// aborted when the last of them is dropped, and records whose acknowledgement was not saved come
/// again. The task runs in the runtime in which the checkpoints were loaded. If that runtime is
/// shut down or makes no progress for 5 s, the task moves to the runtime in which the checkpoints
/// are used, and a warning is logged.
///
/// One `Checkpoints` is for one consumer of the stream. A shard is read by one reader at a time,
/// also where two `Checkpoints` share a store in one process: the second reader fails
/// ([`ReadError::is_in_use`](crate::ReadError::is_in_use)). Two processes that share a store
/// overwrite each other's checkpoints. Processes that share a stream have leases (the module
/// `lease`, feature `dynamodb`).
///
/// See the example of [`checkpoint`](crate::checkpoint).
#[derive(Clone)]
pub struct Checkpoints {
    consumer: Consumer,
}

impl Checkpoints {
    /// Loads the checkpoints of the stream from the store.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not respond within 60 s. No shard is read then, so that none
    /// starts over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn load(
        store: impl CheckpointStore + 'static,
        stream: impl Into<StreamId>,
    ) -> Result<Self, LoadError> {
        Self::load_with(store, stream, CheckpointOptions::new()).await
    }

    /// Loads the checkpoints as [`load`](Self::load) does, with other options.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not respond within
    /// [`load_timeout`](CheckpointOptions::load_timeout).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn load_with(
        store: impl CheckpointStore + 'static,
        stream: impl Into<StreamId>,
        options: CheckpointOptions,
    ) -> Result<Self, LoadError> {
        let (stream, store) = (stream.into(), Arc::new(store));
        let loaded = load_from(&*store, &stream, options.load_timeout).await?;
        tracing::debug!(stream = stream.name(), shards = loaded.len(), "checkpoints loaded");
        Ok(Self { consumer: Consumer::new(Shared::new(stream, store, options, loaded)) })
    }

    /// Returns the checkpoints of a consumer.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn of(consumer: Consumer) -> Self {
        Self { consumer }
    }

    /// Reports a worker that shuts down, and ends all reading. If it has left, no lease is held any
    /// longer.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn report_leases(&self, shutdown: LeaseShutdown, has_left: bool) -> ShutdownReport {
        let shared = self.shared();
        let unacknowledged = shared.in_flight.count();
        let LeaseShutdown { given, mut held, lost } = shutdown;
        let mut unsaved: BTreeSet<_> = lost;
        for state in shared.shards.all() {
            let is_leased = state.lease.as_ref().is_some_and(|lease| lease.end_reason().is_none());
            if is_leased && !has_left {
                unsaved.insert(state.id.clone());
                shared.count_run(&state);
                if state.is_held() {
                    held.insert(state.id.clone());
                }
            }
        }
        shared.shut_down();
        ShutdownReport {
            stream: shared.stream.clone(),
            checkpoints: given.into_iter().collect(),
            unsaved: unsaved.into_iter().collect(),
            held: held.into_iter().collect(),
            unacknowledged,
        }
    }

    #[track_caller]
    pub(crate) fn assert_same_stream(&self, stream: &StreamId) {
        let loaded = self.shared().stream_with_arn_from(stream);
        let is_same = match (loaded.arn(), stream.arn()) {
            (Some(a), Some(b)) => a == b,
            _ => loaded.name() == stream.name(),
        };
        assert!(
            is_same,
            "the checkpoints are of stream {loaded}, and the shards are of stream {stream}"
        );
    }

    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    fn shared(&self) -> &Shared {
        &self.consumer.shared
    }

    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.shared().stream
    }

    /// Returns the newest checkpoint of a shard, durable or not. `None` if the shard has none.
    #[must_use]
    pub fn get(&self, shard_id: &str) -> Option<Checkpoint> {
        let shard = self.shared().shards.get(shard_id)?;
        self.shared().count_run(&shard);
        shard.checkpoint()
    }

    /// Returns the status of each shard that has a checkpoint or a reader, in the order of their
    /// ids.
    ///
    /// The status is available at any time and from any thread, also while nothing polls the
    /// pipeline, for health checks and alarms. A shard whose end is stored stays until Kinesis no
    /// longer lists it.
    ///
    /// The list is empty until the first shard is read. A consumer that cannot list its shards has
    /// no status, so a health check should also demand a shard some time after the start.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures::TryStreamExt;
    /// use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, all_shards};
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kinesis = FakeKinesis::new();
    /// # let stream = kinesis.create_stream("orders", 1);
    /// # stream.put("customer 1", "an order");
    /// # let client = kinesis.client();
    /// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
    /// let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
    ///
    /// // In a health check, with a clone of `checkpoints`.
    /// const LIMIT: Duration = Duration::from_mins(5);
    /// let is_healthy = || {
    ///     checkpoints.status().iter().all(|shard| {
    ///         let times = [shard.lag(), shard.oldest_unacknowledged, shard.unsaved_for];
    ///         times.iter().flatten().all(|time| *time < LIMIT)
    ///     })
    /// };
    /// assert!(is_healthy());
    ///
    /// let record = records.try_next().await?.expect("an order");
    /// tokio::time::sleep(Duration::from_mins(6)).await; // the consumer is stuck
    /// assert!(!is_healthy());
    /// # record.ack();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Vec<CheckpointStatus> {
        let readers = self.shared().monitor.status().into_iter();
        let mut readers: BTreeMap<_, _> =
            readers.map(|reader| (reader.shard_id.clone(), reader)).collect();
        let status = |shard: Arc<ShardState>| {
            self.shared().count_run(&shard);
            let (unacknowledged, held_since) = shard.unacknowledged();
            CheckpointStatus {
                shard_id: shard.id.clone(),
                checkpoint: shard.checkpoint(),
                unsaved_for: shard.unsaved_for(),
                unacknowledged,
                oldest_unacknowledged: held_since.map(|since| since.elapsed()),
                reader: readers.remove(&shard.id),
            }
        };
        self.shared().shards.all().into_iter().map(status).collect()
    }

    /// Sets the figures that hold now, for the facade of the crate `metrics`: the greatest lag, the
    /// shards by state, the unacknowledged records, and the age of the oldest unsaved checkpoint.
    /// See [`metrics`](crate::metrics).
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        let mut now = ShardTotals::default();
        for shard in self.status() {
            let state = match (&shard.reader, &shard.checkpoint) {
                (Some(_), _) => &mut now.reading,
                (None, Some(Checkpoint::End)) => &mut now.finished,
                (None, _) => &mut now.waiting,
            };
            *state += 1;
            now.unacknowledged += shard.unacknowledged;
            for (max, time) in [
                (&mut now.max_lag, shard.lag()),
                (&mut now.oldest_unacknowledged, shard.oldest_unacknowledged),
                (&mut now.unsaved_for, shard.unsaved_for),
            ] {
                *max = time.unwrap_or_default().max(*max);
            }
        }
        self.shared().figures.show(&now);
    }

    /// Sets the lag of each shard with an open reader, for the facade of the crate `metrics`. Each
    /// shard is a series of its own: a stream that is resharded often has many.
    #[cfg(feature = "metrics")]
    pub fn record_shard_metrics(&self) {
        self.shared().monitor.record_shard_metrics();
    }

    /// Returns the progress of each shard, for
    /// [`ParentsFirst::resume`](crate::lineage::ParentsFirst::resume) in a chain that
    /// [`all_shards`](crate::all_shards()) did not make.
    pub fn progress(&self) -> impl Iterator<Item = (String, Progress)> {
        let shards = self.shared().shards.all().into_iter();
        shards.filter_map(|shard| {
            self.shared().count_run(&shard);
            Some((shard.id.clone(), shard.progress()?))
        })
    }

    /// Opens a shard at its checkpoint, in a chain that [`all_shards`](crate::all_shards()) did
    /// not make.
    ///
    /// The start of a shard without a checkpoint is saved. If the start is
    /// [`Latest`](StartPosition::Latest), the current time by Kinesis's clock is saved in its place,
    /// as far as the responses to this client show that clock.
    ///
    /// # Panics
    ///
    /// If the shard is of another stream.
    #[track_caller]
    pub fn open(&self, handle: ShardHandle, client: &Client) -> CheckpointedShard {
        self.assert_same_stream(handle.stream());
        CheckpointedShard::new(handle, &self.consumer, client, false)
    }

    /// Forgets a shard, also in the store. Shards that Kinesis no longer lists are forgotten
    /// without this call.
    pub fn forget(&self, shard_id: &str) {
        self.shared().forget(shard_id);
    }

    /// Saves all acknowledgements made so far, and waits without a limit until the store has
    /// confirmed them.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if the runtime in which the checkpoints were loaded was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the saves continue.
    pub async fn flush(&self) {
        let shared = self.shared();
        shared.save_all_now();
        let (waker, mut unsaved) = (shared.waiting_flushes.subscribe(), shared.shards.unsaved());
        let mut watch = Timer::default();
        poll_fn(|cx| {
            waker.register(cx.waker());
            self.consumer.watch_save_task(&mut watch, cx);
            if unsaved.are_durable() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Shuts the consumer down: ends all reading, waits for the records in flight, and saves what
    /// was acknowledged.
    ///
    /// Every stream of records and of shards that was made with these checkpoints ends with `None`,
    /// so that loops and pipelines over it end by themselves. Then the call waits, for up to
    /// `limit` in all, until every delivered record is acknowledged or dropped, and until the store
    /// has confirmed all checkpoints. The pipeline must be polled meanwhile, so call `shutdown`
    /// from another task.
    ///
    /// The [`ShutdownReport`] says which records are left at the limit. They come again in the next
    /// run.
    ///
    /// The shards of a stream that is no longer polled are released too, so that new `Checkpoints`
    /// in this process can read them.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use kinesis_shards::Checkpoints;
    /// # async fn example(checkpoints: Checkpoints, pipeline: impl Future<Output = ()>) {
    /// let shutdown = tokio::spawn(async move {
    ///     tokio::signal::ctrl_c().await.unwrap();
    ///     checkpoints.shutdown(Duration::from_secs(30)).await
    /// });
    /// pipeline.await; // ends because its records end
    /// println!("{}", shutdown.await.unwrap());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: reading has ended, and the saves continue.
    pub async fn shutdown(&self, limit: Duration) -> ShutdownReport {
        let shared = self.shared();
        shared.shut_down();
        let deadline = deadline_in(limit);
        let waker = shared.in_flight.subscribe();
        let settled = poll_fn(|cx| {
            waker.register(cx.waker());
            if shared.in_flight.count() == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        let settled = timeout_at(deadline, settled).await;
        // A fast store gets a chance even if the records in flight took all the time.
        let _ = timeout_at(deadline.max(deadline_in(limit / 10)), self.flush()).await;
        let unacknowledged = if settled.is_ok() { 0 } else { shared.in_flight.count() };
        let mut report = ShutdownReport {
            stream: shared.stream.clone(),
            checkpoints: Vec::new(),
            unsaved: Vec::new(),
            held: Vec::new(),
            unacknowledged,
        };
        for shard in shared.shards.all() {
            if shard.is_held() {
                report.held.push(shard.id.clone());
            }
            match shard.stored() {
                _ if !shard.is_clean() => report.unsaved.push(shard.id.clone()),
                Some(checkpoint) if shard.is_opened() => {
                    report.checkpoints.push((shard.id.clone(), checkpoint));
                }
                _ => {}
            }
        }
        report
    }

    /// Returns the ids of the shards that have an acknowledged record, or were finished.
    pub(crate) fn started_shards(&self) -> Vec<String> {
        let is_started =
            |checkpoint| matches!(checkpoint, Some(Checkpoint::After { .. } | Checkpoint::End));
        let shards = self.shared().shards.all().into_iter();
        shards
            .filter(|shard| is_started(shard.checkpoint()))
            .map(|shard| shard.id.clone())
            .collect()
    }

    /// Returns the earliest start time among the shards without an acknowledged record.
    pub(crate) fn earliest_start(&self) -> Option<DateTime> {
        let shards = self.shared().shards.all().into_iter();
        let starts = shards.filter_map(|shard| match shard.checkpoint() {
            Some(Checkpoint::Start(StartPosition::Timestamp(start))) => Some(start),
            _ => None,
        });
        starts.min_by_key(|start| (start.secs(), start.subsec_nanos()))
    }
}

/// The leases of a worker that shuts down, by how they ended.
#[cfg(feature = "dynamodb")]
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseShutdown {
    /// The shards that were given away or finished, with their checkpoints.
    given: BTreeMap<String, Checkpoint>,
    /// The shards whose checkpoint stays before a record that was delivered.
    held: BTreeSet<String>,
    /// The shards whose lease was lost.
    lost: BTreeSet<String>,
}

#[cfg(feature = "dynamodb")]
impl LeaseShutdown {
    /// Notes the end of a lease. `is_held` says that its delivered records come again.
    pub(crate) fn note(
        &mut self,
        shard_id: &str,
        checkpoint: Option<Checkpoint>,
        is_held: bool,
        end: &LeaseEnd,
    ) {
        let id = shard_id.to_owned();
        if matches!(end, LeaseEnd::Lost { .. }) {
            self.lost.insert(id.clone());
        } else {
            self.given.extend(checkpoint.map(|checkpoint| (id.clone(), checkpoint)));
        }
        if is_held {
            self.held.insert(id);
        }
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("stream", &self.shared().stream.name())
            .field("in_flight", &self.shared().in_flight.count())
            .field("options", &self.shared().options)
            .finish_non_exhaustive()
    }
}

/// Loads the checkpoints of a stream within this time.
pub(crate) async fn load_from(
    store: &impl CheckpointStore,
    stream: &StreamId,
    limit: Duration,
) -> Result<Vec<(String, Checkpoint)>, LoadError> {
    let loaded = respond_within(limit, store.load(stream)).await;
    loaded.map_err(|source| LoadError { stream: stream.clone(), source })
}

/// The error of [`Checkpoints::load`]: the store failed or did not respond. The error of the store
/// is its [`source`](std::error::Error::source).
///
/// See the example of [`checkpoint`](crate::checkpoint).
#[derive(Debug, thiserror::Error)]
#[error("cannot load the checkpoints of stream {stream}; no shard is read")]
pub struct LoadError {
    stream: StreamId,
    source: StoreError,
}

impl LoadError {
    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }
}

/// The result of [`Checkpoints::shutdown`]: see the example there.
#[derive(Clone, Debug)]
#[must_use = "the report says whether all checkpoints were saved"]
pub struct ShutdownReport {
    stream: StreamId,
    checkpoints: Vec<(String, Checkpoint)>,
    unsaved: Vec<String>,
    held: Vec<String>,
    unacknowledged: usize,
}

impl ShutdownReport {
    /// Returns whether every delivered record was acknowledged and every checkpoint is durable. If
    /// so, no record comes again, except that the first records of a stream that was deleted and
    /// created again during the run may.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsaved.is_empty() && self.held.is_empty() && self.unacknowledged == 0
    }

    /// Returns the shards that this run has opened and whose checkpoints are durable, by id.
    #[must_use]
    pub fn checkpoints(&self) -> &[(String, Checkpoint)] {
        &self.checkpoints
    }

    /// Returns the ids of the shards whose last checkpoint the store has not confirmed.
    #[must_use]
    pub fn unsaved(&self) -> &[String] {
        &self.unsaved
    }

    /// Returns the ids of the shards whose checkpoint stays before a record that was dropped
    /// without acknowledgement, or is in flight. That record and all that were delivered after it
    /// come again, acknowledged or not.
    #[must_use]
    pub fn held(&self) -> &[String] {
        &self.held
    }

    /// Returns how many records were in flight at the limit.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}: {} shards saved", self.stream.name(), self.checkpoints.len())?;
        if !self.unsaved.is_empty() {
            write!(f, "; not saved: {}", self.unsaved.join(", "))?;
        }
        if self.unacknowledged > 0 {
            write!(f, "; records in flight: {}", self.unacknowledged)?;
        }
        if !self.held.is_empty() {
            write!(f, "; held before an unacknowledged record: {}", self.held.join(", "))?;
        }
        Ok(())
    }
}
