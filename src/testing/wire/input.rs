//! Reads the members of a request.
//!
//! A member that is missing, has the wrong type, or breaks a constraint of AWS's API model gets
//! AWS's error. As at AWS, these checks come before the service looks up a stream or a shard.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::service::StreamRef;
use crate::testing::model::time::Millis;

/// The members of a request, or of a structure within it.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a Value);

impl<'a> Input<'a> {
    /// Returns a member that is present and not `null`.
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        self.get(name)
            .map(|value| {
                read(value).ok_or_else(|| {
                    ApiError::new(
                        Code::Serialization,
                        format!("{name} has the wrong type: {value}"),
                    )
                })
            })
            .transpose()
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, ApiError> {
        let text = self.typed(name, Value::as_str)?;
        match text.zip(constraints_of(name)) {
            Some((text, constraints)) => constraints.check(text, name).map(|()| Some(text)),
            None => Ok(text),
        }
    }

    pub(crate) fn integer(self, name: &str) -> Result<Option<i64>, ApiError> {
        self.typed(name, Value::as_i64)
    }

    /// Reads a timestamp in seconds since the epoch, with a fraction.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    pub(crate) fn timestamp(self, name: &str) -> Result<Option<Millis>, ApiError> {
        self.typed(name, |value| {
            let millis = (value.as_f64()? * 1000.0).round();
            (0.0..1e15).contains(&millis).then_some(Millis(millis as u64))
        })
    }

    pub(crate) fn structure(self, name: &str) -> Result<Option<Self>, ApiError> {
        self.typed(name, |value| value.is_object().then_some(Self(value)))
    }

    pub(crate) fn list(self, name: &str) -> Result<Option<&'a [Value]>, ApiError> {
        self.typed(name, |value| value.as_array().map(Vec::as_slice))
    }

    pub(crate) fn blob(self, name: &str) -> Result<Option<Vec<u8>>, ApiError> {
        self.typed(name, |value| BASE64.decode(value.as_str()?).ok())
    }

    pub(crate) fn stream(self) -> Result<StreamRef<'a>, ApiError> {
        Ok(StreamRef { name: self.text("StreamName")?, arn: self.text("StreamARN")? })
    }
}

/// The constraints of AWS's API model on a text. No text may be empty.
#[derive(Clone, Copy)]
struct Constraints {
    /// In characters.
    max_length: usize,
    pattern: Option<Pattern>,
}

#[derive(Clone, Copy)]
struct Pattern {
    text: &'static str,
    matches: fn(&str) -> bool,
}

const NAME: Constraints = Constraints {
    max_length: 128,
    pattern: Some(Pattern { text: "[a-zA-Z0-9_.-]+", matches: is_name }),
};
const SEQUENCE_NUMBER: Constraints = Constraints {
    max_length: 129,
    pattern: Some(Pattern { text: "0|([1-9]\\d{0,128})", matches: is_number }),
};
const ITERATOR: Constraints = Constraints { max_length: 512, pattern: None };
const TOKEN: Constraints = Constraints { max_length: 1 << 20, pattern: None };
const PARTITION_KEY: Constraints = Constraints { max_length: 256, pattern: None };

/// Returns the constraints on a member, which are the same in every request that has it.
/// [`parse_hash_key`] checks hash keys, and [`StreamRef`] checks ARNs.
///
/// [`parse_hash_key`]: crate::testing::model::parse_hash_key
fn constraints_of(member: &str) -> Option<Constraints> {
    match member {
        "AdjacentShardToMerge"
        | "ConsumerName"
        | "ExclusiveStartShardId"
        | "ExclusiveStartStreamName"
        | "ShardId"
        | "ShardToMerge"
        | "ShardToSplit"
        | "StreamName" => Some(NAME),
        "NextToken" => Some(TOKEN),
        "PartitionKey" => Some(PARTITION_KEY),
        "ShardIterator" => Some(ITERATOR),
        "SequenceNumber" | "StartingSequenceNumber" => Some(SEQUENCE_NUMBER),
        _ => None,
    }
}

impl Constraints {
    fn check(self, text: &str, member: &str) -> Result<(), ApiError> {
        let reject = |constraint: &str| {
            let (first, rest) = member.split_at(1);
            Err(ApiError::constraint(
                text,
                &format!("{}{rest}", first.to_ascii_lowercase()),
                constraint,
            ))
        };
        if text.is_empty() {
            return reject("have length greater than or equal to 1");
        }
        match self.pattern {
            Some(pattern) if !(pattern.matches)(text) => {
                reject(&format!("satisfy regular expression pattern: {}", pattern.text))
            }
            _ if text.len() > self.max_length && text.chars().count() > self.max_length => {
                reject(&format!("have length less than or equal to {}", self.max_length))
            }
            _ => Ok(()),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_number(text: &str) -> bool {
    text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the value of a required member, or AWS's error if it is missing.
pub(crate) fn required<T>(value: Option<T>, name: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::constraint("null", name, "not be null"))
}

/// Encodes a token of the model, so that a client cannot depend on its text.
pub(crate) fn seal(token: &str) -> String {
    BASE64.encode(token)
}

/// Decodes a token. Returns an empty text for an undecodable one, which the model rejects.
pub(crate) fn unseal(token: &str) -> String {
    BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
