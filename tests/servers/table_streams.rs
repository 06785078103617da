//! The example `dynamodb_streams` on the change stream of a table.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Region;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_dynamodbstreams::config::Builder;
use aws_sdk_dynamodbstreams::types::{Record, ShardFilter, ShardFilterType};
use futures::TryStreamExt;
use kinesis_shards::shard::StartPosition;
use kinesis_shards::{StartAt, StreamId};
use libtest_mimic::Failed;
use tokio::sync::mpsc;

use crate::client::unwrap_response;
use crate::kind::Kind;
use crate::known::{Quirk, has};
use crate::process::Process;

#[path = "../dynamodb_streams/example.rs"]
#[allow(dead_code, reason = "the tests of the example use the rest")]
mod example;
use example::follow::follow;
use example::read::{Event, read};
use example::table_stream::{Description, TableStream};

const TABLE: &str = "orders";
const ITEMS: usize = 7;
const CHANGES: usize = 210;

/// A change as the test writes it: the kind, the item, and the value that it has from then on.
type Change = (&'static str, String, Option<String>);

/// Writes changes while they are read, then reads from the middle, from a position that was
/// trimmed, and to the end of the stream.
pub(crate) async fn run(kind: Kind) -> Result<(), Failed> {
    let process = Process::start(kind).await?;
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "table_streams"))
        .endpoint_url(format!("http://127.0.0.1:{}", process.port));
    let config = config.load().await;
    let client = Client::new(&config);
    let stream = create_table(&client, &config).await;

    let all = changes();
    let (sender, mut events) = mpsc::unbounded_channel();
    let reader = tokio::spawn(follow(Arc::clone(&stream), StartAt::TrimHorizon, {
        move |_, event| sender.send(event).expect("the test receives all events")
    }));
    write(&client, &all).await;
    let mut records = Vec::new();
    while records.len() < CHANGES {
        let Some(event) = events.recv().await else {
            return Err(format!("the reader has ended: {:?}", reader.await?).into());
        };
        records.extend(records_of(event));
    }
    assert_all_once(&records, &all);

    let Description { shards, .. } = stream.describe(None).await?;
    let [shard] = shards.as_slice() else { panic!("one shard that never ends: {shards:?}") };
    let shard_id = shard.shard_id().unwrap_or_default();
    let filter = ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(shard_id);
    let filtered = stream.describe(Some(filter.build())).await?.shards.len();
    assert_eq!(filtered, usize::from(has(kind, Quirk::IgnoresChildShards)));
    assert!(stream.children(shard_id).await.is_empty());

    let middle = CHANGES / 2;
    let last = records[middle - 1].dynamodb().and_then(|it| it.sequence_number());
    let after = StartPosition::After(last.ok_or("no sequence number")?.to_owned());
    let (gaps, rest) = read_from(&stream, shard_id, after, CHANGES - middle).await;
    assert_eq!((gaps, &rest[..]), (0, &records[middle..]));

    if !has(kind, Quirk::NoTrimmedPositions) {
        let trimmed = StartPosition::After("000000000000000000001".to_owned());
        let (gaps, rest) = read_from(&stream, shard_id, trimmed, CHANGES).await;
        assert_eq!((gaps, rest), (1, records));
    }
    if !has(kind, Quirk::ForgetsDisabledStreams) {
        let disabled = StreamSpecification::builder().stream_enabled(false).build()?;
        let request = client.update_table().table_name(TABLE).stream_specification(disabled);
        unwrap_response(request.send().await);
        // The shard ends, has no children, and the stream gets no further list.
        reader.await?.map_err(|error| error.to_string())?;
        assert!(events.recv().await.is_none(), "an event after the last change");
    }
    Ok(())
}

