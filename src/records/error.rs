use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;

use crate::listing::error::ListError;
use crate::shard::stream_id::StreamId;
use crate::util::sdk_error::{
    DENIED, EXPIRED, PERMANENT, is_before_connection, is_misconfigured, reason,
};

/// Why a stream of records has no record for you: a listing of the shards failed, or a shard cannot
/// be read.
///
/// The streams of [`try_all_shards`](crate::try_all_shards) yield it. None of them ends at an
/// `Err`: poll on, and the listing is retried, or the shard is offered again, while the other
/// shards continue. If [`is_retryable`](Self::is_retryable) is false, no retry mends it: a person
/// has to.
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

    /// Returns whether the same request may succeed later without anybody doing anything: see
    /// [`ListError::is_retryable`] and [`ReadError::is_retryable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::List(error) => error.is_retryable(),
            Self::Read(error) => error.is_retryable(),
        }
    }
}

/// Why a shard could not be read.
///
/// As a stream's item it is one that does not pass by itself: [`is_retryable`](Self::is_retryable)
/// is false, the reader has ended, and its shard was handed back. The others are tried again for
/// ever, and are seen by [`on_event`](super::ReadOptions::on_event) alone.
pub struct ReadError {
    stream: StreamId,
    shard_id: String,
    source: Source,
}

enum Source {
    GetShardIterator(Box<SdkError<GetShardIteratorError>>),
    GetRecords(Box<SdkError<GetRecordsError>>),
    /// `GetShardIterator` was answered with none.
    NoIterator,
    /// `GetRecords` was answered with neither a next iterator nor child shards.
    UnconfirmedEnd,
    /// Nor do the shards that are listed tell whether that was the end of the shard.
    ListShards(Box<crate::listing::error::ListError>),
    /// Another reader has the shard, with the same checkpoints. Nothing was asked.
    InUse,
}

