//! The error responses of the service: an AWS error code and a message.

use std::fmt;

/// The error codes of the model. [`as_str`](Self::as_str) returns the name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    ExpiredIterator,
    ExpiredNextToken,
    InvalidArgument,
    LimitExceeded,
    ResourceInUse,
    ResourceNotFound,
    Serialization,
    ThroughputExceeded,
    UnknownOperation,
    Validation,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ExpiredIterator => "ExpiredIteratorException",
            Self::ExpiredNextToken => "ExpiredNextTokenException",
            Self::InvalidArgument => "InvalidArgumentException",
            Self::LimitExceeded => "LimitExceededException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::ThroughputExceeded => "ProvisionedThroughputExceededException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Validation => "ValidationException",
        }
    }
}

/// The error that a rejected request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceNotFound, message)
    }

    /// Creates the error for a member that breaks a constraint of AWS's API model, in AWS's words.
    pub(crate) fn constraint(value: impl fmt::Display, member: &str, constraint: &str) -> Self {
        Self::new(
            Code::Validation,
            format!(
                "1 validation error detected: Value '{value}' at '{member}' failed to satisfy \
                 constraint: Member must {constraint}"
            ),
        )
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

/// Returns the result of a call that a test makes itself.
///
/// # Panics
///
/// Panics with the error if the call was rejected: the test is wrong.
#[track_caller]
pub(crate) fn unwrap_or_panic<T>(result: Result<T, ApiError>) -> T {
    match result {
        Ok(value) => value,
        Err(api_error) => panic!("FakeKinesis rejected the call: {api_error}"),
    }
}
