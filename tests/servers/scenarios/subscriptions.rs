//! Two subscriptions to one shard, as one consumer.

use std::time::Duration;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::{
    SubscribeToShardError, SubscribeToShardOutput,
};
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use kinesis_shards::records::FanOut;
use tokio::time::sleep;

use crate::known::Quirk;
use crate::server::Server;
use crate::stream::Stream;

/// The time during which a subscription excludes another one, and some more.
const PROTECTED: Duration = Duration::from_millis(5_500);

/// The second subscription is refused for 5 s, and takes over after that.
pub(crate) async fn another_subscriber(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let [shard] = stream.open_ids().await.try_into().expect("one shard");
    let consumer = FanOut::register(&server.client, &*stream.name, "billing").await;
    let consumer = consumer.expect("a consumer");
    let mut first = subscribe(&server, &consumer, &shard).await.expect("a subscription");
    // AWS allows one request a second.
    sleep(Duration::from_millis(1_200)).await;
    let second = subscribe(&server, &consumer, &shard).await;
    if server.has(Quirk::AdmitsTwoSubscriptions) {
        second.expect("a second subscription");
        return;
    }
    let refused = second.expect_err("refused").into_service_error();
    assert_eq!(refused.code(), Some("ResourceInUseException"), "{refused:?}");
    sleep(PROTECTED).await;
    let _second = subscribe(&server, &consumer, &shard).await.expect("a takeover");
    let failed = loop {
        match first.event_stream.recv().await {
            Ok(event) => assert!(event.is_some(), "the subscription ends with an error"),
            Err(error) => break error.into_service_error(),
        }
    };
    assert!(failed.is_resource_in_use_exception(), "{failed:?}");
}

async fn subscribe(
    server: &Server,
    consumer: &FanOut,
    shard: &str,
) -> Result<SubscribeToShardOutput, SdkError<SubscribeToShardError>> {
    let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build();
    let request = server.other_client().subscribe_to_shard().consumer_arn(consumer.arn());
    request.shard_id(shard).starting_position(latest.expect("complete")).send().await
}
