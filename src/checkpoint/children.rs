//! Lists the children of a shard whose end named none.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use tokio::time::{Duration, sleep};

use crate::listing::shard_lists::list_children;
use crate::shard::offer::Offer;
use crate::util::backoff::backoff;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Lists the children of a shard that has ended.
///
/// The children are saved with the end of the shard or before it, since a consumer of the Kinesis
/// Client Library that takes over does not list the children of a finished shard. A listing that
/// fails is retried. If its error is not retryable, the end is saved without children.
pub(crate) async fn children_of(client: Client, offer: Arc<Offer>) -> Vec<ChildShard> {
    let (stream, shard) = (offer.stream().name(), offer.shard.shard_id());
    let mut failures = 0;
    loop {
        let error = match list_children(&client, &offer.context, shard).await {
            Ok(children) => return children,
            Err(error) => error,
        };
        if !error.is_retryable() {
            tracing::warn!(
                stream,
                shard,
                %error,
                "cannot list the children; the shard ends without them"
            );
            return Vec::new();
        }
        let wait = backoff(MIN_RETRY_DELAY, MAX_RETRY_DELAY, failures);
        tracing::warn!(stream, shard, %error, ?wait, "cannot list the children; retrying");
        failures += 1;
        sleep(wait).await;
    }
}
