use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;

use crate::listing::error::ListError;
use crate::records::subscription_error::SubscriptionError;
use crate::shard::stream_id::StreamId;
use crate::util::sdk_error::{
    DENIED, EXPIRED, PERMANENT, cannot_be_sent, is_network_failure, reason,
};

/// An error of a stream of records: a listing of the shards failed, or a shard cannot be read.
///
/// The record streams of [`try_all_shards`](crate::try_all_shards) yield this error, and do not end
/// at it: when they are polled further, the listing is retried, or the shard is offered again, and
/// the other shards continue. If [`is_retryable`](Self::is_retryable) is false, the error persists
/// until a person resolves its cause.
///
/// See the example of the [crate](crate).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shards of the stream could not be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// A shard cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Error {
    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::List(error) => error.stream(),
            Self::Read(error) => error.stream(),
        }
    }

    /// Returns whether the same request may succeed later without intervention: see
    /// [`ListError::is_retryable`] and [`ReadError::is_retryable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::List(error) => error.is_retryable(),
            Self::Read(error) => error.is_retryable(),
        }
    }
}

/// An error that occurred while a shard was read.
///
/// As the item of a stream, the error is not [retryable](Self::is_retryable): the reader has ended,
/// and has abandoned its shard. Retryable errors are retried without limit, and are visible only to
/// [`on_event`](super::ReadOptions::on_event).
///
/// See the example of [`ShardHandle::records`](crate::ShardHandle::records).
pub struct ReadError {
    stream: StreamId,
    shard_id: String,
    cause: Cause,
}

enum Cause {
    GetShardIterator(Box<SdkError<GetShardIteratorError>>),
    GetRecords(Box<SdkError<GetRecordsError>>),
    Subscription(Box<SubscriptionError>),
    /// The response to `GetShardIterator` holds no iterator.
    NoIterator,
    /// The response to `GetRecords` names neither a next iterator nor child shards.
    UnconfirmedEnd,
    /// The shards cannot be listed to confirm the end of the shard.
    ListShards(Box<ListError>),
    /// Another reader has the shard, with the same checkpoints. No request was sent.
    InUse,
    /// The worker has stopped for good, and has no lease any longer. No request was sent.
    #[cfg_attr(not(feature = "dynamodb"), allow(dead_code, reason = "leases need DynamoDB"))]
    Stopped(Box<dyn StdError + Send + Sync>),
}

impl Cause {
    fn as_error(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::GetShardIterator(source) => Some(&**source),
            Self::GetRecords(source) => Some(&**source),
            Self::ListShards(source) => Some(&**source),
            Self::Stopped(source) => Some(&**source),
            Self::Subscription(error) => error.source(),
            Self::NoIterator | Self::UnconfirmedEnd | Self::InUse => None,
        }
    }

    /// Returns the reason why the request failed, or the fault of the response.
    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::GetShardIterator(source) => reason(source).into(),
            Self::GetRecords(source) => reason(source).into(),
            Self::Subscription(error) => error.reason().to_owned().into(),
            Self::ListShards(source) => source.to_string().into(),
            Self::NoIterator => "the response holds no iterator".into(),
            Self::UnconfirmedEnd => "the response names neither a next iterator nor child shards, \
                                     and the end of the shard is not confirmed"
                .into(),
            Self::InUse => "another reader has the shard".into(),
            Self::Stopped(source) => source.to_string().into(),
        }
    }

    /// Returns whether no response arrived over the network.
    fn is_network_failure(&self) -> bool {
        match self {
            Self::GetShardIterator(source) => is_network_failure(source),
            Self::GetRecords(source) => is_network_failure(source),
            Self::Subscription(error) => error.is_network_failure(),
            Self::NoIterator
            | Self::UnconfirmedEnd
            | Self::ListShards(_)
            | Self::InUse
            | Self::Stopped(_) => false,
        }
    }
}

const THROTTLED: [&str; 5] = [
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "KMSThrottlingException",
    "ThrottlingException",
    "RequestLimitExceeded",
];

