//! Errors for people: one line each, with the cause.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use aws_smithy_types::error::metadata::ErrorMetadata;

/// Formats an error as one line, with its root cause unless the text already contains it.
pub(crate) fn with_cause(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(error.source(), |&error| error.source());
    let text = match causes.last().map(describe) {
        // An AWS error is described by its code and a message: the message is enough.
        Some(cause)
            if !cause
                .trim_end_matches('.')
                .rsplit(": ")
                .next()
                .is_some_and(|end| text.contains(end)) =>
        {
            format!("{text}: {cause}")
        }
        _ => text,
    };
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}

/// Formats a root cause. `ErrorMetadata` needs help: its `Display` looks like `Debug`.
fn describe(cause: &(dyn Error + 'static)) -> String {
    match cause.downcast_ref::<ErrorMetadata>() {
        Some(aws) => aws.code().into_iter().chain(aws.message()).collect::<Vec<_>>().join(": "),
        None => cause.to_string(),
    }
}

/// Shortens an error that repeats the last one, so that retries do not fill the screen.
#[derive(Default)]
pub(crate) struct LastError(Mutex<String>);

impl LastError {
    /// Formats an error with its cause, or refers to the last error if it had the same text.
    pub(crate) fn describe(&self, error: &(dyn Error + 'static)) -> String {
        let text = with_cause(error);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == text {
            return "the same error again".to_owned();
        }
        last.clone_from(&text);
        text
    }
}
