//! `PutRecord` and `PutRecords`: which shard a record goes to, and what is too large.

use std::sync::Arc;

use super::hash_range::hash_key_of;
use super::refusal::Refusal;
use super::sequence::SequenceNumber;
use super::service::{Service, StreamRef};
use super::stream::Stream;
use super::time::Millis;

const MIB: usize = 1 << 20;
/// The most that one `PutRecords` request, or one record of a stream that allows large ones, may hold.
pub(crate) const MAX_PUT_BYTES: usize = 10 * MIB;
/// The largest record, unless the stream was made for larger ones.
const MAX_RECORD_BYTES: usize = MIB;
const MAX_RECORDS: usize = 500;

/// A record as a producer gives it.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord {
    pub(crate) partition_key: String,
    pub(crate) explicit_hash_key: Option<u128>,
    pub(crate) data: Arc<[u8]>,
}

impl NewRecord {
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }

    fn check(&self) -> Result<(), Refusal> {
        if !(1..=256).contains(&self.partition_key.chars().count()) {
            return Err(Refusal::constraint(
                &self.partition_key,
                "partitionKey",
                "have length between 1 and 256",
            ));
        }
        if self.data.len() > MAX_PUT_BYTES {
            let constraint = format!("have length less than or equal to {MAX_PUT_BYTES}");
            return Err(Refusal::constraint(format!("{} bytes", self.data.len()), "data", &constraint));
        }
        if self.size() > MAX_RECORD_BYTES {
            return Err(Refusal::invalid(format!(
                "The record of {} bytes is larger than the stream's maximum record size of {MAX_RECORD_BYTES} bytes.",
                self.size()
            )));
        }
        Ok(())
    }
}

/// Where a record went, or the shard that had no room for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Stored { shard: String, sequence: SequenceNumber },
    Throttled { shard: String },
}

impl Service {
    /// Writes the records. If they are `metered`, those for which a shard has no room are throttled.
    pub(crate) fn put_records(
        &mut self,
        stream: StreamRef<'_>,
        records: Vec<NewRecord>,
        now: Millis,
        metered: bool,
    ) -> Result<Vec<Written>, Refusal> {
        if !(1..=MAX_RECORDS).contains(&records.len()) {
            let count = format!("{} records", records.len());
            return Err(Refusal::constraint(count, "records", "have length between 1 and 500"));
        }
        for record in &records {
            record.check()?;
        }
        if records.iter().map(NewRecord::size).sum::<usize>() > MAX_PUT_BYTES {
            return Err(Refusal::invalid("Records size exceeds 10 MB limit"));
        }
        // Apart from the stream while it is borrowed, and put back whatever comes of it.
        let mut meters = std::mem::take(&mut self.meters);
        let written = self.live_stream(stream, now).and_then(|stream| {
            write(stream, records, now, |key, size| !metered || meters.admit_write(key, size, now))
        });
        self.meters = meters;
        written
    }
}

fn write(
    stream: &mut Stream,
    records: Vec<NewRecord>,
    now: Millis,
    mut admit: impl FnMut((u64, u32), usize) -> bool,
) -> Result<Vec<Written>, Refusal> {
    let stream_id = stream.id;
    let missing = |key| Refusal::invalid(format!("No open shard takes the hash key {key}"));
    records
        .into_iter()
        .map(|record| {
            let key = record.explicit_hash_key.unwrap_or_else(|| hash_key_of(&record.partition_key));
            let shard = stream.shard_for(key).ok_or_else(|| missing(key))?;
            if !admit((stream_id, shard.index), record.size()) {
                return Ok(Written::Throttled { shard: shard.id.clone() });
            }
            let sequence = shard.append(record.partition_key, record.data, now);
            Ok(Written::Stored { shard: shard.id.clone(), sequence })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model::{Code, Limits, Mode};

    const NOW: Millis = Millis(1_700_000_000_000);
    const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

    fn record(partition_key: &str, explicit_hash_key: Option<u128>, size: usize) -> NewRecord {
        NewRecord { partition_key: partition_key.into(), explicit_hash_key, data: vec![7; size].into() }
    }

    fn put(service: &mut Service, records: Vec<NewRecord>) -> Result<Vec<Written>, Refusal> {
        service.put_records(ORDERS, records, NOW, false)
    }

    fn shards(written: &[Written]) -> Vec<&str> {
        written
            .iter()
            .map(|(Written::Stored { shard, .. } | Written::Throttled { shard })| shard.as_str())
            .collect()
    }

    fn service() -> Service {
        let mut service = Service::default();
        service.create_stream("orders", Mode::Provisioned, 2, NOW).expect("a stream");
        service
    }

    #[test]
    fn records_go_where_their_key_falls() {
        let service = &mut service();
        // MD5("a") = 0cc1..., MD5("b") = 92eb...
        let records = vec![record("a", None, 1), record("b", None, 1), record("a", Some(u128::MAX), 1)];
        let written = put(service, records).expect("written");
        assert_eq!(
            shards(&written),
            ["shardId-000000000000", "shardId-000000000001", "shardId-000000000001"]
        );
        service.split_shard(ORDERS, "shardId-000000000000", 1 << 126, NOW).expect("a split");
        let records = vec![record("a", None, 1), record("a", Some(1 << 126), 1)];
        assert_eq!(
            shards(&put(service, records).expect("written")),
            ["shardId-000000000002", "shardId-000000000003"]
        );
    }

    #[test]
    fn sequence_numbers_rise_within_a_shard() {
        let service = &mut service();
        let written = put(service, (0..10).map(|_| record("a", None, 1)).collect()).expect("written");
        let numbers: Vec<_> = written
            .iter()
            .map(|written| match written {
                Written::Stored { sequence, .. } => *sequence,
                Written::Throttled { .. } => panic!("nothing was throttled"),
            })
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_is_not_admitted_fails_alone() {
        let service = &mut service();
        service.meters.limits = Limits::aws();
        let half = (1 << 19) + 1;
        let records = vec![record("a", None, half), record("b", None, half), record("a", None, half)];
        let written = service.put_records(ORDERS, records, NOW, true).expect("answered");
        let throttled: Vec<_> =
            written.iter().map(|written| matches!(written, Written::Throttled { .. })).collect();
        assert_eq!(throttled, [false, false, true]);
    }

    #[test]
    fn what_is_too_large_is_refused_and_nothing_is_written() {
        let service = &mut service();
        let mut code =
            |records| put(service, records).map(|written| written.len()).map_err(|refusal| refusal.code);
        assert_eq!(code(vec![]), Err(Code::Validation));
        assert_eq!(code(vec![record("a", None, 1); 501]), Err(Code::Validation));
        assert_eq!(code(vec![record("a", None, 1), record("", None, 1)]), Err(Code::Validation));
        assert_eq!(code(vec![record(&"ä".repeat(256), None, 1)]), Ok(1));
        assert_eq!(code(vec![record(&"ä".repeat(257), None, 1)]), Err(Code::Validation));
        assert_eq!(code(vec![record("a", None, MIB)]), Err(Code::InvalidArgument));
        assert_eq!(code(vec![record("a", None, MAX_PUT_BYTES + 1)]), Err(Code::Validation));
        assert_eq!(code(vec![record("a", None, MIB - 1); 10]), Ok(10));
        assert_eq!(code(vec![record("a", None, MIB - 1); 11]), Err(Code::InvalidArgument));
    }
}