impl ReadError {
    pub(crate) fn get_shard_iterator(
        stream: &StreamId,
        shard_id: &str,
        source: SdkError<GetShardIteratorError>,
    ) -> Self {
        let cause = Cause::GetShardIterator(Box::new(source));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause }
    }

    pub(crate) fn get_records(
        stream: &StreamId,
        shard_id: &str,
        source: SdkError<GetRecordsError>,
    ) -> Self {
        let cause = Cause::GetRecords(Box::new(source));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause }
    }

    pub(crate) fn subscription(
        stream: &StreamId,
        shard_id: &str,
        error: SubscriptionError,
    ) -> Self {
        let cause = Cause::Subscription(Box::new(error));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause }
    }

    pub(crate) fn no_iterator(stream: &StreamId, shard_id: &str) -> Self {
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause: Cause::NoIterator }
    }

    pub(crate) fn unconfirmed_end(stream: &StreamId, shard_id: &str) -> Self {
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause: Cause::UnconfirmedEnd }
    }

    pub(crate) fn list_shards(stream: &StreamId, shard_id: &str, source: ListError) -> Self {
        let cause = Cause::ListShards(Box::new(source));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause }
    }

    pub(crate) fn in_use(stream: &StreamId, shard_id: &str) -> Self {
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), cause: Cause::InUse }
    }

    /// The id is empty: the worker has stopped, not the reader of one shard.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn stopped(
        stream: &StreamId,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let cause = Cause::Stopped(source.into());
        Self { stream: stream.clone(), shard_id: String::new(), cause }
    }

    /// Returns whether the worker has stopped for good: another has its id, or it may not use its
    /// tables. The [`source`](std::error::Error::source) is a `lease::LeaseError`. The stream ends
    /// after this error, and the [id of the shard](Self::shard_id) is empty.
    #[must_use]
    pub fn is_worker_stopped(&self) -> bool {
        matches!(self.cause, Cause::Stopped(_))
    }

    /// Returns whether another reader has the shard, with the same
    /// [`Checkpoints`](crate::Checkpoints) or with others of the same store. No request was sent.
    /// The shard is abandoned, and is offered again after a delay.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self.cause, Cause::InUse)
    }

    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        &self.shard_id
    }

    /// Returns the operation that failed: `GetShardIterator`, `GetRecords`, `SubscribeToShard`, or
    /// `ListShards`, which a reader sends only to confirm the end of a shard that no response
    /// confirms.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self.cause {
            Cause::GetShardIterator(_) | Cause::NoIterator | Cause::InUse | Cause::Stopped(_) => {
                "GetShardIterator"
            }
            Cause::GetRecords(_) | Cause::UnconfirmedEnd => "GetRecords",
            Cause::Subscription(_) => "SubscribeToShard",
            Cause::ListShards(_) => "ListShards",
        }
    }

    /// Returns the error code of AWS, such as `KMSDisabledException`, if a response holds one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.cause {
            Cause::GetShardIterator(source) => source.code(),
            Cause::GetRecords(source) => source.code(),
            Cause::Subscription(error) => error.code(),
            _ => None,
        }
    }

    /// Returns the error message of AWS, if a response holds one.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match &self.cause {
            Cause::GetShardIterator(source) => source.message(),
            Cause::GetRecords(source) => source.message(),
            Cause::Subscription(error) => error.message(),
            _ => None,
        }
    }

    /// Returns whether AWS throttled the request.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        self.code().is_some_and(|code| THROTTLED.contains(&code))
    }

    /// Returns whether the same request may succeed later without intervention.
    ///
    /// This is so for throttling, 5xx responses, timeouts, broken connections and responses, and
    /// expired credentials or iterators. It is not so for a missing permission, a disabled KMS key,
    /// or a request that Kinesis rejects as invalid.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.cause {
            Cause::GetShardIterator(source) => is_retryable(source),
            Cause::GetRecords(source) => is_retryable(source),
            Cause::Subscription(error) => {
                !error.cannot_be_sent() && !error.code().is_some_and(is_permanent)
            }
            Cause::ListShards(source) => source.is_retryable(),
            Cause::NoIterator | Cause::UnconfirmedEnd => true,
            Cause::InUse | Cause::Stopped(_) => false,
        }
    }

    pub(crate) fn is_no_iterator(&self) -> bool {
        matches!(self.cause, Cause::NoIterator)
    }

    pub(crate) fn is_expired_iterator(&self) -> bool {
        self.code() == Some("ExpiredIteratorException")
    }

    /// Returns whether a page arrived too late, or incomplete.
    pub(crate) fn is_lost_page(&self) -> bool {
        let Cause::GetRecords(source) = &self.cause else { return false };
        match &**source {
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_timeout(),
            _ => false,
        }
    }

    /// Returns whether a read was not sent, or its connection broke.
    pub(crate) fn is_connection_lost(&self) -> bool {
        let Cause::GetRecords(source) = &self.cause else { return false };
        matches!(&**source, SdkError::DispatchFailure(failure) if !failure.is_timeout())
    }

    /// Returns whether another subscriber reads the shard as the same consumer of enhanced fan-out:
    /// a second application that uses the consumer, or the next owner of the shard. The reader
    /// retries, so [`on_event`](super::ReadOptions::on_event) sees this error.
    ///
    /// Under leases the worker then delivers no record until it has confirmed its lease.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        matches!(&self.cause, Cause::Subscription(error) if error.is_taken_over())
    }

    /// Returns whether no response arrived over the network, or only a part of it.
    pub(crate) fn is_network_failure(&self) -> bool {
        self.cause.is_network_failure()
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some("ResourceNotFoundException")
    }
}

const KMS: [&str; 5] = [
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KMSOptInRequired",
];

fn is_retryable<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    !cannot_be_sent(error) && !error.code().is_some_and(is_permanent)
}

