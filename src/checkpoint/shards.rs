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
use crate::checkpoint::claims::Claim;
use crate::checkpoint::resume::Resume;
use crate::checkpoint::shard_state::{Incarnation, ShardState};
use crate::checkpoint::value::Checkpoint;
use crate::listing::error::ListError;
use crate::records::batches::Batches;
use crate::records::flatten::Records;
use crate::shard::handle::ShardHandle;
use crate::shard::position::{Progress, StartAt, StartPosition};

/// A shard with its checkpoint, to be read by [`records`](Self::records) or
/// [`batches`](Self::batches).
///
/// [`CheckpointedShards`] yields these, and [`Checkpoints::open`] makes one of any handle. The
/// start of a shard without a checkpoint is saved from then on. Dropping this abandons the shard,
/// whatever [`OnDrop`](crate::OnDrop) says.
#[must_use = "a shard that is dropped is abandoned, and offered again"]
pub struct CheckpointedShard {
    /// `None` if another reader has the shard. Declared before the handle, so that the shard is
    /// free when it is offered again.
    pub(crate) claim: Option<Claim>,
    pub(crate) handle: ShardHandle,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) state: Arc<ShardState>,
    pub(crate) incarnation: Incarnation,
    /// The position that is read from: the record of the checkpoint, or the start.
    pub(crate) read_from: StartPosition,
    pub(crate) resume: Resume,
    /// Whether the checkpoint is the end of the shard.
    pub(crate) is_finished: bool,
    /// Whether the start is a time that stands for `Latest`.
    pub(crate) is_estimate: bool,
    /// Whether no record was acknowledged yet. The start must be durable before the shard is read.
    pub(crate) is_start: bool,
}

impl CheckpointedShard {
    /// Opens a shard. With `from_latest`, any time at which a shard of this run starts stands for
    /// `Latest`, in this run or an earlier one.
    pub(crate) fn new(
        handle: ShardHandle,
        checkpoints: &Checkpoints,
        client: &Client,
        from_latest: bool,
    ) -> Self {
        let shared = checkpoints.shared();
        let claim = shared.claims.claim(handle.id());
        let (state, incarnation, checkpoint) = shared.shards.open(handle.shard());
        let mut start = match checkpoint.clone().map(Progress::from) {
            Some(Progress::At(position)) => position,
            None | Some(Progress::Finished) => handle.start().clone(),
        };
        let is_latest = start == StartPosition::Latest;
        if is_latest {
            // The time is saved in place of `Latest`, which would skip records if it was requested
            // later.
            start = StartPosition::Timestamp(handle.offer().now(client).into());
        }
        if claim.is_some() && (checkpoint.is_none() || is_latest) {
            shared.begin(&state, &incarnation, handle.shard(), start.clone());
        }
        let is_estimate = is_latest || from_latest || handle.offer().is_estimate;
        let position = checkpoint.as_ref().and_then(Checkpoint::position);
        Self {
            is_estimate: is_estimate && matches!(start, StartPosition::Timestamp(_)),
            claim,
            read_from: position.map_or_else(
                || start.clone(),
                |position| StartPosition::At(position.sequence_number().to_owned()),
            ),
            handle: handle.starting_at(start).reoffered_on_drop(),
            checkpoints: checkpoints.clone(),
            state,
            incarnation,
            resume: checkpoint.as_ref().map(Resume::from).unwrap_or_default(),
            is_finished: checkpoint == Some(Checkpoint::End),
            is_start: !matches!(checkpoint, Some(Checkpoint::After { .. })),
        }
    }

    /// Returns the shard's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Returns the handle: the shard as Kinesis described it, its stream, its parents, and its
    /// [`start`](ShardHandle::start), which is that of this shard.
    pub fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// Returns where the shard starts: after its checkpoint, or where its first run started.
    ///
    /// Instead of [`Latest`](StartPosition::Latest) this is the time, by Kinesis's clock and up to
    /// a second or so early. Where a checkpoint is within an aggregated record, it is that record.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        self.handle.start()
    }

    /// Returns the shard's records from its start to its end, each with an acknowledgement.
    ///
    /// The stream ends, and the shard's children open, when all records were acknowledged and the
    /// store has confirmed the end of the shard.
    pub fn records(self, client: &Client) -> Records<Self> {
        Records::new(self, client)
    }

    /// Returns the shard's records by the page, each page with one acknowledgement: see
    /// [`UnackedBatch`](super::UnackedBatch). The stream ends as [`records`](Self::records) does.
    pub fn batches(self, client: &Client) -> Batches<Self> {
        Batches::new(self, client)
    }
}

