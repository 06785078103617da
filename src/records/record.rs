use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types;

use crate::StreamId;
use crate::handle::Offer;

/// One record, and where it came from.
///
/// Its data is the SDK's own: nothing is copied, and nothing is allocated for it.
#[derive(Clone)]
pub struct Record {
    pub(super) record: types::Record,
    pub(super) offer: Arc<Offer>,
}

impl Record {
    /// The id of its shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// The stream, as it was named to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.offer.stream
    }

    /// Its sequence number: it is greater than those of the records before it in this shard, and in its parents.
    #[must_use]
    pub fn sequence_number(&self) -> &str {
        self.record.sequence_number()
    }

    /// Its partition key. It is missing only where the producer gave none, which a stream with the `AUTO` record distribution strategy allows.
    #[must_use]
    pub fn partition_key(&self) -> Option<&str> {
        self.record.partition_key()
    }

    /// `ApproximateArrivalTimestamp`: when Kinesis took it in.
    #[must_use]
    pub fn arrival_time(&self) -> Option<DateTime> {
        self.record.approximate_arrival_timestamp().copied()
    }

    /// Its data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.record.data().as_ref()
    }

    /// Its data, not copied.
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        self.record.data.into_inner()
    }

    /// The record as the SDK gave it.
    #[must_use]
    pub fn as_sdk(&self) -> &types::Record {
        &self.record
    }

    /// The record as the SDK gave it.
    #[must_use]
    pub fn into_sdk(self) -> types::Record {
        self.record
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("stream", &self.stream().name())
            .field("shard_id", &self.shard_id())
            .field("sequence_number", &self.sequence_number())
            .field("partition_key", &self.partition_key())
            .field("bytes", &self.data().len())
            .finish_non_exhaustive()
    }
}
