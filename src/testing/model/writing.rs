//! `PutRecord` and `PutRecords`: the shard of each record, and the bounds on sizes.

use std::sync::Arc;

use crate::testing::model::api_error::ApiError;
use crate::testing::model::hash_range::hash_key_of;
use crate::testing::model::listing_faults::mix;
use crate::testing::model::sequence::SequenceNumber;
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::stream::Stream;
use crate::testing::model::time::Millis;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// The maximum bytes of one `PutRecords` request, and of one record in a stream that allows large
/// records.
pub(crate) const MAX_PUT_BYTES: usize = 10 * MIB;
const MAX_RECORDS: usize = 500;

/// A record in a producer's request.
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

    fn check(&self) -> Result<(), ApiError> {
        if !(1..=256).contains(&self.partition_key.chars().count()) {
            return Err(ApiError::constraint(
                &self.partition_key,
                "partitionKey",
                "have length between 1 and 256",
            ));
        }
        if self.data.len() > MAX_PUT_BYTES {
            let constraint = format!("have length less than or equal to {MAX_PUT_BYTES}");
            return Err(ApiError::constraint(
                format!("{} bytes", self.data.len()),
                "data",
                &constraint,
            ));
        }
        Ok(())
    }

    fn check_size(&self, record_kib: u32) -> Result<(), ApiError> {
        let max = record_kib as usize * KIB;
        if self.size() > max {
            let size = self.size();
            return Err(ApiError::invalid(format!(
                "The record of {size} bytes is larger than the stream's maximum record size of \
                 {max} bytes.",
            )));
        }
        Ok(())
    }
}

/// The outcome of one record: where it was stored, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Stored {
        shard: String,
        sequence: SequenceNumber,
    },
    /// The shard is over one of its limits, or a fault says so.
    Throttled {
        shard: String,
    },
    /// A fault: an internal failure of the service.
    Failed,
}

/// The entries of a `PutRecords` that a fault makes fail.
#[derive(Clone, Debug, Default)]
pub(crate) enum FailedEntries {
    #[default]
    None,
    Throttled(Vec<usize>),
    Failed(Vec<usize>),
    /// About one entry in four is throttled. The number is the seed that picks them.
    SomeThrottled(u64),
}

impl FailedEntries {
    /// Returns the outcome of an entry for `shard` if the fault makes it fail.
    fn outcome(&self, index: usize, shard: &str) -> Option<Written> {
        let throttled = match self {
            Self::Throttled(these) => these.contains(&index),
            Self::Failed(these) if these.contains(&index) => return Some(Written::Failed),
            Self::None | Self::Failed(_) => false,
            Self::SomeThrottled(number) => mix(number ^ index as u64).is_multiple_of(4),
        };
        throttled.then(|| Written::Throttled { shard: shard.to_owned() })
    }
}

impl Service {
    /// Writes the records. Those of a request are `metered`: the limits of a shard throttle them,
    /// and a stream that is `CREATING` or `DELETING` takes none.
    pub(crate) fn put_records(
        &mut self,
        stream: StreamRef<'_>,
        records: Vec<NewRecord>,
        now: Millis,
        metered: bool,
    ) -> Result<Vec<Written>, ApiError> {
        self.put_entries(stream, records, now, metered, &FailedEntries::None)
    }

    /// Writes the records as [`put_records`](Self::put_records) does, except those in `failed`.
    pub(crate) fn put_entries(
        &mut self,
        stream: StreamRef<'_>,
        records: Vec<NewRecord>,
        now: Millis,
        metered: bool,
        failed: &FailedEntries,
    ) -> Result<Vec<Written>, ApiError> {
        if !(1..=MAX_RECORDS).contains(&records.len()) {
            let count = format!("{} records", records.len());
            return Err(ApiError::constraint(count, "records", "have length between 1 and 500"));
        }
        for record in &records {
            record.check()?;
        }
        if records.iter().map(NewRecord::size).sum::<usize>() > MAX_PUT_BYTES {
            return Err(ApiError::invalid("Records size exceeds 10 MB limit"));
        }
        // The stream borrows `self`, so the meters are moved out until the records are written.
        let mut meters = std::mem::take(&mut self.meters);
        let stream =
            if metered { self.live_stream(stream, now) } else { self.stream_mut(stream, now) };
        let written = stream.and_then(|stream| {
            write(stream, records, now, failed, |key, size| {
                !metered || meters.admit_write(key, size, now)
            })
        });
        self.meters = meters;
        written
    }
}

