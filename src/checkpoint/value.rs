//! How far a shard was processed, as a store keeps it.

use std::fmt;
use std::str::FromStr;

use aws_sdk_kinesis::primitives::DateTime;

use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
use crate::shard::position::{Progress, StartPosition};

/// How far one shard was processed. A [`CheckpointStore`](super::CheckpointStore) keeps one for
/// each shard.
///
/// A store that keeps text writes it with `to_string` and reads it with [`parse`](str::parse). The
/// text uses the words of Kinesis and of its Client Library.
///
/// ```
/// use kinesis_shards::checkpoint::Checkpoint;
/// use kinesis_shards::shard::StartPosition;
///
/// let after = Checkpoint::After {
///     sequence_number: "49590338271490256608".into(),
///     sub_sequence_number: None,
/// };
/// assert_eq!(after.to_string(), "49590338271490256608");
/// for checkpoint in [after, Checkpoint::Start(StartPosition::TrimHorizon), Checkpoint::End] {
///     assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
/// }
/// assert_eq!(Checkpoint::End.to_string(), "SHARD_END");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checkpoint {
    /// No record was acknowledged yet. The shard is read from this position.
    Start(StartPosition),
    /// The record with this position and all records before it were acknowledged.
    After {
        /// The sequence number of the record.
        sequence_number: String,
        /// The place of the user record within a record that the Kinesis Producer Library
        /// aggregated, from 0. `None` for the whole record.
        sub_sequence_number: Option<u64>,
    },
    /// All records were acknowledged, and Kinesis has closed the shard.
    End,
}

const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const AT: &str = "AT_SEQUENCE_NUMBER";
const AFTER: &str = "AFTER_SEQUENCE_NUMBER";
const SHARD_END: &str = "SHARD_END";

impl Checkpoint {
    /// Checks that the text of this checkpoint can be parsed again.
    ///
    /// A [`CheckpointStore`](super::CheckpointStore) calls this before it saves. A server that
    /// imitates Kinesis may make up sequence numbers that are not numbers; refusing them keeps the
    /// stored checkpoint loadable.
    ///
    /// ```
    /// use kinesis_shards::checkpoint::Checkpoint;
    ///
    /// let after = |number: &str| Checkpoint::After {
    ///     sequence_number: number.into(),
    ///     sub_sequence_number: None,
    /// };
    /// assert!(after("49590338271490256608").validate().is_ok());
    /// assert!(after("record-7").validate().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseCheckpointError`] if the sequence number is not a decimal number.
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

    /// Returns the position of the last acknowledged record.
    pub(crate) fn position(&self) -> Option<ExtendedSequenceNumber<'_>> {
        match self {
            Self::After { sequence_number, sub_sequence_number } => {
                Some(ExtendedSequenceNumber::new(sequence_number, *sub_sequence_number))
            }
            Self::Start(_) | Self::End => None,
        }
    }

    /// Returns a key by which the checkpoints of one shard are ordered: starts, then positions,
    /// then the end.
    fn distance(&self) -> (u8, Option<ExtendedSequenceNumber<'_>>) {
        let rank = match self {
            Self::Start(_) => 0,
            Self::After { .. } => 1,
            Self::End => 2,
        };
        (rank, self.position())
    }

    /// Returns whether the record at this position was not acknowledged.
    pub(crate) fn is_before(&self, position: &ExtendedSequenceNumber<'_>) -> bool {
        self.distance() < (1, Some(position.borrowed()))
    }

    /// Returns whether this checkpoint of a shard is further on than another.
    pub(crate) fn is_further_than(&self, other: &Self) -> bool {
        self.distance() > other.distance()
    }

    /// Moves the checkpoint to this position, and reuses its buffer.
    pub(crate) fn move_to(&mut self, position: &ExtendedSequenceNumber<'_>) {
        if let Self::After { sequence_number, sub_sequence_number } = self {
            sequence_number.clear();
            sequence_number.push_str(position.sequence_number());
            *sub_sequence_number = position.sub_sequence_number();
        } else {
            *self = position.borrowed().into_owned().into();
        }
    }
}

impl From<ExtendedSequenceNumber<'static>> for Checkpoint {
    fn from(position: ExtendedSequenceNumber<'static>) -> Self {
        Self::After {
            sub_sequence_number: position.sub_sequence_number(),
            sequence_number: position.into_sequence_number(),
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

/// The error of parsing a text that is not a [`Checkpoint`]: see the example of
/// [`Checkpoint::validate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a checkpoint: expected a sequence number, TRIM_HORIZON, LATEST, AT_TIMESTAMP \
     with a time, or SHARD_END"
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
    fn checkpoints_of_a_shard_are_ordered_from_its_start_to_its_end() {
        let ascending = [
            Checkpoint::Start(StartPosition::TrimHorizon),
            after("9", Some(0)),
            after("9", Some(1)),
            after("9", None),
            after("10", Some(9)),
            after("10", Some(10)),
            Checkpoint::End,
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.distance() > b.distance(), i > j, "{a} {b}");
                if let Some(position) = b.position() {
                    assert_eq!(a.is_before(&position), i < j, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_checkpoint_is_valid_if_and_only_if_its_text_parses_to_itself() {
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
        let checkpoints_of = |number: &str| {
            [
                after(number, None),
                after(number, Some(3)),
                Checkpoint::Start(StartPosition::At(number.to_owned())),
                Checkpoint::Start(StartPosition::After(number.to_owned())),
            ]
        };
        for checkpoint in numbers.into_iter().flat_map(checkpoints_of) {
            let parses_to_itself = checkpoint.to_string().parse() == Ok(checkpoint.clone());
            assert_eq!(checkpoint.validate().is_ok(), parses_to_itself, "{checkpoint:?}");
        }
    }

    #[test]
    fn every_kind_of_checkpoint_parses_from_its_text() {
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
