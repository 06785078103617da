//! Subscriptions of the SDK alone, and a Kinesis whose subscriptions come from memory.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpRequest;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents};
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEventStream as EventStream,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::{FakeKinesis, Limits};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::canned::{Format, client};

/// Returns a consumer that no request registers.
pub(crate) fn consumer() -> FanOut {
    FanOut::consumer("arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/bench:1")
}

/// Subscribes to a shard with the SDK alone, and returns the number of records until the end.
pub(crate) async fn read_subscription_bare(
    client: &Client,
    consumer: &FanOut,
    shard_id: String,
) -> usize {
    let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build();
    let request = client
        .subscribe_to_shard()
        .consumer_arn(consumer.arn())
        .shard_id(shard_id)
        .starting_position(start.expect("complete"));
    let mut events = request.send().await.expect("a subscription").event_stream;
    let (mut records, mut bytes) = (0, 0);
    while let Some(EventStream::SubscribeToShardEvent(event)) =
        events.recv().await.expect("an event")
    {
        for record in event.records {
            records += 1;
            bytes += record.data.as_ref().len();
        }
    }
    assert!(bytes > 0 || records == 0);
    records
}

/// Returns a client of a stream with this number of shards and no records, and a consumer of it.
pub(crate) fn idle_stream(shards: usize) -> (Client, FanOut) {
    let kinesis = FakeKinesis::builder().limits(Limits::none()).log_requests(false).build();
    let orders = kinesis.create_stream("orders", u32::try_from(shards).expect("a number"));
    (kinesis.client(), FanOut::consumer(orders.register_consumer("bench")))
}

/// Subscribes to each shard of a stream with the SDK alone, in a task for each.
pub(crate) fn spawn_bare_subscriptions(
    client: &Client,
    consumer: &FanOut,
    shards: usize,
) -> JoinSet<usize> {
    let mut subscriptions = JoinSet::new();
    for n in 0..shards {
        let (client, consumer) = (client.clone(), consumer.clone());
        let shard_id = format!("shardId-{n:012}");
        subscriptions
            .spawn(async move { read_subscription_bare(&client, &consumer, shard_id).await });
    }
    subscriptions
}

/// Creates a client whose subscriptions send `events` events, each with `records` records of
/// `bytes` bytes, and end.
pub(crate) async fn subscription_client(
    format: Format,
    events: usize,
    records: usize,
    bytes: usize,
) -> Client {
    let frames = record_frames(format, records, bytes).await;
    let [initial_response, event] = &frames[..] else { panic!("not two frames") };
    let mut body = initial_response.to_vec();
    for _ in 0..events {
        body.extend_from_slice(event);
    }
    let body = Bytes::from(body);
    client(format, move |_| body.clone())
}

/// Records the first two frames of a subscription to the fake: the initial response and an event.
async fn record_frames(format: Format, records: usize, bytes: usize) -> Vec<Bytes> {
    let kinesis = FakeKinesis::builder().limits(Limits::none()).build();
    let orders = kinesis.create_stream("orders", 1);
    let data = vec![0; bytes];
    for _ in 0..records {
        orders.put("customer 1", &data);
    }
    // The fake sends a record after 70 ms, so that all of them come in one event.
    sleep(Duration::from_millis(100)).await;
    let protocol = match format {
        Format::Json => CborProtocol::disabled(),
        Format::Cbor => CborProtocol::new(),
    };
    let recorder = Recorder { kinesis: kinesis.clone(), frames: Arc::default() };
    let config = kinesis.config().retry_config(RetryConfig::disabled()).protocol(protocol);
    let client = Client::from_conf(config.http_client(recorder.clone()).build());
    let start = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build();
    let request = client
        .subscribe_to_shard()
        .consumer_arn(orders.register_consumer("bench"))
        .shard_id("shardId-000000000000")
        .starting_position(start.expect("complete"));
    request.send().await.expect_err("the recorder passes nothing on");
    std::mem::take(&mut recorder.frames.lock().expect("a recorder that does not panic"))
}

/// The HTTP client of the fake, which keeps the first frames of a response.
#[derive(Clone)]
struct Recorder {
    kinesis: FakeKinesis,
    frames: Arc<Mutex<Vec<Bytes>>>,
}

#[derive(Clone)]
struct RecordingConnector {
    connector: SharedHttpConnector,
    frames: Arc<Mutex<Vec<Bytes>>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

impl fmt::Debug for RecordingConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordingConnector")
    }
}

impl HttpClient for Recorder {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.kinesis.http_client().http_connector(settings, components);
        let frames = Arc::clone(&self.frames);
        SharedHttpConnector::new(RecordingConnector { connector, frames })
    }
}

impl HttpConnector for RecordingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { connector, frames } = self.clone();
        HttpConnectorFuture::new(async move {
            let response = connector.call(request).await?;
            let mut body = ByteStream::new(response.into_body());
            for _ in 0..2 {
                let frame = body.next().await.expect("a frame").expect("no error");
                frames.lock().expect("a recorder that does not panic").push(frame);
            }
            Err(ConnectorError::other("recorded".into(), None))
        })
    }
}
