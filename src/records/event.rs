use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::records::error::ReadError;
use crate::shard::stream_id::StreamId;

/// Something that happened while a shard was read; see
/// [`ReadOptions::on_event`](super::ReadOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub struct ReadEvent<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The shard.
    pub shard_id: &'a str,
    /// What happened.
    pub kind: ReadEventKind<'a>,
}

/// What happened while a shard was read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadEventKind<'a> {
    /// A page came; it may be empty.
    #[non_exhaustive]
    Page {
        /// How many records are in it, as Kinesis counts them.
        records: usize,
        /// The bytes of their data and partition keys.
        bytes: usize,
        /// `MillisBehindLatest`, if the server told it.
        lag: Option<Duration>,
    },
    /// A request failed, got no response within 60 s, or its iterator had expired, or its response
    /// may be the end of the shard and does not say so. It is retried. There is one event for each
    /// request: the SDK's own retries are off.
    #[non_exhaustive]
    Retry {
        /// What went wrong.
        error: &'a ReadError,
        /// How many requests for this shard have now failed in a row.
        failures: u32,
        /// The next one begins after this.
        wait: Duration,
    },
    /// The reader has ended.
    Ended(&'a EndReason),
}

/// Why a shard's reader ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EndReason {
    /// The last record was taken, and the end of the shard is confirmed: by its children, or by a
    /// list that shows the shard as closed. The handle was completed with these children.
    EndOfShard {
        /// The `ChildShards` of the last response; none from a server that names none.
        children: Vec<ChildShard>,
    },
    /// Kinesis does not know the shard any more (`ResourceNotFoundException`, twice in a row, a
    /// second or more apart): its records have expired, or the stream was deleted, or created
    /// again. If the next full listing, which is asked for at once, does not name the shard either,
    /// it is closed, and its children are told [`Unlisted`](crate::shard::ParentOutcome::Unlisted).
    /// If it does, the shard is offered again, with a warning in the log: the client may be that of
    /// another region or account.
    Expired,
    /// Its last record was taken, but one was dropped without acknowledgement. The handle was
    /// abandoned: the shard is read again from its checkpoint.
    Unacknowledged,
    /// An error that does not pass by itself. The last item was that error; the handle was
    /// abandoned.
    Failed,
    /// The reader was dropped before the end, or was [stopped](crate::Checkpoints::shutdown). The
    /// handle was abandoned.
    Dropped,
}
