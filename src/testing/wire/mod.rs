//! The protocol `awsJson1_1`: reads a JSON body, calls the model, and writes a JSON body. A body in
//! CBOR is translated.

pub(crate) mod cbor;
pub(crate) mod consumers;
pub(crate) mod input;
pub(crate) mod operations;
pub(crate) mod output;
pub(crate) mod overrides;
pub(crate) mod records;
pub(crate) mod reply;
pub(crate) mod subject;

/// The content types of requests, responses and events.
pub(crate) const CBOR: &str = "application/x-amz-cbor-1.1";
pub(crate) const JSON: &str = "application/x-amz-json-1.1";
