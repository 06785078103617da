//! The operations on records: shard iterators, reads and writes.

use std::sync::Arc;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::hash_range::parse_hash_key;
use crate::testing::model::reading::{IteratorStart, ReadFaults};
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::time::Millis;
use crate::testing::model::writing::{FailedEntries, NewRecord, Written};
use crate::testing::wire::input::{Input, required, seal, unseal};
use crate::testing::wire::output;
use crate::testing::wire::output::object;
use crate::testing::wire::reply::{Read, Reply};

pub(crate) fn get_shard_iterator(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let shard = required(input.text("ShardId")?, "shardId")?;
    let kind = required(input.text("ShardIteratorType")?, "shardIteratorType")?;
    let stream = input.stream()?;
    let start = start(input, (kind, "shardIteratorType"), "StartingSequenceNumber")?;
    let iterator = service.shard_iterator(stream, shard, start, now)?;
    Ok(object(|object| object.text("ShardIterator", seal(&iterator))))
}

/// Reads the position of a `kind` that `input` has, whose sequence number is in the member of this
/// name.
pub(crate) fn start<'a>(
    input: Input<'a>,
    (kind, kind_member): (&str, &str),
    sequence_member: &str,
) -> Result<IteratorStart<'a>, ApiError> {
    let sequence = input.text(sequence_member)?;
    match (kind, sequence, input.timestamp("Timestamp")?) {
        ("AFTER_SEQUENCE_NUMBER", Some(sequence), _) => Ok(IteratorStart::AfterSequence(sequence)),
        ("AT_SEQUENCE_NUMBER", Some(sequence), _) => Ok(IteratorStart::AtSequence(sequence)),
        ("AT_TIMESTAMP", None, Some(time)) => Ok(IteratorStart::AtTimestamp(time)),
        ("AT_TIMESTAMP", None, None) => Err(ApiError::invalid(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current \
             request has no timestamp parameter.",
        )),
        ("LATEST", None, _) => Ok(IteratorStart::Latest),
        ("TRIM_HORIZON", None, _) => Ok(IteratorStart::TrimHorizon),
        (
            "AFTER_SEQUENCE_NUMBER"
            | "AT_SEQUENCE_NUMBER"
            | "AT_TIMESTAMP"
            | "LATEST"
            | "TRIM_HORIZON",
            given,
            _,
        ) => Err(ApiError::invalid(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
             {sequence_member} or (2) TRIM_HORIZON or LATEST and no {sequence_member}. Request \
             specified {kind} and {} {sequence_member}.",
            if given.is_some() { "also a" } else { "no" }
        ))),
        _ => Err(ApiError::constraint(
            kind,
            kind_member,
            "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, \
             AT_SEQUENCE_NUMBER, TRIM_HORIZON]",
        )),
    }
}

pub(crate) fn get_records(
    service: &mut Service,
    input: Input<'_>,
    faults: ReadFaults,
    now: Millis,
) -> Result<Reply, ApiError> {
    let iterator = unseal(required(input.text("ShardIterator")?, "shardIterator")?);
    let batch = service.read(&iterator, input.integer("Limit")?, faults, now)?;
    let read = Read::of(&batch);
    let body = object(|object| {
        object.list("Records", batch.records, output::record);
        match batch.next_iterator {
            Some(next) => object.text("NextShardIterator", seal(&next)),
            None if batch.children.is_empty() => object.plain("NextShardIterator", "null"),
            None => object.list("ChildShards", batch.children, output::child_shard),
        }
        object.plain("MillisBehindLatest", batch.behind.as_millis());
    });
    Ok(Reply { body, read: Some(read), ..Reply::default() })
}

fn new_record(input: Input<'_>) -> Result<NewRecord, ApiError> {
    Ok(NewRecord {
        partition_key: required(input.text("PartitionKey")?, "partitionKey")?.to_owned(),
        explicit_hash_key: match input.text("ExplicitHashKey")? {
            Some(key) => Some(parse_hash_key(key, "ExplicitHashKey")?),
            None => None,
        },
        data: Arc::from(required(input.blob("Data")?, "data")?),
    })
}

pub(crate) fn put_record(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let (stream, record) = (input.stream()?, new_record(input)?);
    let written = service.put_records(stream, vec![record], now, true)?;
    match written.first() {
        Some(Written::Stored { shard, sequence }) => Ok(object(|object| {
            object.text("ShardId", shard);
            object.text("SequenceNumber", sequence);
        })),
        Some(Written::Throttled { shard }) => {
            let message = rate_exceeded(service, stream, shard, now)?;
            Err(ApiError::new(Code::ThroughputExceeded, message))
        }
        Some(Written::Failed) | None => Err(ApiError::invalid("No record was written.")),
    }
}

pub(crate) fn put_records(
    service: &mut Service,
    input: Input<'_>,
    failed: &FailedEntries,
    now: Millis,
) -> Result<String, ApiError> {
    let stream = input.stream()?;
    let records = required(input.list("Records")?, "records")?;
    let records =
        records.iter().map(|record| new_record(Input(record))).collect::<Result<Vec<_>, _>>()?;
    let written = service.put_entries(stream, records, now, true, failed)?;
    let mut failed = 0;
    let mut entries = Vec::with_capacity(written.len());
    for written in written {
        let failure = match &written {
            Written::Stored { .. } => None,
            Written::Throttled { shard } => Some((
                Code::ThroughputExceeded.as_str(),
                rate_exceeded(service, stream, shard, now)?,
            )),
            Written::Failed => Some(("InternalFailure", "Internal service failure.".to_owned())),
        };
        failed += usize::from(failure.is_some());
        entries.push((written, failure));
    }
    Ok(object(|object| {
        object.plain("FailedRecordCount", failed);
        object.list("Records", &entries, |object, (written, failure)| {
            if let Written::Stored { shard, sequence } = written {
                object.text("ShardId", shard);
                object.text("SequenceNumber", sequence);
            }
            if let Some((code, message)) = failure {
                object.text("ErrorCode", code);
                object.escaped("ErrorMessage", message);
            }
        });
    }))
}

fn rate_exceeded(
    service: &mut Service,
    stream: StreamRef<'_>,
    shard: &str,
    now: Millis,
) -> Result<String, ApiError> {
    let name = service.stream(stream, now)?.name.clone();
    Ok(format!(
        "Rate exceeded for shard {shard} in stream {name} under account {}.",
        service.account
    ))
}
