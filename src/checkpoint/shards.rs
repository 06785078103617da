//! The combinator: shards with their checkpoints.

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
use crate::shard::position::{StartAt, StartPosition};

/// A shard, and its checkpoint: to be read from there, with [`records`](Self::records).
///
/// It is made by [`CheckpointedShards`], or from any handle by [`Checkpoints::open`]. From then on
/// the shard is remembered: where it starts is being saved. Dropping it hands the shard back,
/// whatever [`OnDrop`](crate::OnDrop) says.
#[must_use = "a shard that is dropped is handed back"]
pub struct CheckpointedShard {
    /// Before the handle: whoever is offered the shard next finds it free. None if another has it.
    pub(crate) claim: Option<Claim>,
    pub(crate) handle: ShardHandle,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) entry: Arc<ShardState>,
    pub(crate) incarnation: Incarnation,
    pub(crate) from: StartPosition,
    pub(crate) resume: Resume,
    pub(crate) is_finished: bool,
    /// It starts at a time that was found out for `LATEST`.
    pub(crate) is_estimate: bool,
    /// No record was acknowledged yet: where it starts must be durable before it is read.
    pub(crate) is_start: bool,
}

impl CheckpointedShard {
    /// `from_latest`: any time that a shard of this run starts at was found out for `LATEST`, by it
    /// or by an earlier run.
    pub(crate) fn new(
        handle: ShardHandle,
        checkpoints: &Checkpoints,
        client: &Client,
        from_latest: bool,
    ) -> Self {
        let shared = checkpoints.shared();
        let claim = shared.claims.claim(handle.id());
        let (entry, incarnation, checkpoint) = shared.open(handle.shard());
        let mut from = match &checkpoint {
            Some(Checkpoint::After { sequence_number, .. }) => {
                StartPosition::At(sequence_number.clone())
            }
            Some(Checkpoint::Start(position)) => position.clone(),
            None | Some(Checkpoint::End) => handle.start().clone(),
        };
        let is_at_the_tip = from == StartPosition::Latest;
        if is_at_the_tip {
            // What is remembered of the tip is the time: a LATEST that is asked for later would
            // skip what came in between.
            from = StartPosition::Timestamp(handle.offer().now(client).into());
        }
        if claim.is_some() && (checkpoint.is_none() || is_at_the_tip) {
            let is_at_a_time = matches!(from, StartPosition::Timestamp(_));
            shared.begin(
                &entry,
                &incarnation,
                handle.shard(),
                Checkpoint::Start(from.clone()),
                is_at_a_time,
            );
        }
        let is_estimate = is_at_the_tip || from_latest || handle.offer().is_estimate;
        Self {
            is_estimate: is_estimate && matches!(from, StartPosition::Timestamp(_)),
            claim,
            handle: handle.reoffered_on_drop(),
            checkpoints: checkpoints.clone(),
            entry,
            incarnation,
            from,
            resume: checkpoint.as_ref().map(Resume::after).unwrap_or_default(),
            is_finished: checkpoint == Some(Checkpoint::End),
            is_start: !matches!(checkpoint, Some(Checkpoint::After { .. })),
        }
    }

    /// The shard's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// The handle: the shard itself, its stream, its parents.
    pub fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// Where it is read from: the record of its checkpoint, or where it starts. Instead of
    /// [`Latest`](StartPosition::Latest), that is the time, by Kinesis's clock and up to a second
    /// or so early.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        &self.from
    }

    /// Its records, each to be acknowledged, from its checkpoint to its end.
    ///
    /// The stream ends, and the shard's children open, when all records were acknowledged and the
    /// store has confirmed the end of the shard.
    pub fn records(self, client: &Client) -> Records<Self> {
        Records::new(self, client)
    }

    /// Returns the shard's records by the page, each page with one acknowledgement: see
    /// [`UnackedBatch`](super::UnackedBatch). The stream ends as that of
    /// [`records`](Self::records).
    pub fn batches(self, client: &Client) -> Batches<Self> {
        Batches::new(self, client)
    }
}

impl std::fmt::Debug for CheckpointedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointedShard")
            .field("handle", &self.handle)
            .field("start", &self.from)
            .finish_non_exhaustive()
    }
}

/// A stream of shards, each with its checkpoint: see [`AllShards::checkpoints`].
///
/// It ends when the checkpoints are [shut down](Checkpoints::shutdown).
///
/// # Filtering shards
///
/// A shard that `filter` drops is abandoned: it is re-offered for ever, and its children wait for
/// it. A `WARN` says so. Do not share a stream among processes by a filter.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing.
#[must_use = "streams do nothing unless polled"]
pub struct CheckpointedShards<E: ErrorPolicy = LogErrors> {
    shards: AllShards<E>,
    client: Client,
    checkpoints: Checkpoints,
    /// Shards whose start is being saved, and that were not taken yet.
    opened: VecDeque<E::Item<CheckpointedShard>>,
    /// Whether the run begins at a time. Then no shard is read before the starts of all that the
    /// run begins with are durable, so they are opened together.
    together: bool,
    /// It begins at `Latest`, or where an earlier run did that has not come to a record.
    from_latest: bool,
    stopped: Arc<AtomicWaker>,
    has_ended: bool,
}

impl<E: ErrorPolicy> AllShards<E> {
    /// Gives each shard its checkpoint: the run continues where the last one stopped.
    ///
    /// It [resumes](Self::resume) from what `checkpoints` has loaded: a shard that was read to its
    /// end is not offered again, and the children of a shard wait for what is truly unfinished.
    /// Where a record of a shard was processed, all its ancestors are finished, also those without
    /// a checkpoint (the Kinesis Client Library removes that of a finished shard before Kinesis
    /// stops listing it), unless a checkpoint says that one of their own ancestors is not. The
    /// store forgets what Kinesis does not list any more. [`start_at`](Self::start_at) says where a
    /// first run begins, and where a shard begins that no checkpoint knows; of a run from
    /// [`StartAt::Latest`] that has not come to a record yet, the time of its beginning is
    /// remembered.
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
            // The run began then, and a shard may not have been seen since.
            (StartAt::Latest, Some(since)) => shards.start_at(StartAt::Timestamp(since)),
            _ => shards,
        };
        shards.shards_mut().track_forgotten();
        shards.shards_mut().resume_past(checkpoints.past_start());
        let shards = shards.resume(checkpoints.progress());
        Self {
            client: shards.shards().get_ref().client().clone(),
            together: shards.shards().start() != StartAt::TrimHorizon,
            from_latest,
            shards,
            checkpoints: checkpoints.clone(),
            opened: VecDeque::new(),
            stopped: checkpoints.shared().stopped.join(),
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
        this.stopped.register(cx.waker());
        if this.has_ended || checkpoints.shared().is_stopping() {
            this.has_ended = true;
            this.opened.clear();
            return Poll::Ready(None);
        }
        // All shards of one list are opened without a pause.
        while this.opened.is_empty() || this.together {
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
