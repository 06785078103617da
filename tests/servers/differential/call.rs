//! One call of a script, the same for both sides. An argument of which each side has its own value
//! is a reference.

use aws_sdk_kinesis::types::{ShardFilterType, ShardIteratorType};

#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// `IncreaseStreamRetentionPeriod`, or `DecreaseStreamRetentionPeriod`.
    ChangeRetention {
        stream: Named,
        hours: i32,
        longer: bool,
    },
    CreateStream {
        name: String,
        shards: i32,
    },
    DeleteStream,
    DescribeStream {
        stream: Named,
        limit: Option<i32>,
        after: Option<String>,
    },
    DescribeStreamSummary {
        stream: Named,
    },
    GetRecords {
        from: From,
        limit: Option<i32>,
    },
    GetShardIterator {
        stream: Named,
        shard: Option<String>,
        start: Start,
    },
    ListShards(List),
    /// Checks only whether the list contains this stream.
    ListStreams,
    /// All pages of a listing, as one response.
    ListToTheEnd {
        page: i32,
        filter: Option<Filter>,
    },
    MergeShards {
        stream: Named,
        shard: String,
        adjacent: String,
    },
    /// The shards and the open hash key ranges after an `UpdateShardCount`.
    OpenRanges,
    PutRecord {
        stream: Named,
        record: Put,
    },
    PutRecords {
        records: Vec<Put>,
    },
    /// A shard from its first record to its end or tip, as one response.
    ReadToTheEnd {
        shard: String,
        limit: i32,
    },
    SplitShard {
        stream: Named,
        shard: String,
        key: String,
    },
    UpdateShardCount {
        stream: Named,
        target: i32,
    },
}

impl Call {
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::ChangeRetention { longer: true, .. } => "IncreaseStreamRetentionPeriod",
            Self::ChangeRetention { longer: false, .. } => "DecreaseStreamRetentionPeriod",
            Self::CreateStream { .. } => "CreateStream",
            Self::DeleteStream => "DeleteStream",
            Self::DescribeStream { .. } => "DescribeStream",
            Self::DescribeStreamSummary { .. } => "DescribeStreamSummary",
            Self::GetRecords { .. } | Self::ReadToTheEnd { .. } => "GetRecords",
            Self::GetShardIterator { .. } => "GetShardIterator",
            Self::ListShards(_) | Self::ListToTheEnd { .. } => "ListShards",
            Self::ListStreams => "ListStreams",
            Self::MergeShards { .. } => "MergeShards",
            Self::PutRecord { .. } => "PutRecord",
            Self::PutRecords { .. } => "PutRecords",
            Self::SplitShard { .. } => "SplitShard",
            Self::OpenRanges | Self::UpdateShardCount { .. } => "UpdateShardCount",
        }
    }

    /// Returns how the call names its stream, if there are several ways.
    pub(crate) fn named(&self) -> Option<Named> {
        match self {
            Self::ChangeRetention { stream, .. }
            | Self::DescribeStream { stream, .. }
            | Self::DescribeStreamSummary { stream }
            | Self::GetShardIterator { stream, .. }
            | Self::MergeShards { stream, .. }
            | Self::PutRecord { stream, .. }
            | Self::SplitShard { stream, .. }
            | Self::UpdateShardCount { stream, .. } => Some(*stream),
            Self::ListShards(list) => list.stream,
            _ => None,
        }
    }

    /// Returns whether the script can continue only if both sides carried out the call, or neither.
    pub(crate) fn changes_the_stream(&self) -> bool {
        matches!(
            self,
            Self::ChangeRetention { .. }
                | Self::CreateStream { .. }
                | Self::DeleteStream
                | Self::MergeShards { .. }
                | Self::PutRecord { .. }
                | Self::PutRecords { .. }
                | Self::SplitShard { .. }
                | Self::UpdateShardCount { .. }
        )
    }

    /// Returns whether the stream may need time to become `ACTIVE` again.
    pub(crate) fn has_transition(&self) -> bool {
        self.changes_the_stream()
            && !matches!(self, Self::PutRecord { .. } | Self::PutRecords { .. })
    }
}

/// How a call names its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    ByName,
    ByArn,
    ByBoth,
    NotAtAll,
    /// By the name of a stream that does not exist.
    Unknown,
    /// By a name with an invalid character.
    Invalid,
}

#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// Unique within a script.
    pub(crate) data: String,
    pub(crate) key: String,
    pub(crate) hash_key: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    pub(crate) stream: Option<Named>,
    pub(crate) token: Option<Token>,
    pub(crate) max: Option<i32>,
    pub(crate) after: Option<String>,
    pub(crate) filter: Option<Filter>,
    /// `Some(true)` stands for the stream's own creation time.
    pub(crate) created: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The token of the last page.
    Last,
    Garbage,
    Empty,
}

#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) kind: ShardFilterType,
    pub(crate) shard: Option<String>,
    pub(crate) time: Option<Time>,
}

#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) kind: ShardIteratorType,
    pub(crate) sequence: Option<Sequence>,
    pub(crate) time: Option<Time>,
}

#[derive(Clone, Debug)]
pub(crate) enum Sequence {
    /// The sequence number of the record with these data.
    Of(String),
    /// The `StartingSequenceNumber` of this shard.
    StartOf(String),
    Text(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// A mark of the script, by its number: a time at which nothing happens.
    Mark(usize),
    /// A time before the stream was created.
    HourAgo,
    /// A time before the trim horizon.
    WeekAgo,
    InAnHour,
}

/// The iterator of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// The iterator of this number. The next iterator replaces it.
    Iterator(usize),
    Garbage,
    Empty,
    Nothing,
}
