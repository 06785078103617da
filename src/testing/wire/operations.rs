//! The operations: each reads the members of a request, calls the model, and writes a response.

use serde_json::Value;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::hash_range::parse_hash_key;
use crate::testing::model::listing::{ListRequest, ShardFilter};
use crate::testing::model::listing_faults::ListingFault;
use crate::testing::model::service::{ON_DEMAND_SHARDS, Service, StreamRef, check_record_size};
use crate::testing::model::status::Change;
use crate::testing::model::stream::{Mode, Stream};
use crate::testing::model::time::Millis;
use crate::testing::model::token::StreamsToken;
use crate::testing::wire::input::{Input, required, seal, unseal};
use crate::testing::wire::output::{Object, object};
use crate::testing::wire::overrides::Override;
use crate::testing::wire::reply::Reply;
use crate::testing::wire::{consumers, output, records};

/// The operations of the fake.
pub(crate) const OPERATIONS: [&str; 21] = [
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "GetRecords",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "RegisterStreamConsumer",
    "SplitShard",
    "SubscribeToShard",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
];

/// Carries out a request and returns its reply.
pub(crate) fn respond(
    service: &mut Service,
    operation: &str,
    body: &Value,
    now: Millis,
    overrides: Override,
) -> Result<Reply, ApiError> {
    let input = Input(body);
    let body = match operation {
        "CreateStream" => create_stream(service, input, now),
        "DecreaseStreamRetentionPeriod" => {
            retention(service, input, now, Service::decrease_retention)
        }
        "DeleteStream" => service.delete_stream(input.stream()?, now).map(|()| empty()),
        "DeregisterStreamConsumer" => consumers::deregister(service, input, now),
        "DescribeStream" => describe_stream(service, input, now),
        "DescribeStreamConsumer" => consumers::describe(service, input, now),
        "DescribeStreamSummary" => describe_stream_summary(service, input, now),
        "GetRecords" => return records::get_records(service, input, overrides.read, now),
        "GetShardIterator" => records::get_shard_iterator(service, input, now),
        "IncreaseStreamRetentionPeriod" => {
            retention(service, input, now, Service::increase_retention)
        }
        "ListShards" => list_shards(service, input, overrides.listing, now),
        "ListStreamConsumers" => consumers::list(service, input, now),
        "ListStreams" => list_streams(service, input, now),
        "MergeShards" => merge_shards(service, input, now),
        "PutRecord" => records::put_record(service, input, now),
        "PutRecords" => records::put_records(service, input, &overrides.entries, now),
        "RegisterStreamConsumer" => consumers::register(service, input, now),
        "SplitShard" => split_shard(service, input, now),
        "SubscribeToShard" => return consumers::subscribe(service, input, now),
        "UpdateMaxRecordSize" => update_max_record_size(service, input, now),
        "UpdateShardCount" => update_shard_count(service, input, now),
        other => {
            let message = format!("{other} is not an operation of this service.");
            Err(ApiError::new(Code::UnknownOperation, message))
        }
    };
    body.map(|body| Reply { body, ..Reply::default() })
}

/// Returns whether the responses of an operation have a body.
pub(crate) fn has_body(operation: &str) -> bool {
    !matches!(
        operation,
        "CreateStream"
            | "DecreaseStreamRetentionPeriod"
            | "DeleteStream"
            | "DeregisterStreamConsumer"
            | "IncreaseStreamRetentionPeriod"
            | "MergeShards"
            | "SplitShard"
            | "UpdateMaxRecordSize"
    )
}

/// Returns the empty body that AWS sends for an operation without a result.
fn empty() -> String {
    String::new()
}

fn create_stream(service: &mut Service, input: Input<'_>, now: Millis) -> Result<String, ApiError> {
    let name = required(input.text("StreamName")?, "streamName")?;
    let mode = match input.structure("StreamModeDetails")? {
        None => Mode::Provisioned,
        Some(details) => {
            match required(details.text("StreamMode")?, "streamModeDetails.streamMode")? {
                "PROVISIONED" => Mode::Provisioned,
                "ON_DEMAND" => Mode::OnDemand,
                other => {
                    let constraint = "satisfy enum value set: [PROVISIONED, ON_DEMAND]";
                    return Err(ApiError::constraint(
                        other,
                        "streamModeDetails.streamMode",
                        constraint,
                    ));
                }
            }
        }
    };
    let shards = match (mode, input.integer("ShardCount")?) {
        (Mode::OnDemand, None) => ON_DEMAND_SHARDS,
        (Mode::OnDemand, Some(_)) => {
            return Err(ApiError::invalid(
                "ShardCount cannot be given for a stream in ON_DEMAND mode.",
            ));
        }
        (Mode::Provisioned, count) => count32(required(count, "shardCount")?, "shardCount")?,
    };
    let record_kib = record_size(input)?;
    service.create_stream(name, mode, shards, now)?;
    let stream = StreamRef::named(name);
    if let Some(kib) = record_kib {
        service.set_record_size(stream, kib, now)?;
    }
    service.linger(stream, Change::Creating, now).map(|()| empty())
}

