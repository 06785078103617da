use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types;

use crate::shard::offer::Offer;
use crate::shard::stream_id::StreamId;
use crate::util::received_record::ReceivedRecord;

/// The first bytes of an aggregated record of the Kinesis Producer Library.
pub(crate) const AGGREGATED: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// A record of a shard, with its shard and stream. Its data is neither copied nor allocated again.
///
/// If the response was in CBOR (feature `cbor`), a record is a slice of it: the whole page, up to
/// 10 MiB, stays in memory while one of its records does. [`into_data`](Self::into_data) copies.
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::{ShardStreamExt, all_shards};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), kinesis_shards::ReadError> {
/// # let kinesis = FakeKinesis::new();
/// # kinesis.create_stream("orders", 1).put("customer 1", "an order");
/// # let client = kinesis.client();
/// let mut records = all_shards(&client, "orders").records(&client);
/// let record = records.try_next().await?.expect("an order");
/// assert_eq!(record.shard_id(), "shardId-000000000000");
/// assert_eq!(record.partition_key(), Some("customer 1"));
/// assert_eq!(record.data(), b"an order");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Record {
    pub(crate) received: ReceivedRecord,
    pub(crate) offer: Arc<Offer>,
    /// The user record. `received` is then the aggregated record, possibly without its data.
    #[cfg(feature = "kpl")]
    pub(crate) user: Option<Box<crate::records::user_record::UserRecord>>,
}

impl Record {
    /// Returns the id of the shard.
    #[inline]
    #[must_use]
    pub fn shard_id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// Returns the stream, as passed to [`all_shards`](crate::all_shards).
    #[inline]
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    /// Returns the sequence number. It is greater than those of earlier records of the shard and of
    /// its parents.
    #[inline]
    #[must_use]
    pub fn sequence_number(&self) -> &str {
        self.received.sequence_number()
    }

    /// Returns the partition key. It is `None` only if the producer gave none, which a stream with
    /// the `AUTO` record distribution strategy allows.
    #[inline]
    #[must_use]
    pub fn partition_key(&self) -> Option<&str> {
        #[cfg(feature = "kpl")]
        if let Some(user) = &self.user {
            return Some(&user.partition_key);
        }
        self.received.partition_key()
    }

    /// Returns `ApproximateArrivalTimestamp`, the time at which Kinesis received the record.
    #[inline]
    #[must_use]
    pub fn arrival_time(&self) -> Option<DateTime> {
        self.received.arrival()
    }

    /// Returns the data.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        #[cfg(feature = "kpl")]
        if let Some(user) = &self.user {
            return &user.data;
        }
        self.received.data()
    }

    /// Returns the data. Only that of a user record, or of a response in CBOR, is copied.
    #[inline]
    #[must_use]
    pub fn into_data(self) -> Vec<u8> {
        #[cfg(feature = "kpl")]
        if let Some(user) = self.user {
            return user.data.into();
        }
        self.received.into_data()
    }

    /// Returns whether the record is a whole aggregated record of the Kinesis Producer Library.
    pub(crate) fn is_aggregated(&self) -> bool {
        self.data().starts_with(&AGGREGATED)
    }

    /// Returns the record of the SDK. That of a user record has the partition key and a copy of the
    /// data of the user record.
    #[must_use]
    pub fn into_sdk(self) -> types::Record {
        #[cfg(feature = "kpl")]
        if let Some(user) = self.user {
            let mut record = self.received.into_sdk();
            record.data = Vec::from(user.data).into();
            record.partition_key = Some(user.partition_key);
            return record;
        }
        self.received.into_sdk()
    }
}

/// Methods for the user records of an aggregated record: see
/// [`ReadOptions::deaggregate`](super::ReadOptions::deaggregate).
#[cfg(feature = "kpl")]
impl Record {
    /// Returns the index of a user record within its aggregated record, from 0. All user records of
    /// an aggregated record have the same sequence number. Returns `None` for any other record.
    #[must_use]
    pub fn sub_sequence_number(&self) -> Option<u64> {
        Some(self.user.as_ref()?.sub_sequence_number)
    }

    /// Returns the explicit hash key of a user record, if the producer gave one. Kinesis does not
    /// report that of other records.
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
