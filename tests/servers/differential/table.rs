//! The table of the differences between the fake and the servers, and which side is right.

use super::call::{Call, List, Time, Token};
use super::case::Case;
use super::cause::Cause;
#[expect(clippy::enum_glob_use, reason = "the table names most of them")]
use super::cause::Cause::*;
use super::compare::DONE;
use super::response::ERROR;
use crate::kind::Kind::{self, Kinesalite, KinesisLocal, Moto};
use aws_sdk_kinesis::types::ShardFilterType::{AfterShardId, AtTimestamp, AtTrimHorizon};

/// The side that is right according to AWS's documentation. There is no variant for the server:
/// where the fake is wrong, the fake is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Fake,
    /// The documentation allows both.
    Either,
}
use Right::{Either, Fake};

pub(crate) struct Known {
    pub(crate) server: Kind,
    /// The operations, or none for any.
    pub(crate) operations: &'static [&'static str],
    pub(crate) field: &'static str,
    /// The values of the server and of the fake, if they are always the same.
    pub(crate) values: Option<(&'static str, &'static str)>,
    /// The errors in the call, one of which must apply. The fake may reject a call only for one.
    pub(crate) causes: &'static [Cause],
    pub(crate) when: fn(&Case<'_>) -> bool,
    /// The behaviour of the server.
    pub(crate) what: &'static str,
    pub(crate) right: Right,
    /// The place in AWS's documentation.
    pub(crate) rule: &'static str,
    /// Whether only one script in hundreds meets it, or whether it depends on the server's pace.
    pub(crate) rare: bool,
}

type Operations = &'static [&'static str];

