//! The differences between the fake and kinesalite.

#[expect(clippy::enum_glob_use, reason = "the table names most causes")]
use crate::differential::cause::Cause::*;
use crate::differential::compare::DONE;
use crate::differential::table::entry::Right::{Either, Fake};
use crate::differential::table::entry::{
    ANY, DESCRIBE, Entry, INTERNAL, INVALID, ITERATOR, LIMIT, LIST, NOT_FOUND, PUT, READ, RESHARD,
    RETENTION, SUMMARY, UNKNOWN, UPDATE, VALIDATION, codes, differs, rare, rejects,
};
use crate::differential::table::rules::{
    BEHIND, BY_ARN, CHILD_SHARDS, CODES, CREATION, FORMER_ITERATOR, HASH_KEY, MAX_RESULTS,
    NO_SUCH_START, NO_UPDATE, RECORD_SIZE, SEQUENCE, SEQUENCES, SHARD_FILTER,
};

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the methods take one lifetime, not all"
)]
pub(crate) static ENTRIES: &[Entry] = &[
    // Calls that both reject, with different codes.
    codes(ANY, (VALIDATION, INVALID), &[NoStream], "requires StreamName", BY_ARN),
    codes(
        READ,
        (VALIDATION, INVALID),
        &[TooHigh],
        "ValidationException for a Limit above 10,000",
        (Fake, "GetRecords, Limit: above 10,000 it throws InvalidArgumentException"),
    ),
    codes(
        RETENTION,
        (VALIDATION, INVALID),
        &[RetentionTooShort, RetentionTooLong],
        "ValidationException below 1 hour and above 168",
        (
            Fake,
            "RetentionPeriodHours: an integer without bounds in the API model; \
             InvalidArgumentException",
        ),
    ),
    codes(
        ITERATOR,
        (INTERNAL, INVALID),
        &[ForeignSequence],
        "fails on short sequence numbers, as AWS once did",
        CODES,
    ),
    codes(
        &["PutRecord", "PutRecords", "SplitShard"],
        (INVALID, VALIDATION),
        &[HashKeyPattern],
        "accepts some hash keys that do not match the pattern",
        HASH_KEY,
    ),
    codes(UPDATE, (UNKNOWN, INVALID), &[SameCount], "has no UpdateShardCount", NO_UPDATE),
    codes(
        UPDATE,
        (UNKNOWN, LIMIT),
        &[MoreThanDouble, LessThanHalf],
        "has no UpdateShardCount",
        NO_UPDATE,
    ),
    codes(UPDATE, (UNKNOWN, NOT_FOUND), &[UnknownStream], "has no UpdateShardCount", NO_UPDATE),
    codes(UPDATE, (UNKNOWN, VALIDATION), &[TooLow], "has no UpdateShardCount", NO_UPDATE),
    // Calls that it rejects and AWS accepts.
    rejects((UPDATE, UNKNOWN), |_| true, "has no UpdateShardCount", NO_UPDATE),
    rejects((ANY, VALIDATION), |case| case.names_by_arn(), "has no StreamARN", BY_ARN),
    rejects((LIST, INVALID), |case| case.names_by_arn(), "has no StreamARN", BY_ARN),
    // Calls that it accepts and AWS rejects.
    codes(
        READ,
        (DONE, NOT_FOUND),
        &[OfTheFormerStream],
        "accepts an iterator of an earlier stream of the same name",
        FORMER_ITERATOR,
    ),
    codes(
        LIST,
        (DONE, INVALID),
        &[NumberlessShardId],
        "compares an invalid ExclusiveStartShardId as text",
        NO_SUCH_START,
    ),
    codes(
        LIST,
        (DONE, INVALID),
        &[FilterMembers, TwoStarts],
        "ignores ShardFilter, also an invalid one",
        SHARD_FILTER,
    ),
    codes(
        LIST,
        (DONE, VALIDATION),
        &[EmptyShardId, FilterType],
        "ignores ShardFilter, also an invalid one",
        SHARD_FILTER,
    ),
    codes(LIST, (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes(
        ITERATOR,
        (DONE, INVALID),
        &[StraySequence],
        "accepts AT_TIMESTAMP with a sequence number",
        SEQUENCE,
    ),
    codes(
        RESHARD,
        (DONE, INVALID),
        &[ClosedShard],
        "splits and merges closed shards",
        (Fake, "SplitShard, MergeShards: InvalidArgumentException"),
    ),
    codes(
        &["PutRecord", "PutRecords", "SplitShard"],
        (DONE, VALIDATION),
        &[HashKeyPattern],
        "accepts hash keys with leading zeros",
        HASH_KEY,
    ),
    // Responses.
    differs(
        (SUMMARY, "MaxRecordSizeInKiB"),
        |case| case.server().is_empty(),
        "omits the maximum record size",
        RECORD_SIZE,
    ),
    differs(
        (ANY, "StreamMode"),
        |case| case.server().is_empty(),
        "has no StreamModeDetails",
        (Fake, "StreamDescription, StreamDescriptionSummary"),
    ),
    differs(
        (DESCRIBE, "Shards"),
        |case| case.server_lists_more(),
        "ignores Limit",
        (Fake, "DescribeStream, Limit"),
    ),
    differs(
        (DESCRIBE, "HasMoreShards"),
        |case| case.fake() == "true",
        "ignores Limit",
        (Fake, "DescribeStream, Limit"),
    ),
    differs(
        (LIST, "Shards"),
        |case| case.server_lists_more() && (case.filters() || case.asks_for_a_page()),
        "ignores ShardFilter and MaxResults",
        SHARD_FILTER,
    ),
    differs(
        (LIST, "NextToken"),
        |case| case.server().is_empty() && case.asks_for_a_page(),
        "ignores MaxResults",
        MAX_RESULTS,
    ),
    differs((LIST, "pages"), |case| case.server() == "1", "ignores MaxResults", MAX_RESULTS),
    differs(
        (ANY, "StreamCreationTimestamp"),
        |case| case.server() == "before it happened",
        "returns a time that is some seconds early",
        (Either, "StreamDescription, StreamCreationTimestamp: the approximate time"),
    ),
    differs(
        (READ, "Records[].ApproximateArrivalTimestamp"),
        |case| case.server() == "after it happened",
        "creates shards a second late, and dates their records no earlier",
        (Either, "Record, ApproximateArrivalTimestamp: the approximate time"),
    ),
    rare(differs(
        (PUT, "SequenceNumber"),
        |case| case.server().starts_with("not above") && case.resharded(),
        "assigns lower numbers within a shard after a reshard",
        SEQUENCES,
    )),
    rare(differs(
        (PUT, "Records[].SequenceNumber"),
        |case| case.server().starts_with("not above") && case.resharded(),
        "assigns lower numbers within a shard after a reshard",
        SEQUENCES,
    )),
    differs(
        (READ, "ChildShards"),
        |case| case.server().is_empty(),
        "has no ChildShards",
        CHILD_SHARDS,
    ),
    differs(
        (READ, "MillisBehindLatest"),
        |case| case.server() == "zero",
        "returns zero although there are more records",
        BEHIND,
    ),
    differs(
        (READ, "MillisBehindLatest"),
        |case| case.fake() == "zero" && case.reads_closed(),
        "returns more than zero at the end of a closed shard",
        BEHIND,
    ),
    differs(
        (READ, "NextShardIterator"),
        |case| case.reads_closed() && case.fake().is_empty(),
        "returns one more empty page at the end",
        (
            Either,
            "GetRecords, NextShardIterator: null when the shard has been closed and the iterator \
             does not return any more data",
        ),
    ),
];
