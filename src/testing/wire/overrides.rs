//! The faults in the result of a request that is carried out.

use std::time::Duration;

use crate::testing::model::listing_faults::ListingFault;
use crate::testing::model::reading::ReadFaults;
use crate::testing::model::writing::FailedEntries;

/// The message of an error that is a fault.
pub(crate) const FAULT_MESSAGE: &str = "A fault of FakeKinesis.";

/// Faults in the result of a request that is carried out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Override {
    pub(crate) listing: ListingFault,
    pub(crate) read: ReadFaults,
    pub(crate) entries: FailedEntries,
    pub(crate) subscription: Option<SubscriptionFault>,
}

/// A fault of the response to a `SubscribeToShard`.
#[derive(Clone, Debug)]
pub(crate) enum SubscriptionFault {
    First(FirstFrame),
    /// A fault after this many events.
    After(u64, Interruption),
    End(ShardEnd),
}

#[derive(Clone, Debug)]
pub(crate) enum FirstFrame {
    Never,
    Late(Duration),
    NoInitialResponse,
    Exception(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Interruption {
    Silence,
    End,
    Exception(String),
    UnknownEvent,
    /// The next event is lost to an I/O error. Further events follow.
    IoError,
    /// Half of the next event arrives before an I/O error, and nothing follows.
    CutFrame,
    /// The next event has a wrong checksum. Further events follow.
    BadChecksum,
}

/// How the last event of a closed shard marks the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ShardEnd {
    /// With child shards and without a continuation, as AWS does.
    #[default]
    Complete,
    WithoutChildShards,
    WithContinuation,
}