/// Returns whether no retry mends an error of this code.
fn is_permanent(code: &str) -> bool {
    DENIED.contains(&code) || PERMANENT.contains(&code) || KMS.contains(&code)
}

/// Omits the response, which may hold the data of records.
impl fmt::Debug for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadError")
            .field("stream", &self.stream.name())
            .field("shard_id", &self.shard_id)
            .field("operation", &self.operation())
            .field("code", &self.code())
            .field("error", &format_args!("{self}"))
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, shard_id, .. } = self;
        if let Cause::ListShards(source) = &self.cause {
            return write!(f, "cannot confirm the end of shard {shard_id}: {source}");
        }
        if let Cause::Stopped(source) = &self.cause {
            return write!(f, "stream {stream} is not read any longer: {source}");
        }
        if self.is_in_use() {
            return write!(
                f,
                "shard {shard_id} of stream {stream} is already being read with checkpoints of \
                 the same store; read it once, or use another store"
            );
        }
        let operation = self.operation();
        let reason = self.cause.reason();
        write!(f, "{operation} of shard {shard_id} of stream {stream} failed: {reason}")?;
        let Some(code) = self.code() else {
            let advice = "; check the network, the client's endpoint and the client's timeouts";
            return f.write_str(if self.cause.is_network_failure() { advice } else { "" });
        };
        if DENIED.contains(&code) || EXPIRED.contains(&code) {
            write!(f, "; the client needs working credentials that allow kinesis:{operation}")
        } else if KMS.contains(&code) {
            f.write_str(
                "; the stream's KMS key must be enabled, and the client's credentials must allow \
                 kms:Decrypt on it",
            )
        } else if PERMANENT.contains(&code) {
            f.write_str(
                "; check the shard's start (its entry in `resume`, or the timestamp) and the read \
                 options",
            )
        } else if let Cause::Subscription(_) = self.cause {
            f.write_str(match code {
                "ResourceInUseException" => {
                    "; another subscriber reads the shard as this consumer, or the consumer is not \
                     active: give each application a consumer of its own"
                }
                "ResourceNotFoundException" => {
                    "; register the consumer again if it was deregistered"
                }
                _ => "",
            })
        } else if self.is_throttling() {
            f.write_str(
                "; all readers of the shard share 5 reads and 2 MiB a second: reduce this \
                 reader's part with ReadOptions",
            )
        } else {
            Ok(())
        }
    }
}

impl StdError for ReadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_error()
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::error::ErrorMetadata;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn response() -> HttpResponse {
        HttpResponse::new(400.try_into().expect("a status"), SdkBody::empty())
    }

    fn read(source: SdkError<GetRecordsError>) -> ReadError {
        ReadError::get_records(&StreamId::from("orders"), "shard", source)
    }

    fn refused(code: &str) -> ReadError {
        let error = GetRecordsError::generic(ErrorMetadata::builder().code(code).build());
        read(SdkError::service_error(error, response()))
    }

    #[test]
    fn errors_are_throttling_by_their_code() {
        for code in THROTTLED {
            let error = refused(code);
            assert!(error.is_throttling() && error.is_retryable(), "{error}");
        }
        for error in [refused("InternalFailure"), read(SdkError::timeout_error("late"))] {
            assert!(!error.is_throttling() && error.is_retryable(), "{error}");
        }
    }

    /// A page that came late or in part is requested with a smaller limit. After a broken
    /// connection, the server may have restarted.
    #[test]
    fn a_read_without_a_response_has_lost_its_page_or_its_connection() {
        for (error, is_page, is_connection) in [
            (SdkError::timeout_error("late"), true, false),
            (SdkError::response_error("torn", response()), true, false),
            (SdkError::dispatch_failure(ConnectorError::timeout("late".into())), true, false),
            (SdkError::dispatch_failure(ConnectorError::io("broken".into())), false, true),
            (SdkError::construction_failure("invalid"), false, false),
        ] {
            let error = read(error);
            assert_eq!(error.is_lost_page(), is_page, "{error}");
            assert_eq!(error.is_connection_lost(), is_connection, "{error}");
        }
        let refused = refused("InternalFailure");
        assert!(!refused.is_lost_page() && !refused.is_connection_lost());
    }

    #[test]
    fn only_an_error_of_the_network_advises_to_check_it() {
        let stream = StreamId::from("orders");
        for (error, is_network_failure) in [
            (read(SdkError::timeout_error("late")), true),
            (read(SdkError::dispatch_failure(ConnectorError::io("broken".into()))), true),
            (read(SdkError::response_error("torn", response())), false),
            (ReadError::no_iterator(&stream, "shard"), false),
            (ReadError::unconfirmed_end(&stream, "shard"), false),
            (ReadError::in_use(&stream, "shard"), false),
        ] {
            assert_eq!(error.to_string().contains("network"), is_network_failure, "{error}");
        }
    }
}
