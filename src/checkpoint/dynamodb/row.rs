//! The row of a shard, in the layout of the Kinesis Client Library.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Shard};

use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;

pub(crate) const LEASE_KEY: &str = "leaseKey";
pub(crate) const LEASE_COUNTER: &str = "leaseCounter";
const LEASE_OWNER: &str = "leaseOwner";
pub(crate) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const SUB_SEQUENCE_NUMBER: &str = "checkpointSubSequenceNumber";
const PARENT_SHARD_IDS: &str = "parentShardId";
const ENTITY_TYPE: &str = "entityType";
const STREAM_NAME: &str = "streamName";
/// The exact checkpoint, in an attribute of this crate that the KCL neither reads nor removes. It
/// counts only while the KCL's columns are those that were written with it.
pub(crate) const EXACT_CHECKPOINT: &str = "kinesisShardsCheckpoint";

/// The store of this crate that moved the row last, and the counter that it wrote. The attribute is
/// stale once the KCL moves the row.
pub(crate) const WRITER: &str = "kinesisShardsWriter";

/// The [key](StreamId::as_str) of the stream, so that the table of another stream is noticed.
pub(crate) const STREAM_KEY: &str = "kinesisShardsStream";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// A row that was read.
#[derive(Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) shard_id: String,
    pub(crate) counter: u64,
    pub(crate) owner: Option<String>,
    pub(crate) checkpoint: Checkpoint,
    /// The store that moved the row last, if it is one of this crate.
    pub(crate) writer: Option<String>,
}

/// Returns the value of the [`WRITER`] attribute.
pub(crate) fn writer_value(writer: &str, counter: u64) -> AttributeValue {
    s(&format!("{writer} {counter}"))
}

/// Returns the columns `checkpoint` and `checkpointSubSequenceNumber` of the KCL for a checkpoint.
///
/// The KCL continues *after* the record that they name. So a start at a record is written as the
/// trim horizon. A whole acknowledged record is written as its first user record: if it is an
/// aggregated one, the KCL repeats the others. A start at a time is written as the trim horizon,
/// too: for `AT_TIMESTAMP`, the KCL takes the time from its configuration, and fails without one.
pub(crate) fn kcl_columns(checkpoint: &Checkpoint) -> (&str, u64) {
    match checkpoint {
        Checkpoint::Start(StartPosition::Latest) => ("LATEST", 0),
        Checkpoint::Start(StartPosition::After(sequence_number)) => (sequence_number, 0),
        Checkpoint::Start(_) => ("TRIM_HORIZON", 0),
        Checkpoint::After { sequence_number, sub_sequence_number } => {
            (sequence_number, sub_sequence_number.unwrap_or(0))
        }
        Checkpoint::End => ("SHARD_END", 0),
    }
}

/// Returns a new row of a shard.
pub(crate) fn new(stream: &StreamId, shard: &Shard, checkpoint: &Checkpoint, writer: &str) -> Item {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    row(
        stream,
        shard.shard_id(),
        parents.into_iter().flatten(),
        shard.hash_key_range(),
        checkpoint,
        writer,
    )
}

/// Returns a new row of a child that the end of its parent named.
pub(crate) fn child(stream: &StreamId, child: &ChildShard, writer: &str) -> Item {
    let parents = child.parent_shards().iter().map(String::as_str);
    let start = Checkpoint::Start(StartPosition::TrimHorizon);
    row(stream, child.shard_id(), parents, child.hash_key_range(), &start, writer)
}

