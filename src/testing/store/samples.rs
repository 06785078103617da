//! Checkpoints and shard ids to save. Each is one that some store gets wrong.

use aws_sdk_kinesis::primitives::DateTime;

use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;
use crate::testing::store::under_test::Rows;

/// A sequence number as long as Kinesis's.
pub(crate) const LONG: &str = "49590338271490256608559692538361571095921575989136588898";

pub(crate) fn after(sequence_number: impl Into<String>, sub: Option<u64>) -> Checkpoint {
    Checkpoint::After { sequence_number: sequence_number.into(), sub_sequence_number: sub }
}

/// Returns a checkpoint after the `n`th record of a shard.
pub(crate) fn nth(n: usize) -> Checkpoint {
    after(format!("4959033827149025660855969253836157109592157598{n:010}"), None)
}

/// Returns every kind of checkpoint, each with a description.
pub(crate) fn kinds() -> Vec<(&'static str, Checkpoint)> {
    let at = |secs, nanos| {
        Checkpoint::Start(StartPosition::Timestamp(DateTime::from_secs_and_nanos(secs, nanos)))
    };
    // AWS's pattern for sequence numbers allows 129 digits.
    let longest = format!("{}7", "1234567890123456".repeat(8));
    vec![
        ("TRIM_HORIZON", Checkpoint::Start(StartPosition::TrimHorizon)),
        ("LATEST", Checkpoint::Start(StartPosition::Latest)),
        ("a timestamp of whole seconds", at(1_700_000_000, 0)),
        ("a timestamp with milliseconds", at(1_700_000_000, 123_000_000)),
        ("a timestamp with nanoseconds", at(4_102_444_800, 999_999_999)),
        ("a timestamp with one nanosecond", at(1_700_000_000, 1)),
        ("AT_SEQUENCE_NUMBER", Checkpoint::Start(StartPosition::At(LONG.to_owned()))),
        ("AFTER_SEQUENCE_NUMBER", Checkpoint::Start(StartPosition::After(LONG.to_owned()))),
        ("the sequence number 0", after("0", None)),
        ("a sequence number of 20 digits", after("18446744073709551616", None)),
        ("a sequence number of 39 digits", after("340282366920938463463374607431768211457", None)),
        ("a sequence number of 56 digits", after(LONG, None)),
        ("a sequence number of 129 digits", after(longest, None)),
        ("the sub-sequence number 0", after(LONG, Some(0))),
        ("the sub-sequence number 1", after(LONG, Some(1))),
        ("the sub-sequence number 2^53 + 1", after(LONG, Some((1 << 53) + 1))),
        ("the greatest sub-sequence number", after(LONG, Some(u64::MAX))),
        ("SHARD_END", Checkpoint::End),
    ]
}

/// Returns checkpoints with invalid sequence numbers, such as some servers that imitate Kinesis
/// issue.
pub(crate) fn invalid_kinds() -> Vec<(&'static str, Checkpoint)> {
    vec![
        ("an empty sequence number", after("", None)),
        ("an empty sequence number with a sub-sequence number", after("", Some(0))),
        ("a sequence number with letters", after("record-7", None)),
        ("a sequence number that is the word for an end", after("SHARD_END", None)),
        ("a sequence number with a blank", after("7 1", None)),
        ("a negative sequence number", after("-7", Some(1))),
        (
            "AT_SEQUENCE_NUMBER without a number",
            Checkpoint::Start(StartPosition::At(String::new())),
        ),
        (
            "AFTER_SEQUENCE_NUMBER with letters",
            Checkpoint::Start(StartPosition::After("0x7".to_owned())),
        ),
    ]
}

/// Returns shard ids that Kinesis allows: up to 128 letters, digits, `_`, `.` and `-`.
pub(crate) fn ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "shardId-000000000000",
        "shardId-0000000000000",
        "shardId-00000000000",
        "shardId-000000000001",
        "shardid-000000000000",
        "SHARDID-000000000000",
        "shardId_000000000000",
        "shardId.000000000000",
        "shardId",
        "s",
        "0",
        "-",
        ".",
        "..",
        "_",
        "__proto__",
        "LEASE",
    ]
    .map(str::to_owned)
    .into();
    ids.push("x".repeat(127));
    ids.push("x".repeat(128));
    ids
}

/// Returns `count` shards, each with another checkpoint.
pub(crate) fn many(count: usize) -> Rows {
    (0..count).map(|n| (format!("shardId-{n:012}"), nth(n))).collect()
}
