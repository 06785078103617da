use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

/// Where a run begins in the stream as a whole.
///
/// From it follows each shard's own [`StartPosition`], so that nothing written after the run began
/// is skipped:
///
/// | | shards of the first listing | shards seen later |
/// |---|---|---|
/// | [`TrimHorizon`](Self::TrimHorizon) | `TrimHorizon` | `TrimHorizon` |
/// | [`Latest`](Self::Latest) | open: `Latest`; closed: count as finished | `TrimHorizon` |
/// | [`Timestamp`](Self::Timestamp) | no parent in it: the timestamp; others: `TrimHorizon` | `TrimHorizon` |
///
/// A child is never started at `LATEST`: it would lose what was written between the split and its
/// discovery. That holds for the first listing too: a shard whose parent is still to be read starts
/// at `TrimHorizon`. The shards of a stream that did not exist yet when it was first asked for
/// start at the [`Timestamp`](StartPosition::Timestamp) of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// The oldest record that the stream still holds.
    #[default]
    TrimHorizon,
    /// What is written from now on: from the first listing that succeeds, and in each shard from
    /// the moment that its reader asks for an iterator. Ask at once; what is written while a handle
    /// lies about is not read.
    ///
    /// The crate's own readers use a `LATEST` iterator only if it came within a second of the
    /// reader being made. If it was later, failed or was lost, they ask for what was written since
    /// the reader was made, by Kinesis's clock: how far the client's is off is learned from the
    /// `Date` of each `ListShards` answer, and rounded so that nothing is skipped. So they may
    /// begin with what was written a second or so before. Where the `Date` is ahead of the shard's
    /// clock, Kinesis refuses such a time once, and they ask for what was written from five minutes
    /// before it. A `Date` that is further ahead of the client is not believed.
    Latest,
    /// What was written at this time or later.
    Timestamp(DateTime),
}

/// Where to read one shard from: the `ShardIteratorType` of `GetShardIterator`, with its parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartPosition {
    /// `TRIM_HORIZON`: the oldest record that the shard still holds.
    TrimHorizon,
    /// `LATEST`: what is written after the iterator was made.
    Latest,
    /// `AT_TIMESTAMP`: the first record at this time or later.
    Timestamp(DateTime),
    /// `AT_SEQUENCE_NUMBER`: the record with this sequence number, and on.
    At(String),
    /// `AFTER_SEQUENCE_NUMBER`: what follows the record with this sequence number.
    After(String),
}

impl StartPosition {
    /// The `ShardIteratorType` that asks for this position.
    ///
    /// ```
    /// use aws_sdk_kinesis::types::ShardIteratorType;
    /// use kinesis_shards::shard::StartPosition;
    ///
    /// let after = StartPosition::After("49590338271490256608559692538361571095921575989136588898".into());
    /// assert_eq!(after.iterator_type(), ShardIteratorType::AfterSequenceNumber);
    /// assert_eq!(after.sequence_number().map(str::len), Some(56));
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

    /// The sequence number of `At` and `After`: `GetShardIterator`'s `StartingSequenceNumber`.
    #[must_use]
    pub fn sequence_number(&self) -> Option<&str> {
        match self {
            Self::At(sequence) | Self::After(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// The time of `Timestamp`: `GetShardIterator`'s `Timestamp`.
    #[must_use]
    pub fn timestamp(&self) -> Option<DateTime> {
        match self {
            Self::Timestamp(timestamp) => Some(*timestamp),
            _ => None,
        }
    }
}

/// How far an earlier run came with a shard; see [`AllShards::resume`](crate::AllShards::resume).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Read to its end: it is never offered, and its children do not wait for it.
    Finished,
    /// Read up to here: it is offered with this start.
    At(StartPosition),
}
