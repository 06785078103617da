//! The operations on consumers, and `SubscribeToShard`.

use crate::testing::model::api_error::ApiError;
use crate::testing::model::consumer::Consumer;
use crate::testing::model::consumers::ConsumerRef;
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::subscription::SubscriptionEvent;
use crate::testing::model::time::Millis;
use crate::testing::wire::input::{Input, required, seal, unseal};
use crate::testing::wire::output;
use crate::testing::wire::output::{Object, object};
use crate::testing::wire::overrides::ShardEnd;
use crate::testing::wire::records::start;
use crate::testing::wire::reply::Reply;

pub(crate) fn register(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let name = required(input.text("ConsumerName")?, "consumerName")?;
    let stream = required_stream(input)?;
    let consumer = service.register_consumer(stream, name, now)?;
    Ok(object(|object| object.object("Consumer", |object| describe_into(object, consumer, now))))
}

pub(crate) fn deregister(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    service.deregister_consumer(consumer_ref(input)?, now).map(|()| String::new())
}

pub(crate) fn describe(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let (stream, consumer) = service.describe_consumer(consumer_ref(input)?, now)?;
    Ok(object(|object| {
        object.object("ConsumerDescription", |object| {
            describe_into(object, consumer, now);
            object.text("StreamARN", &stream.arn);
        });
    }))
}

pub(crate) fn list(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<String, ApiError> {
    let stream = required_stream(input)?;
    let created = input.timestamp("StreamCreationTimestamp")?;
    let token = input.text("NextToken")?.map(unseal);
    let max_results = input.integer("MaxResults")?;
    let (consumers, next_token) =
        service.list_consumers(stream, created, token.as_deref(), max_results, now)?;
    Ok(object(|object| {
        object.list("Consumers", consumers, |object, consumer| {
            describe_into(object, consumer, now);
        });
        if let Some(token) = next_token {
            object.text("NextToken", seal(&token));
        }
    }))
}

/// Subscribes to a shard. The body of the response is not part of the reply, see
/// [`event_stream`](crate::testing::event_stream).
pub(crate) fn subscribe(
    service: &mut Service,
    input: Input<'_>,
    now: Millis,
) -> Result<Reply, ApiError> {
    let consumer = required(input.text("ConsumerARN")?, "consumerARN")?;
    let shard = required(input.text("ShardId")?, "shardId")?;
    let position = required(input.structure("StartingPosition")?, "startingPosition")?;
    let member = "startingPosition.type";
    let kind = required(position.text("Type")?, member)?;
    let start = start(position, (kind, member), "SequenceNumber")?;
    let subscriber = service.subscribe(consumer, shard, start, now)?;
    Ok(Reply { subscriber: Some(subscriber), ..Reply::default() })
}

fn required_stream(input: Input<'_>) -> Result<StreamRef<'_>, ApiError> {
    let arn = required(input.text("StreamARN")?, "streamARN")?;
    Ok(StreamRef { name: None, arn: Some(arn) })
}

fn consumer_ref(input: Input<'_>) -> Result<ConsumerRef<'_>, ApiError> {
    Ok(ConsumerRef {
        arn: input.text("ConsumerARN")?,
        stream_arn: input.text("StreamARN")?,
        name: input.text("ConsumerName")?,
    })
}

fn describe_into(object: &mut Object<'_>, consumer: &Consumer, now: Millis) {
    object.text("ConsumerName", &consumer.name);
    object.text("ConsumerARN", &consumer.arn);
    object.text("ConsumerStatus", consumer.status(now).as_str());
    object.time("ConsumerCreationTimestamp", consumer.created);
}

/// Returns the payload of a `SubscribeToShardEvent`.
pub(crate) fn event(event: SubscriptionEvent<'_>, end: ShardEnd) -> String {
    let SubscriptionEvent { batch, continuation } = event;
    object(|object| {
        object.list("Records", batch.records, output::record);
        if !batch.ended || end == ShardEnd::WithContinuation {
            object.text("ContinuationSequenceNumber", continuation);
        }
        object.plain("MillisBehindLatest", batch.behind.as_millis());
        if !batch.children.is_empty() && end != ShardEnd::WithoutChildShards {
            object.list("ChildShards", batch.children, output::child_shard);
        }
    })
}