const fn known(
    (server, operations, field): (Kind, Operations, &'static str),
    when: fn(&Case<'_>) -> bool,
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Known {
    Known {
        server,
        operations,
        field,
        values: None,
        causes: &[],
        when,
        what,
        right,
        rule,
        rare: false,
    }
}

/// Both reject the call with these codes, or one of them does not reject it.
const fn codes(
    (server, operations): (Kind, Operations),
    codes: (&'static str, &'static str),
    causes: &'static [Cause],
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Known {
    Known {
        server,
        operations,
        field: ERROR,
        values: Some(codes),
        causes,
        when: |_| true,
        what,
        right,
        rule,
        rare: false,
    }
}

/// The server rejects a call that AWS accepts.
const fn rejects(
    (server, operations, code): (Kind, Operations, &'static str),
    when: fn(&Case<'_>) -> bool,
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Known {
    Known {
        server,
        operations,
        field: ERROR,
        values: Some((code, DONE)),
        causes: &[],
        when,
        what,
        right,
        rule,
        rare: false,
    }
}

const fn rare(mut known: Known) -> Known {
    known.rare = true;
    known
}

const HTTP_500: &str = "unreadable (HTTP 500)";
const INTERNAL: &str = "InternalFailure (HTTP 500)";
const IN_USE: &str = "ResourceInUseException";
const INVALID: &str = "InvalidArgumentException";
const LIMIT: &str = "LimitExceededException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const SERIALIZATION: &str = "SerializationException";
const UNKNOWN: &str = "UnknownOperationException";
const VALIDATION: &str = "ValidationException";

const ANY: &[&str] = &[];
const READ: &[&str] = &["GetRecords"];
const ITERATOR: &[&str] = &["GetShardIterator"];
const LIST: &[&str] = &["ListShards"];
const DESCRIBE: &[&str] = &["DescribeStream"];
const SUMMARY: &[&str] = &["DescribeStreamSummary"];
const LISTS: &[&str] = &["DescribeStream", "ListShards"];
const PUT: &[&str] = &["PutRecord", "PutRecords"];
const MERGE: &[&str] = &["MergeShards"];
const SPLIT: &[&str] = &["SplitShard"];
const RESHARD: &[&str] = &["MergeShards", "SplitShard"];
const UPDATE: &[&str] = &["UpdateShardCount"];
const RETENTION: &[&str] = &["DecreaseStreamRetentionPeriod", "IncreaseStreamRetentionPeriod"];

// Rules of several entries.
const CODES: (Right, &str) = (
    Fake,
    "Common Errors: ValidationException for what fails a constraint; each operation's own for the rest",
);
const SHARD_FILTER: (Right, &str) = (Fake, "ListShards, ShardFilter");
const MAX_RESULTS: (Right, &str) = (Fake, "ListShards, MaxResults and NextToken");
const CREATION: (Right, &str) =
    (Fake, "ListShards, StreamCreationTimestamp: it distinguishes streams of one name");
const NO_SUCH_START: (Right, &str) =
    (Either, "ListShards, ExclusiveStartShardId: an id that never existed is not mentioned");
const SEQUENCE: (Right, &str) = (
    Fake,
    "GetShardIterator, StartingSequenceNumber: used with AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER, that of a record in the shard",
);
const FUTURE: (Right, &str) =
    (Either, "GetShardIterator, Timestamp: the future is not mentioned; AWS rejects it");
const CHILD_SHARDS: (Right, &str) =
    (Fake, "GetRecords, ChildShards: returned when the end of the current shard is reached");
const BEHIND: (Right, &str) =
    (Fake, "GetRecords, MillisBehindLatest: zero means that there are no new records to process");
const OWN_WAY: (Right, &str) =
    (Either, "UpdateShardCount: the shards to split and merge are not mentioned");
const UNIFORM: (Right, &str) =
    (Fake, "UpdateShardCount, ScalingType: UNIFORM_SCALING makes shards of equal size");
const HASH_KEY: (Right, &str) = (Fake, "HashKey: the pattern 0|([1-9]\\d{0,38})");
const START_KEY: (Right, &str) =
    (Fake, "SplitShard, NewStartingHashKey: AWS wants more than the first hash key plus one");
const ADJACENT: (Right, &str) = (
    Fake,
    "MergeShards, AdjacentShardToMerge: two shards whose ranges follow each other; AWS rejects the higher one as ShardToMerge",
);
const COUNTS: (Right, &str) = (Fake, "UpdateShardCount: not more than double, nor less than half");
const BY_ARN: (Right, &str) = (Fake, "StreamARN in each of these requests");
const NO_UPDATE: (Right, &str) = (Fake, "UpdateShardCount");
const CLOSED: (Right, &str) =
    (Fake, "SplitShard, MergeShards: a parent takes no further records, and keeps its own");
const FORMER_ITERATOR: (Right, &str) =
    (Either, "DeleteStream: iterators of the deleted shards are not mentioned");
const FORMER_TOKEN: (Right, &str) =
    (Fake, "ListShards, NextToken: it unambiguously identifies the stream");
const RECORD_SIZE: (Right, &str) = (Fake, "StreamDescriptionSummary, MaxRecordSizeInKiB");
const SEQUENCES: (Right, &str) = (
    Fake,
    "SequenceNumberRange; Terminology: a sequence number is unique per partition key within its shard, and increases",
);

#[rustfmt::skip]
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the methods take one lifetime, not all"
)]
pub(crate) static KNOWN: &[Known] = &[
    // kinesis-local: calls that both reject, with different codes.
    codes((KinesisLocal, ANY), (INVALID, VALIDATION), &[StreamName, EmptyShardId, SequencePattern, EmptyToken, PartitionKey, HashKeyPattern],
        "InvalidArgumentException for a text that breaks the API model", CODES),
    codes((KinesisLocal, &["DescribeStream", "GetRecords"]), (INVALID, VALIDATION), &[TooLow, TooHigh], "InvalidArgumentException for a Limit out of its range", CODES),
    codes((KinesisLocal, LIST), (NOT_FOUND, VALIDATION), &[StreamName], "looks up a stream with an invalid name", CODES),
    codes((KinesisLocal, LIST), (SERIALIZATION, VALIDATION), &[FilterType], "cannot parse an unknown type of filter", CODES),
    codes((KinesisLocal, LIST), (HTTP_500, VALIDATION), &[TooLow], "fails on MaxResults below 1", CODES),
    codes((KinesisLocal, READ), (SERIALIZATION, VALIDATION), &[NoIterator], "cannot parse a request without its ShardIterator", CODES),
    codes((KinesisLocal, READ), (HTTP_500, VALIDATION), &[EmptyIterator, GarbageIterator], "fails on an invalid iterator, before it checks Limit", CODES),
    codes((KinesisLocal, READ), (HTTP_500, INVALID), &[GarbageIterator], "fails on an invalid iterator", CODES),
    codes((KinesisLocal, ITERATOR), (SERIALIZATION, VALIDATION), &[NoShardId, IteratorType], "cannot parse a request without its ShardId, or with an unknown type", CODES),
    codes((KinesisLocal, ITERATOR), (NOT_FOUND, INVALID), &[ForeignSequence], "ResourceNotFoundException for a sequence number of no record in the shard", CODES),
    codes((KinesisLocal, &["PutRecord", "PutRecords", "SplitShard"]), (HTTP_500, VALIDATION), &[HashKeyPattern], "fails on a hash key without digits", CODES),
    codes((KinesisLocal, RESHARD), (IN_USE, INVALID), &[ClosedShard], "ResourceInUseException for a closed shard", CODES),
    codes((KinesisLocal, UPDATE), (INVALID, LIMIT), &[MoreThanDouble, LessThanHalf], "InvalidArgumentException beyond double or half the count", CODES),
    rare(codes((KinesisLocal, UPDATE), (INVALID, VALIDATION), &[TooLow], "InvalidArgumentException for a count below 1", CODES)),
    // Calls that it accepts and AWS rejects.
    codes((KinesisLocal, READ), (DONE, NOT_FOUND), &[OfTheFormerStream], "accepts an iterator of an earlier stream of the same name", FORMER_ITERATOR),
    codes((KinesisLocal, LIST), (DONE, NOT_FOUND), &[OfTheFormerStream], "accepts a token of an earlier stream of the same name", FORMER_TOKEN),
    codes((KinesisLocal, ITERATOR), (DONE, INVALID), &[Future], "accepts a timestamp in the future", FUTURE),
    codes((KinesisLocal, ITERATOR), (DONE, INVALID), &[ForeignSequence, OfTheFormerStream], "accepts sequence numbers that no record of the shard can have", SEQUENCE),
    codes((KinesisLocal, ITERATOR), (DONE, INVALID), &[StraySequence], "accepts a sequence number with types that have none", SEQUENCE),
    codes((KinesisLocal, LIST), (DONE, INVALID), &[NumberlessShardId], "lists everything for an invalid ExclusiveStartShardId", NO_SUCH_START),
    codes((KinesisLocal, LIST), (DONE, INVALID), &[FilterMembers, TwoStarts], "accepts filters with members of other types, or without their own", SHARD_FILTER),
    codes((KinesisLocal, LIST), (DONE, VALIDATION), &[EmptyShardId], "accepts an empty ShardId in a filter", SHARD_FILTER),
    codes((KinesisLocal, LIST), (DONE, VALIDATION), &[TooHigh], "accepts MaxResults above 10,000", MAX_RESULTS),
    codes((KinesisLocal, LIST), (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes((KinesisLocal, PUT), (DONE, VALIDATION), &[NoRecords, TooManyRecords], "accepts more than 500 records, or none", (Fake, "PutRecords, Records: 1 to 500")),
    codes((KinesisLocal, MERGE), (DONE, INVALID), &[Itself], "merges a shard with itself", ADJACENT),
    codes((KinesisLocal, SPLIT), (DONE, INVALID), &[KeyAtStart], "accepts a split at the first or second hash key", START_KEY),
    codes((KinesisLocal, SPLIT), (DONE, INVALID), &[KeyOutside], "accepts a split at the last hash key", (Fake, "SplitShard, NewStartingHashKey: AWS wants less than the last hash key")),
    codes((KinesisLocal, UPDATE), (DONE, INVALID), &[SameCount], "accepts an update to the same count", (Either, "UpdateShardCount: the same count is not mentioned; AWS rejects it")),
    rare(codes((KinesisLocal, UPDATE), (DONE, VALIDATION), &[TooLow], "scales down to no shards", COUNTS)),
    // Responses.
    known((KinesisLocal, SUMMARY, "MaxRecordSizeInKiB"), |case| case.server().is_empty(), "omits the maximum record size", RECORD_SIZE),
    known((KinesisLocal, ANY, "EncryptionType"), |case| case.server() == "NONE", "returns NONE without encryption",
        (Either, "PutRecord, PutRecords: NONE is a valid value, and the field is not required")),
    known((KinesisLocal, READ, "Records[].EncryptionType"), |case| case.server() == "NONE", "returns NONE without encryption",
        (Either, "Record: NONE is a valid value, and the field is not required")),
    known((KinesisLocal, LISTS, "Shards[].HashKeyRange"), |case| case.is_rounded_differently(), "rounds hash key ranges differently",
        (Fake, "CreateStream and DescribeStream, examples: the second of two shards starts at 2^127")),
    known((KinesisLocal, LISTS, "Shards[].EndingSequenceNumber"), |case| case.server() == "before its start", "returns 9223372036854775807 for every closed shard", SEQUENCES),
    known((KinesisLocal, LISTS, "Shards[].StartingSequenceNumber"), |case| case.server().starts_with("that of"), "gives children the number of a parent, or of each other", SEQUENCES),
    known((KinesisLocal, READ, "ChildShards[].ParentShards"), |case| case.is_in_another_order(), "returns them in the order of their ids",
        (Either, "ChildShard, ParentShards: the order is not mentioned")),
    known((KinesisLocal, READ, "MillisBehindLatest"), |case| case.server() == "zero" && case.ends_in_the_last_moment, "returns zero after a page whose last record has the arrival time of the shard's last", BEHIND),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters_by(&AtTrimHorizon), "lists all shards for AT_TRIM_HORIZON", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters_by(&AtTimestamp) && case.filters_by_an_early_time(), "lists all shards for AT_TIMESTAMP with a time before the stream", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters() && case.has_later_pages(), "ignores the filter after the first page", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filter().is_some() && case.begins_after_a_shard(), "ignores ExclusiveStartShardId beside a filter", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.begins_after_no_shard(), "lists everything for an invalid ExclusiveStartShardId", NO_SUCH_START),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters_by(&AfterShardId), "lists everything for an invalid AFTER_SHARD_ID", NO_SUCH_START),
    known((KinesisLocal, LIST, "Shards"), |case| case.filters_by_a_mark() && !case.whole_seconds, "truncates a timestamp to the whole second", (Fake, "ShardFilter, Timestamp: in milliseconds")),
    known((KinesisLocal, LIST, "NextToken"), |case| case.filters(), "continues past the filtered shards", SHARD_FILTER),
    known((KinesisLocal, LIST, "pages"), |case| case.filters(), "continues past the filtered shards", SHARD_FILTER),
    known((KinesisLocal, UPDATE, "StreamARN"), |case| case.server().is_empty(), "omits the ARN", (Fake, "UpdateShardCount, response")),
    known((KinesisLocal, UPDATE, "ParentsFirst"), |_| true, "scales by other splits and merges", OWN_WAY),
    known((KinesisLocal, UPDATE, "HashKeyRanges"), |case| case.is_rounded_differently(), "rounds hash key ranges differently", UNIFORM),
    known((KinesisLocal, UPDATE, "HashKeyRanges"), |case| case.is_uneven(), "leaves shards of different sizes", UNIFORM),

    // kinesalite: calls that both reject, with different codes.
    codes((Kinesalite, ANY), (VALIDATION, INVALID), &[NoStream], "requires StreamName", BY_ARN),
    codes((Kinesalite, READ), (VALIDATION, INVALID), &[TooHigh], "ValidationException for a Limit above 10,000",
        (Fake, "GetRecords, Limit: above 10,000 it throws InvalidArgumentException")),
    codes((Kinesalite, RETENTION), (VALIDATION, INVALID), &[RetentionTooShort, RetentionTooLong], "ValidationException below 1 hour and above 168",
        (Fake, "RetentionPeriodHours: an integer without bounds in the API model; InvalidArgumentException")),
    codes((Kinesalite, ITERATOR), (INTERNAL, INVALID), &[ForeignSequence], "fails on short sequence numbers, as AWS once did", CODES),
    codes((Kinesalite, &["PutRecord", "PutRecords", "SplitShard"]), (INVALID, VALIDATION), &[HashKeyPattern], "accepts some hash keys that do not match the pattern", HASH_KEY),
    codes((Kinesalite, UPDATE), (UNKNOWN, INVALID), &[SameCount], "has no UpdateShardCount", NO_UPDATE),
    codes((Kinesalite, UPDATE), (UNKNOWN, LIMIT), &[MoreThanDouble, LessThanHalf], "has no UpdateShardCount", NO_UPDATE),
    codes((Kinesalite, UPDATE), (UNKNOWN, NOT_FOUND), &[UnknownStream], "has no UpdateShardCount", NO_UPDATE),
    codes((Kinesalite, UPDATE), (UNKNOWN, VALIDATION), &[TooLow], "has no UpdateShardCount", NO_UPDATE),
    // Calls that it rejects and AWS accepts.
    rejects((Kinesalite, UPDATE, UNKNOWN), |_| true, "has no UpdateShardCount", NO_UPDATE),
    rejects((Kinesalite, ANY, VALIDATION), |case| case.names_by_arn(), "has no StreamARN", BY_ARN),
    rejects((Kinesalite, LIST, INVALID), |case| case.names_by_arn(), "has no StreamARN", BY_ARN),
    // Calls that it accepts and AWS rejects.
    codes((Kinesalite, READ), (DONE, NOT_FOUND), &[OfTheFormerStream], "accepts an iterator of an earlier stream of the same name", FORMER_ITERATOR),
    codes((Kinesalite, LIST), (DONE, INVALID), &[NumberlessShardId], "compares an invalid ExclusiveStartShardId as text", NO_SUCH_START),
    codes((Kinesalite, LIST), (DONE, INVALID), &[FilterMembers, TwoStarts], "ignores ShardFilter, also an invalid one", SHARD_FILTER),
    codes((Kinesalite, LIST), (DONE, VALIDATION), &[EmptyShardId, FilterType], "ignores ShardFilter, also an invalid one", SHARD_FILTER),
    codes((Kinesalite, LIST), (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes((Kinesalite, ITERATOR), (DONE, INVALID), &[StraySequence], "accepts AT_TIMESTAMP with a sequence number", SEQUENCE),
    codes((Kinesalite, RESHARD), (DONE, INVALID), &[ClosedShard], "splits and merges closed shards", (Fake, "SplitShard, MergeShards: InvalidArgumentException")),
    codes((Kinesalite, &["PutRecord", "PutRecords", "SplitShard"]), (DONE, VALIDATION), &[HashKeyPattern], "accepts hash keys with leading zeros", HASH_KEY),
    // Responses.
    known((Kinesalite, SUMMARY, "MaxRecordSizeInKiB"), |case| case.server().is_empty(), "omits the maximum record size", RECORD_SIZE),
    known((Kinesalite, ANY, "StreamMode"), |case| case.server().is_empty(), "has no StreamModeDetails", (Fake, "StreamDescription, StreamDescriptionSummary")),
    known((Kinesalite, DESCRIBE, "Shards"), |case| case.server_lists_more(), "ignores Limit", (Fake, "DescribeStream, Limit")),
    known((Kinesalite, DESCRIBE, "HasMoreShards"), |case| case.fake() == "true", "ignores Limit", (Fake, "DescribeStream, Limit")),
    known((Kinesalite, LIST, "Shards"), |case| case.server_lists_more() && (case.filters() || case.asks_for_a_page()), "ignores ShardFilter and MaxResults", SHARD_FILTER),
    known((Kinesalite, LIST, "NextToken"), |case| case.server().is_empty() && case.asks_for_a_page(), "ignores MaxResults", MAX_RESULTS),
    known((Kinesalite, LIST, "pages"), |case| case.server() == "1", "ignores MaxResults", MAX_RESULTS),
    known((Kinesalite, ANY, "StreamCreationTimestamp"), |case| case.server() == "before it happened", "returns a time that is some seconds early", (Either, "StreamDescription, StreamCreationTimestamp: the approximate time")),
    known((Kinesalite, READ, "Records[].ApproximateArrivalTimestamp"), |case| case.server() == "after it happened", "creates shards a second late, and dates their records no earlier", (Either, "Record, ApproximateArrivalTimestamp: the approximate time")),
    rare(known((Kinesalite, PUT, "SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "assigns lower numbers within a shard after a reshard", SEQUENCES)),
    rare(known((Kinesalite, PUT, "Records[].SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "assigns lower numbers within a shard after a reshard", SEQUENCES)),
    known((Kinesalite, READ, "ChildShards"), |case| case.server().is_empty(), "has no ChildShards", CHILD_SHARDS),
    known((Kinesalite, READ, "MillisBehindLatest"), |case| case.server() == "zero", "returns zero although there are more records", BEHIND),
    known((Kinesalite, READ, "MillisBehindLatest"), |case| case.fake() == "zero" && case.reads_closed(), "returns more than zero at the end of a closed shard", BEHIND),
    known((Kinesalite, READ, "NextShardIterator"), |case| case.reads_closed() && case.fake().is_empty(), "returns one more empty page at the end",
        (Either, "GetRecords, NextShardIterator: null when the shard has been closed and the iterator does not return any more data")),

    // moto: calls that both reject, with different codes.
    codes((Moto, ANY), (NOT_FOUND, INVALID), &[NoStream], "looks up a stream without a name", CODES),
    codes((Moto, ANY), (NOT_FOUND, VALIDATION), &[StreamName], "looks up a stream with an invalid name", CODES),
    codes((Moto, ITERATOR), (NOT_FOUND, VALIDATION), &[NoShardId, EmptyShardId], "looks up a shard without an id", CODES),
    codes((Moto, ITERATOR), (INVALID, VALIDATION), &[IteratorType], "InvalidArgumentException for an unknown type", CODES),
    codes((Moto, ITERATOR), (HTTP_500, INVALID), &[NoSequence], "fails without a sequence number", CODES),
    codes((Moto, ITERATOR), (HTTP_500, VALIDATION), &[SequencePattern], "fails on a sequence number without digits", CODES),
    codes((Moto, ITERATOR), (HTTP_500, INVALID), &[NoTimestamp], "fails without a timestamp on a shard that has records", CODES),
    codes((Moto, LIST), ("InvalidToken", INVALID), &[BesideToken], "rejects its own token without a stream name", CODES),
    codes((Moto, LIST), ("InvalidToken", NOT_FOUND), &[OfTheFormerStream], "rejects its own token without a stream name", CODES),
    codes((Moto, READ), (NOT_FOUND, VALIDATION), &[TooLow], "looks up an iterator that was requested by ARN before it checks Limit", CODES),
    rare(codes((Moto, READ), (NOT_FOUND, INVALID), &[TooHigh], "looks up an iterator that was requested by ARN before it checks Limit", CODES)),
    codes((Moto, READ), (HTTP_500, INVALID), &[GarbageIterator], "fails on an invalid iterator", CODES),
    codes((Moto, READ), (HTTP_500, VALIDATION), &[EmptyIterator, GarbageIterator, NoIterator], "fails on an invalid iterator, before it checks Limit", CODES),
    codes((Moto, LIST), (NOT_FOUND, INVALID), &[GarbageToken], "looks up an unknown token", CODES),
    codes((Moto, LIST), (NOT_FOUND, VALIDATION), &[EmptyToken], "looks up an empty token", CODES),
    codes((Moto, PUT), (INVALID, VALIDATION), &[PartitionKey], "InvalidArgumentException for a long key", CODES),
    codes((Moto, PUT), (HTTP_500, VALIDATION), &[HashKeyPattern], "fails on an invalid hash key", CODES),
    // Calls that it rejects and AWS accepts.
    rejects((Moto, PUT, HTTP_500), |case| case.puts_to_a_last_key(), "fails on the last hash key of a shard", (Fake, "PutRecord, PutRecords")),
    rejects((Moto, LIST, "InvalidToken"), |case| case.has_later_pages(), "rejects its own token without a stream name", (Fake, "ListShards, NextToken: not together with StreamName")),
    rejects((Moto, READ, NOT_FOUND), |case| case.reads_by_arn(), "does not find an iterator that was requested by ARN", (Fake, "GetShardIterator, StreamARN")),
    rare(rejects((Moto, UPDATE, INVALID), |case| case.has_a_narrow_shard(), "halves ranges in floating point, and fails on narrow ones", NO_UPDATE)),
    rare(codes((Moto, UPDATE), (INVALID, LIMIT), &[MoreThanDouble, LessThanHalf], "halves ranges in floating point, and fails on narrow ones", COUNTS)),
    // Calls that it accepts and AWS rejects.
    codes((Moto, READ), (DONE, NOT_FOUND), &[OfTheFormerStream], "accepts an iterator of an earlier stream of the same name", FORMER_ITERATOR),
    codes((Moto, DESCRIBE), (DONE, VALIDATION), &[TooLow, TooHigh], "accepts a Limit out of its range", (Fake, "DescribeStream, Limit: 1 to 10,000")),
    codes((Moto, LIST), (DONE, VALIDATION), &[TooLow, TooHigh], "accepts MaxResults out of its range", MAX_RESULTS),
    codes((Moto, LIST), (DONE, VALIDATION), &[EmptyShardId, FilterType], "ignores ShardFilter and ExclusiveStartShardId, also invalid ones", SHARD_FILTER),
    codes((Moto, LIST), (DONE, INVALID), &[NumberlessShardId], "ignores ExclusiveStartShardId, also an invalid one", NO_SUCH_START),
    codes((Moto, LIST), (DONE, INVALID), &[FilterMembers, TwoStarts], "ignores ShardFilter, also an invalid one", SHARD_FILTER),
    codes((Moto, LIST), (DONE, INVALID), &[BesideToken], "accepts a token with a stream name", MAX_RESULTS),
    codes((Moto, LIST), (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes((Moto, ITERATOR), (DONE, INVALID), &[Future], "accepts a timestamp in the future", FUTURE),
    codes((Moto, ITERATOR), (DONE, INVALID), &[NoTimestamp], "accepts AT_TIMESTAMP without a timestamp", (Fake, "GetShardIterator, Timestamp: required for AT_TIMESTAMP")),
    codes((Moto, ITERATOR), (DONE, INVALID), &[ForeignSequence, OfTheFormerStream, StraySequence], "accepts any sequence number, and with any type", SEQUENCE),
    codes((Moto, READ), (DONE, INVALID), &[TooHigh], "accepts a Limit above 10,000", (Fake, "GetRecords, Limit: at most 10,000")),
    codes((Moto, READ), (DONE, VALIDATION), &[TooLow], "accepts a Limit below 1", (Fake, "GetRecords, Limit: at least 1")),
    codes((Moto, PUT), (DONE, VALIDATION), &[PartitionKey, NoRecords], "accepts an empty key, and no records", (Fake, "PutRecords, Records: 1 to 500; PutRecord, PartitionKey: 1 to 256 characters")),
    codes((Moto, &["PutRecord", "PutRecords", "SplitShard"]), (DONE, VALIDATION), &[HashKeyPattern], "accepts hash keys with leading zeros", HASH_KEY),
    codes((Moto, MERGE), (DONE, INVALID), &[Itself], "merges a shard with itself", ADJACENT),
    codes((Moto, SPLIT), (DONE, INVALID), &[KeyAtStart], "accepts a split at the first or second hash key", START_KEY),
    codes((Moto, UPDATE), (DONE, INVALID), &[SameCount], "accepts an update to the same count", (Either, "UpdateShardCount: the same count is not mentioned; AWS rejects it")),
    rare(codes((Moto, UPDATE), (DONE, LIMIT), &[MoreThanDouble, LessThanHalf], "accepts more than double or less than half the count", COUNTS)),
    // Responses.
    known((Moto, SUMMARY, "MaxRecordSizeInKiB"), |case| case.server().is_empty(), "omits the maximum record size", RECORD_SIZE),
    known((Moto, ANY, "StreamMode"), |case| case.server().is_empty(), "omits the field", (Fake, "StreamDescription, StreamDescriptionSummary")),
    known((Moto, ANY, "ConsumerCount"), |case| case.server().is_empty(), "omits the field", (Either, "StreamDescriptionSummary: the field is not required")),
    known((Moto, ANY, "OpenShardCount"), |case| case.resharded(), "counts closed shards", (Fake, "StreamDescriptionSummary, OpenShardCount: the number of open shards")),
    known((Moto, DESCRIBE, "Shards"), |case| case.describes_after_a_shard(), "ignores ExclusiveStartShardId", (Fake, "DescribeStream, ExclusiveStartShardId")),
    known((Moto, DESCRIBE, "HasMoreShards"), |case| case.describes_after_a_shard(), "ignores ExclusiveStartShardId", (Fake, "DescribeStream, ExclusiveStartShardId")),
    known((Moto, LISTS, "Shards[].StartingSequenceNumber"), |case| case.server() != "its own" || case.fake() == "different from before", "0 for all, and 1 after the first record", SEQUENCES),
    known((Moto, LIST, "Shards"), |case| case.filters() || case.begins_after_a_shard(), "ignores ShardFilter and ExclusiveStartShardId", SHARD_FILTER),
    known((Moto, LIST, "NextToken"), |case| case.filters() || case.begins_after_a_shard(), "ignores ShardFilter and ExclusiveStartShardId", SHARD_FILTER),
    known((Moto, READ, "ChildShards"), |case| case.server().is_empty(), "has no ChildShards", CHILD_SHARDS),
    known((Moto, READ, "NextShardIterator"), |case| case.reads_closed() && case.fake().is_empty(), "returns a next iterator for a closed shard forever", (Fake, "GetRecords, NextShardIterator")),
    known((Moto, READ, "end"), |case| case.reads_closed() && case.server() == "none", "returns a next iterator for a closed shard forever", (Fake, "GetRecords, NextShardIterator")),
    known((Moto, READ, "MillisBehindLatest"), |case| case.server() == "zero" && case.ends_in_the_last_moment, "returns zero after a page whose last record has the arrival time of the shard's last", BEHIND),
    known((Moto, READ, "MillisBehindLatest"), |case| case.reads_resharded(), "writes to closed shards, and moves the records to the child in a merge", CLOSED),
    known((Moto, READ, "Records"), |case| case.reads_resharded(), "writes to closed shards, and moves the records to the child in a merge", CLOSED),
    known((Moto, READ, "Records"), |case| case.follows_rejected_put, "keeps some records of a PutRecords that it rejects", (Fake, "PutRecords: a rejected request writes nothing")),
    known((Moto, READ, "Records[].SequenceNumber"), |case| case.server() == "another" && case.reads_resharded(), "renumbers records in a reshard", SEQUENCES),
    known((Moto, READ, "Records[].ApproximateArrivalTimestamp"), |case| case.server() == "after it happened" && case.reads_resharded(), "sets new arrival times in a reshard", CLOSED),
    known((Moto, PUT, "SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "assigns lower numbers within a shard after a reshard", SEQUENCES),
    rare(known((Moto, PUT, "Records[].SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "assigns lower numbers within a shard after a reshard", SEQUENCES)),
    known((Moto, &["PutRecord"], "ShardId"), |case| case.server_names_a_closed_shard(), "writes to closed shards", CLOSED),
    known((Moto, &["PutRecords"], "Records[].ShardId"), |case| case.server_names_a_closed_shard(), "writes to closed shards", CLOSED),
    known((Moto, UPDATE, "StreamName"), |case| case.server().is_empty() && case.names_by_arn(), "omits the name if the request has the ARN", (Fake, "UpdateShardCount, response")),
    known((Moto, UPDATE, "StreamARN"), |case| case.server().is_empty(), "omits the ARN", (Fake, "UpdateShardCount, response")),
    known((Moto, UPDATE, "ParentsFirst"), |_| true, "scales by other splits and merges", OWN_WAY),
    known((Moto, UPDATE, "HashKeyRanges"), |case| case.is_uneven(), "leaves shards of different sizes", UNIFORM),
];

/// Returns the entry that a difference matches.
pub(crate) fn find(server: Kind, case: &Case<'_>) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        known.server == server
            && (known.operations.is_empty() || known.operations.contains(&case.call.operation()))
            && known.field == case.difference.field
            && known.values.is_none_or(|values| values == (case.server(), case.fake()))
            && (known.causes.is_empty()
                || known.causes.iter().any(|cause| case.causes.contains(cause)))
            && (known.when)(case)
    })
}

/// Returns whether the call would crash the server.
pub(crate) fn is_skipped(server: Kind, call: &Call) -> bool {
    match call {
        Call::ListShards(List { token: Some(Token::Garbage | Token::Empty), .. }) => {
            server == Kinesalite
        }
        Call::GetShardIterator { start, .. } => {
            let past = matches!(start.time, Some(Time::HourAgo | Time::WeekAgo | Time::Mark(_)));
            server == Kinesalite && past
        }
        // This server would merge without end.
        Call::UpdateShardCount { target: ..=0, .. } => server == Moto,
        _ => false,
    }
}

/// The number of seeds to run, besides those of [`more_seeds`].
pub(crate) const SEEDS: u64 = 50;

/// Returns seeds that meet the entries that the first ones do not. With `DIFFERENTIAL_SEEDS=1000`
/// and `--nocapture`, each entry is printed with some seeds that meet it.
pub(crate) fn more_seeds(server: Kind) -> &'static [u64] {
    match server {
        KinesisLocal => &[53, 58, 68, 101, 122, 132],
        Kinesalite => &[61, 76, 89, 158, 184],
        Moto => &[51, 67, 107, 181],
        _ => &[],
    }
}

/// The minimum number of calls of an operation that both sides carry out in a hundred scripts:
/// about half of the actual number.
const AT_LEAST: &[(&str, usize)] = &[
    ("CreateStream", 80),
    ("DecreaseStreamRetentionPeriod", 6),
    ("DeleteStream", 25),
    ("DescribeStream", 20),
    ("DescribeStreamSummary", 30),
    ("GetRecords", 300),
    ("GetShardIterator", 70),
    ("IncreaseStreamRetentionPeriod", 6),
    ("ListShards", 250),
    ("ListStreams", 60),
    ("MergeShards", 25),
    ("PutRecord", 130),
    ("PutRecords", 120),
    ("SplitShard", 45),
    ("UpdateShardCount", 4),
];

pub(crate) fn at_least(server: Kind) -> impl Iterator<Item = (&'static str, usize)> {
    let unknown = move |operation: &str| server == Kinesalite && UPDATE.contains(&operation);
    AT_LEAST.iter().copied().filter(move |(operation, _)| !unknown(operation))
}