fn write(
    stream: &mut Stream,
    records: Vec<NewRecord>,
    now: Millis,
    failed: &FailedEntries,
    mut admit: impl FnMut((u64, u32), usize) -> bool,
) -> Result<Vec<Written>, ApiError> {
    let (stream_id, record_kib) = (stream.id, stream.record_kib);
    let second = stream.time_in_numbers.then_some(now.0 / 1000);
    records.iter().try_for_each(|record| record.check_size(record_kib))?;
    let missing = |key| ApiError::invalid(format!("No open shard takes the hash key {key}"));
    let mut write_one = |(index, record): (usize, NewRecord)| {
        let key = record.explicit_hash_key.unwrap_or_else(|| hash_key_of(&record.partition_key));
        let shard = stream.shard_for(key).ok_or_else(|| missing(key))?;
        if let Some(failed) = failed.outcome(index, &shard.id) {
            return Ok(failed);
        }
        if !admit((stream_id, shard.index), record.size()) {
            return Ok(Written::Throttled { shard: shard.id.clone() });
        }
        let sequence = shard.append(record.partition_key, record.data, now, second);
        let (index, shard) = (shard.index, shard.id.clone());
        stream.wake_subscribers(index);
        Ok(Written::Stored { shard, sequence })
    };
    records.into_iter().enumerate().map(&mut write_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model::api_error::Code;
    use crate::testing::model::limits::Limits;
    use crate::testing::model::stream::Mode;

    const NOW: Millis = Millis(1_700_000_000_000);
    const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

    fn record(partition_key: &str, explicit_hash_key: Option<u128>, size: usize) -> NewRecord {
        NewRecord {
            partition_key: partition_key.into(),
            explicit_hash_key,
            data: vec![7; size].into(),
        }
    }

    fn put(service: &mut Service, records: Vec<NewRecord>) -> Result<Vec<Written>, ApiError> {
        service.put_records(ORDERS, records, NOW, false)
    }

    fn shards(written: &[Written]) -> Vec<&str> {
        written
            .iter()
            .map(|written| match written {
                Written::Stored { shard, .. } | Written::Throttled { shard } => shard.as_str(),
                Written::Failed => panic!("no fault was set"),
            })
            .collect()
    }

    fn service() -> Service {
        let mut service = Service::default();
        service.create_stream("orders", Mode::Provisioned, 2, NOW).expect("a stream");
        service
    }

    #[test]
    fn partition_key_or_hash_key_chooses_the_shard() {
        let service = &mut service();
        // MD5("a") = 0cc1..., MD5("b") = 92eb...
        let records =
            vec![record("a", None, 1), record("b", None, 1), record("a", Some(u128::MAX), 1)];
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
    fn sequence_numbers_increase_within_a_shard() {
        let service = &mut service();
        let written =
            put(service, (0..10).map(|_| record("a", None, 1)).collect()).expect("written");
        let numbers: Vec<_> = written
            .iter()
            .map(|written| match written {
                Written::Stored { sequence, .. } => *sequence,
                _ => panic!("nothing was throttled"),
            })
            .collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn throttled_record_fails_alone() {
        let service = &mut service();
        service.meters.limits = Limits::aws();
        let half = (1 << 19) + 1;
        let records =
            vec![record("a", None, half), record("b", None, half), record("a", None, half)];
        let written = service.put_records(ORDERS, records, NOW, true).expect("a response");
        let throttled: Vec<_> =
            written.iter().map(|written| matches!(written, Written::Throttled { .. })).collect();
        assert_eq!(throttled, [false, false, true]);
    }

    #[test]
    fn stream_takes_records_up_to_its_maximum_size() {
        let service = &mut service();
        let large = || vec![record("a", None, 10 * MIB - 1)];
        assert_eq!(put(service, large()).expect_err("rejected").code, Code::InvalidArgument);
        for rejected in [1023, 10_241] {
            let rejected = service.set_record_size(ORDERS, rejected, NOW).expect_err("rejected");
            assert_eq!(rejected.code, Code::Validation);
        }
        service.set_record_size(ORDERS, 10_240, NOW).expect("set");
        put(service, large()).expect("written");
        service.set_record_size(ORDERS, 10_239, NOW).expect("set");
        assert_eq!(put(service, large()).expect_err("rejected").code, Code::InvalidArgument);
        service.set_record_size(ORDERS, 1024, NOW).expect("set");
        put(service, vec![record("a", None, MIB - 1)]).expect("written");
    }

    #[test]
    fn faulty_entries_are_not_written() {
        let service = &mut service();
        let mut failing = |failed: &FailedEntries| {
            let records = (0..100).map(|_| record("a", None, 1)).collect();
            let written =
                service.put_entries(ORDERS, records, NOW, true, failed).expect("a response");
            let throttled = |written: &Written| matches!(written, Written::Throttled { .. });
            let count = |is: &dyn Fn(&Written) -> bool| {
                written.iter().filter(|written| is(written)).count()
            };
            (
                count(&throttled),
                count(&|written| *written == Written::Failed),
                throttled(&written[7]),
            )
        };
        assert_eq!(failing(&FailedEntries::None), (0, 0, false));
        assert_eq!(failing(&FailedEntries::Throttled(vec![7, 99, 100])), (2, 0, true));
        assert_eq!(failing(&FailedEntries::Failed(vec![7, 99])), (0, 2, false));
        let (some, failed, _) = failing(&FailedEntries::SomeThrottled(1));
        assert!((10..40).contains(&some) && failed == 0, "{some}");
        let shard = service.stream(ORDERS, NOW).expect("the stream").shard_at(0).expect("a shard");
        assert_eq!(shard.records.next(), 400 - 2 - 2 - some as u64);
    }

    #[test]
    fn oversized_request_is_rejected() {
        let service = &mut service();
        let mut code = |records| {
            put(service, records).map(|written| written.len()).map_err(|api_error| api_error.code)
        };
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
