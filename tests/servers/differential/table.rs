//! The one table of differences between the fake and the other servers, and who is right.

use super::call::{Call, List, Time, Token};
use super::case::Case;
use crate::kind::Kind::{self, Kinesalite, KinesisLocal, Moto};

/// Who is right according to AWS's documentation.
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
    pub(crate) when: fn(&Case<'_>) -> bool,
    /// What the server does.
    pub(crate) what: &'static str,
    pub(crate) right: Right,
    /// What AWS says, and where.
    pub(crate) rule: &'static str,
}

const fn known(
    (server, operations, field): (Kind, &'static [&'static str], &'static str),
    when: fn(&Case<'_>) -> bool,
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Known {
    Known { server, operations, field, when, what, right, rule }
}

const ANY: &[&str] = &[];
const READ: &[&str] = &["GetRecords"];
const ITERATOR: &[&str] = &["GetShardIterator"];
const LIST: &[&str] = &["ListShards"];
const DESCRIBE: &[&str] = &["DescribeStream"];
const LISTS: &[&str] = &["DescribeStream", "ListShards"];
const PUT: &[&str] = &["PutRecord", "PutRecords"];
const MERGE: &[&str] = &["MergeShards"];
const SPLIT: &[&str] = &["SplitShard"];
const UPDATE: &[&str] = &["UpdateShardCount"];

/// Rules that several entries go by.
const CODES: (Right, &str) = (
    Fake,
    "Common Errors: ValidationException for what fails a constraint; each operation's own for the rest",
);
const SHARD_FILTER: (Right, &str) = (Fake, "ListShards, ShardFilter");
const MAX_RESULTS: (Right, &str) = (Fake, "ListShards, MaxResults and NextToken");
const CHILD_SHARDS: (Right, &str) =
    (Fake, "GetRecords, ChildShards: returned when the end of the current shard is reached");
const OWN_WAY: (Right, &str) = (Either, "UpdateShardCount: which shards are split and merged is not said");
const SEQUENCES: (Right, &str) = (
    Fake,
    "SequenceNumberRange; Terminology: a sequence number is unique per partition key within its shard, and increases",
);

#[rustfmt::skip]
#[expect(clippy::redundant_closure_for_method_calls, reason = "the methods are of one lifetime, not of all")]
pub(crate) static KNOWN: &[Known] = &[
    // A server with its own way through an update has other shards from there on.
    known((KinesisLocal, LIST, "*"), |case| case.follows_an_update, "gets to a shard count by other splits and merges", OWN_WAY),
    known((Moto, LIST, "*"), |case| case.follows_an_update, "gets to a shard count by other splits and merges", OWN_WAY),

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
    known((KinesisLocal, READ, "MillisBehindLatest"), |case| case.server() == "zero", "zero after a page whose records are of the same moment as the last one",
        (Fake, "GetRecords, MillisBehindLatest: zero is that there are no new records to process")),
    known((KinesisLocal, ANY, "error"), |case| case.is_refused_by_both(), "other codes", CODES),
    known((KinesisLocal, ITERATOR, "error"), |case| case.is_refused_by_the_fake() && case.starts_at(Time::InAnHour), "takes a timestamp in the future",
        (Either, "GetShardIterator, Timestamp: the future is not spoken of; AWS refuses it")),
    known((KinesisLocal, LIST, "error"), |case| case.is_refused_by_the_fake() && case.begins_after_no_shard(), "an ExclusiveStartShardId that is none gives everything",
        (Either, "ListShards, ExclusiveStartShardId: an id that there never was is not spoken of")),
    known((KinesisLocal, LIST, "error"), |case| case.is_refused_by_the_fake() && case.names_another_creation(), "ignores StreamCreationTimestamp",
        (Fake, "ListShards, StreamCreationTimestamp: it tells streams of one name apart")),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.filters(), "AT_TRIM_HORIZON and a timestamp before the stream give all shards; after the first page all filters are lost", SHARD_FILTER),
    known((KinesisLocal, LIST, "Shards"), |case| case.server_lists_more() && case.begins_after_no_shard(), "an ExclusiveStartShardId that is none gives everything",
        (Either, "ListShards, ExclusiveStartShardId: an id that there never was is not spoken of")),
    known((KinesisLocal, LIST, "error"), |case| case.is_refused_by_the_fake() && case.filters(), "takes wrong filters", SHARD_FILTER),
    known((KinesisLocal, LIST, "error"), |case| case.is_refused_by_the_fake() && case.asks_for_a_page(), "takes MaxResults above 10,000", MAX_RESULTS),
    known((KinesisLocal, LIST, "Shards"), |case| case.filters_by_time(), "cuts a timestamp down to the whole second", (Fake, "ShardFilter, Timestamp")),
    known((KinesisLocal, ITERATOR, "error"), |case| case.is_refused_by_the_fake() && case.starts_at_a_sequence(), "takes sequence numbers that no record can have, and beside types that have none",
        (Fake, "GetShardIterator, StartingSequenceNumber: used with AT_SEQUENCE_NUMBER and AFTER_SEQUENCE_NUMBER, that of a record")),
    known((KinesisLocal, LIST, "NextToken"), |case| case.filters(), "goes on behind what the filter leaves", SHARD_FILTER),
    known((KinesisLocal, LIST, "pages"), |case| case.filters(), "goes on behind what the filter leaves", SHARD_FILTER),
    known((KinesisLocal, PUT, "error"), |case| case.is_refused_by_the_fake(), "takes more than 500 records, or no data, or a long key",
        (Fake, "PutRecords, Records: at most 500; PutRecord, PartitionKey: at most 256 characters")),
    known((KinesisLocal, MERGE, "error"), |case| case.is_refused_by_the_fake(), "merges a shard with itself", (Fake, "MergeShards, AdjacentShardToMerge: the adjacent shard")),
    known((KinesisLocal, SPLIT, "error"), |case| case.is_refused_by_the_fake(), "splits off the first hash key alone",
        (Fake, "SplitShard, NewStartingHashKey: AWS wants more than the first hash key plus one")),
    known((KinesisLocal, UPDATE, "StreamARN"), |case| case.server().is_empty(), "does not tell the ARN", (Fake, "UpdateShardCount, response")),
    known((KinesisLocal, UPDATE, "error"), |case| case.is_refused_by_the_fake(), "goes beyond the double, or below the half",
        (Fake, "UpdateShardCount: not more than double, nor less than half")),

    known((Kinesalite, ANY, "error"), |case| case.is_refused_by_both(), "other codes; UpdateShardCount is unknown to it", CODES),
    known((Kinesalite, ANY, "error"), |case| case.fake() == "no error" && case.names_by_arn(), "knows no StreamARN",
        (Fake, "StreamARN in each of these requests")),
    known((Kinesalite, UPDATE, "error"), |case| case.server() == "UnknownOperationException", "UpdateShardCount is unknown to it", (Fake, "UpdateShardCount")),
    known((Kinesalite, ANY, "StreamMode"), |case| case.server().is_empty(), "knows no StreamModeDetails", (Fake, "StreamDescription, StreamDescriptionSummary")),
    known((Kinesalite, DESCRIBE, "Shards"), |case| case.server_lists_more(), "ignores Limit", (Fake, "DescribeStream, Limit")),
    known((Kinesalite, DESCRIBE, "HasMoreShards"), |case| case.fake() == "true", "ignores Limit", (Fake, "DescribeStream, Limit")),
    known((Kinesalite, LIST, "Shards"), |case| case.server_lists_more() && (case.filters() || case.asks_for_a_page()), "ignores ShardFilter and MaxResults", SHARD_FILTER),
    known((Kinesalite, LIST, "NextToken"), |case| case.server().is_empty(), "ignores MaxResults", MAX_RESULTS),
    known((Kinesalite, LIST, "pages"), |case| case.server() == "1", "ignores MaxResults", MAX_RESULTS),
    known((Kinesalite, LIST, "error"), |case| case.is_refused_by_the_fake() && case.begins_after_no_shard(), "an ExclusiveStartShardId that is none is taken by its place in the order",
        (Either, "ListShards, ExclusiveStartShardId: an id that there never was is not spoken of")),
    known((Kinesalite, LIST, "error"), |case| case.is_refused_by_the_fake() && case.names_another_creation(), "ignores StreamCreationTimestamp",
        (Fake, "ListShards, StreamCreationTimestamp: it tells streams of one name apart")),
    known((Kinesalite, LIST, "error"), |case| case.is_refused_by_the_fake() && case.filters(), "ignores ShardFilter, a wrong one too", SHARD_FILTER),
    known((Kinesalite, &["MergeShards", "SplitShard"], "error"), |case| case.is_refused_by_the_fake(), "splits and merges closed shards; takes hash keys with zeros before them",
        (Fake, "SplitShard, MergeShards: InvalidArgumentException; NewStartingHashKey: the pattern")),
    known((Kinesalite, PUT, "SequenceNumber"), |case| case.server().starts_with("not above"), "numbers do not rise within a shard after a reshard", SEQUENCES),
    known((Kinesalite, PUT, "Records[].SequenceNumber"), |case| case.server().starts_with("not above"), "numbers do not rise within a shard after a reshard", SEQUENCES),
    known((Kinesalite, PUT, "error"), |case| case.is_refused_by_the_fake(), "takes hash keys with zeros before them", (Fake, "PutRecord, ExplicitHashKey: the pattern")),
    known((Kinesalite, READ, "ChildShards"), |case| case.server().is_empty(), "knows no ChildShards", CHILD_SHARDS),
    known((Kinesalite, READ, "MillisBehindLatest"), |_| true, "zero while there is more, and more than zero at the end of a closed shard",
        (Fake, "GetRecords, MillisBehindLatest: zero is that there are no new records to process")),
    known((Kinesalite, READ, "NextShardIterator"), |case| case.reads_closed() && case.fake().is_empty(), "one empty page more at the end",
        (Either, "GetRecords, NextShardIterator: null when the shard has been closed and the iterator does not return any more data")),
    known((Kinesalite, ITERATOR, "error"), |case| case.is_refused_by_the_fake() && case.lacks_its_time(), "AT_TIMESTAMP with a sequence number and no timestamp",
        (Fake, "GetShardIterator, Timestamp: required for AT_TIMESTAMP")),

    known((Moto, ANY, "error"), |case| case.is_refused_by_both(), "other codes, or HTTP 500", CODES),
    known((Moto, PUT, "error"), |case| case.server() == "unreadable (HTTP 500)", "fails on a hash key at the border of two shards", (Fake, "PutRecord, PutRecords")),
    known((Moto, ANY, "StreamMode"), |case| case.server().is_empty(), "does not tell it", (Fake, "StreamDescription, StreamDescriptionSummary")),
    known((Moto, ANY, "ConsumerCount"), |case| case.server().is_empty(), "does not tell it", (Either, "StreamDescriptionSummary: the field is not required")),
    known((Moto, ANY, "OpenShardCount"), |case| case.resharded(), "counts closed shards", (Fake, "StreamDescriptionSummary, OpenShardCount: the number of open shards")),
    known((Moto, DESCRIBE, "Shards"), |_| true, "ignores ExclusiveStartShardId", (Fake, "DescribeStream, ExclusiveStartShardId")),
    known((Moto, DESCRIBE, "HasMoreShards"), |_| true, "ignores ExclusiveStartShardId", (Fake, "DescribeStream, ExclusiveStartShardId")),
    known((Moto, DESCRIBE, "error"), |case| case.is_refused_by_the_fake(), "takes a negative Limit", (Fake, "DescribeStream, Limit: at least 1")),
    known((Moto, LISTS, "Shards[].StartingSequenceNumber"), |_| true, "0 for all, and 1 after the first record", SEQUENCES),
    known((Moto, LIST, "Shards"), |case| case.filters() || case.begins_after_a_shard() || case.is_a_later_page(), "ignores ShardFilter and ExclusiveStartShardId", SHARD_FILTER),
    known((Moto, LIST, "NextToken"), |case| case.filters() || case.begins_after_a_shard() || case.is_a_later_page(), "ignores ShardFilter and ExclusiveStartShardId", SHARD_FILTER),
    known((Moto, LIST, "error"), |case| case.server() == "InvalidToken", "refuses its own token without a stream's name", (Fake, "ListShards, NextToken: not together with StreamName")),
    known((Moto, LIST, "error"), |case| case.is_refused_by_the_fake(), "takes filters, ids, creation times and combinations that AWS refuses", SHARD_FILTER),
    known((Moto, ITERATOR, "error"), |case| case.is_refused_by_the_fake(), "takes a timestamp in the future, and what another type needs",
        (Either, "GetShardIterator, Timestamp: the future is not spoken of; AWS refuses it")),
    known((Moto, READ, "error"), |case| case.is_refused_by_the_fake(), "takes a Limit above 10,000", (Fake, "GetRecords, Limit: at most 10,000")),
    known((Moto, READ, "ChildShards"), |case| case.server().is_empty(), "knows no ChildShards", CHILD_SHARDS),
    known((Moto, READ, "NextShardIterator"), |case| case.reads_closed(), "a closed shard never ends", (Fake, "GetRecords, NextShardIterator")),
    known((Moto, READ, "end"), |case| case.reads_closed(), "a closed shard never ends", (Fake, "GetRecords, NextShardIterator")),
    known((Moto, READ, "MillisBehindLatest"), |_| true, "by the age of the last record of the page", (Fake, "GetRecords, MillisBehindLatest: zero is that there are no new records to process")),
    known((Moto, READ, "Records"), |case| case.resharded(), "writes go to closed shards, and a merge moves the records to the child", (Fake, "MergeShards, SplitShard: a parent takes no more records, and keeps its own")),
    known((Moto, READ, "Records"), |case| case.follows_a_refused_put, "keeps some records of a PutRecords that it refuses", (Fake, "PutRecords: a request that is refused puts nothing")),
    known((Moto, READ, "error"), |case| case.server() == "ResourceNotFoundException", "knows no iterator that was asked for by ARN", (Fake, "GetShardIterator, StreamARN")),
    known((Moto, &["PutRecord"], "ShardId"), |case| case.resharded(), "writes go to closed shards", (Fake, "SplitShard, MergeShards: a parent takes no more records")),
    known((Moto, &["PutRecords"], "Records[].ShardId"), |case| case.resharded(), "writes go to closed shards", (Fake, "SplitShard, MergeShards: a parent takes no more records")),
    known((Moto, PUT, "error"), |case| case.is_refused_by_the_fake(), "takes what is over the limits", (Fake, "PutRecords, Records: at most 500")),
    known((Moto, MERGE, "error"), |case| case.is_refused_by_the_fake(), "merges a shard with itself", (Fake, "MergeShards, AdjacentShardToMerge: the adjacent shard")),
    known((Moto, READ, "Records[].SequenceNumber"), |case| case.server() == "another", "numbers that records get anew in a reshard", SEQUENCES),
    known((Moto, PUT, "Records[].SequenceNumber"), |case| case.server().starts_with("not above"), "numbers do not rise within a shard after a reshard", SEQUENCES),
    known((Moto, SPLIT, "error"), |case| case.is_refused_by_the_fake(), "splits off the first hash key alone",
        (Fake, "SplitShard, NewStartingHashKey: AWS wants more than the first hash key plus one")),
    known((Moto, UPDATE, "StreamName"), |case| case.server().is_empty() && case.names_by_arn(), "does not tell the name if asked by ARN", (Fake, "UpdateShardCount, response")),
    known((Moto, UPDATE, "StreamARN"), |case| case.server().is_empty(), "does not tell the ARN", (Fake, "UpdateShardCount, response")),
    known((Moto, UPDATE, "error"), |case| case.is_refused_by_the_fake(), "goes beyond the double, or below the half",
        (Fake, "UpdateShardCount: not more than double, nor less than half")),
];

pub(crate) fn find(server: Kind, case: &Case<'_>) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        known.server == server
            && (known.operations.is_empty() || known.operations.contains(&case.call.operation()))
            && (known.field == "*" || known.field == case.difference.field)
            && (known.when)(case)
    })
}

/// What a server does not live through.
pub(crate) fn is_not_asked(server: Kind, call: &Call) -> bool {
    server == Kinesalite
        && match call {
            Call::ListShards(List { token: Some(Token::Garbage | Token::Empty), .. }) => true,
            Call::GetShardIterator { start, .. } => {
                matches!(start.time, Some(Time::HourAgo | Time::WeekAgo | Time::Mark(_)))
            }
            _ => false,
        }
}
