//! The two requests by which a shard is read, each sent once: whatever fails, the reader tries
//! again.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{Builder, Config};
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;

use crate::listing::error::ListError;
use crate::listing::shard_lists::is_listed_as_closed;
use crate::records::page_limit::PageLimit;
use crate::shard::offer::Offer;
use crate::shard::position::StartPosition;
use crate::util::request_timeout::{polled_timeout, request_timeout};

pub(crate) async fn get_shard_iterator(
    client: Client,
    offer: Arc<Offer>,
    from: StartPosition,
) -> Result<Option<String>, SdkError<GetShardIteratorError>> {
    let request = offer.get_shard_iterator(&client, &from);
    Ok(request_timeout(request.customize().config_override(once()).send())
        .await??
        .shard_iterator
        .filter(|token| !token.is_empty()))
}

pub(crate) async fn get_records(
    client: Client,
    offer: Arc<Offer>,
    iterator: String,
    PageLimit { records, seconds, .. }: PageLimit,
) -> Result<GetRecordsOutput, SdkError<GetRecordsError>> {
    let (_, arn) = offer.stream().name_or_arn();
    let request = client.get_records().set_stream_arn(arn).shard_iterator(iterator).limit(records);
    let response =
        polled_timeout(seconds, request.customize().config_override(once()).send()).await;
    match response {
        Ok(response) => response,
        Err(_) => Err(SdkError::timeout_error(format!("no response within {seconds} s"))),
    }
}

/// Whether the shard is listed as closed; none if it is not listed. Sent only when an end has to be
/// confirmed and the stream of shards does not list.
pub(crate) async fn is_closed(client: &Client, offer: &Offer) -> Result<Option<bool>, ListError> {
    is_listed_as_closed(client, &offer.context, offer.shard.shard_id()).await
}

/// The SDK's own retries would hide failures, come too soon for a shard's limits, and ask for
/// LATEST a second time.
fn once() -> Builder {
    Config::builder().retry_config(RetryConfig::disabled())
}
