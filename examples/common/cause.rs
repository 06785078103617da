use std::error::Error;

/// The error, and what lies at the bottom of it, should it not say so itself: in one line.
pub(crate) fn with_cause(error: &dyn Error) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let text = match causes.last().map(ToString::to_string) {
        // Of AWS's errors the cause is a kind and the message.
        Some(cause) if !cause.rsplit(": ").next().is_some_and(|what| text.contains(what)) => {
            format!("{text}: {cause}")
        }
        _ => text,
    };
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
