//! [`FakeStream`]: one stream of the fake, to be changed by hand.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{HashKeyRange, Record, SequenceNumberRange, Shard};

use super::fake::must;
use super::model::{self, Millis, NewRecord, Refusal, Service, StreamRef, Written, shard_id};
use super::server::Server;

/// One stream of a [`FakeKinesis`](super::FakeKinesis). Its calls are not requests: no limit or fault applies to
/// them, and they are not in the log. What they do is done when they return, whatever the stream's status: a
/// [`transition`](super::FakeKinesisBuilder::transition) is for requests. In on-demand mode, too: that is what AWS's own
/// scaling does.
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
/// Every call panics, with AWS's error, if the stream does not exist or if AWS would refuse.
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

#[expect(clippy::must_use_candidate, reason = "a change is made for its own sake as well")]
impl FakeStream {
    pub(super) fn new(server: Arc<Server>, name: &str) -> Self {
        Self { server, name: name.to_owned() }
    }

    #[track_caller]
    fn call<T>(&self, call: impl FnOnce(&mut Service, StreamRef<'_>, Millis) -> Result<T, Refusal>) -> T {
        must(self.server.with(|service, now| call(service, StreamRef::named(&self.name), now)))
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream's ARN.
    ///
    /// # Panics
    ///
    /// If the stream does not exist.
    #[must_use]
    #[track_caller]
    pub fn arn(&self) -> String {
        self.call(|service, stream, now| service.stream(stream, now).map(|stream| stream.arn.clone()))
    }

    /// Removes the stream and all that is in it. One that is created under its name again is another stream.
    ///
    /// # Panics
    ///
    /// If the stream does not exist.
    #[track_caller]
    pub fn delete(&self) {
        self.call(Service::remove_stream);
    }

    /// Removes the stream and makes another of its name and mode at once: with the ids of the old shards, other sequence
    /// numbers, no records, and the retention period and the record size of a new stream.
    ///
    /// # Panics
    ///
    /// If the stream does not exist, or `shards` is zero.
    #[track_caller]
    pub fn recreate(&self, shards: u32) {
        self.call(|service, stream, now| {
            let mode = service.stream(stream, now)?.mode;
            service.remove_stream(stream, now)?;
            service.create_stream(&self.name, mode, shards, now)
        });
    }

    /// Splits a shard into equal halves; gives the ids of the lower and the upper one.
    ///
    /// # Panics
    ///
    /// If the shard does not exist, is closed, or is too narrow to split.
    #[track_caller]
    pub fn split(&self, shard_id: &str) -> (String, String) {
        let middle = self.call(|service, stream, now| {
            service.stream(stream, now)?.shard(shard_id).map(|shard| shard.range.middle())
        });
        self.split_at(shard_id, middle)
    }

    /// Splits a shard so that `hash_key` is the first of the upper child.
    ///
    /// # Panics
    ///
    /// If the shard does not exist, is closed, or does not hold that key well inside its range.
    #[track_caller]
    pub fn split_at(&self, shard_id: &str, hash_key: u128) -> (String, String) {
        let (low, high) =
            self.call(|service, stream, now| service.split_shard(stream, shard_id, hash_key, now));
        (model::shard_id(low), model::shard_id(high))
    }

    /// Merges two adjacent shards, named in any order; gives the id of the child. As at AWS, its `ParentShardId` is the
    /// lower one's.
    ///
    /// # Panics
    ///
    /// If one does not exist or is closed, or they are not adjacent.
    #[track_caller]
    pub fn merge(&self, shard_id: &str, adjacent_shard_id: &str) -> String {
        let child = self.call(|service, stream, now| {
            let shards = service.stream(stream, now)?;
            let in_order =
                shards.shard(shard_id)?.range.start <= shards.shard(adjacent_shard_id)?.range.start;
            let (low, high) =
                if in_order { (shard_id, adjacent_shard_id) } else { (adjacent_shard_id, shard_id) };
            service.merge_shards(stream, low, high, now)
        });
        model::shard_id(child)
    }

    /// Splits every open shard into equal halves, as AWS does when it scales an on-demand stream up; gives the ids of the
    /// open shards, in the order of their hash keys.
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
    /// If the stream does not exist, or one of its shards is too narrow to split.
    #[track_caller]
    pub fn double(&self) -> Vec<String> {
        self.call(Service::double);
        self.open_shards()
    }

    /// Splits and merges until there are `count` open shards of equal width, as `UpdateShardCount` does: short-lived
    /// shards, and merged ones that are split again, are part of it.
    ///
    /// # Panics
    ///
    /// If `count` is the current one, more than its double, or less than its half.
    #[track_caller]
    pub fn update_shard_count(&self, count: u32) {
        self.call(|service, stream, now| service.update_shard_count(stream, count, now));
    }

    /// Writes a record; gives the shard's id and the sequence number.
    ///
    /// # Panics
    ///
    /// If AWS would refuse the record, for its size or its key.
    #[track_caller]
    pub fn put(&self, partition_key: &str, data: impl AsRef<[u8]>) -> (String, String) {
        self.write(partition_key, None, data.as_ref())
    }

    /// Writes a record with the partition key `put_to` to the shard that is given; gives the sequence number.
    ///
    /// # Panics
    ///
    /// If the shard does not exist or is closed, or AWS would refuse the record.
    #[track_caller]
    pub fn put_to(&self, shard_id: &str, data: impl AsRef<[u8]>) -> String {
        self.put_to_with_key(shard_id, "put_to", data)
    }

    /// Writes a record to the shard that is given, whatever its partition key, by an explicit hash key; gives the sequence
    /// number.
    ///
    /// # Panics
    ///
    /// If the shard does not exist or is closed, or AWS would refuse the record.
    #[track_caller]
    pub fn put_to_with_key(&self, shard_id: &str, partition_key: &str, data: impl AsRef<[u8]>) -> String {
        let key = self.call(|service, stream, now| {
            let shard = service.stream(stream, now)?.shard(shard_id)?;
            let closed = || Refusal::invalid(format!("{shard_id} is closed"));
            shard.is_open().then_some(shard.range.start).ok_or_else(closed)
        });
        self.write(partition_key, Some(key), data.as_ref()).1
    }

    #[track_caller]
    fn write(&self, partition_key: &str, explicit_hash_key: Option<u128>, data: &[u8]) -> (String, String) {
        let record =
            NewRecord { partition_key: partition_key.to_owned(), explicit_hash_key, data: data.into() };
        let written = self.call(|service, stream, now| service.put_records(stream, vec![record], now, false));
        match written.into_iter().next() {
            Some(Written::Stored { shard, sequence }) => (shard, sequence.to_string()),
            _ => unreachable!("one record in, and nothing that throttles it"),
        }
    }

    /// Drops a closed shard from every listing, as if its retention period had passed: the trim horizon is then no earlier
    /// than its end.
    ///
    /// # Panics
    ///
    /// If the shard does not exist or is open.
    #[track_caller]
    pub fn expire(&self, shard_id: &str) {
        self.call(|service, stream, now| service.stream_mut(stream, now)?.expire_shard(shard_id, now));
    }

    /// Sets the retention period, in hours.
    ///
    /// # Panics
    ///
    /// If it is less than 24 or more than 8760.
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

    /// Sets the size of the largest record, in KiB: 1,024 in a new stream.
    ///
    /// # Panics
    ///
    /// If it is less than 1,024 or more than 10,240.
    #[track_caller]
    pub fn set_max_record_size(&self, kib: u32) {
        self.call(|service, stream, now| service.set_record_size(stream, kib, now));
    }

    /// Every shard that is listed, open or closed, in the order of the ids.
    ///
    /// # Panics
    ///
    /// If the stream does not exist.
    #[must_use]
    #[track_caller]
    pub fn shards(&self) -> Vec<Shard> {
        self.call(|service, stream, now| Ok(service.stream(stream, now)?.shards().map(sdk_shard).collect()))
    }

    /// The ids of the open shards in the order of their hash keys: any two beside each other can be merged.
    ///
    /// # Panics
    ///
    /// If the stream does not exist.
    #[must_use]
    #[track_caller]
    pub fn open_shards(&self) -> Vec<String> {
        self.call(|service, stream, now| {
            Ok(service.stream(stream, now)?.open_by_hash_key().map(|shard| shard.id.clone()).collect())
        })
    }

    /// The records of a shard, as `GetRecords` would give them: what a test may compare with what it has read.
    ///
    /// # Panics
    ///
    /// If the shard does not exist.
    #[must_use]
    #[track_caller]
    pub fn records(&self, shard_id: &str) -> Vec<Record> {
        self.call(|service, stream, now| {
            let stream = service.stream(stream, now)?;
            let horizon = stream.retention_start(now);
            let records = stream.shard(shard_id)?.records.from(0);
            Ok(records.filter(|record| record.arrived > horizon).map(sdk_record).collect())
        })
    }
}

fn sdk_shard(shard: &model::Shard) -> Shard {
    let hash_keys = HashKeyRange::builder()
        .starting_hash_key(shard.range.start.to_string())
        .ending_hash_key(shard.range.end.to_string())
        .build();
    let sequences = SequenceNumberRange::builder()
        .starting_sequence_number(shard.start.to_string())
        .set_ending_sequence_number(shard.end.map(|end| end.to_string()))
        .build();
    Shard::builder()
        .shard_id(&shard.id)
        .set_parent_shard_id(shard.parent.map(shard_id))
        .set_adjacent_parent_shard_id(shard.adjacent_parent.map(shard_id))
        .set_hash_key_range(hash_keys.ok())
        .set_sequence_number_range(sequences.ok())
        .build()
        .unwrap_or_else(|error| unreachable!("a shard with an id: {error}"))
}

fn sdk_record(record: &model::Record) -> Record {
    Record::builder()
        .sequence_number(record.sequence.to_string())
        .approximate_arrival_timestamp(DateTime::from(SystemTime::from(record.arrived)))
        .partition_key(&record.partition_key)
        .data(Blob::new(&*record.data))
        .build()
        .unwrap_or_else(|error| unreachable!("a record with data and a number: {error}"))
}
