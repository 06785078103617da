//! Events of the leases of one worker.

use std::fmt;

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
    /// This worker has got the lease of a shard.
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
    /// This worker has declared another dead: its leases are free.
    Fenced {
        /// The id of that worker.
        worker: String,
    },
    /// This worker could not prove that it lives for most of the failover time. It delivers no
    /// record until a proof succeeds, since another worker may soon take its leases.
    Paused,
    /// This worker delivers records again.
    Resumed,
    /// Another worker has declared this one dead. All its leases are lost, and it joins again.
    WasFenced,
    /// The consumer has not polled the reader of a shard for a minute. The lease stays.
    Stalled {
        /// The id of the shard.
        shard_id: String,
    },
    /// A worker of the Kinesis Client Library moves leases in the same table.
    ForeignWorker {
        /// The id of that worker.
        worker: String,
    },
    /// Some shards have no owner, because every worker holds as many leases as it takes.
    NoRoom {
        /// The number of shards without an owner.
        shards: usize,
    },
}

/// The reason why a lease ended: see [`Lease::ended`](super::Lease::ended).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseEnd {
    /// All records of the shard were processed, and its end is stored.
    Finished,
    /// This worker has given the lease away, to this worker or, without one, to whichever worker
    /// takes it.
    Moved {
        /// The id of the new owner.
        to: Option<String>,
    },
    /// Another worker has taken the lease, or the row was deleted. Acknowledgements have no effect
    /// any longer.
    Lost {
        /// The id of the new owner, if it is known.
        to: Option<String>,
    },
}

impl fmt::Display for LeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("the shard has ended"),
            Self::Moved { to: Some(to) } => write!(f, "the lease was given to worker {to}"),
            Self::Moved { to: None } => f.write_str("the lease was released"),
            Self::Lost { to: Some(to) } => write!(f, "the lease was taken by worker {to}"),
            Self::Lost { to: None } => f.write_str("the lease was lost"),
        }
    }
}
