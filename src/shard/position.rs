//! Start positions, of a run and of each shard.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

/// Where a run begins in the stream as a whole.
///
/// The start of a run determines the [`StartPosition`] of each shard, so that nothing written after
/// the run began is skipped:
///
/// | | shards of the first listing | shards listed later |
/// |---|---|---|
/// | [`TrimHorizon`](Self::TrimHorizon) | `TrimHorizon` | `TrimHorizon` |
/// | [`Latest`](Self::Latest) | open: `Latest`; closed: count as finished | `TrimHorizon` |
/// | [`Timestamp`](Self::Timestamp) | no parent in it: the timestamp; others: `TrimHorizon` | `TrimHorizon` |
///
/// A child never starts at `LATEST`: it would lose what was written between the split and its
/// discovery. That holds for the first listing too: a shard whose parent is read by this run starts
/// at `TrimHorizon`. If the stream did not exist when the run began, its shards start at the
/// [`Timestamp`](StartPosition::Timestamp) when the run began.
///
/// See the example of [`AllShards::resume`](crate::AllShards::resume).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// The oldest record that the stream still holds.
    #[default]
    TrimHorizon,
    /// Records written from now on: from the first successful listing, and in each shard from the
    /// request for its iterator. If you read shards yourself, request the iterator at once: records
    /// written before the request are not read.
    ///
    /// The crate's own readers use a `LATEST` iterator only if its response came within a second
    /// after the reader was created. If it came later, failed or was lost, they request the records
    /// written since the reader was created, by Kinesis's clock. The skew of the client's clock is
    /// known from the `Date` of each `ListShards` response, and rounded so that nothing is skipped:
    /// a reader may begin with records written about a second earlier. If the `Date` is ahead of
    /// the shard's clock, Kinesis refuses that time once, and the reader begins five minutes
    /// before it. A `Date` that is ahead of the client by more than five minutes is ignored.
    Latest,
    /// Records written at this time or later.
    Timestamp(DateTime),
}

/// Where to read one shard from: the `ShardIteratorType` of `GetShardIterator`, with its parameter.
///
/// See the example of [`iterator_type`](Self::iterator_type).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartPosition {
    /// `TRIM_HORIZON`: the oldest record that the shard still holds.
    TrimHorizon,
    /// `LATEST`: the records written after the iterator was created.
    Latest,
    /// `AT_TIMESTAMP`: the first record at this time or later.
    Timestamp(DateTime),
    /// `AT_SEQUENCE_NUMBER`: the record with this sequence number, and those after it.
    At(String),
    /// `AFTER_SEQUENCE_NUMBER`: the records after the one with this sequence number.
    After(String),
}

impl StartPosition {
    /// Returns the `ShardIteratorType` of this position.
    ///
    /// ```
    /// use aws_sdk_kinesis::types::ShardIteratorType;
    /// use kinesis_shards::shard::StartPosition;
    ///
    /// let last = "49590338271490256608559692538361571095921575989136588898";
    /// let after = StartPosition::After(last.to_owned());
    /// assert_eq!(after.iterator_type(), ShardIteratorType::AfterSequenceNumber);
    /// assert_eq!(after.sequence_number(), Some(last));
    /// ```
    #[must_use]
    pub fn iterator_type(&self) -> ShardIteratorType {
        match self {
            Self::TrimHorizon => ShardIteratorType::TrimHorizon,
            Self::Latest => ShardIteratorType::Latest,
            Self::Timestamp(_) => ShardIteratorType::AtTimestamp,
            Self::At(_) => ShardIteratorType::AtSequenceNumber,
            Self::After(_) => ShardIteratorType::AfterSequenceNumber,
        }
    }

    /// Returns the sequence number of `At` and `After`: the `StartingSequenceNumber` of
    /// `GetShardIterator`.
    #[must_use]
    pub fn sequence_number(&self) -> Option<&str> {
        match self {
            Self::At(sequence) | Self::After(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// Returns the time of `Timestamp`: the `Timestamp` of `GetShardIterator`.
    #[must_use]
    pub fn timestamp(&self) -> Option<DateTime> {
        match self {
            Self::Timestamp(timestamp) => Some(*timestamp),
            _ => None,
        }
    }
}

/// The progress of an earlier run in a shard: see the example of
/// [`AllShards::resume`](crate::AllShards::resume).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The shard was read to its end: it is never offered, and its children do not wait for it.
    Finished,
    /// The shard was read up to here: it is offered with this start.
    At(StartPosition),
}
