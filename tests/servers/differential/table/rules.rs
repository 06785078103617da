//! The rules of AWS's documentation that several entries refer to.

use crate::differential::table::entry::Right::{self, Either, Fake};

pub(crate) const CODES: (Right, &str) = (
    Fake,
    "Common Errors: ValidationException for what fails a constraint; each operation's own for the \
     rest",
);
pub(crate) const SHARD_FILTER: (Right, &str) = (Fake, "ListShards, ShardFilter");
pub(crate) const MAX_RESULTS: (Right, &str) = (Fake, "ListShards, MaxResults and NextToken");
pub(crate) const CREATION: (Right, &str) =
    (Fake, "ListShards, StreamCreationTimestamp: it distinguishes streams of one name");
pub(crate) const NO_SUCH_START: (Right, &str) =
    (Either, "ListShards, ExclusiveStartShardId: an id that never existed is not mentioned");
pub(crate) const SEQUENCE: (Right, &str) = (
    Fake,
    "GetShardIterator, StartingSequenceNumber: used with AT_SEQUENCE_NUMBER and \
     AFTER_SEQUENCE_NUMBER, that of a record in the shard",
);
pub(crate) const FUTURE: (Right, &str) =
    (Either, "GetShardIterator, Timestamp: the future is not mentioned; AWS rejects it");
pub(crate) const CHILD_SHARDS: (Right, &str) =
    (Fake, "GetRecords, ChildShards: returned when the end of the current shard is reached");
pub(crate) const BEHIND: (Right, &str) =
    (Fake, "GetRecords, MillisBehindLatest: zero means that there are no new records to process");
pub(crate) const OWN_WAY: (Right, &str) =
    (Either, "UpdateShardCount: the shards to split and merge are not mentioned");
pub(crate) const UNIFORM: (Right, &str) =
    (Fake, "UpdateShardCount, ScalingType: UNIFORM_SCALING makes shards of equal size");
pub(crate) const HASH_KEY: (Right, &str) = (Fake, "HashKey: the pattern 0|([1-9]\\d{0,38})");
pub(crate) const START_KEY: (Right, &str) =
    (Fake, "SplitShard, NewStartingHashKey: AWS wants more than the first hash key plus one");
pub(crate) const ADJACENT: (Right, &str) = (
    Fake,
    "MergeShards, AdjacentShardToMerge: two shards whose ranges follow each other; AWS rejects \
     the higher one as ShardToMerge",
);
pub(crate) const COUNTS: (Right, &str) =
    (Fake, "UpdateShardCount: not more than double, nor less than half");
pub(crate) const BY_ARN: (Right, &str) = (Fake, "StreamARN in each of these requests");
pub(crate) const NO_UPDATE: (Right, &str) = (Fake, "UpdateShardCount");
pub(crate) const CLOSED: (Right, &str) =
    (Fake, "SplitShard, MergeShards: a parent takes no further records, and keeps its own");
pub(crate) const FORMER_ITERATOR: (Right, &str) =
    (Either, "DeleteStream: iterators of the deleted shards are not mentioned");
pub(crate) const FORMER_TOKEN: (Right, &str) =
    (Fake, "ListShards, NextToken: it unambiguously identifies the stream");
pub(crate) const RECORD_SIZE: (Right, &str) =
    (Fake, "StreamDescriptionSummary, MaxRecordSizeInKiB");
pub(crate) const SEQUENCES: (Right, &str) = (
    Fake,
    "SequenceNumberRange; Terminology: a sequence number is unique per partition key within its \
     shard, and increases",
);
