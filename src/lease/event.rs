//! Events of the leases of one worker.

use crate::checkpoint::lease::LeaseEnd;
use crate::shard::stream_id::StreamId;

/// An event of the leases of one worker: see
/// [`LeaseOptions::on_event`](super::LeaseOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub struct LeaseEvent<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// The id of this worker.
    pub worker: &'a str,
    /// The kind of event.
    pub kind: LeaseEventKind,
}

/// The kind of a [`LeaseEvent`]: see [`LeaseOptions::on_event`](super::LeaseOptions::on_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseEventKind {
    /// This worker got the lease of a shard.
    Granted {
        /// The id of the shard.
        shard_id: String,
        /// The fencing token of the lease.
        token: u64,
    },
    /// The lease of a shard has ended.
    Ended {
        /// The id of the shard.
        shard_id: String,
        /// The reason.
        end: LeaseEnd,
    },
    /// This worker declared another one dead: the leases of that worker are free.
    Fenced {
        /// The id of that worker.
        worker: String,
    },
    /// This worker could not prove for 4/5 of the failover time that it lives. It delivers no
    /// record until a proof succeeds, since another worker may soon take its leases.
    Paused,
    /// This worker delivers records again.
    Resumed,
    /// Another worker declared this one dead. All its leases are lost, and it joins again.
    WasFenced,
    /// The consumer has not polled the reader of a shard for a minute. The lease stays.
    Stalled {
        /// The id of the shard.
        shard_id: String,
    },
    /// An owner that is no worker of this fleet moves leases in the same table: one of the Kinesis
    /// Client Library, a `DynamoDbStore`, or one of a fleet with another workers table. Reported
    /// once for each, as long as it owns leases.
    ForeignWorker {
        /// The id of that worker.
        worker: String,
    },
    /// Some shards have no owner, because every worker holds as many leases as it takes. Reported
    /// once a minute.
    NoRoom {
        /// The number of shards without an owner.
        shards: usize,
    },
}

#[cfg(feature = "metrics")]
impl LeaseEventKind {
    /// Returns the label of the event for the facade of the crate `metrics`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Granted { .. } => "granted",
            Self::Ended { end: LeaseEnd::Lost { .. }, .. } => "lost",
            Self::Ended { end: LeaseEnd::Moved { .. }, .. } => "moved",
            Self::Ended { end: LeaseEnd::Finished, .. } => "finished",
            Self::Fenced { .. } => "fenced",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::WasFenced => "was_fenced",
            Self::Stalled { .. } => "stalled",
            Self::ForeignWorker { .. } => "foreign_worker",
            Self::NoRoom { .. } => "no_room",
        }
    }
}