/// Creates a table, and returns its stream.
async fn create_table(client: &Client, config: &SdkConfig) -> Arc<TableStream> {
    let id = AttributeDefinition::builder().attribute_name("id");
    let id = id.attribute_type(ScalarAttributeType::S).build().expect("an attribute");
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let stream = StreamSpecification::builder().stream_enabled(true);
    let stream = stream.stream_view_type(StreamViewType::NewAndOldImages).build();
    let create = client
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(id)
        .key_schema(key.build().expect("a key"))
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream.expect("a stream"));
    unwrap_response(create.send().await);
    let described = client.describe_table().table_name(TABLE).send().await;
    let arn = unwrap_response(described).table.and_then(|table| table.latest_stream_arn);
    let arn: StreamId = arn.expect("a stream").parse().expect("the ARN of a stream");
    Arc::new(TableStream::new(Builder::from(config), arn.as_str()))
}

/// Returns changes that insert, modify and remove each item in turn.
fn changes() -> Vec<Change> {
    let change = |n: usize| {
        let (kind, value) = match n / ITEMS % 3 {
            0 => ("INSERT", Some(n.to_string())),
            1 => ("MODIFY", Some(n.to_string())),
            _ => ("REMOVE", None),
        };
        (kind, format!("item {}", n % ITEMS), value)
    };
    (0..CHANGES).map(change).collect()
}

async fn write(client: &Client, changes: &[Change]) {
    for (kind, id, value) in changes {
        let id = AttributeValue::S(id.clone());
        let value = value.clone().map(AttributeValue::S);
        match (*kind, value) {
            ("INSERT", Some(value)) => {
                let put = client.put_item().table_name(TABLE).item("id", id).item("value", value);
                unwrap_response(put.send().await);
            }
            ("MODIFY", Some(value)) => {
                let update = client.update_item().table_name(TABLE).key("id", id);
                let update = update.update_expression("SET #value = :value");
                let update = update.expression_attribute_names("#value", "value");
                let update = update.expression_attribute_values(":value", value);
                unwrap_response(update.send().await);
            }
            _ => {
                let delete = client.delete_item().table_name(TABLE).key("id", id);
                unwrap_response(delete.send().await);
            }
        }
    }
}

/// Reads a number of changes from a position. Returns the number of gaps before them, too.
async fn read_from(
    stream: &Arc<TableStream>,
    shard_id: &str,
    from: StartPosition,
    changes: usize,
) -> (usize, Vec<Record>) {
    let mut events = pin!(read(Arc::clone(stream), shard_id.to_owned(), from));
    let (mut gaps, mut records) = (0, Vec::new());
    while records.len() < changes {
        match events.try_next().await.expect("a shard that can be read") {
            Some(Event::Gap(_)) => gaps += 1,
            Some(Event::Changes(changes)) => records.extend(changes),
            None => panic!("the shard has ended after {} changes", records.len()),
        }
    }
    (gaps, records)
}

fn records_of(event: Event) -> Vec<Record> {
    match event {
        Event::Changes(changes) => changes,
        Event::Gap(after) => panic!("a gap after {after}"),
    }
}

/// Checks that each change was read once, and those of each item in order.
fn assert_all_once(records: &[Record], written: &[Change]) {
    type Versions = BTreeMap<String, Vec<(String, Option<String>)>>;
    let mut expected = Versions::new();
    for (kind, id, value) in written {
        expected.entry(id.clone()).or_default().push((kind.to_string(), value.clone()));
    }
    let mut seen = Versions::new();
    for record in records {
        let change = record.dynamodb().expect("a change");
        let text = |value: Option<&aws_sdk_dynamodbstreams::types::AttributeValue>| {
            value.and_then(|value| value.as_s().ok()).cloned()
        };
        let id = text(change.keys().and_then(|keys| keys.get("id"))).expect("a key");
        let value = text(change.new_image().and_then(|image| image.get("value")));
        let kind = record.event_name().map_or("", |kind| kind.as_str()).to_owned();
        seen.entry(id).or_default().push((kind, value));
    }
    assert_eq!(seen, expected);
}
