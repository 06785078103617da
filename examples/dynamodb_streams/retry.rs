//! Retries of requests: throttling and failures of the server or the network pass.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use backon::{ExponentialBuilder, Retryable};

use super::common::error::LastError;

const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(10))
    .with_jitter()
    .without_max_times();

/// Sends a request until it succeeds or fails in a way that no retry mends.
pub(crate) async fn retried<T, E, F>(
    operation: &str,
    request: impl FnMut() -> F,
) -> Result<T, aws_sdk_dynamodbstreams::Error>
where
    F: Future<Output = Result<T, SdkError<E>>>,
    E: ProvideErrorMetadata + Error + 'static,
    SdkError<E>: Into<aws_sdk_dynamodbstreams::Error>,
{
    let last_error = LastError::default();
    let response = request.retry(BACKOFF).when(is_transient).notify(|error, delay| {
        eprintln!("{operation}: {}; retrying in {delay:.1?}", last_error.describe(error));
    });
    response.await.map_err(|error| {
        if let SdkError::ServiceError(refused) = &error
            && refused.err().code().is_none()
        {
            // The error itself would not say more than "unhandled".
            eprintln!("{operation}: HTTP status {} without a code", refused.raw().status());
        }
        error.into()
    })
}

/// Returns whether a retry may succeed: the request was throttled, or got no valid response.
fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(refused) => {
            let throttled = matches!(
                refused.err().code(),
                Some(
                    "LimitExceededException"
                        | "ProvisionedThroughputExceededException"
                        | "RequestLimitExceeded"
                        | "ThrottlingException"
                )
            );
            throttled || refused.raw().status().as_u16() >= 500
        }
        _ => true,
    }
}
