//! One record as a line of text or JSON.

use std::fmt::Write;
use std::time::Duration;

use aws_smithy_types::base64;
use kinesis_shards::Record;
use serde_json::json;

use crate::units;

pub(crate) fn text(record: &Record, lag: Option<Duration>) -> String {
    let missing = || "-".to_owned();
    let mut line = format!(
        "{}\t{}\t{}\t",
        record.arrival_time().and_then(units::time).unwrap_or_else(missing),
        record.shard_id(),
        lag.map_or_else(missing, units::span),
    );
    escape(&mut line, record.partition_key().unwrap_or("-"));
    line.push('\t');
    match std::str::from_utf8(record.data()) {
        Ok(data) => escape(&mut line, data),
        Err(_) => line.extend(["base64:", &base64::encode(record.data())]),
    }
    line.push('\n');
    line
}

/// Escapes line breaks and everything else that would control a terminal.
fn escape(line: &mut String, text: &str) {
    for char in text.chars() {
        if char.is_control() {
            let _ = write!(line, "{}", char.escape_default());
        } else {
            line.push(char);
        }
    }
}

pub(crate) fn json(record: &Record, lag: Option<Duration>) -> String {
    let (encoding, data) = match std::str::from_utf8(record.data()) {
        Ok(data) => ("text", data.to_owned()),
        Err(_) => ("base64", base64::encode(record.data())),
    };
    let mut object = json!({
        "stream": record.stream().name(),
        "shard_id": record.shard_id(),
        "sequence_number": record.sequence_number(),
        "sub_sequence_number": record.sub_sequence_number(),
        "partition_key": record.partition_key(),
        "arrival_time": record.arrival_time().and_then(units::time),
        "lag_ms": lag.and_then(|lag| u64::try_from(lag.as_millis()).ok()),
        "data": data,
        "encoding": encoding,
    });
    if record.sub_sequence_number().is_none()
        && let Some(object) = object.as_object_mut()
    {
        object.remove("sub_sequence_number");
    }
    format!("{object}\n")
}
