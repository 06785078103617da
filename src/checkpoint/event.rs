//! Events of checkpoints, for metrics and alarms.

use tokio::time::Duration;

use crate::checkpoint::store::StoreError;
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;
#[cfg(feature = "metrics")]
use crate::util::metrics::CheckpointFigures;

/// An event of one shard's checkpoint: see the example of
/// [`CheckpointOptions::on_event`](super::CheckpointOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckpointEvent<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The id of the shard.
    pub shard_id: &'a str,
    /// The kind of event.
    pub kind: CheckpointEventKind<'a>,
}

/// The kind of a [`CheckpointEvent`]: see the example of
/// [`CheckpointOptions::on_event`](super::CheckpointOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckpointEventKind<'a> {
    /// The store has confirmed the checkpoint: it is durable.
    #[non_exhaustive]
    Saved {
        /// The saved checkpoint.
        checkpoint: &'a Checkpoint,
    },
    /// The store has confirmed that it has forgotten the shard, which Kinesis no longer lists.
    Forgotten,
    /// The store has failed to save the checkpoint. The save is retried.
    #[non_exhaustive]
    SaveFailed {
        /// The error of the store.
        error: &'a StoreError,
        /// The number of failures in a row.
        failures: u32,
        /// The time until the retry.
        wait: Duration,
    },
    /// Reading the shard is paused until the store is back: no checkpoint of it could be saved for
    /// longer than [`store_outage_limit`](super::CheckpointOptions::store_outage_limit).
    #[non_exhaustive]
    Paused {
        /// The time for which a save has been overdue.
        since: Duration,
    },
    /// The records after the checkpoint and before `first` may have expired unread. The shard is
    /// read from the oldest record that Kinesis still holds, if there is one.
    ///
    /// A gap is reported when the record of the checkpoint does not come again, and when Kinesis
    /// stops listing a shard that was not read to its end. In the first case there may have been no
    /// records in the gap. Without an acknowledged record, only the second case is noticed.
    #[non_exhaustive]
    Gap {
        /// The checkpoint.
        after: &'a Checkpoint,
        /// The sequence number of the oldest record that is left. `None` if there is none, or none
        /// has come yet.
        first: Option<&'a str>,
    },
    /// A record was dropped without acknowledgement, the first one of this reader. The checkpoint
    /// stays before it.
    #[non_exhaustive]
    Unacknowledged {
        /// The number of the record among those that this reader delivered, from 0.
        number: u64,
    },
}

#[cfg(feature = "metrics")]
impl CheckpointEventKind<'_> {
    /// Records the event for the facade of the crate `metrics`.
    pub(crate) fn record(&self, figures: &CheckpointFigures) {
        match self {
            Self::Saved { .. } => figures.record_save(true),
            Self::SaveFailed { .. } => figures.record_save(false),
            Self::Gap { .. } => figures.record_gap(),
            Self::Paused { .. } => figures.record_pause(),
            Self::Forgotten | Self::Unacknowledged { .. } => {}
        }
    }
}
