//! The differences between the fake and kinesis-local.

use aws_sdk_kinesis::types::ShardFilterType::{AfterShardId, AtTimestamp, AtTrimHorizon};

#[expect(clippy::enum_glob_use, reason = "the table names most causes")]
use crate::differential::cause::Cause::*;
use crate::differential::compare::DONE;
use crate::differential::table::entry::Right::{Either, Fake};
use crate::differential::table::entry::{
    ANY, Entry, HTTP_500, IN_USE, INVALID, ITERATOR, LIMIT, LIST, LISTS, MERGE, NOT_FOUND, PUT,
    READ, RESHARD, SERIALIZATION, SPLIT, SUMMARY, UPDATE, VALIDATION, codes, differs, rare,
};
use crate::differential::table::rules::{
    ADJACENT, BEHIND, CODES, COUNTS, CREATION, FORMER_ITERATOR, FORMER_TOKEN, FUTURE, MAX_RESULTS,
    NO_SUCH_START, OWN_WAY, RECORD_SIZE, SEQUENCE, SEQUENCES, SHARD_FILTER, START_KEY, UNIFORM,
};

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the methods take one lifetime, not all"
)]
pub(crate) static ENTRIES: &[Entry] = &[
    // Calls that both reject, with different codes.
    codes(
        ANY,
        (INVALID, VALIDATION),
        &[StreamName, EmptyShardId, SequencePattern, EmptyToken, PartitionKey, HashKeyPattern],
        "InvalidArgumentException for a text that breaks the API model",
        CODES,
    ),
    codes(
        &["DescribeStream", "GetRecords"],
        (INVALID, VALIDATION),
        &[TooLow, TooHigh],
        "InvalidArgumentException for a Limit out of its range",
        CODES,
    ),
    codes(
        LIST,
        (NOT_FOUND, VALIDATION),
        &[StreamName],
        "looks up a stream with an invalid name",
        CODES,
    ),
    codes(
        LIST,
        (SERIALIZATION, VALIDATION),
        &[FilterType],
        "cannot parse an unknown type of filter",
        CODES,
    ),
    codes(LIST, (HTTP_500, VALIDATION), &[TooLow], "fails on MaxResults below 1", CODES),
    codes(
        READ,
        (SERIALIZATION, VALIDATION),
        &[NoIterator],
        "cannot parse a request without its ShardIterator",
        CODES,
    ),
    codes(
        READ,
        (HTTP_500, VALIDATION),
        &[EmptyIterator, GarbageIterator],
        "fails on an invalid iterator, before it checks Limit",
        CODES,
    ),
    codes(READ, (HTTP_500, INVALID), &[GarbageIterator], "fails on an invalid iterator", CODES),
    codes(
        ITERATOR,
        (SERIALIZATION, VALIDATION),
        &[NoShardId, IteratorType],
        "cannot parse a request without its ShardId, or with an unknown type",
        CODES,
    ),
    codes(
        ITERATOR,
        (NOT_FOUND, INVALID),
        &[ForeignSequence],
        "ResourceNotFoundException for a sequence number of no record in the shard",
        CODES,
    ),
    codes(
        &["PutRecord", "PutRecords", "SplitShard"],
        (HTTP_500, VALIDATION),
        &[HashKeyPattern],
        "fails on a hash key without digits",
        CODES,
    ),
    codes(
        RESHARD,
        (IN_USE, INVALID),
        &[ClosedShard],
        "ResourceInUseException for a closed shard",
        CODES,
    ),
    codes(
        UPDATE,
        (INVALID, LIMIT),
        &[MoreThanDouble, LessThanHalf],
        "InvalidArgumentException beyond double or half the count",
        CODES,
    ),
    rare(codes(
        UPDATE,
        (INVALID, VALIDATION),
        &[TooLow],
        "InvalidArgumentException for a count below 1",
        CODES,
    )),
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
        (DONE, NOT_FOUND),
        &[OfTheFormerStream],
        "accepts a token of an earlier stream of the same name",
        FORMER_TOKEN,
    ),
    codes(ITERATOR, (DONE, INVALID), &[Future], "accepts a timestamp in the future", FUTURE),
    codes(
        ITERATOR,
        (DONE, INVALID),
        &[ForeignSequence, OfTheFormerStream],
        "accepts sequence numbers that no record of the shard can have",
        SEQUENCE,
    ),
    codes(
        ITERATOR,
        (DONE, INVALID),
        &[StraySequence],
        "accepts a sequence number with types that have none",
        SEQUENCE,
    ),
    codes(
        LIST,
        (DONE, INVALID),
        &[NumberlessShardId],
        "lists everything for an invalid ExclusiveStartShardId",
        NO_SUCH_START,
    ),
    codes(
        LIST,
        (DONE, INVALID),
        &[FilterMembers, TwoStarts],
        "accepts filters with members of other types, or without their own",
        SHARD_FILTER,
    ),
    codes(
        LIST,
        (DONE, VALIDATION),
        &[EmptyShardId],
        "accepts an empty ShardId in a filter",
        SHARD_FILTER,
    ),
    codes(LIST, (DONE, VALIDATION), &[TooHigh], "accepts MaxResults above 10,000", MAX_RESULTS),
    codes(LIST, (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes(
        PUT,
        (DONE, VALIDATION),
        &[NoRecords, TooManyRecords],
        "accepts more than 500 records, or none",
        (Fake, "PutRecords, Records: 1 to 500"),
    ),
    codes(MERGE, (DONE, INVALID), &[Itself], "merges a shard with itself", ADJACENT),
    codes(
        SPLIT,
        (DONE, INVALID),
        &[KeyAtStart],
        "accepts a split at the first or second hash key",
        START_KEY,
    ),
    codes(
        SPLIT,
        (DONE, INVALID),
        &[KeyOutside],
        "accepts a split at the last hash key",
        (Fake, "SplitShard, NewStartingHashKey: AWS wants less than the last hash key"),
    ),
    codes(
        UPDATE,
        (DONE, INVALID),
        &[SameCount],
        "accepts an update to the same count",
        (Either, "UpdateShardCount: the same count is not mentioned; AWS rejects it"),
    ),
    rare(codes(UPDATE, (DONE, VALIDATION), &[TooLow], "scales down to no shards", COUNTS)),
    // Responses.
    differs(
        (SUMMARY, "MaxRecordSizeInKiB"),
        |case| case.server().is_empty(),
        "omits the maximum record size",
        RECORD_SIZE,
    ),
    differs(
        (ANY, "EncryptionType"),
        |case| case.server() == "NONE",
        "returns NONE without encryption",
        (Either, "PutRecord, PutRecords: NONE is a valid value, and the field is not required"),
    ),
    differs(
        (READ, "Records[].EncryptionType"),
        |case| case.server() == "NONE",
        "returns NONE without encryption",
        (Either, "Record: NONE is a valid value, and the field is not required"),
    ),
    differs(
        (LISTS, "Shards[].HashKeyRange"),
        |case| case.is_rounded_differently(),
        "rounds hash key ranges differently",
        (
            Fake,
            "CreateStream and DescribeStream, examples: the second of two shards starts at 2^127",
        ),
    ),
    differs(
        (LISTS, "Shards[].EndingSequenceNumber"),
        |case| case.server() == "before its start",
        "returns 9223372036854775807 for every closed shard",
        SEQUENCES,
    ),
    differs(
        (LISTS, "Shards[].StartingSequenceNumber"),
        |case| case.server().starts_with("that of"),
        "gives children the number of a parent, or of each other",
        SEQUENCES,
    ),
    differs(
        (READ, "ChildShards[].ParentShards"),
        |case| case.is_in_another_order(),
        "returns them in the order of their ids",
        (Either, "ChildShard, ParentShards: the order is not mentioned"),
    ),
    differs(
        (READ, "MillisBehindLatest"),
        |case| case.server() == "zero" && case.ends_in_the_last_moment,
        "returns zero after a page whose last record has the arrival time of the shard's last",
        BEHIND,
    ),
    differs(
        (LIST, "Shards"),
        |case| case.server_lists_more() && case.filters_by(&AtTrimHorizon),
        "lists all shards for AT_TRIM_HORIZON",
        SHARD_FILTER,
    ),
    differs(
        (LIST, "Shards"),
        |case| {
            case.server_lists_more()
                && case.filters_by(&AtTimestamp)
                && case.filters_by_an_early_time()
        },
        "lists all shards for AT_TIMESTAMP with a time before the stream",
        SHARD_FILTER,
    ),
    differs(
        (LIST, "Shards"),
        |case| case.server_lists_more() && case.filters() && case.has_later_pages(),
        "ignores the filter after the first page",
        SHARD_FILTER,
    ),
    differs(
        (LIST, "Shards"),
        |case| case.server_lists_more() && case.filter().is_some() && case.begins_after_a_shard(),
        "ignores ExclusiveStartShardId beside a filter",
        SHARD_FILTER,
    ),
    differs(
        (LIST, "Shards"),
        |case| case.server_lists_more() && case.begins_after_no_shard(),
        "lists everything for an invalid ExclusiveStartShardId",
        NO_SUCH_START,
    ),
    differs(
        (LIST, "Shards"),
        |case| case.server_lists_more() && case.filters_by(&AfterShardId),
        "lists everything for an invalid AFTER_SHARD_ID",
        NO_SUCH_START,
    ),
    differs(
        (LIST, "Shards"),
        |case| case.filters_by_a_mark() && !case.whole_seconds,
        "truncates a timestamp to the whole second",
        (Fake, "ShardFilter, Timestamp: in milliseconds"),
    ),
    differs(
        (LIST, "NextToken"),
        |case| case.filters(),
        "continues past the filtered shards",
        SHARD_FILTER,
    ),
    differs(
        (LIST, "pages"),
        |case| case.filters(),
        "continues past the filtered shards",
        SHARD_FILTER,
    ),
    differs(
        (UPDATE, "StreamARN"),
        |case| case.server().is_empty(),
        "omits the ARN",
        (Fake, "UpdateShardCount, response"),
    ),
    differs((UPDATE, "ParentsFirst"), |_| true, "scales by other splits and merges", OWN_WAY),
    differs(
        (UPDATE, "HashKeyRanges"),
        |case| case.is_rounded_differently(),
        "rounds hash key ranges differently",
        UNIFORM,
    ),
    differs(
        (UPDATE, "HashKeyRanges"),
        |case| case.is_uneven(),
        "leaves shards of different sizes",
        UNIFORM,
    ),
];
