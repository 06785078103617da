//! [`FakeStream`]: a stream of the fake that a test changes directly.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{HashKeyRange, Record, SequenceNumberRange, Shard};

use crate::testing::model;
use crate::testing::model::api_error::{ApiError, unwrap_or_panic};
use crate::testing::model::consumers::ConsumerRef;
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::shard::shard_id;
use crate::testing::model::time::Millis;
use crate::testing::model::writing::{NewRecord, Written};
use crate::testing::server::Server;

/// A stream of a [`FakeKinesis`](crate::testing::FakeKinesis).
///
/// Its methods are not requests: no limit and no fault applies to them, and the log does not
/// contain them. A change is complete when its method returns, whatever the stream's status,
/// because a [`transition`](crate::testing::FakeKinesisBuilder::transition) applies to requests
/// alone. The methods reshard streams in on-demand mode as well, as AWS's own scaling does.
///
/// ```
/// use kinesis_shards::testing::FakeKinesis;
///
/// let fake = FakeKinesis::new();
/// let orders = fake.create_stream("orders", 2);
/// let (shard, _) = orders.put("customer 7", "a pen");
/// let merged = orders.merge("shardId-000000000000", "shardId-000000000001");
/// assert_eq!(orders.open_shards(), [merged]);
/// orders.expire(&shard);
/// assert!(!orders.shards().iter().any(|listed| listed.shard_id() == shard));
/// ```
///
/// # Panics
///
/// Every method that needs the stream panics with AWS's error if it does not exist, or if AWS would
/// reject the change.
#[derive(Clone)]
pub struct FakeStream {
    server: Arc<Server>,
    name: String,
}

impl fmt::Debug for FakeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeStream").field("name", &self.name).finish_non_exhaustive()
    }
}

#[expect(clippy::must_use_candidate, reason = "a test may ignore the result of a change")]
impl FakeStream {
    pub(crate) fn new(server: Arc<Server>, name: &str) -> Self {
        Self { server, name: name.to_owned() }
    }

