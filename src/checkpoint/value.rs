//! How far a shard was processed: what a store keeps.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use aws_sdk_kinesis::primitives::DateTime;

use crate::shard::position::{Progress, StartPosition};
use crate::shard::sequence_number::compare_sequence_numbers;

/// How far one shard was processed: what a [`CheckpointStore`](super::CheckpointStore) keeps of it.
///
/// A store that keeps text writes it with `to_string` and reads it with [`parse`](str::parse); the
/// words are those of Kinesis and its Client Library.
///
/// ```
/// use kinesis_shards::checkpoint::Checkpoint;
/// use kinesis_shards::shard::StartPosition;
///
/// let after = Checkpoint::After { sequence_number: "49590338271490256608".into(), sub_sequence_number: None };
/// assert_eq!(after.to_string(), "49590338271490256608");
/// for checkpoint in [after, Checkpoint::Start(StartPosition::TrimHorizon), Checkpoint::End] {
///     assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
/// }
/// assert_eq!(Checkpoint::End.to_string(), "SHARD_END");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checkpoint {
    /// No record was acknowledged yet. The shard is read from here.
    Start(StartPosition),
    /// This record and all before it were acknowledged.
    After {
        /// Its sequence number.
        sequence_number: String,
        /// Its place among the user records that the Kinesis Producer Library packed into one;
        /// `None` for the whole of the record.
        sub_sequence_number: Option<u64>,
    },
    /// All records were acknowledged, and there will be no more: Kinesis had closed the shard.
    End,
}

const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const AT: &str = "AT_SEQUENCE_NUMBER";
const AFTER: &str = "AFTER_SEQUENCE_NUMBER";
const SHARD_END: &str = "SHARD_END";

/// Which of two records of one shard is the later. A whole record is as far as the last of its user
/// records.
pub(crate) fn compare(a: (&str, Option<u64>), b: (&str, Option<u64>)) -> Ordering {
    let sub = |sub: Option<u64>| sub.unwrap_or(u64::MAX);
    compare_sequence_numbers(a.0, b.0).then(sub(a.1).cmp(&sub(b.1)))
}

impl Checkpoint {
    /// Checks that the text of this checkpoint can be parsed again.
    ///
    /// A [`CheckpointStore`](super::CheckpointStore) calls it before it saves, so that a sequence
    /// number that some server made up is refused now, and does not keep the consumer from starting
    /// next time.
    ///
    /// ```
    /// use kinesis_shards::checkpoint::Checkpoint;
    ///
    /// let after = |number: &str| Checkpoint::After { sequence_number: number.into(), sub_sequence_number: None };
    /// assert!(after("49590338271490256608").validate().is_ok());
    /// assert!(after("record-7").validate().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseCheckpointError`] if a sequence number in it is not a decimal number.
    pub fn validate(&self) -> Result<(), ParseCheckpointError> {
        match self {
            Self::After { sequence_number: number, .. }
            | Self::Start(StartPosition::At(number) | StartPosition::After(number))
                if !is_number(number) =>
            {
                Err(ParseCheckpointError { text: self.to_string() })
            }
            _ => Ok(()),
        }
    }
}

impl From<Checkpoint> for Progress {
    fn from(checkpoint: Checkpoint) -> Self {
        match checkpoint {
            Checkpoint::Start(position) => Self::At(position),
            Checkpoint::After { sequence_number, sub_sequence_number: None } => {
                Self::At(StartPosition::After(sequence_number))
            }
            Checkpoint::After { sequence_number, .. } => {
                Self::At(StartPosition::At(sequence_number))
            }
            Checkpoint::End => Self::Finished,
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(StartPosition::TrimHorizon) => f.write_str(TRIM_HORIZON),
            Self::Start(StartPosition::Latest) => f.write_str(LATEST),
            Self::Start(StartPosition::Timestamp(at)) => {
                write!(f, "{AT_TIMESTAMP} {}.{:09}", at.secs(), at.subsec_nanos())
            }
            Self::Start(StartPosition::At(sequence_number)) => write!(f, "{AT} {sequence_number}"),
            Self::Start(StartPosition::After(sequence_number)) => {
                write!(f, "{AFTER} {sequence_number}")
            }
            Self::After { sequence_number, sub_sequence_number } => {
                f.write_str(sequence_number)?;
                sub_sequence_number.map_or(Ok(()), |sub| write!(f, " {sub}"))
            }
            Self::End => f.write_str(SHARD_END),
        }
    }
}

