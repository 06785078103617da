//! What can be read out of an error of the SDK, whatever was asked.

use std::error::Error;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// The codes by which AWS refuses credentials, whatever the service.
pub(crate) const DENIED: [&str; 9] = [
    "AccessDeniedException",
    "AccessDenied",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
];
/// Those of credentials that a provider may renew.
pub(crate) const EXPIRED: [&str; 3] = ["ExpiredTokenException", "ExpiredToken", "RequestExpired"];
/// Those that a person has to look at, besides refusals: the request is wrong, or the account is
/// not what it takes.
pub(crate) const PERMANENT: [&str; 7] = [
    "InvalidArgumentException",
    "ValidationException",
    "UnknownOperationException",
    "SerializationException",
    "OptInRequired",
    "SubscriptionRequiredException",
    "DryRunOperationException",
];

/// What went wrong, in one line: AWS's code and message, or where there is no code, what lies at
/// the bottom of it.
pub(crate) fn reason<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(code) = error.code() {
        let message = error.message().map(|message| format!(": {message}"));
        return one_line(&format!("{code}{}", message.unwrap_or_default()));
    }
    let chain = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    let chain: Vec<String> = chain.map(ToString::to_string).collect();
    let mut reason = chain.last().cloned().unwrap_or_default();
    if let Some(response) = error.raw_response() {
        reason = format!(
            "an answer with HTTP status {} that cannot be read: {reason}",
            response.status().as_u16()
        );
    }
    if chain.iter().any(|text| text.to_lowercase().contains("credential")) {
        reason += ": the client got no credentials; AWS's tools and SDKs take them from the environment, ~/.aws, or the role of the machine";
    }
    one_line(&reason)
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
