use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types;

use crate::shard::offer::Offer;
use crate::shard::stream_id::StreamId;

/// How the data of a record begins that the Kinesis Producer Library made of several.
pub(crate) const AGGREGATED: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// One record, and where it came from.
///
/// Its data is the SDK's own: nothing is copied, and nothing is allocated for it.
#[derive(Clone)]
pub struct Record {
    pub(crate) sdk: types::Record,
    pub(crate) offer: Arc<Offer>,
    /// Then the record above is the aggregated one, without its data.
    #[cfg(feature = "kpl")]
    pub(crate) user: Option<Box<crate::records::kpl::UserRecord>>,
}

impl Record {
    /// The id of its shard.
    #[inline]
    #[must_use]
    pub fn shard_id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// The stream, as it was named to [`all_shards`](crate::all_shards).
    #[inline]
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    /// Its sequence number: it is greater than those of the records before it in this shard, and in
    /// its parents.
    #[inline]
    #[must_use]
    pub fn sequence_number(&self) -> &str {
        self.sdk.sequence_number()
    }

    /// Its partition key. It is missing only where the producer gave none, which a stream with the
    /// `AUTO` record distribution strategy allows.
    #[inline]
    #[must_use]
    pub fn partition_key(&self) -> Option<&str> {
        self.sdk.partition_key()
    }

    /// `ApproximateArrivalTimestamp`: when Kinesis took it in.
    #[inline]
    #[must_use]
    pub fn arrival_time(&self) -> Option<DateTime> {
        self.sdk.approximate_arrival_timestamp().copied()
    }

    /// Its data.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        #[cfg(feature = "kpl")]
        if let Some(user) = &self.user {
            return &user.data;
        }
        self.sdk.data().as_ref()
    }

    /// Its data. It is not copied, save that of a user record.
    #[inline]
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        #[cfg(feature = "kpl")]
        if let Some(user) = self.user {
            return user.data.into();
        }
        self.sdk.data.into_inner()
    }

    /// Whether it is an aggregated record of the Kinesis Producer Library, as a whole.
    pub(crate) fn is_aggregated(&self) -> bool {
        self.data().starts_with(&AGGREGATED)
    }

    /// The SDK's own record. It is as the SDK gave it, save that a user record's has that user
    /// record's data, copied, and partition key.
    #[must_use]
    #[cfg_attr(not(feature = "kpl"), expect(unused_mut, reason = "nothing is to be put in"))]
    pub fn into_sdk(mut self) -> types::Record {
        #[cfg(feature = "kpl")]
        if let Some(user) = self.user.take() {
            self.sdk.data = Vec::from(user.data).into();
        }
        self.sdk
    }
}

/// Of the user records that the Kinesis Producer Library packs into one: see
/// [`ReadOptions::deaggregate`](super::ReadOptions::deaggregate).
#[cfg(feature = "kpl")]
impl Record {
    /// Its place among the user records of its aggregated record, from 0: these all have one
    /// sequence number. `None` for a record that is not one of several.
    #[must_use]
    pub fn sub_sequence_number(&self) -> Option<u64> {
        Some(self.user.as_ref()?.sub_sequence_number)
    }

    /// The explicit hash key that its producer gave it, if any. Of other records Kinesis does not
    /// tell.
    #[must_use]
    pub fn explicit_hash_key(&self) -> Option<&str> {
        self.user.as_ref()?.explicit_hash_key.as_deref()
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
