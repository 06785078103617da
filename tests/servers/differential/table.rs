//! The one table of differences between the fake and the other servers, and who is right.

use super::answer::ERROR;
use super::call::{Call, List, Time, Token};
use super::case::Case;
use super::cause::Cause;
#[expect(clippy::enum_glob_use, reason = "the table names most of them")]
use super::cause::Cause::*;
use super::compare::DONE;
use crate::kind::Kind::{self, Kinesalite, KinesisLocal, Moto};
use aws_sdk_kinesis::types::ShardFilterType::{AfterShardId, AtTimestamp, AtTrimHorizon};

/// Who is right according to AWS's documentation. There is no word for a server that is right where
/// the fake is wrong: then the fake is mended, and nothing is left to be excused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Fake,
    /// The documentation leaves it open.
    Either,
}
use Right::{Either, Fake};

pub(crate) struct Known {
    pub(crate) server: Kind,
    /// None: any.
    pub(crate) operations: &'static [&'static str],
    pub(crate) field: &'static str,
    /// What the server and the fake have in the field, if it is always the same.
    pub(crate) values: Option<(&'static str, &'static str)>,
    /// One of them is wrong with the call. Only for a reason may the fake refuse what another does.
    pub(crate) causes: &'static [Cause],
    pub(crate) when: fn(&Case<'_>) -> bool,
    /// What the server does.
    pub(crate) what: &'static str,
    pub(crate) right: Right,
    /// What AWS says, and where.
    pub(crate) rule: &'static str,
    /// It takes hundreds of scripts to meet it, or is a matter of the server's pace.
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

/// Both refuse it with these codes, or one of them does not.
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

/// The server refuses it for no reason that AWS has.
const fn refuses(
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

/// Rules that several entries go by.
const CODES: (Right, &str) = (
    Fake,
    "Common Errors: ValidationException for what fails a constraint; each operation's own for the rest",
);
const SHARD_FILTER: (Right, &str) = (Fake, "ListShards, ShardFilter");
const MAX_RESULTS: (Right, &str) = (Fake, "ListShards, MaxResults and NextToken");
const CREATION: (Right, &str) =
    (Fake, "ListShards, StreamCreationTimestamp: it tells streams of one name apart");
const NO_SUCH_START: (Right, &str) =
    (Either, "ListShards, ExclusiveStartShardId: an id that there never was is not spoken of");
const SEQUENCE: (Right, &str) = (
    Fake,
    "GetShardIterator, StartingSequenceNumber: used with AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER, that of a record in the shard",
);
const FUTURE: (Right, &str) =
    (Either, "GetShardIterator, Timestamp: the future is not spoken of; AWS refuses it");
const CHILD_SHARDS: (Right, &str) =
    (Fake, "GetRecords, ChildShards: returned when the end of the current shard is reached");
const BEHIND: (Right, &str) =
    (Fake, "GetRecords, MillisBehindLatest: zero is that there are no new records to process");
const OWN_WAY: (Right, &str) =
    (Either, "UpdateShardCount: which shards are split and merged is not said");
const UNIFORM: (Right, &str) =
    (Fake, "UpdateShardCount, ScalingType: UNIFORM_SCALING makes shards of equal size");
const HASH_KEY: (Right, &str) = (Fake, "HashKey: the pattern 0|([1-9]\\d{0,38})");
const START_KEY: (Right, &str) =
    (Fake, "SplitShard, NewStartingHashKey: AWS wants more than the first hash key plus one");
const ADJACENT: (Right, &str) = (
    Fake,
    "MergeShards, AdjacentShardToMerge: two shards whose ranges follow each other; AWS refuses the higher one as ShardToMerge",
);
const COUNTS: (Right, &str) = (Fake, "UpdateShardCount: not more than double, nor less than half");
const BY_ARN: (Right, &str) = (Fake, "StreamARN in each of these requests");
const NO_UPDATE: (Right, &str) = (Fake, "UpdateShardCount");
const CLOSED: (Right, &str) =
    (Fake, "SplitShard, MergeShards: a parent takes no more records, and keeps its own");
const FORMER_ITERATOR: (Right, &str) =
    (Either, "DeleteStream: the shards are gone; an iterator of one is not spoken of");
const FORMER_TOKEN: (Right, &str) =
    (Fake, "ListShards, NextToken: it unambiguously identifies the stream");
const RECORD_SIZE: (Right, &str) = (Fake, "StreamDescriptionSummary, MaxRecordSizeInKiB");
const SEQUENCES: (Right, &str) = (
    Fake,
    "SequenceNumberRange; Terminology: a sequence number is unique per partition key within its shard, and increases",
);

#[rustfmt::skip]
#[expect(clippy::redundant_closure_for_method_calls, reason = "the methods are of one lifetime, not of all")]
pub(crate) static KNOWN: &[Known] = &[
    // kinesis-local: what both refuse, with other codes.
    codes((KinesisLocal, ANY), (INVALID, VALIDATION), &[StreamName, EmptyShardId, SequencePattern, EmptyToken, PartitionKey, HashKeyPattern],
        "InvalidArgumentException for a text that the model refuses", CODES),
    codes((KinesisLocal, &["DescribeStream", "GetRecords"]), (INVALID, VALIDATION), &[TooLow, TooHigh], "InvalidArgumentException for a Limit out of its range", CODES),
    codes((KinesisLocal, LIST), (NOT_FOUND, VALIDATION), &[StreamName], "looks for a stream of a name that none can have", CODES),
    codes((KinesisLocal, LIST), (SERIALIZATION, VALIDATION), &[FilterType], "cannot read another type of filter", CODES),
    codes((KinesisLocal, LIST), (HTTP_500, VALIDATION), &[TooLow], "fails on MaxResults below 1", CODES),
    codes((KinesisLocal, READ), (SERIALIZATION, VALIDATION), &[NoIterator], "cannot read a request without its ShardIterator", CODES),
    codes((KinesisLocal, READ), (HTTP_500, VALIDATION), &[EmptyIterator, GarbageIterator], "fails on an iterator that is none, before it looks at Limit", CODES),
    codes((KinesisLocal, READ), (HTTP_500, INVALID), &[GarbageIterator], "fails on an iterator that is none", CODES),
    codes((KinesisLocal, ITERATOR), (SERIALIZATION, VALIDATION), &[NoShardId, IteratorType], "cannot read a request without its ShardId, or with another type", CODES),
    codes((KinesisLocal, ITERATOR), (NOT_FOUND, INVALID), &[ForeignSequence], "ResourceNotFoundException for a number that no record of the shard has", CODES),
    codes((KinesisLocal, &["PutRecord", "PutRecords", "SplitShard"]), (HTTP_500, VALIDATION), &[HashKeyPattern], "fails on a hash key without digits", CODES),
    codes((KinesisLocal, RESHARD), (IN_USE, INVALID), &[ClosedShard], "ResourceInUseException for a closed shard", CODES),
    codes((KinesisLocal, UPDATE), (INVALID, LIMIT), &[MoreThanDouble, LessThanHalf], "InvalidArgumentException beyond the double or the half", CODES),
    rare(codes((KinesisLocal, UPDATE), (INVALID, VALIDATION), &[TooLow], "InvalidArgumentException for a count below 1", CODES)),
    // What it takes, and AWS does not.
    codes((KinesisLocal, READ), (DONE, NOT_FOUND), &[OfTheFormerStream], "takes an iterator of a stream that had the same name before", FORMER_ITERATOR),
    codes((KinesisLocal, LIST), (DONE, NOT_FOUND), &[OfTheFormerStream], "takes a token of a stream that had the same name before", FORMER_TOKEN),
    codes((KinesisLocal, ITERATOR), (DONE, INVALID), &[Future], "takes a timestamp in the future", FUTURE),
    codes((KinesisLocal, ITERATOR), (DONE, INVALID), &[ForeignSequence, OfTheFormerStream], "takes sequence numbers that no record of the shard can have", SEQUENCE),
    codes((KinesisLocal, ITERATOR), (DONE, INVALID), &[StraySequence], "takes a sequence number beside types that have none", SEQUENCE),
    codes((KinesisLocal, LIST), (DONE, INVALID), &[NumberlessShardId], "an ExclusiveStartShardId that is none gives everything", NO_SUCH_START),
    codes((KinesisLocal, LIST), (DONE, INVALID), &[FilterMembers, TwoStarts], "takes filters with what belongs to others, or without their own", SHARD_FILTER),
    codes((KinesisLocal, LIST), (DONE, VALIDATION), &[EmptyShardId], "takes an empty ShardId in a filter", SHARD_FILTER),
    codes((KinesisLocal, LIST), (DONE, VALIDATION), &[TooHigh], "takes MaxResults above 10,000", MAX_RESULTS),
    codes((KinesisLocal, LIST), (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes((KinesisLocal, PUT), (DONE, VALIDATION), &[NoRecords, TooManyRecords], "takes more than 500 records, or none", (Fake, "PutRecords, Records: 1 to 500")),
    codes((KinesisLocal, MERGE), (DONE, INVALID), &[Itself], "merges a shard with itself", ADJACENT),
    codes((KinesisLocal, SPLIT), (DONE, INVALID), &[KeyAtStart], "splits off the first hash key alone, or nothing", START_KEY),
    codes((KinesisLocal, SPLIT), (DONE, INVALID), &[KeyOutside], "splits off the last hash key", (Fake, "SplitShard, NewStartingHashKey: AWS wants less than the last hash key")),
    codes((KinesisLocal, UPDATE), (DONE, INVALID), &[SameCount], "an update to the same count", (Either, "UpdateShardCount: the same count is not spoken of; AWS refuses it")),
    rare(codes((KinesisLocal, UPDATE), (DONE, VALIDATION), &[TooLow], "goes down to no shard", COUNTS)),
    // What it answers.
    known((KinesisLocal, SUMMARY, "MaxRecordSizeInKiB"), |case| case.server().is_empty(), "does not tell the greatest size of a record", RECORD_SIZE),
    known((KinesisLocal, ANY, "EncryptionType"), |case| case.server() == "NONE", "NONE for what is not encrypted",
        (Either, "PutRecord, PutRecords: NONE is a valid value, and the field is not required")),
    known((KinesisLocal, READ, "Records[].EncryptionType"), |case| case.server() == "NONE", "NONE for what is not encrypted",
        (Either, "Record: NONE is a valid value, and the field is not required")),
    known((KinesisLocal, LISTS, "Shards[].HashKeyRange"), |case| case.is_rounded_otherwise(), "rounds the parts of the hash key range otherwise",
        (Fake, "CreateStream and DescribeStream, examples: the second of two shards starts at 2^127")),
    known((KinesisLocal, LISTS, "Shards[].EndingSequenceNumber"), |case| case.server() == "before its start", "9223372036854775807 for all that are closed", SEQUENCES),
    known((KinesisLocal, LISTS, "Shards[].StartingSequenceNumber"), |case| case.server().starts_with("that of"), "children share the number of a parent, or of each other", SEQUENCES),
    known((KinesisLocal, READ, "ChildShards[].ParentShards"), |case| case.is_in_another_order(), "in the order of their ids",
        (Either, "ChildShard, ParentShards: the order is not said")),
    known((KinesisLocal, READ, "MillisBehindLatest"), |case| case.server() == "zero" && case.ends_in_the_last_moment, "zero after a page whose last record is of the same moment as the shard's last", BEHIND),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters_by(&AtTrimHorizon), "AT_TRIM_HORIZON gives all shards", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters_by(&AtTimestamp) && case.filters_by_an_early_time(), "AT_TIMESTAMP with a time before the stream gives all shards", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters() && case.has_later_pages(), "after the first page the filter is lost", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filter().is_some() && case.begins_after_a_shard(), "a filter wins over ExclusiveStartShardId", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.begins_after_no_shard(), "an ExclusiveStartShardId that is none gives everything", NO_SUCH_START),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters_by(&AfterShardId), "an AFTER_SHARD_ID that is none gives everything", NO_SUCH_START),
    known((KinesisLocal, LIST, "Shards"), |case| case.filters_by_a_mark() && !case.whole_seconds, "cuts a timestamp down to the whole second", (Fake, "ShardFilter, Timestamp: in milliseconds")),
    known((KinesisLocal, LIST, "NextToken"), |case| case.filters(), "goes on behind what the filter leaves", SHARD_FILTER),
    known((KinesisLocal, LIST, "pages"), |case| case.filters(), "goes on behind what the filter leaves", SHARD_FILTER),
    known((KinesisLocal, UPDATE, "StreamARN"), |case| case.server().is_empty(), "does not tell the ARN", (Fake, "UpdateShardCount, response")),
    known((KinesisLocal, UPDATE, "ParentsFirst"), |_| true, "gets to a shard count by other splits and merges", OWN_WAY),
    known((KinesisLocal, UPDATE, "HashKeyRanges"), |case| case.is_rounded_otherwise(), "rounds the parts of the hash key range otherwise", UNIFORM),
    known((KinesisLocal, UPDATE, "HashKeyRanges"), |case| case.is_uneven(), "leaves shards of several sizes", UNIFORM),

    // kinesalite: what both refuse, with other codes.
    codes((Kinesalite, ANY), (VALIDATION, INVALID), &[NoStream], "StreamName is required, as before there was StreamARN", BY_ARN),
    codes((Kinesalite, READ), (VALIDATION, INVALID), &[TooHigh], "ValidationException for a Limit above 10,000",
        (Fake, "GetRecords, Limit: above 10,000 it throws InvalidArgumentException")),
    codes((Kinesalite, RETENTION), (VALIDATION, INVALID), &[RetentionTooShort, RetentionTooLong], "ValidationException below 1 hour and above 168",
        (Fake, "RetentionPeriodHours: an integer without bounds in the API model; InvalidArgumentException")),
    codes((Kinesalite, ITERATOR), (INTERNAL, INVALID), &[ForeignSequence], "fails on short sequence numbers, as AWS did when it was written", CODES),
    codes((Kinesalite, &["PutRecord", "PutRecords", "SplitShard"]), (INVALID, VALIDATION), &[HashKeyPattern], "lets some hash keys pass the pattern that do not match it", HASH_KEY),
    codes((Kinesalite, UPDATE), (UNKNOWN, INVALID), &[SameCount], "UpdateShardCount is unknown to it", NO_UPDATE),
    codes((Kinesalite, UPDATE), (UNKNOWN, LIMIT), &[MoreThanDouble, LessThanHalf], "UpdateShardCount is unknown to it", NO_UPDATE),
    codes((Kinesalite, UPDATE), (UNKNOWN, NOT_FOUND), &[UnknownStream], "UpdateShardCount is unknown to it", NO_UPDATE),
    codes((Kinesalite, UPDATE), (UNKNOWN, VALIDATION), &[TooLow], "UpdateShardCount is unknown to it", NO_UPDATE),
    // What it refuses, and AWS does not.
    refuses((Kinesalite, UPDATE, UNKNOWN), |_| true, "UpdateShardCount is unknown to it", NO_UPDATE),
    refuses((Kinesalite, ANY, VALIDATION), |case| case.names_by_arn(), "knows no StreamARN", BY_ARN),
    refuses((Kinesalite, LIST, INVALID), |case| case.names_by_arn(), "knows no StreamARN", BY_ARN),
    // What it takes, and AWS does not.
    codes((Kinesalite, READ), (DONE, NOT_FOUND), &[OfTheFormerStream], "takes an iterator of a stream that had the same name before", FORMER_ITERATOR),
    codes((Kinesalite, LIST), (DONE, INVALID), &[NumberlessShardId], "an ExclusiveStartShardId that is none is taken by its place in the order", NO_SUCH_START),
    codes((Kinesalite, LIST), (DONE, INVALID), &[FilterMembers, TwoStarts], "ignores ShardFilter, a wrong one too", SHARD_FILTER),
    codes((Kinesalite, LIST), (DONE, VALIDATION), &[EmptyShardId, FilterType], "ignores ShardFilter, a wrong one too", SHARD_FILTER),
    codes((Kinesalite, LIST), (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes((Kinesalite, ITERATOR), (DONE, INVALID), &[StraySequence], "takes AT_TIMESTAMP with a sequence number", SEQUENCE),
    codes((Kinesalite, RESHARD), (DONE, INVALID), &[ClosedShard], "splits and merges closed shards", (Fake, "SplitShard, MergeShards: InvalidArgumentException")),
    codes((Kinesalite, &["PutRecord", "PutRecords", "SplitShard"]), (DONE, VALIDATION), &[HashKeyPattern], "takes hash keys with zeros before them", HASH_KEY),
    // What it answers.
    known((Kinesalite, SUMMARY, "MaxRecordSizeInKiB"), |case| case.server().is_empty(), "does not tell the greatest size of a record", RECORD_SIZE),
    known((Kinesalite, ANY, "StreamMode"), |case| case.server().is_empty(), "knows no StreamModeDetails", (Fake, "StreamDescription, StreamDescriptionSummary")),
    known((Kinesalite, DESCRIBE, "Shards"), |case| case.server_lists_more(), "ignores Limit", (Fake, "DescribeStream, Limit")),
    known((Kinesalite, DESCRIBE, "HasMoreShards"), |case| case.fake() == "true", "ignores Limit", (Fake, "DescribeStream, Limit")),
    known((Kinesalite, LIST, "Shards"), |case| case.server_lists_more() && (case.filters() || case.asks_for_a_page()), "ignores ShardFilter and MaxResults", SHARD_FILTER),
    known((Kinesalite, LIST, "NextToken"), |case| case.server().is_empty() && case.asks_for_a_page(), "ignores MaxResults", MAX_RESULTS),
    known((Kinesalite, LIST, "pages"), |case| case.server() == "1", "ignores MaxResults", MAX_RESULTS),
    known((Kinesalite, ANY, "StreamCreationTimestamp"), |case| case.server() == "before it happened", "some seconds early", (Either, "StreamDescription, StreamCreationTimestamp: the approximate time")),
    known((Kinesalite, READ, "Records[].ApproximateArrivalTimestamp"), |case| case.server() == "after it happened", "shards are made a second late, and their records are not older", (Either, "Record, ApproximateArrivalTimestamp: the approximate time")),
    rare(known((Kinesalite, PUT, "SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "numbers do not rise within a shard after a reshard", SEQUENCES)),
    rare(known((Kinesalite, PUT, "Records[].SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "numbers do not rise within a shard after a reshard", SEQUENCES)),
    known((Kinesalite, READ, "ChildShards"), |case| case.server().is_empty(), "knows no ChildShards", CHILD_SHARDS),
    known((Kinesalite, READ, "MillisBehindLatest"), |case| case.server() == "zero", "zero while there is more", BEHIND),
    known((Kinesalite, READ, "MillisBehindLatest"), |case| case.fake() == "zero" && case.reads_closed(), "more than zero at the end of a closed shard", BEHIND),
    known((Kinesalite, READ, "NextShardIterator"), |case| case.reads_closed() && case.fake().is_empty(), "one empty page more at the end",
        (Either, "GetRecords, NextShardIterator: null when the shard has been closed and the iterator does not return any more data")),

    // moto: what both refuse, with other codes.
    codes((Moto, ANY), (NOT_FOUND, INVALID), &[NoStream], "looks for a stream that is not named", CODES),
    codes((Moto, ANY), (NOT_FOUND, VALIDATION), &[StreamName], "looks for a stream of a name that none can have", CODES),
    codes((Moto, ITERATOR), (NOT_FOUND, VALIDATION), &[NoShardId, EmptyShardId], "looks for a shard without an id", CODES),
    codes((Moto, ITERATOR), (INVALID, VALIDATION), &[IteratorType], "InvalidArgumentException for another type", CODES),
    codes((Moto, ITERATOR), (HTTP_500, INVALID), &[NoSequence], "fails without a sequence number", CODES),
    codes((Moto, ITERATOR), (HTTP_500, VALIDATION), &[SequencePattern], "fails on a sequence number without digits", CODES),
    codes((Moto, ITERATOR), (HTTP_500, INVALID), &[NoTimestamp], "fails without a timestamp on a shard that has records", CODES),
    codes((Moto, LIST), ("InvalidToken", INVALID), &[BesideToken], "refuses its own token without a stream's name", CODES),
    codes((Moto, LIST), ("InvalidToken", NOT_FOUND), &[OfTheFormerStream], "refuses its own token without a stream's name", CODES),
    codes((Moto, READ), (NOT_FOUND, VALIDATION), &[TooLow], "looks for an iterator that was asked for by ARN, before it looks at Limit", CODES),
    rare(codes((Moto, READ), (NOT_FOUND, INVALID), &[TooHigh], "looks for an iterator that was asked for by ARN, before it looks at Limit", CODES)),
    codes((Moto, READ), (HTTP_500, INVALID), &[GarbageIterator], "fails on an iterator that is none", CODES),
    codes((Moto, READ), (HTTP_500, VALIDATION), &[EmptyIterator, GarbageIterator, NoIterator], "fails on an iterator that is none, before it looks at Limit", CODES),
    codes((Moto, LIST), (NOT_FOUND, INVALID), &[GarbageToken], "looks for a token it does not know", CODES),
    codes((Moto, LIST), (NOT_FOUND, VALIDATION), &[EmptyToken], "looks for an empty token", CODES),
    codes((Moto, PUT), (INVALID, VALIDATION), &[PartitionKey], "InvalidArgumentException for a long key", CODES),
    codes((Moto, PUT), (HTTP_500, VALIDATION), &[HashKeyPattern], "fails on a hash key that is none", CODES),
    // What it refuses, and AWS does not.
    refuses((Moto, PUT, HTTP_500), |case| case.puts_to_a_last_key(), "fails on the last hash key of a shard", (Fake, "PutRecord, PutRecords")),
    refuses((Moto, LIST, "InvalidToken"), |case| case.has_later_pages(), "refuses its own token without a stream's name", (Fake, "ListShards, NextToken: not together with StreamName")),
    refuses((Moto, READ, NOT_FOUND), |case| case.reads_by_arn(), "knows no iterator that was asked for by ARN", (Fake, "GetShardIterator, StreamARN")),
    rare(refuses((Moto, UPDATE, INVALID), |case| case.has_a_narrow_shard(), "halves in floating point, and fails where that is too coarse", NO_UPDATE)),
    rare(codes((Moto, UPDATE), (INVALID, LIMIT), &[MoreThanDouble, LessThanHalf], "halves in floating point, and fails where that is too coarse", COUNTS)),
    // What it takes, and AWS does not.
    codes((Moto, READ), (DONE, NOT_FOUND), &[OfTheFormerStream], "takes an iterator of a stream that had the same name before", FORMER_ITERATOR),
    codes((Moto, DESCRIBE), (DONE, VALIDATION), &[TooLow, TooHigh], "takes a Limit out of its range", (Fake, "DescribeStream, Limit: 1 to 10,000")),
    codes((Moto, LIST), (DONE, VALIDATION), &[TooLow, TooHigh], "takes MaxResults out of its range", MAX_RESULTS),
    codes((Moto, LIST), (DONE, VALIDATION), &[EmptyShardId, FilterType], "ignores ShardFilter and ExclusiveStartShardId, wrong ones too", SHARD_FILTER),
    codes((Moto, LIST), (DONE, INVALID), &[NumberlessShardId], "ignores ExclusiveStartShardId, a wrong one too", NO_SUCH_START),
    codes((Moto, LIST), (DONE, INVALID), &[FilterMembers, TwoStarts], "ignores ShardFilter, a wrong one too", SHARD_FILTER),
    codes((Moto, LIST), (DONE, INVALID), &[BesideToken], "takes a token beside a name", MAX_RESULTS),
    codes((Moto, LIST), (DONE, NOT_FOUND), &[OtherCreation], "ignores StreamCreationTimestamp", CREATION),
    codes((Moto, ITERATOR), (DONE, INVALID), &[Future], "takes a timestamp in the future", FUTURE),
    codes((Moto, ITERATOR), (DONE, INVALID), &[NoTimestamp], "takes AT_TIMESTAMP without a timestamp", (Fake, "GetShardIterator, Timestamp: required for AT_TIMESTAMP")),
    codes((Moto, ITERATOR), (DONE, INVALID), &[ForeignSequence, OfTheFormerStream, StraySequence], "takes any sequence number, and beside any type", SEQUENCE),
    codes((Moto, READ), (DONE, INVALID), &[TooHigh], "takes a Limit above 10,000", (Fake, "GetRecords, Limit: at most 10,000")),
    codes((Moto, READ), (DONE, VALIDATION), &[TooLow], "takes a Limit below 1", (Fake, "GetRecords, Limit: at least 1")),
    codes((Moto, PUT), (DONE, VALIDATION), &[PartitionKey, NoRecords], "takes an empty key, and no records", (Fake, "PutRecords, Records: 1 to 500; PutRecord, PartitionKey: 1 to 256 characters")),
    codes((Moto, &["PutRecord", "PutRecords", "SplitShard"]), (DONE, VALIDATION), &[HashKeyPattern], "takes hash keys with zeros before them", HASH_KEY),
    codes((Moto, MERGE), (DONE, INVALID), &[Itself], "merges a shard with itself", ADJACENT),
    codes((Moto, SPLIT), (DONE, INVALID), &[KeyAtStart], "splits off the first hash key alone", START_KEY),
    codes((Moto, UPDATE), (DONE, INVALID), &[SameCount], "an update to the same count", (Either, "UpdateShardCount: the same count is not spoken of; AWS refuses it")),
    rare(codes((Moto, UPDATE), (DONE, LIMIT), &[MoreThanDouble, LessThanHalf], "goes beyond the double, or below the half", COUNTS)),
    // What it answers.
    known((Moto, SUMMARY, "MaxRecordSizeInKiB"), |case| case.server().is_empty(), "does not tell the greatest size of a record", RECORD_SIZE),
    known((Moto, ANY, "StreamMode"), |case| case.server().is_empty(), "does not tell it", (Fake, "StreamDescription, StreamDescriptionSummary")),
    known((Moto, ANY, "ConsumerCount"), |case| case.server().is_empty(), "does not tell it", (Either, "StreamDescriptionSummary: the field is not required")),
    known((Moto, ANY, "OpenShardCount"), |case| case.resharded(), "counts closed shards", (Fake, "StreamDescriptionSummary, OpenShardCount: the number of open shards")),
    known((Moto, DESCRIBE, "Shards"), |case| case.describes_after_a_shard(), "ignores ExclusiveStartShardId", (Fake, "DescribeStream, ExclusiveStartShardId")),
    known((Moto, DESCRIBE, "HasMoreShards"), |case| case.describes_after_a_shard(), "ignores ExclusiveStartShardId", (Fake, "DescribeStream, ExclusiveStartShardId")),
    known((Moto, LISTS, "Shards[].StartingSequenceNumber"), |case| case.server() != "its own" || case.fake() == "another than before", "0 for all, and 1 after the first record", SEQUENCES),
    known((Moto, LIST, "Shards"), |case| case.filters() || case.begins_after_a_shard(), "ignores ShardFilter and ExclusiveStartShardId", SHARD_FILTER),
    known((Moto, LIST, "NextToken"), |case| case.filters() || case.begins_after_a_shard(), "ignores ShardFilter and ExclusiveStartShardId", SHARD_FILTER),
    known((Moto, READ, "ChildShards"), |case| case.server().is_empty(), "knows no ChildShards", CHILD_SHARDS),
    known((Moto, READ, "NextShardIterator"), |case| case.reads_closed() && case.fake().is_empty(), "a closed shard never ends", (Fake, "GetRecords, NextShardIterator")),
    known((Moto, READ, "end"), |case| case.reads_closed() && case.server() == "none", "a closed shard never ends", (Fake, "GetRecords, NextShardIterator")),
    known((Moto, READ, "MillisBehindLatest"), |case| case.server() == "zero" && case.ends_in_the_last_moment, "zero after a page whose last record is of the same moment as the shard's last", BEHIND),
    known((Moto, READ, "MillisBehindLatest"), |case| case.reads_resharded(), "writes go to closed shards, and a merge moves the records to the child", CLOSED),
    known((Moto, READ, "Records"), |case| case.reads_resharded(), "writes go to closed shards, and a merge moves the records to the child", CLOSED),
    known((Moto, READ, "Records"), |case| case.follows_a_refused_put, "keeps some records of a PutRecords that it refuses", (Fake, "PutRecords: a request that is refused puts nothing")),
    known((Moto, READ, "Records[].SequenceNumber"), |case| case.server() == "another" && case.reads_resharded(), "numbers that records get anew in a reshard", SEQUENCES),
    known((Moto, READ, "Records[].ApproximateArrivalTimestamp"), |case| case.server() == "after it happened" && case.reads_resharded(), "times that records get anew in a reshard", CLOSED),
    known((Moto, PUT, "SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "numbers do not rise within a shard after a reshard", SEQUENCES),
    rare(known((Moto, PUT, "Records[].SequenceNumber"), |case| case.server().starts_with("not above") && case.resharded(), "numbers do not rise within a shard after a reshard", SEQUENCES)),
    known((Moto, &["PutRecord"], "ShardId"), |case| case.server_names_a_closed_shard(), "writes go to closed shards", CLOSED),
    known((Moto, &["PutRecords"], "Records[].ShardId"), |case| case.server_names_a_closed_shard(), "writes go to closed shards", CLOSED),
    known((Moto, UPDATE, "StreamName"), |case| case.server().is_empty() && case.names_by_arn(), "does not tell the name if asked by ARN", (Fake, "UpdateShardCount, response")),
    known((Moto, UPDATE, "StreamARN"), |case| case.server().is_empty(), "does not tell the ARN", (Fake, "UpdateShardCount, response")),
    known((Moto, UPDATE, "ParentsFirst"), |_| true, "gets to a shard count by other splits and merges", OWN_WAY),
    known((Moto, UPDATE, "HashKeyRanges"), |case| case.is_uneven(), "leaves shards of several sizes", UNIFORM),
];

/// The entry that a difference falls under.
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

/// What a server does not live through.
pub(crate) fn is_not_asked(server: Kind, call: &Call) -> bool {
    match call {
        Call::ListShards(List { token: Some(Token::Garbage | Token::Empty), .. }) => {
            server == Kinesalite
        }
        Call::GetShardIterator { start, .. } => {
            let past = matches!(start.time, Some(Time::HourAgo | Time::WeekAgo | Time::Mark(_)));
            server == Kinesalite && past
        }
        // It merges for ever.
        Call::UpdateShardCount { target: ..=0, .. } => server == Moto,
        _ => false,
    }
}

/// So many seeds run, and those of [`more_seeds`].
pub(crate) const SEEDS: u64 = 50;

/// Seeds that meet the entries which the first ones do not: with `DIFFERENTIAL_SEEDS=1000` and
/// `--nocapture`, each entry is printed with some that meet it.
pub(crate) fn more_seeds(server: Kind) -> &'static [u64] {
    match server {
        KinesisLocal => &[53, 58, 68, 101, 122, 132],
        Kinesalite => &[61, 76, 89, 158, 184],
        Moto => &[51, 67, 107, 181],
        _ => &[],
    }
}

/// How many calls of an operation both sides carry out in a hundred scripts, at the least: about
/// half of what they do.
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
