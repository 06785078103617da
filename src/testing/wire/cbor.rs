//! Translates between JSON and CBOR.
//!
//! The fake carries out every request in JSON. This translation knows nothing of the client's CBOR
//! (`crate::cbor`), so that an error of one is not made good by the other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value};

/// Returns the JSON of a body in CBOR: blobs as base64, timestamps in seconds. Returns `None` if
/// the body is not CBOR, or has a value that no request has.
pub(crate) fn to_json(body: &[u8]) -> Option<Value> {
    let mut rest = body;
    let value = read(&mut rest, 0)?;
    rest.is_empty().then_some(value)
}

/// Returns the JSON of a body in either format.
#[must_use]
pub fn json_of(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| to_json(body))
}

/// Whose CBOR a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Aws,
    /// That of kinesalite 3.3.3: times are in seconds and have no tag, data is text in base64, and
    /// a body ends after 16 KiB.
    Kinesalite,
}

/// The length after which a body of kinesalite ends.
const KINESALITE_LEN: usize = 16 * 1_024;

/// Returns the CBOR of a body in JSON. Returns the body itself if it is not JSON.
pub(crate) fn from_json(body: &[u8], dialect: Dialect) -> Vec<u8> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return body.to_vec() };
    // This map is of indefinite length and all others of definite length: a client reads both.
    let mut out = vec![0xbf];
    members(&mut out, &body, dialect);
    out.push(0xff);
    if dialect == Dialect::Kinesalite {
        out.truncate(KINESALITE_LEN);
    }
    out
}

const MAX_DEPTH: u32 = 16;
/// The argument of the tag of a timestamp.
const EPOCH_TIME: u64 = 1;
/// The first byte of a float of 64 bits.
const DOUBLE: u8 = 0xfb;

/// Reads the first byte of an item and its argument, which is `None` for an indefinite length.
fn head(rest: &mut &[u8]) -> Option<(u8, Option<u64>)> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    let argument = match first & 31 {
        small @ 0..=23 => u64::from(small),
        width @ 24..=27 => {
            let (bytes, after) = rest.split_at_checked(1 << (width - 24))?;
            *rest = after;
            bytes.iter().fold(0, |argument, byte| argument << 8 | u64::from(*byte))
        }
        31 => return Some((first >> 5, None)),
        _ => return None,
    };
    Some((first >> 5, Some(argument)))
}

/// Returns whether an array or a map has another item. `left` is `None` for an indefinite length.
fn has_next(rest: &mut &[u8], left: &mut Option<u64>) -> Option<bool> {
    match left {
        Some(0) => Some(false),
        Some(left) => {
            *left -= 1;
            Some(true)
        }
        None if *rest.first()? == 0xff => {
            *rest = &rest[1..];
            Some(false)
        }
        None => Some(true),
    }
}

fn string(rest: &mut &[u8], length: Option<u64>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    match length {
        Some(length) => {
            let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            *rest = after;
            content.extend_from_slice(bytes);
        }
        None => {
            while has_next(rest, &mut None)? {
                let (_, length) = head(rest)?;
                content.extend(string(rest, Some(length?))?);
            }
        }
    }
    Some(content)
}

#[expect(clippy::cast_precision_loss, reason = "a timestamp in milliseconds has few digits")]
fn read(rest: &mut &[u8], depth: u32) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let first = *rest.first()?;
    let (major, argument) = head(rest)?;
    Some(match major {
        0 => argument?.into(),
        1 => (-1 - i64::try_from(argument?).ok()?).into(),
        2 => BASE64.encode(string(rest, argument)?).into(),
        3 => String::from_utf8(string(rest, argument)?).ok()?.into(),
        4 => {
            let (mut list, mut left) = (Vec::new(), argument);
            while has_next(rest, &mut left)? {
                list.push(read(rest, depth + 1)?);
            }
            list.into()
        }
        5 => {
            let (mut object, mut left) = (Map::new(), argument);
            while has_next(rest, &mut left)? {
                let Value::String(name) = read(rest, depth + 1)? else { return None };
                object.insert(name, read(rest, depth + 1)?);
            }
            object.into()
        }
        6 if argument == Some(EPOCH_TIME) => {
            let millis = read(rest, depth + 1)?.as_i64()?;
            Value::Number(Number::from_f64(millis as f64 / 1_000.0)?)
        }
        _ => match first {
            0xf4 => false.into(),
            0xf5 => true.into(),
            0xf6 => Value::Null,
            _ => return None,
        },
    })
}

fn put_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let (bytes, first) = (argument.to_be_bytes(), major << 5);
    match argument {
        0..24 => out.push(first | bytes[7]),
        24..0x100 => out.extend([first | 0x18, bytes[7]]),
        0x100..0x1_0000 => out.extend([first | 0x19, bytes[6], bytes[7]]),
        _ => {
            out.push(first | 0x1b);
            out.extend(bytes);
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, 3, text.len() as u64);
    out.extend(text.as_bytes());
}

fn put_integer(out: &mut Vec<u8>, integer: i64) {
    match u64::try_from(integer) {
        Ok(positive) => put_head(out, 0, positive),
        Err(_) => put_head(out, 1, (-1 - integer).unsigned_abs()),
    }
}

fn members(out: &mut Vec<u8>, object: &Map<String, Value>, dialect: Dialect) {
    for (name, value) in object {
        put_text(out, name);
        match value {
            Value::String(data) if name == "Data" && dialect == Dialect::Aws => {
                let data = BASE64.decode(data).unwrap_or_default();
                put_head(out, 2, data.len() as u64);
                out.extend(data);
            }
            Value::Number(seconds) if name.ends_with("Timestamp") => match dialect {
                Dialect::Aws => {
                    put_head(out, 6, EPOCH_TIME);
                    put_integer(out, millis(seconds));
                }
                Dialect::Kinesalite => {
                    out.push(DOUBLE);
                    out.extend(seconds.as_f64().unwrap_or_default().to_be_bytes());
                }
            },
            _ => put(out, value, dialect),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn millis(seconds: &Number) -> i64 {
    (seconds.as_f64().unwrap_or_default() * 1_000.0).round() as i64
}

fn put(out: &mut Vec<u8>, value: &Value, dialect: Dialect) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(value) => out.push(0xf4 + u8::from(*value)),
        // The only floats of Kinesis are times.
        Value::Number(number) => put_integer(out, number.as_i64().unwrap_or_default()),
        Value::String(text) => put_text(out, text),
        Value::Array(list) => {
            put_head(out, 4, list.len() as u64);
            for value in list {
                put(out, value, dialect);
            }
        }
        Value::Object(object) => {
            put_head(out, 5, object.len() as u64);
            members(out, object, dialect);
        }
    }
}
