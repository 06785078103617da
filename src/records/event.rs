use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::records::error::ReadError;
use crate::shard::stream_id::StreamId;
#[cfg(feature = "metrics")]
use crate::util::metrics::StreamFigures;

/// An event of a shard's reader: see the example of
/// [`ReadOptions::on_event`](super::ReadOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub struct ReadEvent<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The id of the shard.
    pub shard_id: &'a str,
    /// The kind of event.
    pub kind: ReadEventKind<'a>,
}

/// The kind of a [`ReadEvent`]: see the example of
/// [`ReadOptions::on_event`](super::ReadOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadEventKind<'a> {
    /// A page arrived; it may be empty.
    #[non_exhaustive]
    Page {
        /// The number of records; an aggregated record counts as one.
        records: usize,
        /// The bytes of the records' data and partition keys.
        bytes: usize,
        /// `MillisBehindLatest`, if the server reports it.
        lag: Option<Duration>,
    },
    /// A request will be retried: it failed, got no response in time, or had an expired
    /// iterator, or its response leaves open whether the shard has ended. There is one event for
    /// each request, since the SDK's own retries are off.
    #[non_exhaustive]
    Retry {
        /// The error of the request.
        error: &'a ReadError,
        /// The number of consecutive failures for this shard, this one included.
        failures: u32,
        /// The delay until the retry.
        wait: Duration,
    },
    /// The reader has ended.
    Ended(&'a EndReason),
}

/// The reason why a shard's reader ended: see the example of
/// [`ShardHandle::records`](crate::ShardHandle::records).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EndReason {
    /// The shard has ended: its last record was taken, and either the response named its children
    /// or a list shows it as closed. The handle was completed with these children.
    EndOfShard {
        /// The `ChildShards` of the last response. Empty if the server names none.
        children: Vec<ChildShard>,
    },
    /// The reader has reached the [end of the run](crate::AllShards::until) before the end of the
    /// shard. The shard is not offered again, and no child of it is offered: they hold no record
    /// that arrived before the end of the run.
    Reached,
    /// Kinesis no longer knows the shard (`ResourceNotFoundException`, twice in a row, at least 1 s
    /// apart): the shard has expired, or the stream was deleted or re-created. A full listing is
    /// requested at once. If it does not name the shard, the shard is closed, and its outcome for
    /// its children is [`Unlisted`](crate::shard::ParentOutcome::Unlisted). If it does, the shard
    /// is offered again, with a warning in the log: the client may be configured for another region
    /// or account.
    Expired,
    /// The last record was taken, but a record was dropped without acknowledgement. The handle was
    /// abandoned, and the shard is read again from its checkpoint.
    Unacknowledged,
    /// This worker has given the [lease](crate::checkpoint::CheckpointedShard) of the shard away,
    /// and another worker reads it from here on. The readers of the other shards continue.
    LeaseMoved,
    /// Another worker has taken the lease of the shard. Its records come again there from the last
    /// saved checkpoint, and acknowledgements no longer have an effect.
    LeaseLost,
    /// An error that is not retryable occurred. It was the last item, and the handle was abandoned.
    Failed,
    /// The reader was dropped before the end, or was [shut down](crate::Checkpoints::shutdown). The
    /// handle was abandoned.
    Dropped,
}

#[cfg(feature = "metrics")]
impl ReadEventKind<'_> {
    /// Records the event for the facade of the crate `metrics`.
    pub(crate) fn record(&self, figures: &StreamFigures) {
        match self {
            Self::Page { records, bytes, .. } => figures.record_page(*records, *bytes),
            Self::Retry { error, .. } => {
                figures.record_retry(error.code(), error.is_expired_iterator());
            }
            Self::Ended(end) => figures.record_end(end.name()),
        }
    }
}

#[cfg(feature = "metrics")]
impl EndReason {
    fn name(&self) -> &'static str {
        match self {
            Self::EndOfShard { .. } => "end_of_shard",
            Self::Reached => "reached",
            Self::Expired => "expired",
            Self::Unacknowledged => "unacknowledged",
            Self::LeaseMoved => "lease_moved",
            Self::LeaseLost => "lease_lost",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}
