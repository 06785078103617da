//! An answer as fields to compare: what every server chooses for itself, such as tokens and
//! sequence numbers, is replaced by what is to be true of it.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::client::is_throttled;

/// The field of an answer that is an error's code. There are no others beside it.
pub(crate) const ERROR: &str = "error";

/// The fields of an answer; those of a list's items by the item's key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) items: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// The request came too soon after others. It says nothing of the call: that is to be sent
    /// again.
    pub(crate) is_throttled: bool,
}

impl Answer {
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

    /// A field of an item of a list.
    pub(crate) fn item(&mut self, list: &str, key: &str, field: &str, value: impl fmt::Display) {
        let item = self.items.entry((list.to_owned(), key.to_owned())).or_default();
        item.insert(field.to_owned(), value.to_string());
    }

    pub(crate) fn error(&self) -> Option<&str> {
        self.fields.get(ERROR).map(String::as_str)
    }

    fn refused(code: impl fmt::Display) -> Self {
        let mut answer = Self::default();
        answer.set(ERROR, code);
        answer
    }
}

/// What an operation gave: its output, or an answer that is an error.
pub(crate) fn output<O, E>(result: Result<O, SdkError<E, HttpResponse>>) -> Result<O, Answer>
where
    E: ProvideErrorMetadata + std::error::Error,
    SdkError<E, HttpResponse>: RequestId,
{
    result.map_err(|error| match &error {
        SdkError::ServiceError(refused) if is_throttled(refused.err()) => {
            Answer { is_throttled: true, ..Answer::refused("throttled") }
        }
        SdkError::ServiceError(refused) => {
            match (refused.err().code(), refused.raw().status().as_u16()) {
                (Some(code), 500..) => Answer::refused(format_args!("{code} (HTTP 500)")),
                (Some(code), _) => Answer::refused(code),
                (None, status) => Answer::refused(format_args!("HTTP {status}")),
            }
        }
        SdkError::ResponseError(answered) => {
            Answer::refused(format_args!("unreadable (HTTP {})", answered.raw().status().as_u16()))
        }
        SdkError::ConstructionFailure(_) => Answer::refused("refused by the SDK"),
        _ => Answer::refused("no answer"),
    })
}

impl fmt::Display for Answer {
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