impl Source {
    fn as_error(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::GetShardIterator(source) => Some(&**source),
            Self::GetRecords(source) => Some(&**source),
            Self::ListShards(source) => Some(&**source),
            Self::NoIterator | Self::UnconfirmedEnd | Self::InUse => None,
        }
    }

    /// Returns why the request failed, or what is wrong with the response.
    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::GetShardIterator(source) => reason(source).into(),
            Self::GetRecords(source) => reason(source).into(),
            Self::ListShards(source) => source.to_string().into(),
            Self::NoIterator => "the response holds no iterator".into(),
            Self::UnconfirmedEnd => "the response names neither a next iterator nor child shards, \
                                     and the shard is not known to be closed"
                .into(),
            Self::InUse => "another reader has the shard".into(),
        }
    }

    /// Returns whether no response came over the network.
    fn is_of_network(&self) -> bool {
        match self {
            Self::GetShardIterator(source) => is_of_network(source),
            Self::GetRecords(source) => is_of_network(source),
            Self::NoIterator | Self::UnconfirmedEnd | Self::ListShards(_) | Self::InUse => false,
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
        let source = Source::GetShardIterator(Box::new(source));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), source }
    }

    pub(crate) fn get_records(
        stream: &StreamId,
        shard_id: &str,
        source: SdkError<GetRecordsError>,
    ) -> Self {
        let source = Source::GetRecords(Box::new(source));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), source }
    }

    pub(crate) fn no_iterator(stream: &StreamId, shard_id: &str) -> Self {
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), source: Source::NoIterator }
    }

    pub(crate) fn unconfirmed_end(stream: &StreamId, shard_id: &str) -> Self {
        Self {
            stream: stream.clone(),
            shard_id: shard_id.to_owned(),
            source: Source::UnconfirmedEnd,
        }
    }

    pub(crate) fn list_shards(
        stream: &StreamId,
        shard_id: &str,
        source: crate::listing::error::ListError,
    ) -> Self {
        let source = Source::ListShards(Box::new(source));
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), source }
    }

    pub(crate) fn in_use(stream: &StreamId, shard_id: &str) -> Self {
        Self { stream: stream.clone(), shard_id: shard_id.to_owned(), source: Source::InUse }
    }

    /// Returns whether another reader has the shard already, with the same
    /// [`Checkpoints`](crate::Checkpoints) or with others of the same store. Nothing was asked of
    /// Kinesis. The shard is abandoned, and is offered again after a delay.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self.source, Source::InUse)
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        &self.shard_id
    }

    /// Returns the operation that failed: `GetShardIterator`, `GetRecords`, or `ListShards`, which
    /// is sent only to confirm the end of a shard that no response confirms.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self.source {
            Source::GetShardIterator(_) | Source::NoIterator | Source::InUse => "GetShardIterator",
            Source::GetRecords(_) | Source::UnconfirmedEnd => "GetRecords",
            Source::ListShards(_) => "ListShards",
        }
    }

    /// AWS's code, such as `KMSDisabledException`, if an answer came that holds one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.source {
            Source::GetShardIterator(source) => source.code(),
            Source::GetRecords(source) => source.code(),
            Source::ListShards(_) | Source::NoIterator | Source::UnconfirmedEnd | Source::InUse => {
                None
            }
        }
    }

    /// What AWS says of it, if it does.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match &self.source {
            Source::GetShardIterator(source) => source.message(),
            Source::GetRecords(source) => source.message(),
            Source::ListShards(_) | Source::NoIterator | Source::UnconfirmedEnd | Source::InUse => {
                None
            }
        }
    }

    /// Whether AWS asked to be asked less often.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        self.code().is_some_and(|code| THROTTLED.contains(&code))
    }

    /// Whether the same request may succeed later with nobody doing anything: throttling, 5xx,
    /// timeouts, a broken connection or answer, credentials or an iterator that have expired. Not
    /// so a missing permission, a KMS key that is disabled, or a request that Kinesis calls
    /// invalid.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.source {
            Source::GetShardIterator(source) => is_retryable(source),
            Source::GetRecords(source) => is_retryable(source),
            Source::ListShards(source) => source.is_retryable(),
            Source::NoIterator | Source::UnconfirmedEnd => true,
            Source::InUse => false,
        }
    }

    pub(crate) fn is_no_iterator(&self) -> bool {
        matches!(self.source, Source::NoIterator)
    }

    pub(crate) fn is_expired_iterator(&self) -> bool {
        self.code() == Some("ExpiredIteratorException")
    }

    /// Whether a page did not arrive in time, or not whole.
    pub(crate) fn is_of_a_page_that_was_lost(&self) -> bool {
        let Source::GetRecords(source) = &self.source else { return false };
        match &**source {
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_timeout(),
            _ => false,
        }
    }

    /// Returns whether a read was not sent, or its connection broke.
    pub(crate) fn is_connection_lost(&self) -> bool {
        let Source::GetRecords(source) = &self.source else { return false };
        matches!(&**source, SdkError::DispatchFailure(failure) if !failure.is_timeout())
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
    if matches!(error, SdkError::ConstructionFailure(_)) || is_misconfigured(error) {
        return false;
    }
    let is_permanent =
        |code: &str| DENIED.contains(&code) || PERMANENT.contains(&code) || KMS.contains(&code);
    !error.code().is_some_and(is_permanent)
}

fn is_of_network<E>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_))
        && !is_before_connection(error)
}

/// Without the response: that of a read may hold the data of records.
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
        if let Source::ListShards(source) = &self.source {
            return write!(f, "cannot confirm the end of shard {shard_id}: {source}");
        }
        if self.is_in_use() {
            return write!(
                f,
                "shard {shard_id} of stream {stream} is being read already, with checkpoints of the same store: read it once, or use another store"
            );
        }
        let operation = self.operation();
        let reason = self.source.reason();
        write!(f, "{operation} of shard {shard_id} of stream {stream} failed: {reason}")?;
        let Some(code) = self.code() else {
            let advice = "; check the network between the client and its endpoint, and the \
                          client's timeouts";
            return f.write_str(if self.source.is_of_network() { advice } else { "" });
        };
        if DENIED.contains(&code) || EXPIRED.contains(&code) {
            write!(f, "; the client needs working credentials that allow kinesis:{operation}")
        } else if KMS.contains(&code) {
            f.write_str(
                "; the stream is encrypted: its KMS key must be enabled, and the client's \
                 credentials must allow kms:Decrypt on it",
            )
        } else if PERMANENT.contains(&code) {
            f.write_str(
                "; check where the shard starts (its entry in `resume`, or the timestamp), and \
                 the read options",
            )
        } else if self.is_throttling() {
            f.write_str(
                "; all readers of the shard share its 5 reads and 2 MiB a second: see \
                 ReadOptions for a smaller part",
            )
        } else {
            Ok(())
        }
    }
}

impl StdError for ReadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_error()
    }
}
