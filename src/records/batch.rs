use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::types;
use tokio::time::Duration;

#[cfg(feature = "kpl")]
use crate::records::kpl::{Deaggregation, UserRecords};
use crate::records::monitor::PageProgress;
use crate::records::record::Record;
use crate::shard::offer::Offer;
use crate::shard::stream_id::StreamId;
use crate::util::received_record::ReceivedRecord;

/// A page of at least one record of one shard, in order.
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
/// let mut batches = all_shards(&client, "orders").batches(&client);
/// let batch = batches.try_next().await?.expect("a page");
/// println!("{} is {:?} behind", batch.shard_id(), batch.lag());
/// for record in batch {
///     println!("{} {} bytes", record.sequence_number(), record.data().len());
/// }
/// # Ok(())
/// # }
/// ```
pub struct Batch {
    pub(crate) records: Vec<ReceivedRecord>,
    pub(crate) offer: Arc<Offer>,
    pub(crate) lag: Option<Duration>,
    pub(crate) received_at: SystemTime,
    pub(crate) progress: Option<PageProgress>,
    #[cfg(feature = "kpl")]
    pub(crate) deaggregation: Deaggregation,
}

impl Batch {
    /// Returns the id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// Returns the stream, as passed to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    /// Returns `MillisBehindLatest`: how far the end of this batch was behind the tip of the shard,
    /// or zero if no record followed. Returns `None` if the server does not report it.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// Returns the time at which the response arrived, by the client's clock.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Returns the number of records: at least one. An aggregated record is one of them.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the records as those of the SDK. An aggregated record is one of them. The records of
    /// a response in CBOR are copied.
    #[must_use]
    pub fn into_sdk(self) -> Vec<types::Record> {
        self.records.into_iter().map(ReceivedRecord::into_sdk).collect()
    }
}

impl IntoIterator for Batch {
    type Item = Record;
    type IntoIter = BatchRecords;

    fn into_iter(self) -> BatchRecords {
        BatchRecords {
            records: self.records.into_iter(),
            offer: self.offer,
            progress: self.progress,
            #[cfg(feature = "kpl")]
            deaggregation: self.deaggregation,
            #[cfg(feature = "kpl")]
            user_records: None,
        }
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

/// An iterator over the records of a [`Batch`]: see the example there.
pub struct BatchRecords {
    records: std::vec::IntoIter<ReceivedRecord>,
    offer: Arc<Offer>,
    /// The progress of the reader, if a monitor watches it.
    progress: Option<PageProgress>,
    #[cfg(feature = "kpl")]
    deaggregation: Deaggregation,
    /// The user records that are left of an aggregated record.
    #[cfg(feature = "kpl")]
    user_records: Option<Box<UserRecords>>,
}

impl BatchRecords {
    /// Returns the next record, if it is delivered as it was received: if it is no part of an
    /// aggregated record.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&ReceivedRecord> {
        #[cfg(feature = "kpl")]
        if self.deaggregation != Deaggregation::Off {
            return None;
        }
        self.records.as_slice().first()
    }

    /// Notes that the consumer has taken a record.
    #[inline]
    fn note(&self, record: &Record) {
        if let Some(progress) = &self.progress {
            progress.take_record(record.received.arrival_millis());
        }
    }

    #[inline]
    fn whole_record(&self, received: ReceivedRecord) -> Record {
        Record {
            received,
            offer: Arc::clone(&self.offer),
            #[cfg(feature = "kpl")]
            user: None,
        }
    }

    #[cfg(feature = "kpl")]
    fn next_deaggregated(&mut self) -> Option<Record> {
        loop {
            if let Some(user_record) = self.user_records.as_mut().and_then(Iterator::next) {
                return Some(user_record);
            }
            self.user_records = None;
            match self.deaggregation.user_records(self.records.next()?, &self.offer) {
                Ok(user_records) => self.user_records = Some(Box::new(user_records)),
                Err(record) => return Some(self.whole_record(record)),
            }
        }
    }
}

impl Iterator for BatchRecords {
    type Item = Record;

    // Each record is one call, from another crate.
    #[inline]
    fn next(&mut self) -> Option<Record> {
        #[cfg(feature = "kpl")]
        if self.deaggregation != Deaggregation::Off {
            return self.next_deaggregated().inspect(|record| self.note(record));
        }
        let record = self.records.next()?;
        let record = self.whole_record(record);
        self.note(&record);
        Some(record)
    }

    /// Counts no aggregated record, since any number of its user records may be yielded.
    fn size_hint(&self) -> (usize, Option<usize>) {
        #[cfg(feature = "kpl")]
        if self.deaggregation != Deaggregation::Off {
            let user_records = self.user_records.as_ref().filter(|records| records.is_exact());
            return (user_records.map_or(0, |records| records.remaining()), None);
        }
        self.records.size_hint()
    }
}

impl FusedIterator for BatchRecords {}

/// Omits the data of the records.
impl fmt::Debug for BatchRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRecords")
            .field("stream", &self.offer.stream().name())
            .field("shard_id", &self.offer.shard.shard_id())
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}
