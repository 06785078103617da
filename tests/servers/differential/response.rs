//! A response as fields to compare. Values that every server chooses itself, such as tokens and
//! sequence numbers, are replaced by a property that must hold for them.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::client::is_throttled;

/// The field of an error code. A response with this field has no other.
pub(crate) const ERROR: &str = "error";

/// The fields of a response, and those of list items by the key of the item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) items: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// Whether the server throttled the request, which must be sent again.
    pub(crate) is_throttled: bool,
}

impl Response {
    pub(crate) fn set(&mut self, field: &str, value: impl fmt::Display) {
        self.fields.insert(field.to_owned(), value.to_string());
    }

    pub(crate) fn set_if<T: fmt::Display>(&mut self, field: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(field, value);
        }
    }

    pub(crate) fn set_present<T>(&mut self, field: &str, value: Option<T>) {
        self.set_if(field, value.map(|_| "present"));
    }

    /// Sets a field of an item in a list.
    pub(crate) fn item(&mut self, list: &str, key: &str, field: &str, value: impl fmt::Display) {
        let item = self.items.entry((list.to_owned(), key.to_owned())).or_default();
        item.insert(field.to_owned(), value.to_string());
    }

    pub(crate) fn error(&self) -> Option<&str> {
        self.fields.get(ERROR).map(String::as_str)
    }

    fn failed(code: impl fmt::Display) -> Self {
        let mut response = Self::default();
        response.set(ERROR, code);
        response
    }
}

/// Returns the output of an operation, or the response of its error.
pub(crate) fn output<O, E>(result: Result<O, SdkError<E, HttpResponse>>) -> Result<O, Response>
where
    E: ProvideErrorMetadata + std::error::Error,
    SdkError<E, HttpResponse>: RequestId,
{
    result.map_err(|error| match &error {
        SdkError::ServiceError(error) if is_throttled(error.err()) => {
            Response { is_throttled: true, ..Response::failed("throttled") }
        }
        SdkError::ServiceError(error) => {
            match (error.err().code(), error.raw().status().as_u16()) {
                (Some(code), 500..) => Response::failed(format_args!("{code} (HTTP 500)")),
                (Some(code), _) => Response::failed(code),
                (None, status) => Response::failed(format_args!("HTTP {status}")),
            }
        }
        SdkError::ResponseError(error) => {
            Response::failed(format_args!("unreadable (HTTP {})", error.raw().status().as_u16()))
        }
        SdkError::ConstructionFailure(_) => Response::failed("rejected by the SDK"),
        _ => Response::failed("no response"),
    })
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (field, value) in &self.fields {
            writeln!(f, "    {field}: {value}")?;
        }
        for ((list, key), item) in &self.items {
            writeln!(f, "    {list}[{key}]: {item:?}")?;
        }
        Ok(())
    }
}
