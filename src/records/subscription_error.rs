//! Errors of subscriptions to shards: of the request, and of the stream of events.

use std::error::Error as StdError;
use std::fmt::Debug;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardError;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError as EventError;

use crate::util::metrics::SubscriptionEnd;
use crate::util::sdk_error::{cannot_be_sent, is_network_failure, reason, root_cause};

/// Why a subscription failed.
///
/// The same exception can arrive as the response to the request or as an event, and the SDK has a
/// type for each.
#[derive(Debug)]
pub(crate) struct SubscriptionError {
    code: Option<String>,
    message: Option<String>,
    reason: String,
    is_network_failure: bool,
    cannot_be_sent: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SubscriptionError {
    /// Creates the error of a request that failed.
    pub(crate) fn request(error: SdkError<SubscribeToShardError>) -> Self {
        Self {
            code: error.code().map(str::to_owned),
            message: error.message().map(str::to_owned),
            reason: reason(&error),
            is_network_failure: is_network_failure(&error),
            cannot_be_sent: cannot_be_sent(&error),
            source: Some(Box::new(error)),
        }
    }

    /// Creates the error of an event that cannot be received, or that is an exception.
    pub(crate) fn event<R>(error: SdkError<EventError, R>) -> Self
    where
        R: Debug + Send + Sync + 'static,
    {
        let (code, message) = error.as_service_error().map(exception).unwrap_or_default();
        let reason = match (&code, &message) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.clone(),
            (None, _) => format!("the stream of events broke: {}", root_cause(&error)),
        };
        let is_network_failure = code.is_none();
        let source: Option<Box<dyn StdError + Send + Sync>> = Some(Box::new(error));
        Self { code, message, reason, is_network_failure, cannot_be_sent: false, source }
    }

    /// Creates the error of a subscription from which nothing was received.
    pub(crate) fn no_event(reason: String) -> Self {
        Self {
            code: None,
            message: None,
            reason,
            is_network_failure: true,
            cannot_be_sent: false,
            source: None,
        }
    }

    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns whether another subscriber reads the shard as the same consumer.
    pub(crate) fn is_taken_over(&self) -> bool {
        self.code() == Some("ResourceInUseException")
    }

    /// Returns why the subscription has ended that brought this error.
    pub(crate) fn end(&self) -> SubscriptionEnd {
        match (self.code(), &self.source) {
            _ if self.is_taken_over() => SubscriptionEnd::TakenOver,
            (Some(_), _) => SubscriptionEnd::Error,
            (None, Some(_)) => SubscriptionEnd::Cut,
            (None, None) => SubscriptionEnd::Silence,
        }
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn is_network_failure(&self) -> bool {
        self.is_network_failure
    }

    /// Returns whether no request can be sent.
    pub(crate) fn cannot_be_sent(&self) -> bool {
        self.cannot_be_sent
    }

    pub(crate) fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// Returns the code and the message of an exception.
///
/// The SDK (1.130) sets the variant of an exception that arrives as an event, and no code.
fn exception(error: &EventError) -> (Option<String>, Option<String>) {
    let (code, message) = match error {
        EventError::ResourceNotFoundException(e) => ("ResourceNotFoundException", e.message()),
        EventError::ResourceInUseException(e) => ("ResourceInUseException", e.message()),
        EventError::KmsDisabledException(e) => ("KMSDisabledException", e.message()),
        EventError::KmsInvalidStateException(e) => ("KMSInvalidStateException", e.message()),
        EventError::KmsAccessDeniedException(e) => ("KMSAccessDeniedException", e.message()),
        EventError::KmsNotFoundException(e) => ("KMSNotFoundException", e.message()),
        EventError::KmsOptInRequired(e) => ("KMSOptInRequired", e.message()),
        EventError::KmsThrottlingException(e) => ("KMSThrottlingException", e.message()),
        EventError::InternalFailureException(e) => ("InternalFailureException", e.message()),
        other => {
            return (other.code().map(str::to_owned), other.message().map(str::to_owned));
        }
    };
    (Some(code.to_owned()), message.map(str::to_owned))
}
