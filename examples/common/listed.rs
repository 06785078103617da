//! The check at the start: a mistyped stream name must be an error, not silence.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::StreamId;
use kinesis_shards::listing::shard_lists;

use super::error::{LastError, with_cause};

const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Waits until the shards of the stream can be listed, and prints the errors until then.
///
/// Fails if no retry can help: the stream does not exist, or the credentials do not permit it.
pub(crate) async fn wait_until_listed(client: &Client, stream: &StreamId) -> Result<(), String> {
    let mut lists = shard_lists(client, stream.clone(), MAX_RETRY_DELAY);
    let errors = LastError::default();
    while let Some(Err(error)) = lists.next().await {
        if !error.is_retryable() {
            return Err(with_cause(&error));
        }
        eprintln!("{}; retrying", errors.describe(&error));
    }
    Ok(())
}
