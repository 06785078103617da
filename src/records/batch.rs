use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::types;
use tokio::time::Duration;

use super::Record;
use crate::StreamId;
use crate::handle::Offer;

/// The records of one shard that one read gave: at least one, in the order of the shard.
pub struct Batch {
    pub(super) records: Vec<types::Record>,
    pub(super) offer: Arc<Offer>,
    pub(super) lag: Option<Duration>,
    pub(super) received_at: SystemTime,
}

impl Batch {
    /// The id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// The stream, as it was named to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.offer.stream
    }

    /// `MillisBehindLatest`: how far the end of this batch is behind the tip of the shard; zero if nothing followed it then. `None` if the server did not tell.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// When the answer came, by the client's clock.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// The records, as the SDK gave them.
    #[must_use]
    pub fn as_sdk(&self) -> &[types::Record] {
        &self.records
    }

    /// The records, as the SDK gave them.
    #[must_use]
    pub fn into_sdk(self) -> Vec<types::Record> {
        self.records
    }
}

impl IntoIterator for Batch {
    type Item = Record;
    type IntoIter = BatchRecords;

    fn into_iter(self) -> BatchRecords {
        BatchRecords { records: self.records.into_iter(), offer: self.offer }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("stream", &self.stream().name())
            .field("shard_id", &self.shard_id())
            .field("records", &self.records.len())
            .field("lag", &self.lag)
            .finish_non_exhaustive()
    }
}

/// The records of a [`Batch`], one by one.
#[derive(Debug)]
pub struct BatchRecords {
    records: std::vec::IntoIter<types::Record>,
    offer: Arc<Offer>,
}

impl Iterator for BatchRecords {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        Some(Record { record: self.records.next()?, offer: Arc::clone(&self.offer) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for BatchRecords {}
impl FusedIterator for BatchRecords {}