impl std::fmt::Debug for CheckpointedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointedShard").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A stream of shards with their checkpoints: see [`AllShards::checkpoints`].
///
/// The stream ends when the checkpoints are [shut down](Checkpoints::shutdown).
///
/// # Filtering shards
///
/// A shard that `filter` drops is abandoned: it is re-offered for ever, and its children wait for
/// it. A `WARN` says so. Do not split the work of a stream by a filter.
///
/// # Cancel safety
///
/// Dropping `next()` loses no shard.
#[must_use = "streams do nothing unless polled"]
pub struct CheckpointedShards<E: ErrorPolicy = LogErrors> {
    shards: AllShards<E>,
    client: Client,
    checkpoints: Checkpoints,
    /// The open shards that were not taken yet. Their starts are being saved.
    opened: VecDeque<E::Item<CheckpointedShard>>,
    /// Whether the run starts at a time. Then all shards of a list are opened together, so that all
    /// their starts are behind the [`StartBarrier`](super::start_barrier::StartBarrier).
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
    /// end is not offered again, and the children of a shard wait only for unfinished parents.
    /// Where a record of a shard was processed, all its ancestors count as finished, also those
    /// without a checkpoint, unless the checkpoint of one of their own ancestors is not an end: the
    /// Kinesis Client Library removes the checkpoint of a finished shard before Kinesis stops
    /// listing it. The store forgets the shards that Kinesis does not list any more.
    ///
    /// [`start_at`](Self::start_at) says where a first run starts, and a shard without a
    /// checkpoint. A run from [`StartAt::Latest`] remembers the time at which it started until a
    /// record is processed.
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
        checkpoints.assert_are_of(shards.shards().get_ref().stream());
        let from_latest = shards.shards().start() == StartAt::Latest;
        let mut shards = match (shards.shards().start(), checkpoints.earliest_start()) {
            // The earlier run started at that time, and a shard may not have been listed since.
            (StartAt::Latest, Some(since)) => shards.start_at(StartAt::Timestamp(since)),
            _ => shards,
        };
        shards.shards_mut().track_forgotten();
        shards.shards_mut().resume_started(checkpoints.past_start());
        let shards = shards.resume(checkpoints.progress());
        Self {
            client: shards.shards().get_ref().client().clone(),
            opens_together: shards.shards().start() != StartAt::TrimHorizon,
            from_latest,
            shards,
            checkpoints: checkpoints.clone(),
            opened: VecDeque::new(),
            shutdown: checkpoints.shared().streams.join(),
            has_ended: false,
        }
    }

    /// Waits until the shards have been listed once, and returns the stream: see
    /// [`AllShards::ready`].
    ///
    /// # Errors
    ///
    /// A [`ListError`] that is not [retryable](ListError::is_retryable).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn ready(self) -> Result<Self, ListError> {
        Ok(Self { shards: self.shards.ready().await?, ..self })
    }
}

impl<E: ErrorPolicy> Stream for CheckpointedShards<E> {
    type Item = E::Item<CheckpointedShard>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let checkpoints = &this.checkpoints;
        checkpoints.keep_saving();
        this.shutdown.register(cx.waker());
        if this.has_ended || checkpoints.shared().is_shut_down() {
            this.has_ended = true;
            this.opened.clear();
            return Poll::Ready(None);
        }
        while this.opened.is_empty() || this.opens_together {
            let item = this.shards.poll_next_unpin(cx);
            for id in this.shards.shards_mut().take_forgotten() {
                checkpoints.shared().expire(&id);
            }
            let open = |handle| {
                CheckpointedShard::new(handle, checkpoints, &this.client, this.from_latest)
            };
            match item {
                Poll::Ready(Some(item)) => this.opened.push_back(E::map(item, open)),
                Poll::Ready(None) => {
                    this.has_ended = this.opened.is_empty();
                    break;
                }
                Poll::Pending => break,
            }
        }
        match this.opened.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if this.has_ended => Poll::Ready(None),
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
