//! Reading a request's members, with AWS's refusals for those that are missing, of a wrong type, or not what AWS's API
//! model demands of them. All of this comes before anything is looked up.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::testing::model::{Code, Millis, Refusal, StreamRef};

/// The members of a request, or of a structure in one.
#[derive(Clone, Copy)]
pub(super) struct Input<'a>(pub(super) &'a Value);

impl<'a> Input<'a> {
    /// A member that is there and not `null`.
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(self, name: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>, Refusal> {
        self.get(name)
            .map(|value| {
                read(value).ok_or_else(|| {
                    Refusal::new(Code::Serialization, format!("{name} has a wrong type: {value}"))
                })
            })
            .transpose()
    }

    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let text = self.typed(name, Value::as_str)?;
        match text.zip(demanded(name)) {
            Some((text, demanded)) => demanded.check(text, name).map(|()| Some(text)),
            None => Ok(text),
        }
    }

    pub(super) fn integer(self, name: &str) -> Result<Option<i64>, Refusal> {
        self.typed(name, Value::as_i64)
    }

    /// Seconds since the epoch, with a fraction.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked against the range of dates"
    )]
    pub(super) fn timestamp(self, name: &str) -> Result<Option<Millis>, Refusal> {
        self.typed(name, |value| {
            let millis = (value.as_f64()? * 1000.0).round();
            (0.0..1e15).contains(&millis).then_some(Millis(millis as u64))
        })
    }

    pub(super) fn structure(self, name: &str) -> Result<Option<Self>, Refusal> {
        self.typed(name, |value| value.is_object().then_some(Self(value)))
    }

    pub(super) fn list(self, name: &str) -> Result<Option<&'a [Value]>, Refusal> {
        self.typed(name, |value| value.as_array().map(Vec::as_slice))
    }

    pub(super) fn blob(self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        self.typed(name, |value| BASE64.decode(value.as_str()?).ok())
    }

    pub(super) fn stream(self) -> Result<StreamRef<'a>, Refusal> {
        Ok(StreamRef { name: self.text("StreamName")?, arn: self.text("StreamARN")? })
    }
}

/// What a text must be. None is empty.
#[derive(Clone, Copy)]
struct Demanded {
    /// In characters.
    longest: usize,
    pattern: Option<Pattern>,
}

#[derive(Clone, Copy)]
struct Pattern {
    text: &'static str,
    fits: fn(&str) -> bool,
}

const NAME: Demanded =
    Demanded { longest: 128, pattern: Some(Pattern { text: "[a-zA-Z0-9_.-]+", fits: is_name }) };
const SEQUENCE_NUMBER: Demanded =
    Demanded { longest: 129, pattern: Some(Pattern { text: "0|([1-9]\\d{0,128})", fits: is_number }) };
const ITERATOR: Demanded = Demanded { longest: 512, pattern: None };
const TOKEN: Demanded = Demanded { longest: 1 << 20, pattern: None };
const PARTITION_KEY: Demanded = Demanded { longest: 256, pattern: None };

/// A member is the same in every request that has it. Hash keys are in [`parse_hash_key`], ARNs in [`StreamRef`].
///
/// [`parse_hash_key`]: crate::testing::model::parse_hash_key
fn demanded(member: &str) -> Option<Demanded> {
    match member {
        "AdjacentShardToMerge"
        | "ExclusiveStartShardId"
        | "ExclusiveStartStreamName"
        | "ShardId"
        | "ShardToMerge"
        | "ShardToSplit"
        | "StreamName" => Some(NAME),
        "NextToken" => Some(TOKEN),
        "PartitionKey" => Some(PARTITION_KEY),
        "ShardIterator" => Some(ITERATOR),
        "StartingSequenceNumber" => Some(SEQUENCE_NUMBER),
        _ => None,
    }
}

impl Demanded {
    fn check(self, text: &str, member: &str) -> Result<(), Refusal> {
        let refuse = |constraint: &str| {
            let (first, rest) = member.split_at(1);
            Err(Refusal::constraint(text, &format!("{}{rest}", first.to_ascii_lowercase()), constraint))
        };
        if text.is_empty() {
            return refuse("have length greater than or equal to 1");
        }
        match self.pattern {
            Some(pattern) if !(pattern.fits)(text) => {
                refuse(&format!("satisfy regular expression pattern: {}", pattern.text))
            }
            _ if text.len() > self.longest && text.chars().count() > self.longest => {
                refuse(&format!("have length less than or equal to {}", self.longest))
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

/// The value of a member that the request must have.
pub(super) fn required<T>(value: Option<T>, name: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::constraint("null", name, "not be null"))
}

/// An opaque token: the text of one of the model's, so that a client cannot read it by accident.
pub(super) fn seal(token: &str) -> String {
    BASE64.encode(token)
}

/// The text in a token, or an empty one, which the model knows for garbage.
pub(super) fn unseal(token: &str) -> String {
    BASE64.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
