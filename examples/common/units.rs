//! Times, sizes and counts in a form for people.

use std::time::Duration;

use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

/// Formats a time in RFC 3339, always with milliseconds, so that columns are aligned.
pub(crate) fn time(time: DateTime) -> Option<String> {
    let seconds = DateTime::from_secs(time.secs()).fmt(DateTimeFormat::DateTime).ok()?;
    let millis = time.subsec_nanos() / 1_000_000;
    Some(format!("{}.{millis:03}Z", seconds.trim_end_matches('Z')))
}

pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}.{}s", span.subsec_millis() / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

pub(crate) fn bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

/// Formats the greatest lag of all shards, which is `None` before the first read.
pub(crate) fn lag(greatest: Option<Duration>) -> String {
    match greatest {
        None => "lag unknown".to_owned(),
        Some(Duration::ZERO) => "no lag".to_owned(),
        Some(lag) => format!("lag up to {}", span(lag)),
    }
}

/// Formats a count such as `3 records`.
pub(crate) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(crate) fn per_second(count: u64, time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    (count.saturating_mul(1_000).saturating_add(ms / 2)) / ms
}
