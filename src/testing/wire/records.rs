//! The operations on records: iterators, reads, writes.

use std::sync::Arc;

use super::input::{Input, required, seal, unseal};
use super::output::{self, object};
use crate::testing::model::{
    Code, IteratorStart, Millis, NewRecord, REGION, Refusal, Service, Written, parse_hash_key,
};

pub(super) fn get_shard_iterator(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, Refusal> {
    let shard = required(input.text("ShardId")?, "shardId")?;
    let kind = required(input.text("ShardIteratorType")?, "shardIteratorType")?;
    let sequence = input.text("StartingSequenceNumber")?;
    let stream = input.stream()?;
    let start = match (kind, sequence, input.timestamp("Timestamp")?) {
        ("AFTER_SEQUENCE_NUMBER", Some(sequence), _) => IteratorStart::AfterSequence(sequence),
        ("AT_SEQUENCE_NUMBER", Some(sequence), _) => IteratorStart::AtSequence(sequence),
        ("AT_TIMESTAMP", None, Some(time)) => IteratorStart::AtTimestamp(time),
        ("AT_TIMESTAMP", None, None) => {
            return Err(Refusal::invalid(
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no \
                 timestamp parameter.",
            ));
        }
        ("LATEST", None, _) => IteratorStart::Latest,
        ("TRIM_HORIZON", None, _) => IteratorStart::TrimHorizon,
        (
            "AFTER_SEQUENCE_NUMBER" | "AT_SEQUENCE_NUMBER" | "AT_TIMESTAMP" | "LATEST" | "TRIM_HORIZON",
            given,
            _,
        ) => {
            return Err(Refusal::invalid(format!(
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or \
                 (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {}.",
                if given.is_some() { "also a StartingSequenceNumber" } else { "no StartingSequenceNumber" }
            )));
        }
        _ => {
            return Err(Refusal::constraint(
                kind,
                "shardIteratorType",
                "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, \
                 TRIM_HORIZON]",
            ));
        }
    };
    let iterator = service.shard_iterator(stream, shard, start, now)?;
    Ok(object(|object| object.text("ShardIterator", seal(&iterator))))
}

pub(super) fn get_records(
    service: &mut Service,
    input: Input<'_>,
    dry: bool,
    now: Millis,
) -> Result<String, Refusal> {
    let iterator = unseal(required(input.text("ShardIterator")?, "shardIterator")?);
    let batch = service.read(&iterator, input.integer("Limit")?, dry, now)?;
    Ok(object(|object| {
        object.list("Records", batch.records, output::record);
        match batch.next_iterator {
            Some(next) => object.text("NextShardIterator", seal(&next)),
            None => object.list("ChildShards", batch.children, output::child_shard),
        }
        object.plain("MillisBehindLatest", batch.behind.as_millis());
    }))
}

fn new_record(input: Input<'_>) -> Result<NewRecord, Refusal> {
    Ok(NewRecord {
        partition_key: required(input.text("PartitionKey")?, "partitionKey")?.to_owned(),
        explicit_hash_key: match input.text("ExplicitHashKey")? {
            Some(key) => Some(parse_hash_key(key, "ExplicitHashKey")?),
            None => None,
        },
        data: Arc::from(required(input.blob("Data")?, "data")?),
    })
}

pub(super) fn put_record(service: &mut Service, input: Input<'_>, now: Millis) -> Result<String, Refusal> {
    let record = new_record(input)?;
    let written = service.put_records(input.stream()?, vec![record], now, true)?;
    match written.first() {
        Some(Written::Stored { shard, sequence }) => Ok(object(|object| {
            object.text("ShardId", shard);
            object.text("SequenceNumber", sequence);
        })),
        Some(Written::Throttled { shard }) => {
            Err(Refusal::new(Code::ThroughputExceeded, rate_exceeded(shard)))
        }
        None => Err(Refusal::invalid("No record was written.")),
    }
}

pub(super) fn put_records(service: &mut Service, input: Input<'_>, now: Millis) -> Result<String, Refusal> {
    let records = required(input.list("Records")?, "records")?;
    let records = records.iter().map(|record| new_record(Input(record))).collect::<Result<Vec<_>, _>>()?;
    let written = service.put_records(input.stream()?, records, now, true)?;
    let failed = written.iter().filter(|written| matches!(written, Written::Throttled { .. })).count();
    Ok(object(|object| {
        object.plain("FailedRecordCount", failed);
        object.list("Records", &written, |object, written| match written {
            Written::Stored { shard, sequence } => {
                object.text("ShardId", shard);
                object.text("SequenceNumber", sequence);
            }
            Written::Throttled { shard } => {
                object.text("ErrorCode", Code::ThroughputExceeded.as_str());
                object.escaped("ErrorMessage", &rate_exceeded(shard));
            }
        });
    }))
}

fn rate_exceeded(shard: &str) -> String {
    format!("Rate exceeded for shard {shard} in region {REGION}.")
}
