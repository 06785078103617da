//! The requests that read a shard. Each is sent once: the reader itself retries.

#[cfg(feature = "cbor")]
use std::sync::Arc;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{Builder, Config};
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::types::ChildShard;

#[cfg(feature = "cbor")]
use crate::cbor::taker::Taker;
use crate::listing::error::ListError;
use crate::listing::shard_lists::is_listed_as_closed;
use crate::records::page_limit::RequestLimit;
use crate::records::source::reader_context::ReaderContext;
use crate::shard::position::StartPosition;
use crate::util::received_record::ReceivedRecord;
use crate::util::request_timeout::{polled_timeout, request_timeout};

/// Sends a `GetShardIterator` request. Returns `None` if the response holds no iterator.
pub(crate) async fn get_shard_iterator(
    context: &ReaderContext,
    from: &StartPosition,
) -> Result<Option<String>, SdkError<GetShardIteratorError>> {
    let ReaderContext { client, offer, .. } = context;
    if offer.stream().is_table_stream() {
        let why = "Kinesis has no shards of a DynamoDB table: read them with DynamoDB Streams";
        return Err(SdkError::construction_failure(why));
    }
    let request = offer.context.wire.send(client, |format| {
        let request = offer.get_shard_iterator(client, from).customize();
        request.config_override(format.configure(once())).send()
    });
    Ok(request_timeout(request).await??.shard_iterator.filter(|token| !token.is_empty()))
}

/// The response to a `GetRecords` request.
pub(crate) struct RecordsResponse {
    pub(crate) records: Vec<ReceivedRecord>,
    pub(crate) next_iterator: Option<String>,
    pub(crate) millis_behind_latest: Option<i64>,
    pub(crate) children: Vec<ChildShard>,
}

impl From<GetRecordsOutput> for RecordsResponse {
    fn from(output: GetRecordsOutput) -> Self {
        Self {
            records: output.records.into_iter().map(ReceivedRecord::Sdk).collect(),
            next_iterator: output.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
            millis_behind_latest: output.millis_behind_latest,
            children: output.child_shards.unwrap_or_default(),
        }
    }
}

/// Sends a `GetRecords` request.
pub(crate) async fn get_records(
    context: &ReaderContext,
    iterator: String,
    RequestLimit { records, seconds }: RequestLimit,
) -> Result<RecordsResponse, SdkError<GetRecordsError>> {
    let ReaderContext { client, offer, .. } = context;
    let (_, arn) = offer.stream().name_or_arn();
    let request = client.get_records().set_stream_arn(arn).shard_iterator(iterator).limit(records);
    #[cfg(feature = "cbor")]
    let taker = Arc::new(Taker::default());
    let request = offer.context.wire.send(client, |format| {
        #[cfg(feature = "cbor")]
        let format = format.with_taker(&taker);
        let config = format.configure(once());
        request.clone().customize().config_override(config).send()
    });
    let Ok(response) = polled_timeout(seconds, request).await else {
        return Err(SdkError::timeout_error(format!("no response within {seconds} s")));
    };
    let response = RecordsResponse::from(response?);
    #[cfg(feature = "cbor")]
    if let Some(records) = taker.taken().filter(|_| response.records.is_empty()) {
        return Ok(RecordsResponse { records, ..response });
    }
    Ok(response)
}

/// Lists the shards. Returns whether this one is closed, or `None` if it is not listed.
///
/// Sent only to confirm the end of a shard when the stream of shards does not list.
pub(crate) async fn is_closed(context: &ReaderContext) -> Result<Option<bool>, ListError> {
    is_listed_as_closed(&context.client, &context.offer.context, context.shard_id()).await
}

/// Disables the SDK's retries: they would hide failures, follow too soon for a shard's limits, and
/// request `LATEST` a second time.
fn once() -> Builder {
    Config::builder().retry_config(RetryConfig::disabled())
}
