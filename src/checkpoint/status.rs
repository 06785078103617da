//! The status of the shards of one consumer, for health checks and alarms.

use tokio::time::Duration;

use crate::checkpoint::value::Checkpoint;
use crate::records::monitor::ShardStatus;

/// The status of one shard: see the example of
/// [`Checkpoints::status`](super::Checkpoints::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckpointStatus {
    /// The shard.
    pub shard_id: String,
    /// The newest checkpoint, durable or not.
    pub checkpoint: Option<Checkpoint>,
    /// The time since the oldest change of the checkpoint that is not durable was due to be saved.
    /// `None` if no save is overdue.
    pub unsaved_for: Option<Duration>,
    /// The number of records of the last reader that are delivered, and neither acknowledged nor
    /// dropped.
    pub unacknowledged: u64,
    /// The time since this process received the page with the oldest record that holds the
    /// checkpoint: a record that is not acknowledged, or was dropped without acknowledgement.
    pub oldest_unacknowledged: Option<Duration>,
    /// The progress of the shard's reader. `None` if no reader is open.
    pub reader: Option<ShardStatus>,
}

impl CheckpointStatus {
    /// Returns by how much the consumer is behind the newest record of the shard:
    /// [`ShardStatus::lag`]. `None` if no reader is open.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        Some(self.reader.as_ref()?.lag())
    }
}