fn record_size(input: Input<'_>) -> Result<Option<u32>, ApiError> {
    let kib = input.integer("MaxRecordSizeInKiB")?;
    kib.map(|kib| {
        check_record_size(u32::try_from(kib).unwrap_or(if kib < 0 { 0 } else { u32::MAX }))
    })
    .transpose()
}

fn update_max_record_size(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let kib = required(record_size(input)?, "maxRecordSizeInKiB")?;
    let stream = StreamRef { name: None, arn: input.stream()?.arn };
    service.changeable(stream, now)?;
    service.set_record_size(stream, kib, now).map(|()| empty())
}

fn count32(count: i64, member: &str) -> Result<u32, ApiError> {
    let positive = u32::try_from(count).ok().filter(|count| *count > 0);
    positive
        .ok_or_else(|| ApiError::constraint(count, member, "have value greater than or equal to 1"))
}

fn retention(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
    change: fn(&mut Service, StreamRef<'_>, u32, Millis) -> Result<(), ApiError>,
) -> Result<String, ApiError> {
    let hours = required(input.integer("RetentionPeriodHours")?, "retentionPeriodHours")?;
    // AWS's API model has no bounds here. The operation itself checks the hours.
    let hours = u32::try_from(hours.max(0)).unwrap_or(u32::MAX);
    let stream = input.stream()?;
    service.changeable(stream, now)?;
    change(service, stream, hours, now).map(|()| empty())
}

fn describe(object: &mut Object<'_>, stream: &Stream, now: Millis) {
    object.text("StreamName", &stream.name);
    object.text("StreamARN", &stream.arn);
    object.text("StreamStatus", stream.status(now).as_str());
    object.object("StreamModeDetails", |object| mode(object, stream));
    object.plain("RetentionPeriodHours", stream.retention_hours);
    object.time("StreamCreationTimestamp", stream.created);
    object
        .list("EnhancedMonitoring", [()], |object, ()| object.texts("ShardLevelMetrics", [""; 0]));
    object.text("EncryptionType", "NONE");
}

fn mode(object: &mut Object<'_>, stream: &Stream) {
    object.text(
        "StreamMode",
        if stream.mode == Mode::OnDemand { "ON_DEMAND" } else { "PROVISIONED" },
    );
}

fn describe_stream(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let limit = bounded(input.integer("Limit")?, 100)?;
    let after = input.text("ExclusiveStartShardId")?.unwrap_or_default();
    let stream = service.stream(input.stream()?, now)?;
    let mut shards = stream.shards().filter(|shard| shard.id.as_str() > after);
    Ok(object(|object| {
        object.object("StreamDescription", |object| {
            describe(object, stream, now);
            output::shards(object, shards.by_ref().take(limit).map(|shard| (shard, shard.end)));
            object.plain("HasMoreShards", shards.next().is_some());
        });
    }))
}

fn describe_stream_summary(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let stream = service.stream(input.stream()?, now)?;
    Ok(object(|object| {
        object.object("StreamDescriptionSummary", |object| {
            describe(object, stream, now);
            object.plain("OpenShardCount", stream.open_shard_count());
            object.plain("MaxRecordSizeInKiB", stream.record_kib);
            object.plain("ConsumerCount", stream.consumers.len());
        });
    }))
}

fn list_streams(service: &mut Service, input: Input<'_>, now: Millis) -> Result<String, ApiError> {
    let limit = bounded(input.integer("Limit")?, 100)?;
    let token = input.text("NextToken")?.map(unseal);
    let mut rest =
        service.list_streams(input.text("ExclusiveStartStreamName")?, token.as_deref(), now)?;
    let streams: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    Ok(object(|object| {
        object.texts("StreamNames", streams.iter().map(|stream| &stream.name));
        object.plain("HasMoreStreams", more);
        if let Some(last) = streams.last().filter(|_| more) {
            let token = StreamsToken { issued: now, after: last.name.clone() };
            object.text("NextToken", seal(&token.to_string()));
        }
        object.list("StreamSummaries", &streams, |object, stream| {
            object.text("StreamName", &stream.name);
            object.text("StreamARN", &stream.arn);
            object.text("StreamStatus", stream.status(now).as_str());
            object.object("StreamModeDetails", |object| mode(object, stream));
            object.time("StreamCreationTimestamp", stream.created);
        });
    }))
}

fn bounded(limit: Option<i64>, max: usize) -> Result<usize, ApiError> {
    match limit {
        None => Ok(max),
        Some(limit @ 1..=10_000) => Ok(usize::try_from(limit).unwrap_or(max).min(max)),
        Some(limit) => Err(ApiError::constraint(limit, "limit", "have value between 1 and 10000")),
    }
}

fn list_shards(
    service: &mut Service,
    input: Input<'_>,
    fault: ListingFault,
    now: Millis,
) -> Result<String, ApiError> {
    let token = input.text("NextToken")?.map(unseal);
    let request = ListRequest {
        stream: input.stream()?,
        created: input.timestamp("StreamCreationTimestamp")?,
        next_token: token.as_deref(),
        after: input.text("ExclusiveStartShardId")?,
        filter: input.structure("ShardFilter")?.map(shard_filter).transpose()?,
        max_results: input.integer("MaxResults")?,
        fault,
    };
    let page = service.list_shards(request, now)?;
    Ok(object(|object| {
        output::shards(object, page.shards.iter().map(|listed| (listed.shard, listed.end)));
        if let Some(token) = page.next_token {
            object.text("NextToken", seal(&token));
        }
    }))
}

fn shard_filter(filter: Input<'_>) -> Result<ShardFilter<'_>, ApiError> {
    let kind = required(filter.text("Type")?, "shardFilter.type")?;
    let (time, id) = (filter.timestamp("Timestamp")?, filter.text("ShardId")?);
    match (kind, time, id) {
        ("AFTER_SHARD_ID", None, Some(id)) => Ok(ShardFilter::AfterShardId(id)),
        ("AT_LATEST", None, None) => Ok(ShardFilter::AtLatest),
        ("AT_TIMESTAMP", Some(time), None) => Ok(ShardFilter::AtTimestamp(time)),
        ("AT_TRIM_HORIZON", None, None) => Ok(ShardFilter::AtTrimHorizon),
        ("FROM_TIMESTAMP", Some(time), None) => Ok(ShardFilter::FromTimestamp(time)),
        ("FROM_TRIM_HORIZON", None, None) => Ok(ShardFilter::FromTrimHorizon),
        (
            "AFTER_SHARD_ID" | "AT_LATEST" | "AT_TIMESTAMP" | "AT_TRIM_HORIZON" | "FROM_TIMESTAMP"
            | "FROM_TRIM_HORIZON",
            ..,
        ) => Err(ApiError::invalid(format!(
            "A ShardFilter has a ShardId if its type is AFTER_SHARD_ID, a Timestamp if it is \
             AT_TIMESTAMP or FROM_TIMESTAMP, and neither otherwise: this one is {kind}."
        ))),
        _ => Err(ApiError::constraint(
            kind,
            "shardFilter.type",
            "satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, \
             AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]",
        )),
    }
}

fn split_shard(service: &mut Service, input: Input<'_>, now: Millis) -> Result<String, ApiError> {
    let shard = required(input.text("ShardToSplit")?, "shardToSplit")?;
    let key = required(input.text("NewStartingHashKey")?, "newStartingHashKey")?;
    let key = parse_hash_key(key, "NewStartingHashKey")?;
    let stream = input.stream()?;
    service.reshardable(stream, now)?;
    service.split_shard(stream, shard, key, now)?;
    service.linger(stream, Change::Updating, now).map(|()| empty())
}

fn merge_shards(service: &mut Service, input: Input<'_>, now: Millis) -> Result<String, ApiError> {
    let shard = required(input.text("ShardToMerge")?, "shardToMerge")?;
    let adjacent = required(input.text("AdjacentShardToMerge")?, "adjacentShardToMerge")?;
    let stream = input.stream()?;
    service.reshardable(stream, now)?;
    service.merge_shards(stream, shard, adjacent, now)?;
    service.linger(stream, Change::Updating, now).map(|()| empty())
}

fn update_shard_count(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let target = required(input.integer("TargetShardCount")?, "targetShardCount")?;
    match required(input.text("ScalingType")?, "scalingType")? {
        "UNIFORM_SCALING" => {}
        other => {
            let constraint = "satisfy enum value set: [UNIFORM_SCALING]";
            return Err(ApiError::constraint(other, "scalingType", constraint));
        }
    }
    let (stream, target) = (input.stream()?, count32(target, "targetShardCount")?);
    service.reshardable(stream, now)?;
    let (current, target) = service.update_shard_count(stream, target, now)?;
    service.linger(stream, Change::Updating, now)?;
    let stream = service.stream(stream, now)?;
    Ok(object(|object| {
        object.text("StreamName", &stream.name);
        object.text("StreamARN", &stream.arn);
        object.plain("CurrentShardCount", current);
        object.plain("TargetShardCount", target);
    }))
}
