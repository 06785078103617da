use std::error::Error;

/// The error, and what lies at the bottom of it, should it not say so itself: in one line.
pub(crate) fn with_cause(error: &dyn Error) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let text = match causes.last().map(ToString::to_string) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    };
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
