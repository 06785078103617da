//! The stream of shards with their checkpoints.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::stream::FusedStream;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};

use crate::all_shards::sealed::ErrorPolicy;
use crate::all_shards::{AllShards, LogErrors};
use crate::checkpoint::checkpoints::Checkpoints;
use crate::checkpoint::shard::CheckpointedShard;
use crate::listing::error::ListError;
use crate::shard::position::StartAt;

/// A stream of shards with their checkpoints: see [`AllShards::checkpoints`].
///
/// The stream ends when the checkpoints are [shut down](Checkpoints::shutdown), and at the
/// [end](AllShards::until) of the run if it has one.
///
/// # Filtering shards
///
/// A shard that `filter` drops is abandoned: it is re-offered for ever, and its children wait for
/// it. A `WARN` says so. Do not split the work of a stream by a filter.
///
/// # Cancel safety
///
/// Dropping `next()` loses no shard.
///
/// See the example of [`AllShards::checkpoints`].
#[must_use = "streams do nothing unless polled"]
pub struct CheckpointedShards<E: ErrorPolicy = LogErrors> {
    shards: AllShards<E>,
    client: Client,
    checkpoints: Checkpoints,
    /// The open shards that were not taken yet. Their starts are being saved.
    opened: VecDeque<E::Item<CheckpointedShard>>,
    /// Whether the run starts at a time. If so, all shards of a list are opened together, so that
    /// the readers of all wait at the [`StartBarrier`](super::start_barrier::StartBarrier).
    opens_together: bool,
    /// Whether the run starts at `Latest`, or at the time of an earlier run that did.
    from_latest: bool,
    shutdown: Arc<AtomicWaker>,
    has_ended: bool,
}

impl<E: ErrorPolicy> AllShards<E> {
    /// Opens each shard at its checkpoint: the run continues where the last one stopped.
    ///
    /// The stream [resumes](Self::resume) from the loaded checkpoints. A shard that was read to its
    /// end is not offered again, and the children of a shard wait only for unfinished parents. If a
    /// record of a shard was acknowledged, all its ancestors count as finished, also those without
    /// a checkpoint, unless the checkpoint of one of their own ancestors is not an end: the Kinesis
    /// Client Library removes the checkpoint of a finished shard before Kinesis stops listing it.
    /// The store forgets the shards that Kinesis no longer lists.
    ///
    /// [`start_at`](Self::start_at) applies to a first run, and to a shard without a checkpoint. A
    /// run from [`StartAt::Latest`] stores the time at which it started until a record is
    /// acknowledged.
    ///
    /// ```
    /// use futures::{StreamExt, TryStreamExt};
    /// use kinesis_shards::{Checkpoints, MemoryStore, all_shards};
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kinesis = FakeKinesis::new();
    /// # let orders = kinesis.create_stream("orders", 1);
    /// # orders.put("customer 1", "an order");
    /// # orders.split("shardId-000000000000");
    /// # let client = &kinesis.client();
    /// let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
    /// all_shards(client, "orders")
    ///     .checkpoints(&checkpoints)
    /// #   .take(1)
    ///     .for_each_concurrent(None, |shard| async move {
    ///         println!("{} opens at {:?}", shard.id(), shard.start());
    ///         let mut records = shard.records(client);
    ///         while let Ok(Some(record)) = records.try_next().await {
    ///             println!("{} {} bytes", record.sequence_number(), record.data().len());
    ///             record.ack();
    ///         }
    ///     })
    ///     .await;
    /// # let end = checkpoints.get("shardId-000000000000");
    /// # assert_eq!(end, Some(kinesis_shards::checkpoint::Checkpoint::End));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the stream was polled already, and if the checkpoints are those of another stream.
    #[track_caller]
    pub fn checkpoints(self, checkpoints: &Checkpoints) -> CheckpointedShards<E> {
        CheckpointedShards::new(self, checkpoints)
    }
}

impl<E: ErrorPolicy> CheckpointedShards<E> {
    #[track_caller]
    fn new(shards: AllShards<E>, checkpoints: &Checkpoints) -> Self {
        checkpoints.assert_same_stream(shards.shards().get_ref().stream());
        let from_latest = shards.shards().start() == StartAt::Latest;
        let mut shards = match (shards.shards().start(), checkpoints.earliest_start()) {
            // The earlier run started at that time, and a shard may not have been listed since.
            (StartAt::Latest, Some(since)) => shards.start_at(StartAt::Timestamp(since)),
            _ => shards,
        };
        shards.shards_mut().track_forgotten();
        shards.shards_mut().resume_started(checkpoints.started_shards());
        let shards = shards.resume(checkpoints.progress());
        Self {
            client: shards.shards().get_ref().client().clone(),
            opens_together: shards.shards().start() != StartAt::TrimHorizon,
            from_latest,
            shards,
            checkpoints: checkpoints.clone(),
            opened: VecDeque::new(),
            shutdown: checkpoints.consumer().shared.waiting_streams.subscribe(),
            has_ended: false,
        }
    }

    /// Waits until the shards have been listed once, and returns the stream: see
    /// [`AllShards::ready`]. [`Checkpoints::shutdown`] ends the wait, and the stream.
    ///
    /// # Errors
    ///
    /// A [`ListError`] that is not [retryable](ListError::is_retryable).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn ready(mut self) -> Result<Self, ListError> {
        let listed = std::future::poll_fn(|cx| {
            self.shutdown.register(cx.waker());
            if self.checkpoints.consumer().shared.is_shut_down() {
                return Poll::Ready(Ok(()));
            }
            self.shards.poll_listed(cx)
        });
        listed.await?;
        Ok(self)
    }
}

impl<E: ErrorPolicy> Stream for CheckpointedShards<E> {
    type Item = E::Item<CheckpointedShard>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let consumer = this.checkpoints.consumer();
        consumer.ensure_save_task();
        this.shutdown.register(cx.waker());
        if this.has_ended || consumer.shared.is_shut_down() {
            this.has_ended = true;
            this.opened.clear();
            return Poll::Ready(None);
        }
        let mut all_read = false;
        while this.opened.is_empty() || this.opens_together {
            let item = this.shards.poll_next_unpin(cx);
            for id in this.shards.shards_mut().take_forgotten() {
                consumer.shared.expire(&id);
            }
            let open =
                |handle| CheckpointedShard::new(handle, consumer, &this.client, this.from_latest);
            match item {
                Poll::Ready(Some(item)) => this.opened.push_back(E::map(item, open)),
                Poll::Ready(None) => {
                    all_read = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        match this.opened.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if all_read => {
                this.has_ended = true;
                Poll::Ready(None)
            }
            None => Poll::Pending,
        }
    }
}

// Neither the shards nor the items are pinned in place.
impl<E: ErrorPolicy> Unpin for CheckpointedShards<E> {}

impl<E: ErrorPolicy> FusedStream for CheckpointedShards<E> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<E: ErrorPolicy> std::fmt::Debug for CheckpointedShards<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointedShards")
            .field("shards", &self.shards)
            .field("checkpoints", &self.checkpoints)
            .finish_non_exhaustive()
    }
}
