//! The error of a listing.

use std::str::FromStr;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::list_shards::ListShardsError;

use crate::shard::stream_id::StreamId;
use crate::util::sdk_error::{DENIED, EXPIRED, PERMANENT, cannot_be_sent, reason};

/// An error that occurred while the shards of a stream were listed.
///
/// A failed listing neither ends a stream of shards nor affects a handle that is out: the listing
/// is retried on the schedule of [`shard_lists`](crate::listing::shard_lists()). A retry can help
/// only if [`is_retryable`](Self::is_retryable) returns true.
///
/// See the example of [`AllShards::ready`](crate::AllShards::ready).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The argument is neither a stream's name nor the ARN of a data stream. No request was sent.
    #[error("{stream:?} is not a Kinesis stream: {reason}", stream = stream.to_string())]
    #[non_exhaustive]
    InvalidStream {
        /// The argument.
        stream: StreamId,
        /// The reason.
        reason: &'static str,
    },

    /// Kinesis knows no such stream in this account and region (`ResourceNotFoundException`): the
    /// name is mistyped, or the stream was deleted or not created yet.
    #[error("stream {stream} was not found in the client's region and account")]
    #[non_exhaustive]
    StreamNotFound {
        /// The stream.
        stream: StreamId,
        /// The SDK's error.
        source: Box<SdkError<ListShardsError>>,
    },

    /// `ListShards` was refused for the credentials in use.
    #[error(
        "cannot list the shards of stream {stream}: {}; the client needs working credentials that \
         allow kinesis:ListShards",
        reason(source)
    )]
    #[non_exhaustive]
    AccessDenied {
        /// The stream.
        stream: StreamId,
        /// AWS's code, such as `AccessDeniedException` or `ExpiredTokenException`.
        code: String,
        /// The SDK's error.
        source: Box<SdkError<ListShardsError>>,
    },

    /// `ListShards` failed in another way, after the SDK's own retries: throttling, a status of
    /// 5xx, no response within 60 s or the client's own timeout, no connection, no credentials, or
    /// an unreadable response.
    #[error("cannot list the shards of stream {stream}: {}", reason(source))]
    #[non_exhaustive]
    ListShards {
        /// The stream.
        stream: StreamId,
        /// AWS's code, if the response holds one.
        code: Option<String>,
        /// The SDK's error.
        source: Box<SdkError<ListShardsError>>,
    },

    /// The list of shards is invalid and was ignored.
    #[error("the list of shards of stream {stream} is invalid and was ignored: {reason}")]
    #[non_exhaustive]
    MalformedList {
        /// The stream.
        stream: StreamId,
        /// The reason.
        reason: String,
    },
}

impl ListError {
    pub(crate) fn list_shards(stream: &StreamId, source: SdkError<ListShardsError>) -> Self {
        let stream = stream.clone();
        let code = source.code().map(str::to_owned);
        let source = Box::new(source);
        match code {
            Some(code) if code == "ResourceNotFoundException" => {
                Self::StreamNotFound { stream, source }
            }
            Some(code) if DENIED.contains(&code.as_str()) || EXPIRED.contains(&code.as_str()) => {
                Self::AccessDenied { stream, code, source }
            }
            code => Self::ListShards { stream, code, source },
        }
    }

    pub(crate) fn invalid(stream: &StreamId, reason: &'static str) -> Self {
        Self::InvalidStream { stream: stream.clone(), reason }
    }

    pub(crate) fn malformed(stream: &StreamId, reason: impl Into<String>) -> Self {
        Self::MalformedList { stream: stream.clone(), reason: reason.into() }
    }

    /// Returns the stream whose shards were to be listed.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::InvalidStream { stream, .. }
            | Self::StreamNotFound { stream, .. }
            | Self::AccessDenied { stream, .. }
            | Self::ListShards { stream, .. }
            | Self::MalformedList { stream, .. } => stream,
        }
    }

    /// Returns whether a retry may succeed without intervention: after throttling, a status of 5xx,
    /// a timeout, a broken connection, an unreadable response, or for expired credentials.
    ///
    /// The result is false for a mistyped name, a missing permission, a client without a region or
    /// a credentials provider, or a request that Kinesis rejects as invalid. The stream of shards
    /// retries these too, but a person must resolve their cause. A provider that finds no
    /// credentials is retried, since a role or a file may appear later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::InvalidStream { .. } | Self::StreamNotFound { .. } => false,
            Self::AccessDenied { code, .. } => EXPIRED.contains(&code.as_str()),
            Self::ListShards { code, source, .. } => match code.as_deref() {
                Some(code) if PERMANENT.contains(&code) => false,
                _ => !cannot_be_sent(source),
            },
            Self::MalformedList { .. } => true,
        }
    }
}

/// Implemented here, since [`StreamId`] lies below its error.
impl FromStr for StreamId {
    type Err = ListError;

    fn from_str(name_or_arn: &str) -> Result<Self, ListError> {
        let stream = Self::from(name_or_arn);
        match stream.validate() {
            Ok(()) => Ok(stream),
            Err(reason) => Err(ListError::invalid(&stream, reason)),
        }
    }
}
