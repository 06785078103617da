//! The reply to a request, and the faults that a reply can have.

use crate::testing::model::listing_faults::ListingFault;
use crate::testing::model::reading::ReadFaults;
use crate::testing::model::writing::FailedEntries;

/// Faults in the result of a request that is carried out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Override {
    pub(crate) listing: ListingFault,
    pub(crate) read: ReadFaults,
    pub(crate) entries: FailedEntries,
}

/// The body of a response, and the facts about a read that the request log keeps.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) body: String,
    pub(crate) read: Option<Read>,
}

/// A successful `GetRecords`.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) stream_id: u64,
    pub(crate) parents: Vec<String>,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// Whether the response was the end of a closed shard.
    pub(crate) ended: bool,
}
