//! How a handle ends, and how a child sees the end of its parent.

use aws_sdk_kinesis::types::ChildShard;

/// The effect of dropping an unfinished [`ShardHandle`](crate::ShardHandle): see the example in
/// [`lineage`](crate::lineage#when-a-reader-fails).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrop {
    /// The shard is closed, as by completing it; its children see
    /// [`Dropped`](ParentOutcome::Dropped) instead of [`Completed`](ParentOutcome::Completed).
    #[default]
    Close,
    /// The shard is re-offered with the same start, and its children wait. Only
    /// [`complete`](crate::ShardHandle::complete) and
    /// [`complete_with`](crate::ShardHandle::complete_with) close a shard: choose this for readers
    /// that may fail half-way.
    Reoffer,
}

/// How a parent ended, as its child sees it: see the example of [`shard`](crate::shard).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParentOutcome {
    /// The handle was completed.
    Completed,
    /// The handle was dropped under [`OnDrop::Close`].
    Dropped,
    /// The complete listing that named the child omitted the parent: its records have expired, and
    /// AWS no longer lists it. Or the parent's reader got `ResourceNotFoundException`, and the next
    /// complete listing omitted the parent too.
    Unlisted,
    /// An earlier run had finished the parent, according to
    /// [`resume`](crate::AllShards::resume).
    EarlierRun,
    /// The parent was closed before a run from [`StartAt::Latest`](crate::StartAt::Latest) began.
    BeforeStart,
}

/// How a handle ended.
#[derive(Debug)]
pub(crate) enum HandleOutcome {
    Closed(ParentOutcome, Vec<ChildShard>),
    Abandoned,
    /// The shard is given back as it is: it is re-offered at once.
    Returned,
    /// The reader got `ResourceNotFoundException`.
    Expired,
    /// The run ends before the shard does: neither the shard nor a descendant is offered again.
    Stopped,
}
