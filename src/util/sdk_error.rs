//! The reason for a failed request, read from an error of the SDK for any operation.

use std::error::Error;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// The codes by which AWS refuses credentials, in any service.
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
/// The codes for credentials that a provider may renew.
pub(crate) const EXPIRED: [&str; 3] = ["ExpiredTokenException", "ExpiredToken", "RequestExpired"];
/// Other codes that no retry mends: the request is invalid, or the account lacks a subscription.
pub(crate) const PERMANENT: [&str; 7] = [
    "InvalidArgumentException",
    "ValidationException",
    "UnknownOperationException",
    "SerializationException",
    "OptInRequired",
    "SubscriptionRequiredException",
    "DryRunOperationException",
];

/// Returns why a request failed, in one line: AWS's code and message, the HTTP status of a response
/// that holds no code, or the root cause if there was no response.
pub(crate) fn reason<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(code) = error.code() {
        return match error.message().map(clause) {
            Some(message) if !message.is_empty() => format!("{code}: {message}"),
            _ => code.to_owned(),
        };
    }
    let chain = texts(error);
    let root = clause(chain.last().map_or("", String::as_str));
    if let Some(response) = error.raw_response() {
        let status = response.status().as_u16();
        let is_empty = response.body().bytes().is_some_and(<[u8]>::is_empty);
        return match error {
            _ if is_empty => format!("HTTP status {status} with an empty body"),
            SdkError::ServiceError(_) => format!("HTTP status {status} without an error code"),
            _ => format!("HTTP status {status} with an unreadable body: {root}"),
        };
    }
    if !is_before_connection(error) {
        return root;
    }
    if chain.iter().any(|text| text.contains(NO_PROVIDER)) {
        return "the client has no credentials provider; aws_config brings the usual ones"
            .to_owned();
    }
    if chain.iter().any(|text| is_without_region(text)) {
        return "the client has no region; set AWS_REGION or the region of its configuration"
            .to_owned();
    }
    if chain.iter().any(|text| text.to_lowercase().contains("credential")) {
        // The rest lists the providers that were tried, in some 400 characters.
        let root = root.split(". ").next().unwrap_or_default();
        return format!(
            "the client got no credentials: {root}; AWS's tools and SDKs take them from the \
             environment, ~/.aws, or the role of the machine"
        );
    }
    root
}

// The types of these errors are private, or in crates that this one does not depend on.
const NO_PROVIDER: &str = "no identity resolver";
/// The endpoint of AWS depends on the region, and so does the signature at any other endpoint.
const NO_REGION: [&str; 2] = ["Missing Region", "missing signing region"];

fn is_without_region(text: &str) -> bool {
    NO_REGION.iter().any(|missing| text.contains(missing))
}

/// Returns whether the client's configuration lacks what every request needs.
pub(crate) fn is_misconfigured<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: Error + 'static,
{
    is_before_connection(error)
        && texts(error).iter().any(|text| text.contains(NO_PROVIDER) || is_without_region(text))
}

/// Returns whether no request can be sent: it is invalid, or the client is misconfigured.
pub(crate) fn cannot_be_sent<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: Error + 'static,
{
    matches!(error, SdkError::ConstructionFailure(_)) || is_misconfigured(error)
}

/// Returns whether no response arrived over the network.
pub(crate) fn is_network_failure<E>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_))
        && !is_before_connection(error)
}

/// Returns the text of the last cause of an error.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    texts(error).pop().unwrap_or_default()
}

/// Returns the texts of an error and its causes.
fn texts(error: &(dyn Error + 'static)) -> Vec<String> {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect()
}

/// Returns whether a request failed before any connection was used: the client could not resolve an
/// endpoint or credentials. A connection that is closed early is also of the "other" kind, but has
/// an error kind.
pub(crate) fn is_before_connection<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_other() && failure.as_other().is_none(),
        _ => false,
    }
}

/// Returns a message as a clause: one line, without the full stop.
fn clause(text: &str) -> String {
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    line.trim().trim_end_matches('.').to_owned()
}
