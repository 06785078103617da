//! The logs of the crate, on stderr.

use std::io::{IsTerminal, stderr};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Prints the warnings of the crate or of one of its modules: failures that are retried.
pub(crate) fn print_warnings(target: &str) {
    let warnings = Targets::new().with_target(target, Level::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).without_time();
    let lines = lines.with_ansi(stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(warnings)).init();
}