fn row<'a>(
    stream: &StreamId,
    shard_id: &str,
    parents: impl Iterator<Item = &'a str>,
    range: Option<&HashKeyRange>,
    checkpoint: &Checkpoint,
    writer: &str,
) -> Item {
    let (position, sub) = kcl_columns(checkpoint);
    let mut row = Item::from([
        (LEASE_KEY.to_owned(), s(shard_id)),
        (LEASE_COUNTER.to_owned(), n(0)),
        (OWNER_SWITCHES.to_owned(), n(0)),
        (CHECKPOINT.to_owned(), s(position)),
        (SUB_SEQUENCE_NUMBER.to_owned(), n(sub)),
        (EXACT_CHECKPOINT.to_owned(), s(&checkpoint.to_string())),
        (STREAM_KEY.to_owned(), s(stream.as_str())),
        (WRITER.to_owned(), writer_value(writer, 0)),
    ]);
    let parents: Vec<String> = parents.map(str::to_owned).collect();
    // DynamoDB refuses an empty set.
    if !parents.is_empty() {
        row.insert(PARENT_SHARD_IDS.to_owned(), AttributeValue::Ss(parents));
    }
    if let Some(range) = range {
        row.insert("startingHashKey".to_owned(), s(range.starting_hash_key()));
        row.insert("endingHashKey".to_owned(), s(range.ending_hash_key()));
    }
    row
}

/// Returns whether [`read`] accepts a row with this key: an application of the KCL that reads
/// several streams has keys of the form `account:stream:epoch:shard`.
pub(crate) fn is_loadable_key(key: &str) -> bool {
    !key.contains(':')
}

/// Reads a row. Returns `None` if it is not a lease, and an error that says why it is not one of
/// this stream.
pub(crate) fn read(stream: &StreamId, row: &Item) -> Result<Option<Lease>, String> {
    if get(row, ENTITY_TYPE).is_some_and(|entity| entity != "LEASE") {
        return Ok(None);
    }
    let key = get(row, LEASE_KEY).ok_or("it has no leaseKey")?;
    if row.contains_key(STREAM_NAME) || !is_loadable_key(key) {
        return Err("tables of applications that read several streams are not supported".to_owned());
    }
    if let Some(other) = get(row, STREAM_KEY).filter(|other| *other != stream.as_str()) {
        stream.check_unambiguous([other]).map_err(|error| error.to_string())?;
        return Err(format!("it is of stream {other}: a table is for one stream"));
    }
    let position = get(row, CHECKPOINT).ok_or("it has no checkpoint")?;
    let sub = match row.get(SUB_SEQUENCE_NUMBER) {
        None => 0,
        Some(sub) => number_of(sub).ok_or("its checkpointSubSequenceNumber is not a number")?,
    };
    let exact = get(row, EXACT_CHECKPOINT).and_then(|exact| exact.parse::<Checkpoint>().ok());
    let exact = exact.filter(|exact| kcl_columns(exact) == (position, sub));
    let checkpoint = match exact {
        Some(exact) => exact,
        None => {
            parse_kcl(position, sub).ok_or_else(|| format!("its checkpoint is {position:?}"))?
        }
    };
    let counter = match row.get(LEASE_COUNTER) {
        None => 0,
        Some(counter) => number_of(counter).ok_or("its leaseCounter is not a number")?,
    };
    // During a handover of the KCL, `checkpointOwner` is the former owner.
    let owner = get(row, "checkpointOwner").or(get(row, LEASE_OWNER)).map(str::to_owned);
    let writer = get(row, WRITER).and_then(|writer| writer.rsplit_once(' '));
    let writer = writer.filter(|(_, written)| owner.is_none() && written.parse() == Ok(counter));
    let writer = writer.map(|(writer, _)| writer.to_owned());
    Ok(Some(Lease { shard_id: key.to_owned(), counter, owner, checkpoint, writer }))
}

/// Parses a checkpoint of the KCL.
fn parse_kcl(position: &str, sub: u64) -> Option<Checkpoint> {
    Some(match position {
        // The KCL keeps the time in its configuration. The trim horizon skips no record.
        "TRIM_HORIZON" | "AT_TIMESTAMP" => Checkpoint::Start(StartPosition::TrimHorizon),
        "LATEST" => Checkpoint::Start(StartPosition::Latest),
        "SHARD_END" => Checkpoint::End,
        _ if !position.is_empty() && position.bytes().all(|byte| byte.is_ascii_digit()) => {
            Checkpoint::After {
                sequence_number: position.to_owned(),
                sub_sequence_number: Some(sub),
            }
        }
        _ => return None,
    })
}

