//! How a shard ends, for its consumer and for its children.

use aws_sdk_kinesis::types::ChildShard;

/// What dropping an unfinished [`ShardHandle`](crate::ShardHandle) means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrop {
    /// The shard is closed, just as completing it does; its children are told
    /// [`Dropped`](ParentOutcome::Dropped) instead of [`Completed`](ParentOutcome::Completed).
    #[default]
    Close,
    /// The shard is offered again, from where it started, and its children wait. For consumers that
    /// may fail half-way: only [`complete`](crate::ShardHandle::complete) then closes a shard.
    Reoffer,
}

/// How a parent ended, seen from its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParentOutcome {
    /// Its handle was completed.
    Completed,
    /// Its handle was dropped, under [`OnDrop::Close`].
    Dropped,
    /// It was in no complete listing: its records have expired, so that AWS no longer lists it, or
    /// it was never seen. Or its reader was told that there is no such shard, and the next complete
    /// listing did not name it either.
    Unlisted,
    /// It was finished according to [`resume`](crate::AllShards::resume).
    EarlierRun,
    /// It was closed already when a run from [`StartAt::Latest`](crate::StartAt::Latest) began.
    BeforeStart,
}

/// How a handle ended.
#[derive(Debug)]
pub(crate) enum HandleOutcome {
    Closed(ParentOutcome, Vec<ChildShard>),
    Abandoned,
    /// Kinesis told its reader that there is no such shard.
    Expired,
}
