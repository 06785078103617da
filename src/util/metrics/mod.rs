//! What the crate records for the facade of the crate `metrics`, by name.
//!
//! The labels of a figure are made once, by the stream, worker or table that it is of. The recorder
//! is looked up each time, so that one that is installed later gets the later figures.

#[cfg(feature = "metrics")]
mod checkpoints;
#[cfg(feature = "metrics")]
mod describe;
#[cfg(feature = "metrics")]
mod gauges;
#[cfg(all(feature = "metrics", feature = "dynamodb"))]
mod leases;
#[cfg(feature = "metrics")]
mod requests;
#[cfg(feature = "metrics")]
mod series;
#[cfg(feature = "metrics")]
mod streams;
#[cfg(feature = "metrics")]
mod subscriptions;
#[cfg(not(feature = "metrics"))]
mod without;

#[cfg(feature = "metrics")]
pub(crate) use self::checkpoints::{CheckpointFigures, ShardTotals};
#[cfg(feature = "metrics")]
pub use self::describe::describe;
#[cfg(feature = "metrics")]
pub(crate) use self::gauges::Gauges;
#[cfg(all(feature = "metrics", feature = "dynamodb"))]
pub(crate) use self::leases::LeaseFigures;
#[cfg(all(feature = "metrics", feature = "dynamodb"))]
pub(crate) use self::requests::TableFigures;
#[cfg(feature = "metrics")]
pub(crate) use self::streams::StreamFigures;
#[cfg(feature = "metrics")]
pub(crate) use self::subscriptions::OpenSubscription;
#[cfg(all(not(feature = "metrics"), feature = "dynamodb"))]
pub(crate) use self::without::TableFigures;
#[cfg(not(feature = "metrics"))]
pub(crate) use self::without::{OpenSubscription, StreamFigures};

/// Why a subscription by enhanced fan-out has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nothing is recorded"))]
pub(crate) enum SubscriptionEnd {
    /// Kinesis has ended it, as it does after 5 minutes.
    Ended,
    /// The shard has ended.
    ShardEnd,
    /// Another subscriber has taken over.
    TakenOver,
    /// Kinesis has sent an exception.
    Error,
    /// No event came.
    Silence,
    /// The connection broke, or an event was unreadable.
    Cut,
    /// The reader has closed it: it was dropped, gives the shard away, or polls.
    Closed,
}
