//! The children of a shard whose end names none.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use tokio::time::{Duration, sleep};

use crate::listing::shard_lists::list_children;
use crate::shard::handle::Offer;
use crate::util::backoff::backoff;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Returns the children of a shard that has ended, by a list of the shards.
///
/// They are saved with its end, or before it: a consumer of the Kinesis Client Library that takes
/// over does not look for the children of a shard that is finished. A listing that fails is tried
/// again, as the children are not offered without one either; what only a person can mend leaves
/// them out.
pub(crate) async fn children_of(client: Client, offer: Arc<Offer>) -> Vec<ChildShard> {
    let (stream, shard) = (offer.stream().name(), offer.shard.shard_id());
    let mut failures = 0;
    loop {
        let error = match list_children(&client, &offer.context, shard).await {
            Ok(children) => return children,
            Err(error) => error,
        };
        if !error.is_retryable() {
            tracing::warn!(stream, shard, %error, "the shard ends, its children are not known");
            return Vec::new();
        }
        let wait = backoff(MIN_RETRY_DELAY, MAX_RETRY_DELAY, failures);
        tracing::warn!(stream, shard, %error, ?wait, "cannot list the children; retrying");
        failures += 1;
        sleep(wait).await;
    }
}