fn get<'a>(row: &'a Item, name: &str) -> Option<&'a str> {
    row.get(name)?.as_s().ok().map(String::as_str)
}

fn number_of(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

/// Returns an attribute of type `S`, a string.
pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Returns an attribute of type `N`, a number.
pub(crate) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::DateTime;

    use super::*;

    const SHARD: &str = "shardId-000000000000";

    fn shard() -> Shard {
        let range =
            HashKeyRange::builder().starting_hash_key("0").ending_hash_key("7").build().unwrap();
        let shard = Shard::builder().shard_id(SHARD).hash_key_range(range);
        shard.parent_shard_id("shardId-a").adjacent_parent_shard_id("shardId-b").build().unwrap()
    }

    fn orders() -> StreamId {
        "orders".into()
    }

    fn after(number: &str, sub: Option<u64>) -> Checkpoint {
        Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: sub }
    }

    fn kcl_row(number: &str, sub: u64) -> Item {
        Item::from([
            (LEASE_KEY.to_owned(), s(SHARD)),
            (LEASE_COUNTER.to_owned(), n(7)),
            (LEASE_OWNER.to_owned(), s("worker-1")),
            (OWNER_SWITCHES.to_owned(), n(0)),
            (CHECKPOINT.to_owned(), s(number)),
            (SUB_SEQUENCE_NUMBER.to_owned(), n(sub)),
        ])
    }

    #[test]
    fn every_checkpoint_is_read_as_it_was_written() {
        let at = |at| Checkpoint::Start(at);
        for (checkpoint, written) in [
            (at(StartPosition::TrimHorizon), ("TRIM_HORIZON", 0)),
            (at(StartPosition::Latest), ("LATEST", 0)),
            (
                at(StartPosition::Timestamp(DateTime::from_secs_and_nanos(1_700_000_000, 5))),
                ("TRIM_HORIZON", 0),
            ),
            (at(StartPosition::At("9".into())), ("TRIM_HORIZON", 0)),
            (at(StartPosition::After("9".into())), ("9", 0)),
            (after("9", None), ("9", 0)),
            (after("9", Some(0)), ("9", 0)),
            (after("9", Some(3)), ("9", 3)),
            (Checkpoint::End, ("SHARD_END", 0)),
        ] {
            assert_eq!(kcl_columns(&checkpoint), written);
            let lease =
                read(&orders(), &new(&orders(), &shard(), &checkpoint, "me")).unwrap().unwrap();
            assert_eq!((lease.checkpoint, lease.writer.as_deref()), (checkpoint, Some("me")));
            assert_eq!((lease.shard_id.as_str(), lease.counter, lease.owner), (SHARD, 0, None));
        }
    }

    #[test]
    fn a_new_row_has_the_columns_that_the_kcl_needs() {
        let row = new(&orders(), &shard(), &Checkpoint::Start(StartPosition::TrimHorizon), "me");
        let parents = AttributeValue::Ss(vec!["shardId-a".to_owned(), "shardId-b".to_owned()]);
        assert_eq!(row[PARENT_SHARD_IDS], parents);
        assert_eq!((&row["startingHashKey"], &row["endingHashKey"]), (&s("0"), &s("7")));
        assert_eq!((&row[LEASE_COUNTER], &row[OWNER_SWITCHES]), (&n(0), &n(0)));
        for absent in [LEASE_OWNER, "childShardIds", "pendingCheckpoint"] {
            assert!(!row.contains_key(absent), "{absent}");
        }
        let root = Shard::builder().shard_id(SHARD).build().unwrap();
        assert!(
            !new(&orders(), &root, &Checkpoint::End, "me").contains_key(PARENT_SHARD_IDS),
            "DynamoDB refuses an empty set"
        );
    }

    #[test]
    fn a_row_of_the_kcl_is_read() {
        for (number, sub, checkpoint) in [
            ("49590338271490256608559692538361571095921575989136588898", 0, None),
            ("49590338271490256608559692538361571095921575989136588898", 4, None),
            ("TRIM_HORIZON", 0, Some(Checkpoint::Start(StartPosition::TrimHorizon))),
            ("AT_TIMESTAMP", 0, Some(Checkpoint::Start(StartPosition::TrimHorizon))),
            ("LATEST", 0, Some(Checkpoint::Start(StartPosition::Latest))),
            ("SHARD_END", 0, Some(Checkpoint::End)),
        ] {
            let lease = read(&orders(), &kcl_row(number, sub)).unwrap().unwrap();
            assert_eq!(lease.checkpoint, checkpoint.unwrap_or_else(|| after(number, Some(sub))));
            assert_eq!(
                (lease.counter, lease.owner.as_deref(), lease.writer),
                (7, Some("worker-1"), None)
            );
        }
    }

    #[test]
    fn the_attribute_of_this_crate_is_stale_once_the_kcl_moves_the_checkpoint() {
        let mut row = new(&orders(), &shard(), &after("9", None), "me");
        row.insert(CHECKPOINT.to_owned(), s("10"));
        assert_eq!(read(&orders(), &row).unwrap().unwrap().checkpoint, after("10", Some(0)));
        row.insert(CHECKPOINT.to_owned(), s("9"));
        row.insert(SUB_SEQUENCE_NUMBER.to_owned(), n(2));
        assert_eq!(read(&orders(), &row).unwrap().unwrap().checkpoint, after("9", Some(2)));
    }

    /// The KCL leaves the attribute alone when it takes, moves and releases a row.
    #[test]
    fn the_writer_counts_only_with_the_counter_that_it_wrote() {
        let writer = |row: &Item| read(&orders(), row).unwrap().unwrap().writer;
        let mut row = new(&orders(), &shard(), &after("9", None), "me");
        assert_eq!(writer(&row).as_deref(), Some("me"));
        row.insert(LEASE_OWNER.to_owned(), s("worker-1"));
        assert_eq!(writer(&row), None);
        row.remove(LEASE_OWNER);
        row.insert(LEASE_COUNTER.to_owned(), n(1));
        assert_eq!(writer(&row), None);
        row.insert(WRITER.to_owned(), writer_value("another", 1));
        assert_eq!(writer(&row).as_deref(), Some("another"));
    }

    #[test]
    fn a_row_that_is_not_a_lease_is_skipped_and_an_invalid_one_is_an_error() {
        let with = |name: &str, value: AttributeValue| {
            let mut row = kcl_row("7", 0);
            row.insert(name.to_owned(), value);
            row
        };
        assert_eq!(read(&orders(), &with(ENTITY_TYPE, s("WORKER_METRIC_STATS"))), Ok(None));
        assert!(read(&orders(), &with(ENTITY_TYPE, s("LEASE"))).unwrap().is_some());
        for (invalid, why) in [
            (with(CHECKPOINT, s("soon")), "soon"),
            (with(SUB_SEQUENCE_NUMBER, s("x")), "checkpointSubSequenceNumber"),
            (with(STREAM_NAME, s("orders")), "several streams"),
            (with(LEASE_KEY, s("1:orders:2:shardId-000000000000")), "several streams"),
            (with(LEASE_COUNTER, s("x")), "leaseCounter"),
            (with(STREAM_KEY, s("others")), "of stream others"),
        ] {
            let error = read(&orders(), &invalid).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn rows_of_streams_of_one_name_are_distinguished_by_their_arns() {
        let here = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
        let there = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
        for (stream, of, why) in [
            (here, there, Some("of stream arn:aws:kinesis:eu-west-1")),
            ("orders", here, Some("by its ARN")),
            (here, "orders", Some("by the name")),
            (here, here, None),
            ("orders", "orders", None),
        ] {
            let row = new(&of.into(), &shard(), &after("9", None), "me");
            let error = read(&stream.into(), &row).err();
            let is_as_expected = match (why, &error) {
                (Some(why), Some(error)) => error.contains(why),
                (why, error) => why.is_none() && error.is_none(),
            };
            assert!(is_as_expected, "{stream} beside {of}: {error:?}");
        }
    }
}
