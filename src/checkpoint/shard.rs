//! A shard with its checkpoint.

use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::Client;

use crate::checkpoint::claims::Claim;
use crate::checkpoint::consumer::Consumer;
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease::Lease;
use crate::checkpoint::resume::ResumePoint;
use crate::checkpoint::shard_state::{Incarnation, ShardState};
use crate::checkpoint::value::Checkpoint;
use crate::records::batches::Batches;
use crate::records::error::ReadError;
use crate::records::flatten::Records;
use crate::records::shard_reader::ReaderStart;
use crate::shard::handle::ShardHandle;
use crate::shard::position::{Progress, StartPosition};

/// A shard with its checkpoint, to be read by [`records`](Self::records) or
/// [`batches`](Self::batches).
///
/// [`CheckpointedShards`](super::CheckpointedShards) yields such shards, and
/// [`Checkpoints::open`](super::Checkpoints::open) makes one from any handle. If a shard has no
/// checkpoint yet, its start is saved when it opens. Dropping the shard abandons it under any
/// [`OnDrop`](crate::OnDrop).
///
/// See the example of [`AllShards::checkpoints`](crate::AllShards::checkpoints).
#[must_use = "a shard that is dropped is abandoned, and offered again"]
pub struct CheckpointedShard {
    /// `None` if another reader has the shard. Declared before the handle, so that the shard is
    /// free when it is offered again.
    pub(crate) claim: Option<Claim>,
    pub(crate) handle: ShardHandle,
    pub(crate) consumer: Consumer,
    pub(crate) state: Arc<ShardState>,
    pub(crate) incarnation: Incarnation,
    /// The position at which reading begins: the record of the checkpoint, or the start.
    pub(crate) read_from: StartPosition,
    pub(crate) resume: ResumePoint,
    /// Whether the checkpoint is the end of the shard.
    pub(crate) is_finished: bool,
    pub(crate) start_kind: ReaderStart,
    /// Whether no record was acknowledged yet. The start must be durable before the shard is read.
    pub(crate) is_at_start: bool,
    /// The error that its reader yields instead of records.
    pub(crate) failure: Option<ReadError>,
}

impl CheckpointedShard {
    /// Opens a shard. With `from_latest`, any time at which a shard of this run starts stands for
    /// `Latest`, in this run or an earlier one.
    pub(crate) fn new(
        handle: ShardHandle,
        consumer: &Consumer,
        client: &Client,
        from_latest: bool,
    ) -> Self {
        let claim = consumer.shared.claims.claim(handle.id());
        let opened = consumer.shared.shards.open(handle.received());
        Self::opened(handle, consumer, client, from_latest, claim, opened)
    }

    /// Opens a shard whose lease was granted, with the state of that lease.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn leased(
        handle: ShardHandle,
        consumer: &Consumer,
        client: &Client,
        from_latest: bool,
        state: Arc<ShardState>,
    ) -> Self {
        let claim = consumer.shared.claims.claim(handle.id());
        let (incarnation, checkpoint) = state.open(handle.received());
        let opened = (state, incarnation, checkpoint);
        Self::opened(handle, consumer, client, from_latest, claim, opened)
    }

    fn opened(
        handle: ShardHandle,
        consumer: &Consumer,
        client: &Client,
        from_latest: bool,
        claim: Option<Claim>,
        (state, incarnation, checkpoint): (Arc<ShardState>, Incarnation, Option<Checkpoint>),
    ) -> Self {
        let shared = &consumer.shared;
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
            shared.set_start(&state, &incarnation, handle.received(), start.clone());
        }
        let position = checkpoint.as_ref().and_then(Checkpoint::position);
        let start_kind = if is_latest {
            ReaderStart::Tip
        } else if from_latest || handle.offer().is_estimate {
            ReaderStart::Estimate
        } else {
            ReaderStart::Given
        };
        Self {
            start_kind,
            claim,
            read_from: position.map_or_else(
                || start.clone(),
                |position| StartPosition::At(position.sequence_number().to_owned()),
            ),
            handle: handle.starting_at(start).reoffered_on_drop(),
            consumer: consumer.clone(),
            state,
            incarnation,
            resume: checkpoint.as_ref().map(ResumePoint::from).unwrap_or_default(),
            is_finished: checkpoint == Some(Checkpoint::End),
            is_at_start: !matches!(checkpoint, Some(Checkpoint::After { .. })),
            failure: None,
        }
    }

    /// Creates a shard whose reader fails with this error.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn failed(handle: ShardHandle, consumer: &Consumer, failure: ReadError) -> Self {
        Self {
            claim: None,
            read_from: handle.start().clone(),
            state: Arc::new(ShardState::new(handle.id().to_owned(), None)),
            handle,
            consumer: consumer.clone(),
            incarnation: Incarnation::default(),
            resume: ResumePoint::default(),
            is_finished: false,
            start_kind: ReaderStart::Given,
            is_at_start: false,
            failure: Some(failure),
        }
    }

    /// Returns the shard's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Returns the handle: the shard as Kinesis described it, its stream, its parents, and the same
    /// [`start`](Self::start).
    pub fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// Returns where the shard starts: after its checkpoint, or where its first run started.
    ///
    /// For [`Latest`](StartPosition::Latest), the start is the time at which the shard was opened,
    /// by Kinesis's clock or up to about a second earlier. For a checkpoint within an aggregated
    /// record, the start is that record.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        self.handle.start()
    }

    /// Returns the lease of the shard, where many workers share the stream
    /// ([`AllShards::leased`](crate::AllShards::leased)).
    #[cfg(feature = "dynamodb")]
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.state.lease.as_ref()
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

impl fmt::Debug for CheckpointedShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointedShard").field("handle", &self.handle).finish_non_exhaustive()
    }
}
