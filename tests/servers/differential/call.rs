//! One call of a script: what is the same for both sides, with references where an argument is each
//! side's own.

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
    /// Whether it names this stream.
    ListStreams,
    /// Page after page of so many shards: one answer.
    ListToTheEnd {
        page: i32,
        filter: Option<Filter>,
    },
    MergeShards {
        stream: Named,
        shard: String,
        adjacent: String,
    },
    /// Which shards there are after an `UpdateShardCount`, and which parts of the hash key range
    /// are open.
    OpenRanges,
    PutRecord {
        stream: Named,
        record: Put,
    },
    PutRecords {
        records: Vec<Put>,
    },
    /// A shard from its first record to its end, or to its tip: one answer.
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

    /// How it names its stream, if it may do so in several ways.
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

    /// Whether both sides must have carried it out, or neither, for the script to go on.
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

    /// Whether it is a reshard, which a server takes a while for.
    pub(crate) fn takes_a_while(&self) -> bool {
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
    /// By the name of a stream that there is not.
    Unknown,
    /// By a name with a character that no name has.
    Invalid,
}

#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// No two records of a script have the same.
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
    /// `Some(true)` is the stream's own time of creation.
    pub(crate) created: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The one of the last page.
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
    /// The one that the record with these data got.
    Of(String),
    /// The `StartingSequenceNumber` of this shard.
    StartOf(String),
    Text(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// A moment of the script at which nothing happened, by its number.
    Mark(usize),
    /// Before the stream was made.
    HourAgo,
    /// Before anything that is kept.
    WeekAgo,
    InAnHour,
}

/// What a read goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// The iterator of that number; what comes next takes its place.
    Iterator(usize),
    Garbage,
    Empty,
    Nothing,
}