    #[track_caller]
    fn call<T>(
        &self,
        call: impl FnOnce(&mut Service, StreamRef<'_>, Millis) -> Result<T, ApiError>,
    ) -> T {
        unwrap_or_panic(
            self.server.with(|service, now| call(service, StreamRef::named(&self.name), now)),
        )
    }

    /// Returns the stream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the stream's ARN.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist.
    #[must_use]
    #[track_caller]
    pub fn arn(&self) -> String {
        self.call(|service, stream, now| {
            service.stream(stream, now).map(|stream| stream.arn.clone())
        })
    }

    /// Deletes the stream with its shards and records. A stream that is created under the same name
    /// later is a new stream.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist.
    #[track_caller]
    pub fn delete(&self) {
        self.call(Service::remove_stream);
    }

    /// Deletes the stream and creates a new one with the same name and mode at once. The new shards
    /// have the ids of the old ones, but other sequence numbers and no records. Retention period
    /// and maximum record size are those of a new stream.
    ///
    /// ```
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let orders = FakeKinesis::new().create_stream("orders", 2);
    /// let old = orders.shards();
    /// orders.recreate(2);
    /// assert_eq!(orders.shards()[0].shard_id(), old[0].shard_id());
    /// assert_ne!(orders.shards()[0], old[0]);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if `shards` is zero.
    #[track_caller]
    pub fn recreate(&self, shards: u32) {
        self.call(|service, stream, now| {
            let mode = service.stream(stream, now)?.mode;
            service.remove_stream(stream, now)?;
            service.create_stream(&self.name, mode, shards, now)
        });
    }

    /// Splits a shard into equal halves and returns the ids of the lower and the upper child.
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist, is closed, or is too narrow to split.
    #[track_caller]
    pub fn split(&self, shard_id: &str) -> (String, String) {
        let middle = self.call(|service, stream, now| {
            service.stream(stream, now)?.shard(shard_id).map(|shard| shard.range.middle())
        });
        self.split_at(shard_id, middle)
    }

    /// Splits a shard so that the upper child starts at `hash_key`, and returns the ids of the
    /// lower and the upper child.
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist or is closed. Also panics unless `hash_key` is greater
    /// than the shard's first key plus one and less than its last key, as AWS demands.
    #[track_caller]
    pub fn split_at(&self, shard_id: &str, hash_key: u128) -> (String, String) {
        let (low, high) =
            self.call(|service, stream, now| service.split_shard(stream, shard_id, hash_key, now));
        (model::shard::shard_id(low), model::shard::shard_id(high))
    }

    /// Merges two adjacent shards, given in any order, and returns the id of the child. As at AWS,
    /// the child's `ParentShardId` is the shard with the lower hash keys.
    ///
    /// # Panics
    ///
    /// Panics if a shard does not exist or is closed, or if the shards are not adjacent.
    #[track_caller]
    pub fn merge(&self, shard_id: &str, adjacent_shard_id: &str) -> String {
        let child = self.call(|service, stream, now| {
            let model = service.stream(stream, now)?;
            let is_in_order =
                model.shard(shard_id)?.range.start <= model.shard(adjacent_shard_id)?.range.start;
            let (low, high) = if is_in_order {
                (shard_id, adjacent_shard_id)
            } else {
                (adjacent_shard_id, shard_id)
            };
            service.merge_shards(stream, low, high, now)
        });
        model::shard::shard_id(child)
    }

    /// Splits every open shard into equal halves, as AWS does when it scales up an on-demand
    /// stream. Returns the ids of the open shards in the order of their hash keys.
    ///
    /// ```
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let orders = FakeKinesis::new().create_on_demand_stream("orders");
    /// assert_eq!(orders.double().len(), 8);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if one of its shards is too narrow to split.
    #[track_caller]
    pub fn double(&self) -> Vec<String> {
        self.call(Service::double);
        self.open_shards()
    }

    /// Splits and merges until the stream has `count` open shards of equal width, as
    /// `UpdateShardCount` does. On the way it can create shards that it splits or merges again.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if `count` is the current number of open shards,
    /// more than its double, less than its half, or more than 10,000.
    #[track_caller]
    pub fn update_shard_count(&self, count: u32) {
        self.call(|service, stream, now| service.update_shard_count(stream, count, now));
    }

    /// Writes a record and returns the shard's id and the sequence number.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if AWS would reject the record for its size or its
    /// partition key.
    #[track_caller]
    pub fn put(&self, partition_key: &str, data: impl AsRef<[u8]>) -> (String, String) {
        self.write(partition_key, None, data.as_ref())
    }

    /// Writes a record with the partition key `put_to` to the given shard and returns the sequence
    /// number.
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist or is closed, or if AWS would reject the record.
    #[track_caller]
    pub fn put_to(&self, shard_id: &str, data: impl AsRef<[u8]>) -> String {
        self.put_to_with_key(shard_id, "put_to", data)
    }

    /// Writes a record with the given partition key to the given shard, by an explicit hash key,
    /// and returns the sequence number.
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist or is closed, or if AWS would reject the record.
    #[track_caller]
    pub fn put_to_with_key(
        &self,
        shard_id: &str,
        partition_key: &str,
        data: impl AsRef<[u8]>,
    ) -> String {
        let key = self.call(|service, stream, now| {
            let shard = service.stream(stream, now)?.shard(shard_id)?;
            let closed_error = || ApiError::invalid(format!("{shard_id} is closed"));
            shard.is_open().then_some(shard.range.start).ok_or_else(closed_error)
        });
        self.write(partition_key, Some(key), data.as_ref()).1
    }

    #[track_caller]
    fn write(
        &self,
        partition_key: &str,
        explicit_hash_key: Option<u128>,
        data: &[u8],
    ) -> (String, String) {
        let record = NewRecord {
            partition_key: partition_key.to_owned(),
            explicit_hash_key,
            data: data.into(),
        };
        let written =
            self.call(|service, stream, now| service.put_records(stream, vec![record], now, false));
        match written.into_iter().next() {
            Some(Written::Stored { shard, sequence }) => (shard, sequence.to_string()),
            _ => unreachable!("a record outside of any request is never throttled"),
        }
    }

    /// Registers a consumer for enhanced fan-out and returns its ARN. It is `ACTIVE` at once.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if it has a consumer of that name.
    #[track_caller]
    pub fn register_consumer(&self, name: &str) -> String {
        self.call(|service, stream, now| {
            service.register_active_consumer(stream, name, now).map(|consumer| consumer.arn.clone())
        })
    }

    /// Deregisters a consumer. Its subscriptions end with a `ResourceNotFoundException`.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if it has no consumer of that name.
    #[track_caller]
    pub fn deregister_consumer(&self, name: &str) {
        self.call(|service, stream, now| {
            let stream_arn = service.stream(stream, now)?.arn.clone();
            let consumer = ConsumerRef {
                stream_arn: Some(&stream_arn),
                name: Some(name),
                ..ConsumerRef::default()
            };
            service.deregister_consumer_at_once(consumer, now)
        });
    }

    /// Returns the names of the consumers that are subscribed to a shard.
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist.
    #[must_use]
    #[track_caller]
    pub fn subscribers(&self, shard_id: &str) -> Vec<String> {
        self.call(|service, stream, now| {
            let stream = service.stream(stream, now)?;
            let index = stream.shard(shard_id)?.index;
            let subscribed = stream
                .consumers
                .values()
                .filter(|consumer| consumer.subscriptions.contains_key(&index));
            Ok(subscribed.map(|consumer| consumer.name.clone()).collect())
        })
    }

    /// Removes a closed shard from every listing, as if its retention period had passed. The trim
    /// horizon moves to the time at which the shard closed, unless it is later already.
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist or is open.
    #[track_caller]
    pub fn expire(&self, shard_id: &str) {
        self.call(|service, stream, now| {
            service.stream_mut(stream, now)?.expire_shard(shard_id, now)
        });
    }

    /// Sets the retention period in hours. A new stream has 24.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if `hours` is less than 24 or more than 8,760.
    #[track_caller]
    pub fn set_retention_hours(&self, hours: u32) {
        self.call(|service, stream, now| {
            if hours < service.stream(stream, now)?.retention_hours {
                service.decrease_retention(stream, hours, now)
            } else {
                service.increase_retention(stream, hours, now)
            }
        });
    }

    /// Sets the maximum record size in KiB. A new stream has 1,024.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist, or if `kib` is less than 1,024 or more than 10,240.
    #[track_caller]
    pub fn set_max_record_size(&self, kib: u32) {
        self.call(|service, stream, now| service.set_record_size(stream, kib, now));
    }

    /// Returns every listed shard, open or closed, in the order of the ids.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist.
    #[must_use]
    #[track_caller]
    pub fn shards(&self) -> Vec<Shard> {
        self.call(|service, stream, now| {
            Ok(service.stream(stream, now)?.shards().map(sdk_shard).collect())
        })
    }

    /// Returns the ids of the open shards in the order of their hash keys. Any two neighbours can
    /// be merged.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist.
    #[must_use]
    #[track_caller]
    pub fn open_shards(&self) -> Vec<String> {
        self.call(|service, stream, now| {
            Ok(service
                .stream(stream, now)?
                .open_by_hash_key()
                .map(|shard| shard.id.clone())
                .collect())
        })
    }

    /// Returns the records of a shard as `GetRecords` would return them, for comparison with what a
    /// pipeline has read.
    ///
    /// ```
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let orders = FakeKinesis::new().create_stream("orders", 1);
    /// let (shard, sequence_number) = orders.put("customer 7", "a pen");
    /// let records = orders.records(&shard);
    /// assert_eq!(records[0].sequence_number(), sequence_number);
    /// assert_eq!(records[0].data().as_ref(), b"a pen");
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the shard does not exist.
    #[must_use]
    #[track_caller]
    pub fn records(&self, shard_id: &str) -> Vec<Record> {
        self.call(|service, stream, now| {
            let stream = service.stream(stream, now)?;
            let retention_start = stream.retention_start(now);
            let records = stream.shard(shard_id)?.records.from(0);
            Ok(records.filter(|record| record.arrived > retention_start).map(sdk_record).collect())
        })
    }
}

fn sdk_shard(shard: &model::shard::Shard) -> Shard {
    let hash_keys = HashKeyRange::builder()
        .starting_hash_key(shard.range.start.to_string())
        .ending_hash_key(shard.range.end.to_string())
        .build();
    let sequence_numbers = SequenceNumberRange::builder()
        .starting_sequence_number(shard.start.to_string())
        .set_ending_sequence_number(shard.end.map(|end| end.to_string()))
        .build();
    Shard::builder()
        .shard_id(&shard.id)
        .set_parent_shard_id(shard.parent.map(shard_id))
        .set_adjacent_parent_shard_id(shard.adjacent_parent.map(shard_id))
        .set_hash_key_range(hash_keys.ok())
        .set_sequence_number_range(sequence_numbers.ok())
        .build()
        .unwrap_or_else(|error| unreachable!("the shard has an id: {error}"))
}

fn sdk_record(record: &model::records::Record) -> Record {
    Record::builder()
        .sequence_number(record.sequence.to_string())
        .approximate_arrival_timestamp(DateTime::from(SystemTime::from(record.arrived)))
        .partition_key(&record.partition_key)
        .data(Blob::new(&*record.data))
        .build()
        .unwrap_or_else(|error| unreachable!("the record has every required member: {error}"))
}