/// A text that is no [`Checkpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no checkpoint: it is a sequence number, TRIM_HORIZON, LATEST, AT_TIMESTAMP with a time, or SHARD_END"
)]
pub struct ParseCheckpointError {
    text: String,
}

impl FromStr for Checkpoint {
    type Err = ParseCheckpointError;

    fn from_str(text: &str) -> Result<Self, ParseCheckpointError> {
        parse(text).ok_or_else(|| ParseCheckpointError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Checkpoint> {
    let (word, rest) = text.split_once(' ').map_or((text, None), |(word, rest)| (word, Some(rest)));
    Some(match (word, rest) {
        (TRIM_HORIZON, None) => Checkpoint::Start(StartPosition::TrimHorizon),
        (LATEST, None) => Checkpoint::Start(StartPosition::Latest),
        (SHARD_END, None) => Checkpoint::End,
        (AT_TIMESTAMP, Some(at)) => {
            let (secs, nanos) = at.split_once('.')?;
            if nanos.len() != 9 || !is_number(nanos) {
                return None;
            }
            let at = DateTime::from_secs_and_nanos(secs.parse().ok()?, nanos.parse().ok()?);
            Checkpoint::Start(StartPosition::Timestamp(at))
        }
        (AT, Some(number)) if is_number(number) => {
            Checkpoint::Start(StartPosition::At(number.to_owned()))
        }
        (AFTER, Some(number)) if is_number(number) => {
            Checkpoint::Start(StartPosition::After(number.to_owned()))
        }
        (number, sub) if is_number(number) => {
            let sub_sequence_number = sub.map(str::parse).transpose().ok()?;
            Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number }
        }
        _ => return None,
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(number: &str, sub: Option<u64>) -> Checkpoint {
        Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: sub }
    }

    #[test]
    fn a_whole_record_is_after_its_user_records() {
        let all = [("9", Some(0)), ("9", Some(7)), ("9", None), ("10", Some(0))];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(compare(*a, *b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_checkpoint_is_valid_if_and_only_if_its_text_reads_as_itself() {
        let numbers = [
            "",
            "0",
            "7",
            "record-7",
            "7 1",
            " 7",
            "7 ",
            "-7",
            "+7",
            "7.0",
            "٣",
            "SHARD_END",
            "LATEST",
        ];
        let of = |number: &str| {
            [
                after(number, None),
                after(number, Some(3)),
                Checkpoint::Start(StartPosition::At(number.to_owned())),
                Checkpoint::Start(StartPosition::After(number.to_owned())),
            ]
        };
        for checkpoint in numbers.into_iter().flat_map(of) {
            let reads_as_itself = checkpoint.to_string().parse() == Ok(checkpoint.clone());
            assert_eq!(checkpoint.validate().is_ok(), reads_as_itself, "{checkpoint:?}");
        }
    }

    #[test]
    fn text_and_back() {
        let at = |secs, nanos| StartPosition::Timestamp(DateTime::from_secs_and_nanos(secs, nanos));
        for checkpoint in [
            Checkpoint::Start(StartPosition::TrimHorizon),
            Checkpoint::Start(StartPosition::Latest),
            Checkpoint::Start(at(1_700_000_000, 5)),
            Checkpoint::Start(at(-3, 999_999_999)),
            Checkpoint::Start(StartPosition::At("7".into())),
            Checkpoint::Start(StartPosition::After("7".into())),
            after("49590338271490256608559692538361571095921575989136588898", None),
            after("7", Some(3)),
            Checkpoint::End,
        ] {
            assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        }
        for bad in [
            "",
            " ",
            "x",
            "7 x",
            "7 -1",
            "SHARD_END 1",
            "AT_TIMESTAMP",
            "AT_TIMESTAMP 1.5",
            "-7",
            "7 1 2",
        ] {
            assert!(bad.parse::<Checkpoint>().is_err(), "{bad}");
        }
    }
}
