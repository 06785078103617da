//! The checkpoints of one stream.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use tokio::runtime::Handle;
use tokio::time::{Duration, timeout, timeout_at};

use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::save_task::SaveTask;
use crate::checkpoint::shards::CheckpointedShard;
use crate::checkpoint::shared::{SAVER_GRACE, Shared, are_durable, later};
use crate::checkpoint::store::{CheckpointStore, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::handle::ShardHandle;
use crate::shard::position::{Progress, StartPosition};
use crate::shard::stream_id::StreamId;
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::runtime::Timer;

/// How far each shard of one stream was processed, and the store that keeps it.
///
/// It is loaded once, at the start, given to
/// [`AllShards::checkpoints`](crate::AllShards::checkpoints), and [stopped](Self::shutdown) at the
/// end. Clones are of the same.
///
/// While one of its clones, or a stream made with it, lives, a task saves what is acknowledged; it
/// is aborted with the last of them, and what it had not saved comes again. It runs in the runtime
/// that the checkpoints were loaded in. Should that be shut down, or make no progress for 5 s, the
/// task moves to the runtime in which the checkpoints are used, with a warning. One `Checkpoints`
/// is for one consumer of the stream: a shard is read by one reader at a time, also where two
/// `Checkpoints` share a store in one process. The second reader of a shard is refused with an
/// error ([`ReadError::is_in_use`](crate::ReadError::is_in_use)). Two processes that share a store
/// overwrite each other's checkpoints.
#[derive(Clone)]
pub struct Checkpoints {
    shared: Arc<Shared>,
    saver: Arc<Mutex<AbortOnDrop<()>>>,
}

impl Checkpoints {
    /// Loads what the store knows of the stream.
    ///
    /// # Errors
    ///
    /// If the store fails, or gives no answer within 60 s. Nothing is begun then, so that nothing
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

    /// As [`load`](Self::load), with other options.
    ///
    /// # Errors
    ///
    /// If the store fails, or gives no answer within
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
        let limit = options.load_timeout;
        let loaded = match timeout(limit, store.load(&stream)).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(source)) => return Err(LoadError { stream, source }),
            Err(_) => {
                let source = format!("the store gave no answer within {limit:?}").into();
                return Err(LoadError { stream, source });
            }
        };
        tracing::debug!(stream = stream.name(), shards = loaded.len(), "checkpoints loaded");
        let shared = Arc::new(Shared::new(stream, store, options, loaded));
        let saver = SaveTask::spawn(&shared);
        Ok(Self { shared, saver: Arc::new(Mutex::new(saver)) })
    }

    /// Spawns the task that saves in this runtime, if it ended with the runtime it ran in, or if
    /// that is not driven.
    pub(crate) fn keep_saving(&self) {
        let shared = &self.shared;
        if shared.has_saver() && !shared.is_saver_late() {
            return;
        }
        let mut saver = self.saver.lock().unwrap_or_else(PoisonError::into_inner);
        let what = if !shared.has_saver() {
            "was shut down"
        } else if shared.is_saver_late() && is_elsewhere(&saver) && shared.stop_saver() {
            "is not driven"
        } else {
            return;
        };
        tracing::warn!(
            stream = shared.stream.name(),
            "the runtime in which checkpoints were saved {what}: they are saved in this one"
        );
        *saver = SaveTask::spawn(shared);
        shared.hurry();
    }

    /// As [`keep_saving`](Self::keep_saving), for those who wait for the store. The task is woken
    /// to look again where the checkpoints are saved in another runtime.
    pub(crate) fn watch_saving(&self, watch: &mut Timer, cx: &mut Context<'_>) {
        loop {
            self.keep_saving();
            let is_elsewhere =
                is_elsewhere(&self.saver.lock().unwrap_or_else(PoisonError::into_inner));
            if !is_elsewhere || watch.poll(cx, SAVER_GRACE).is_pending() {
                return;
            }
        }
    }

    #[track_caller]
    pub(crate) fn assert_are_of(&self, stream: &StreamId) {
        let own = self.shared.learn(stream);
        let is_same = match (own.arn(), stream.arn()) {
            (Some(a), Some(b)) => a == b,
            _ => own.name() == stream.name(),
        };
        assert!(
            is_same,
            "these are the checkpoints of stream {own}, and the shards are of stream {stream}"
        );
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.shared.stream
    }

    /// How far a shard was processed, durable or not. `None` if it is not known.
    #[must_use]
    pub fn get(&self, shard_id: &str) -> Option<Checkpoint> {
        self.shared.known(shard_id)?.checkpoint()
    }

    /// How far each shard was processed, for
    /// [`ParentsFirst::resume`](crate::lineage::ParentsFirst::resume): for a chain that is not made
    /// by [`all_shards`](crate::all_shards()).
    pub fn progress(&self) -> impl Iterator<Item = (String, Progress)> {
        self.shared
            .entries()
            .into_iter()
            .filter_map(|entry| Some((entry.id.clone(), entry.progress()?)))
    }

    /// A shard with its checkpoint, for a chain that is not made by
    /// [`all_shards`](crate::all_shards()). Of a shard that is not known, the start is remembered;
    /// the client tells the time of it, if that is the tip.
    ///
    /// # Panics
    ///
    /// If the shard is of another stream.
    #[track_caller]
    pub fn open(&self, handle: ShardHandle, client: &Client) -> CheckpointedShard {
        self.assert_are_of(handle.stream());
        CheckpointedShard::new(handle, self, client, false)
    }

    /// Forgets a shard, also in the store, as is done with those that Kinesis does not list any
    /// more.
    pub fn forget(&self, shard_id: &str) {
        self.shared.forget(shard_id);
    }

    /// Saves all that was acknowledged by now, and waits until the store has confirmed it, however
    /// long that takes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if the one that the checkpoints were loaded in was shut down.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped: what it began goes on.
    pub async fn flush(&self) {
        self.shared.hurry();
        let (slot, mut unsaved) = (self.shared.quiet.join(), self.shared.unsaved());
        let mut watch = Timer::default();
        poll_fn(|cx| {
            slot.register(cx.waker());
            self.watch_saving(&mut watch, cx);
            if are_durable(&mut unsaved) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Stops the consumer: reading ends, what is in flight is waited for, and all that was
    /// acknowledged is saved.
    ///
    /// Every stream of records and of shards that was made with these checkpoints ends: it gives
    /// `None`, so that loops and pipelines over it run out by themselves. Then this waits until
    /// every record that was delivered is acknowledged or dropped, and until the store has
    /// confirmed all: for `limit` in all. So the pipeline must be polled meanwhile: call this from
    /// another task, or beside it.
    ///
    /// What is left over at the limit is in the answer, and comes again with the next run.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn example(checkpoints: kinesis_shards::Checkpoints, pipeline: impl Future<Output = ()>) {
    /// let stop = tokio::spawn(async move {
    ///     tokio::signal::ctrl_c().await.unwrap();
    ///     checkpoints.shutdown(Duration::from_secs(30)).await
    /// });
    /// pipeline.await; // It ends because its records do.
    /// println!("{}", stop.await.unwrap());
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// It may be dropped: reading has ended, and saving goes on.
    pub async fn shutdown(&self, limit: Duration) -> ShutdownReport {
        let shared = &self.shared;
        shared.stop();
        let deadline = later(limit);
        let slot = shared.quiet.join();
        let settled = poll_fn(|cx| {
            slot.register(cx.waker());
            if shared.in_flight() == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        let settled = timeout_at(deadline, settled).await;
        // A store that is quick has its chance even where nothing else was left of the time.
        let _ = timeout_at(deadline.max(later(limit / 10)), self.flush()).await;
        let unacknowledged = if settled.is_ok() { 0 } else { shared.in_flight() };
        let mut stopped = ShutdownReport {
            stream: shared.stream.clone(),
            checkpoints: Vec::new(),
            unsaved: Vec::new(),
            held: Vec::new(),
            unacknowledged,
        };
        // They are in the order of their ids.
        for entry in shared.entries() {
            if entry.is_held() {
                stopped.held.push(entry.id.clone());
            }
            match entry.stored() {
                _ if !entry.is_clean() => stopped.unsaved.push(entry.id.clone()),
                Some(checkpoint) if entry.is_opened() => {
                    stopped.checkpoints.push((entry.id.clone(), checkpoint));
                }
                _ => {}
            }
        }
        stopped
    }

    /// The shards of which a record was processed.
    pub(crate) fn past_start(&self) -> Vec<String> {
        let is_past =
            |checkpoint| matches!(checkpoint, Some(Checkpoint::After { .. } | Checkpoint::End));
        let entries = self.shared.entries().into_iter();
        entries.filter(|entry| is_past(entry.checkpoint())).map(|entry| entry.id.clone()).collect()
    }

    /// Where the run began that has not come to any record yet in one of its shards.
    pub(crate) fn earliest_start(&self) -> Option<DateTime> {
        let starts =
            self.shared.entries().into_iter().filter_map(|entry| match entry.checkpoint() {
                Some(Checkpoint::Start(StartPosition::Timestamp(start))) => Some(start),
                _ => None,
            });
        starts.min_by_key(|start| (start.secs(), start.subsec_nanos()))
    }
}

fn is_elsewhere(saver: &AbortOnDrop<()>) -> bool {
    Handle::try_current().is_ok_and(|here| here.id() != saver.runtime())
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("stream", &self.shared.stream.name())
            .field("in_flight", &self.shared.in_flight())
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// The checkpoints of a stream could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error(
    "the checkpoints of stream {} could not be loaded: {source}; nothing was read, so that nothing starts over",
    stream.name()
)]
pub struct LoadError {
    stream: StreamId,
    source: StoreError,
}

impl LoadError {
    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }
}

/// What [`Checkpoints::shutdown`] came to.
#[derive(Clone, Debug)]
#[must_use = "it says whether all was saved"]
pub struct ShutdownReport {
    stream: StreamId,
    checkpoints: Vec<(String, Checkpoint)>,
    unsaved: Vec<String>,
    held: Vec<String>,
    unacknowledged: usize,
}

impl ShutdownReport {
    /// Whether nothing comes again that was delivered; save where the stream was deleted and
    /// created again meanwhile, whose first records may.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unsaved.is_empty() && self.held.is_empty() && self.unacknowledged == 0
    }

    /// The shards that this run has read and that are saved, and how far, by id.
    #[must_use]
    pub fn checkpoints(&self) -> &[(String, Checkpoint)] {
        &self.checkpoints
    }

    /// The ids of the shards whose last checkpoint the store has not confirmed.
    #[must_use]
    pub fn unsaved(&self) -> &[String] {
        &self.unsaved
    }

    /// The ids of the shards whose checkpoint stays before a record that was dropped without
    /// acknowledgement, or was still being processed: it and all that was delivered after it come
    /// again, acknowledged or not.
    #[must_use]
    pub fn held(&self) -> &[String] {
        &self.held
    }

    /// How many records were still being processed when the time was up.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}: shards saved: {}", self.stream.name(), self.checkpoints.len())?;
        if !self.unsaved.is_empty() {
            write!(f, "; not saved: {}", self.unsaved.join(", "))?;
        }
        if self.unacknowledged > 0 {
            write!(f, "; records that were still being processed: {}", self.unacknowledged)?;
        }
        if !self.held.is_empty() {
            let held = self.held.join(", ");
            write!(
                f,
                "; what follows the first record that was not acknowledged comes again, of {held}"
            )?;
        }
        Ok(())
    }
}
