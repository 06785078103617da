//! An entry of the table.

use crate::differential::case::Case;
use crate::differential::cause::Cause;
use crate::differential::compare::DONE;
use crate::differential::response::ERROR;

/// The side that is right according to AWS's documentation. There is no variant for the server:
/// where the fake is wrong, the fake is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Fake,
    /// The documentation allows both.
    Either,
}

/// A difference between the fake and a server.
pub(crate) struct Entry {
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

pub(crate) type Operations = &'static [&'static str];

/// Creates an entry for a field that differs.
pub(crate) const fn differs(
    (operations, field): (Operations, &'static str),
    when: fn(&Case<'_>) -> bool,
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Entry {
    Entry { operations, field, values: None, causes: &[], when, what, right, rule, rare: false }
}

/// Creates an entry for a call that both sides reject with these codes, or that one side accepts.
pub(crate) const fn codes(
    operations: Operations,
    codes: (&'static str, &'static str),
    causes: &'static [Cause],
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Entry {
    let values = Some(codes);
    Entry { values, causes, ..differs((operations, ERROR), |_| true, what, (right, rule)) }
}

/// Creates an entry for a call that the server rejects and AWS accepts.
pub(crate) const fn rejects(
    (operations, code): (Operations, &'static str),
    when: fn(&Case<'_>) -> bool,
    what: &'static str,
    (right, rule): (Right, &'static str),
) -> Entry {
    Entry { values: Some((code, DONE)), ..differs((operations, ERROR), when, what, (right, rule)) }
}

/// Marks an entry as rare.
pub(crate) const fn rare(mut entry: Entry) -> Entry {
    entry.rare = true;
    entry
}

pub(crate) const HTTP_500: &str = "unreadable (HTTP 500)";
pub(crate) const INTERNAL: &str = "InternalFailure (HTTP 500)";
pub(crate) const IN_USE: &str = "ResourceInUseException";
pub(crate) const INVALID: &str = "InvalidArgumentException";
pub(crate) const LIMIT: &str = "LimitExceededException";
pub(crate) const NOT_FOUND: &str = "ResourceNotFoundException";
pub(crate) const SERIALIZATION: &str = "SerializationException";
pub(crate) const UNKNOWN: &str = "UnknownOperationException";
pub(crate) const VALIDATION: &str = "ValidationException";

pub(crate) const ANY: Operations = &[];
pub(crate) const READ: Operations = &["GetRecords"];
pub(crate) const ITERATOR: Operations = &["GetShardIterator"];
pub(crate) const LIST: Operations = &["ListShards"];
pub(crate) const DESCRIBE: Operations = &["DescribeStream"];
pub(crate) const SUMMARY: Operations = &["DescribeStreamSummary"];
pub(crate) const LISTS: Operations = &["DescribeStream", "ListShards"];
pub(crate) const PUT: Operations = &["PutRecord", "PutRecords"];
pub(crate) const MERGE: Operations = &["MergeShards"];
pub(crate) const SPLIT: Operations = &["SplitShard"];
pub(crate) const RESHARD: Operations = &["MergeShards", "SplitShard"];
pub(crate) const UPDATE: Operations = &["UpdateShardCount"];
pub(crate) const RETENTION: Operations =
    &["DecreaseStreamRetentionPeriod", "IncreaseStreamRetentionPeriod"];
