//! What can happen to a subscription: the faults of the fake, another subscriber of the same
//! consumer, and the end after five minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Request};
use tokio::time::{Instant, timeout};

pub(crate) const SUBSCRIBING: &str = "SubscribeToShard";
/// The consumer as which the readers subscribe.
pub(crate) const CONSUMER: &str = "billing";
/// How long a subscription lasts.
const LIFETIME: Duration = Duration::from_mins(5);

/// Returns the faults of a subscription.
pub(crate) fn faults() -> Vec<Fault> {
    let code = |code: &str| code.to_owned();
    vec![
        Fault::NoFirstFrame,
        Fault::LateFirstFrame(Duration::from_millis(900)),
        Fault::LateFirstFrame(Duration::from_secs(20)),
        Fault::NoInitialResponse,
        Fault::FirstFrameException(code("InternalFailureException")),
        Fault::FirstFrameException(code("ResourceInUseException")),
        Fault::FirstFrameException(code("ResourceNotFoundException")),
        Fault::SilentAfter(0),
        Fault::SilentAfter(2),
        Fault::EndsAfter(0),
        Fault::EndsAfter(2),
        Fault::ExceptionAfter(0, code("ResourceInUseException")),
        Fault::ExceptionAfter(1, code("InternalFailureException")),
        Fault::ExceptionAfter(1, code("ResourceNotFoundException")),
        Fault::ExceptionAfter(1, code("Teapot")),
        Fault::ExceptionAfter(2, code("KMSThrottlingException")),
        Fault::UnknownEventAfter(0),
        Fault::UnknownEventAfter(1),
        Fault::IoErrorAfter(0),
        Fault::IoErrorAfter(1),
        Fault::CutFrameAfter(0),
        Fault::CutFrameAfter(1),
        Fault::BadChecksumAfter(0),
        Fault::BadChecksumAfter(1),
        Fault::EndWithoutChildShards,
        Fault::EndWithContinuation,
        Fault::ResourceNotFound,
        Fault::KmsDisabled,
    ]
}

/// Another subscriber of the consumer, which takes no events.
#[derive(Default)]
pub(crate) struct Rival {
    subscription: Option<SubscribeToShardOutput>,
    pub(crate) takeovers: u64,
}

impl Rival {
    /// Takes one of the subscriptions over, unless Kinesis refuses that or meets a fault.
    pub(crate) async fn take_over(
        &mut self,
        kinesis: &FakeKinesis,
        stream: &FakeStream,
        consumer: &FanOut,
        pick: usize,
    ) {
        let mut shards = stream.open_shards();
        shards.retain(|shard| !stream.subscribers(shard).is_empty());
        if shards.is_empty() {
            return;
        }
        let config = kinesis.config().retry_config(RetryConfig::disabled());
        let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build();
        let request = Client::from_conf(config.build())
            .subscribe_to_shard()
            .consumer_arn(consumer.arn())
            .shard_id(&shards[pick % shards.len()])
            .starting_position(latest.expect("complete"))
            .send();
        if let Ok(Ok(subscription)) = timeout(Duration::from_secs(1), request).await {
            self.subscription = Some(subscription);
            self.takeovers += 1;
        }
    }
}

/// Returns whether the request is that of a rival. No reader of the crate subscribes at `LATEST`.
pub(crate) fn is_takeover(request: &Request) -> bool {
    request.operation() == SUBSCRIBING && request.body()["StartingPosition"]["Type"] == "LATEST"
}

/// Returns the number of subscriptions without a fault that ended after five minutes.
pub(crate) fn five_minute_ends(requests: &[Request]) -> u64 {
    let mut begun: BTreeMap<(Option<&str>, &str), Instant> = BTreeMap::new();
    let mut ends = 0;
    for request in requests.iter().filter(|request| request.operation() == SUBSCRIBING) {
        let Some(shard) = request.shard_id() else { continue };
        let key = (request.body()["ConsumerARN"].as_str(), shard);
        let lasted = begun.remove(&key).map(|begun| (request.at() - begun).as_secs());
        ends += u64::from(lasted == Some(LIFETIME.as_secs()));
        if request.error().is_none() && request.fault().is_none() && !is_takeover(request) {
            begun.insert(key, request.at());
        }
    }
    ends
}
