use tokio::time::Duration;

use crate::checkpoint::store::StoreError;
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// Something that happened to a shard's checkpoint; see
/// [`CheckpointOptions::on_event`](super::CheckpointOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckpointEvent<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The shard.
    pub shard_id: &'a str,
    /// What happened.
    pub kind: CheckpointEventKind<'a>,
}

/// What happened to a shard's checkpoint.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckpointEventKind<'a> {
    /// The store has confirmed it: it is durable.
    #[non_exhaustive]
    Saved {
        /// How far.
        checkpoint: &'a Checkpoint,
    },
    /// The store has confirmed that it has forgotten the shard, which Kinesis does not list any
    /// more.
    Forgotten,
    /// The store has failed; it is tried again.
    #[non_exhaustive]
    SaveFailed {
        /// What it said.
        error: &'a StoreError,
        /// How often in a row.
        failures: u32,
        /// The next attempt is after this.
        wait: Duration,
    },
    /// Nothing of the shard could be saved for as long as
    /// [`store_outage_limit`](super::CheckpointOptions::store_outage_limit) allows: its reading
    /// pauses until the store is back.
    #[non_exhaustive]
    Paused {
        /// For how long nothing could be saved.
        since: Duration,
    },
    /// What came after the checkpoint, up to `first`, has expired before it was read: Kinesis does
    /// not hold it any more. The shard is read from the oldest record that is left of it, if any
    /// is.
    ///
    /// It is told when the record that the checkpoint names has not come again, and when Kinesis
    /// lists a shard no more that was not read to its end. In the first case, it may be that
    /// nothing came between. Of a shard of which no record was acknowledged yet, only the second
    /// can be known.
    #[non_exhaustive]
    Gap {
        /// The checkpoint.
        after: &'a Checkpoint,
        /// The sequence number of the oldest record that is left; `None` if there is none, or it is
        /// not known yet.
        first: Option<&'a str>,
    },
    /// A record was dropped without acknowledgement, the first of this reading: the checkpoint
    /// stays before it.
    #[non_exhaustive]
    Unacknowledged {
        /// Its place among the records that were delivered of this shard by this reader, from 0.
        number: u64,
    },
}
