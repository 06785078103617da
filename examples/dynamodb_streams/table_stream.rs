//! The change stream of a table, and the requests that name its shards.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::Builder;
use aws_sdk_dynamodbstreams::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::config::timeout::TimeoutConfig;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::types::{Shard, ShardFilter, ShardFilterType, StreamStatus};
use aws_sdk_kinesis::types::ChildShard;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::common::error::with_cause;
use super::retry::retried;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// `DescribeStream` may be called 10 times a second, by all consumers of the stream together:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html>
const DESCRIBE_INTERVAL: Duration = Duration::from_millis(200);
/// The SDK waits for a response for ever.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The change stream of a table.
pub(crate) struct TableStream {
    pub(crate) client: Client,
    pub(crate) arn: String,
    /// Makes [`lists`](Self::lists) list at once.
    pub(crate) list_now: Notify,
    /// Spaces the `DescribeStream` requests: all shards of a table may end at the same time.
    pace: Mutex<Interval>,
    knows_filter: AtomicBool,
}

/// All shards that `DescribeStream` names.
pub(crate) struct Description {
    pub(crate) shards: Vec<Shard>,
    /// The stream was disabled before its shards were requested: it gets no further shard.
    pub(crate) is_final: bool,
}

impl TableStream {
    /// Creates a client that sends each request once, since [`retried`] retries them.
    pub(crate) fn new(config: Builder, arn: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(RESPONSE_TIMEOUT);
        let config = config.retry_config(RetryConfig::disabled()).timeout_config(timeouts.build());
        let mut pace = interval(DESCRIBE_INTERVAL);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            client: Client::from_conf(config.build()),
            arn: arn.into(),
            list_now: Notify::new(),
            pace: Mutex::new(pace),
            knows_filter: AtomicBool::new(true),
        }
    }

    /// Requests all pages of the description.
    pub(crate) async fn describe(
        &self,
        filter: Option<ShardFilter>,
    ) -> Result<Description, BoxError> {
        let request = self.client.describe_stream().stream_arn(&self.arn).set_shard_filter(filter);
        let (mut shards, mut is_final, mut last) = (Vec::new(), None, None);
        loop {
            let page = retried("DescribeStream", || async {
                self.pace.lock().await.tick().await;
                request.clone().set_exclusive_start_shard_id(last.clone()).send().await
            });
            let page = page.await?.stream_description.ok_or("a response without a description")?;
            is_final.get_or_insert(page.stream_status == Some(StreamStatus::Disabled));
            // A missing list must not count as an empty one, by which all shards have expired.
            shards.extend(page.shards.ok_or("a page of the description has no `Shards`")?);
            match page.last_evaluated_shard_id {
                Some(next) if last.as_ref() == Some(&next) => {
                    return Err(format!("the page after {next} leads to itself").into());
                }
                Some(next) => last = Some(next),
                None => return Ok(Description { shards, is_final: is_final == Some(true) }),
            }
        }
    }

    /// Returns the children of a shard that has ended. If the server does not name any, the
    /// combinator requests a list.
    pub(crate) async fn children(&self, shard_id: &str) -> Vec<ChildShard> {
        if !self.knows_filter.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let filter = ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(shard_id);
        match self.describe(Some(filter.build())).await {
            // A server that ignores the filter names all shards.
            Ok(Description { shards, .. }) => {
                let of_this = |shard: &Shard| shard.parent_shard_id() == Some(shard_id);
                shards.into_iter().filter(of_this).filter_map(as_child).collect()
            }
            Err(error) => {
                let refused = error.downcast_ref::<aws_sdk_dynamodbstreams::Error>();
                if refused.and_then(ProvideErrorMetadata::code) == Some("ValidationException") {
                    self.knows_filter.store(false, Ordering::Relaxed);
                }
                eprintln!("children of {shard_id}: {}; listing all shards", with_cause(&*error));
                Vec::new()
            }
        }
    }
}

fn as_child(shard: Shard) -> Option<ChildShard> {
    let child = ChildShard::builder().set_shard_id(shard.shard_id);
    child.parent_shards(shard.parent_shard_id?).build().ok()
}
