//! The calls that write and read records.

use std::fmt::Display;
use std::time::SystemTime;

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{ChildShard, PutRecordsRequestEntry, Record, ShardIteratorType};

use super::call::{From, Named, Put, Start};
use super::response::{Response, output};
use super::shards::{number, range_text};
use super::side::{MARGIN, Side, Stored, date, when};

/// The number of empty responses in a row after which a shard without an end counts as read.
const EMPTY_READS: usize = 3;

impl Side {
    /// Stores the shard and the sequence number of a record, and returns whether the number is
    /// above all others of the shard.
    fn stored(
        &mut self,
        data: &str,
        shard: &str,
        sequence: &str,
        began: SystemTime,
    ) -> &'static str {
        let start = self.starts.get(shard).map(String::as_str);
        let rises = [self.last_in(shard), start]
            .iter()
            .flatten()
            .all(|below| number(below) < number(sequence));
        let (shard, sequence) = (shard.to_owned(), sequence.to_owned());
        self.records
            .insert(data.to_owned(), Stored { shard, sequence, put: (began, SystemTime::now()) });
        if rises { "above all before it" } else { "not above all before it" }
    }

    pub(super) async fn put_record(
        &mut self,
        stream: Named,
        record: &Put,
    ) -> Result<Response, Response> {
        let began = SystemTime::now();
        let put = self
            .client
            .put_record()
            .partition_key(&record.key)
            .data(Blob::new(record.data.as_bytes()));
        let put = put.set_stream_name(self.name(stream)).set_stream_arn(self.arn(stream));
        let put = output(put.set_explicit_hash_key(record.hash_key.clone()).send().await)?;
        let mut response = Response::default();
        response.set("ShardId", put.shard_id());
        response.set(
            "SequenceNumber",
            self.stored(&record.data, put.shard_id(), put.sequence_number(), began),
        );
        response.set_if("EncryptionType", put.encryption_type());
        Ok(response)
    }

    pub(super) async fn put_records(&mut self, records: &[Put]) -> Result<Response, Response> {
        let mut request =
            self.client.put_records().stream_name(&self.stream).set_records(Some(vec![]));
        for record in records {
            let entry = PutRecordsRequestEntry::builder().partition_key(&record.key);
            let entry = entry.data(Blob::new(record.data.as_bytes()));
            let entry = entry.set_explicit_hash_key(record.hash_key.clone()).build();
            request = request.records(entry.expect("a record with data and key"));
        }
        let began = SystemTime::now();
        let put = output(request.send().await)?;
        let mut response = Response::default();
        response.set_if("FailedRecordCount", put.failed_record_count());
        response.set_if("EncryptionType", put.encryption_type());
        response.set("Records", put.records().len());
        for (record, result) in records.iter().zip(put.records()) {
            let mut set =
                |field, value: &dyn Display| response.item("Records", &record.data, field, value);
            if let (Some(shard), Some(sequence)) = (result.shard_id(), result.sequence_number()) {
                set("ShardId", &shard);
                set("SequenceNumber", &self.stored(&record.data, shard, sequence, began));
            }
            if let Some(code) = result.error_code() {
                set("ErrorCode", &code);
            }
        }
        Ok(response)
    }

    pub(super) async fn get_shard_iterator(
        &mut self,
        stream: Named,
        shard: Option<String>,
        start: &Start,
        marks: &[DateTime],
    ) -> Result<Response, Response> {
        let get = self
            .client
            .get_shard_iterator()
            .set_shard_id(shard)
            .shard_iterator_type(start.kind.clone());
        let get = get.set_stream_name(self.name(stream)).set_stream_arn(self.arn(stream));
        let get = get.set_timestamp(start.time.map(|time| date(time, marks)));
        let sequence = start.sequence.as_ref().map(|sequence| self.sequence(sequence));
        let got = output(get.set_starting_sequence_number(sequence).send().await)?;
        let mut response = Response::default();
        response.set_present("ShardIterator", got.shard_iterator());
        if let Some(iterator) = got.shard_iterator {
            let next = self.next_iterator;
            self.iterators.insert(next, iterator);
        }
        Ok(response)
    }

    pub(super) async fn get_records(
        &mut self,
        from: From,
        limit: Option<i32>,
    ) -> Result<Response, Response> {
        let get =
            self.client.get_records().set_shard_iterator(self.iterator(from)).set_limit(limit);
        let mut got = output(get.send().await)?;
        let next = got.next_shard_iterator.take();
        let mut response = Response::default();
        self.read(&mut response, got.records());
        response.set_if("MillisBehindLatest", got.millis_behind_latest().map(lag));
        response.set_present("NextShardIterator", next.as_ref());
        children(&mut response, &got);
        if let From::Iterator(slot) = from {
            match next {
                Some(next) => self.iterators.insert(slot, next),
                None => self.iterators.remove(&slot),
            };
        }
        Ok(response)
    }

    pub(super) async fn read_to_the_end(
        &mut self,
        shard: &str,
        limit: i32,
    ) -> Result<Response, Response> {
        let get = self.client.get_shard_iterator().stream_name(&self.stream).shard_id(shard);
        let got = output(get.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await)?;
        let (mut next, mut records, mut empty) = (got.shard_iterator, Vec::new(), 0);
        let mut response = Response::default();
        while let Some(iterator) = next.take_if(|_| empty < EMPTY_READS) {
            let get = self.client.get_records().shard_iterator(iterator).limit(limit);
            let mut got = output(get.send().await)?;
            empty = if got.records.is_empty() { empty + 1 } else { 0 };
            if got.next_shard_iterator.is_none() || empty == EMPTY_READS {
                response.set_if("MillisBehindLatest", got.millis_behind_latest().map(lag));
                children(&mut response, &got);
            }
            records.append(&mut got.records);
            next = got.next_shard_iterator;
        }
        response.set("end", if next.is_none() { "a null iterator" } else { "none" });
        self.read(&mut response, &records);
        Ok(response)
    }

    fn read(&self, response: &mut Response, records: &[Record]) {
        let text = |record: &Record| String::from_utf8_lossy(record.data().as_ref()).into_owned();
        let all: Vec<_> = records.iter().map(text).collect();
        response.set("Records", all.join(" "));
        for record in records {
            let data = text(record);
            let stored = self.records.get(&data);
            let as_put = stored.is_some_and(|stored| stored.sequence == record.sequence_number());
            let mut set =
                |field, value: &dyn Display| response.item("Records", &data, field, value);
            set("SequenceNumber", &if as_put { "the one it was put with" } else { "another" });
            set("PartitionKey", &record.partition_key().unwrap_or("(absent)"));
            if let Some((arrived, stored)) = record.approximate_arrival_timestamp().zip(stored) {
                set("ApproximateArrivalTimestamp", &when(arrived, stored.put, MARGIN));
            }
            if let Some(encryption) = record.encryption_type() {
                set("EncryptionType", &encryption);
            }
        }
    }
}

/// Reduces a lag to whether it is zero: its amount depends on the time of the request.
fn lag(millis: i64) -> &'static str {
    if millis == 0 { "zero" } else { "more than zero" }
}

fn children(response: &mut Response, got: &GetRecordsOutput) {
    let Some(children) = &got.child_shards else { return };
    let ids: Vec<_> = children.iter().map(ChildShard::shard_id).collect();
    response.set("ChildShards", ids.join(" "));
    for child in children {
        response.item(
            "ChildShards",
            child.shard_id(),
            "ParentShards",
            child.parent_shards().join(" "),
        );
        if let Some(range) = child.hash_key_range() {
            response.item("ChildShards", child.shard_id(), "HashKeyRange", range_text(range));
        }
    }
}
