//! A shard's row, as the Kinesis Client Library lays it out.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Shard};

use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;

pub(crate) const LEASE_KEY: &str = "leaseKey";
pub(crate) const COUNTER: &str = "leaseCounter";
const OWNER: &str = "leaseOwner";
pub(crate) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const SUB: &str = "checkpointSubSequenceNumber";
const PARENTS: &str = "parentShardId";
const ENTITY: &str = "entityType";
const STREAM: &str = "streamName";
/// This crate's own, which the Java library neither reads nor removes: the checkpoint as it was
/// meant. It counts only as long as the library's columns are those that were written with it.
pub(crate) const OWN: &str = "kinesisShardsCheckpoint";

/// This crate's own too: the store that moved the row last, and the counter that it gave it. It is
/// stale as soon as another moves the row, who leaves it alone.
pub(crate) const WRITER: &str = "kinesisShardsWriter";

/// This crate's own too: the stream, so that a table is not taken for that of another.
pub(crate) const OWN_STREAM: &str = "kinesisShardsStream";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// What a row says.
#[derive(Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) shard_id: String,
    pub(crate) counter: u64,
    pub(crate) owner: Option<String>,
    pub(crate) checkpoint: Checkpoint,
    /// The store that moved the row last, if it was one of this crate.
    pub(crate) writer: Option<String>,
}

/// The attribute of the store that moves the row.
pub(crate) fn written_by(writer: &str, counter: u64) -> AttributeValue {
    text(&format!("{writer} {counter}"))
}

/// The two columns of the checkpoint.
///
/// The library goes on *after* what they name. So what is only to begin at a record is told as the
/// trim horizon, and a record that was acknowledged as a whole as its first user record: if it is
/// an aggregated one, the library repeats the others. What is to begin at a time is told as the
/// trim horizon too: for `AT_TIMESTAMP` the library looks for the time in its own configuration,
/// and fails where that has none.
pub(crate) fn columns(checkpoint: &Checkpoint) -> (&str, u64) {
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

/// The row of a shard that has none.
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

/// The row of a child that its parent's end has named.
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
    let (number, sub) = columns(checkpoint);
    let mut row = Item::from([
        (LEASE_KEY.to_owned(), text(shard_id)),
        (COUNTER.to_owned(), n(0)),
        (OWNER_SWITCHES.to_owned(), n(0)),
        (CHECKPOINT.to_owned(), text(number)),
        (SUB.to_owned(), n(sub)),
        (OWN.to_owned(), text(&checkpoint.to_string())),
        (OWN_STREAM.to_owned(), text(stream.name())),
        (WRITER.to_owned(), written_by(writer, 0)),
    ]);
    let parents: Vec<String> = parents.map(str::to_owned).collect();
    // A set is never empty.
    if !parents.is_empty() {
        row.insert(PARENTS.to_owned(), AttributeValue::Ss(parents));
    }
    if let Some(range) = range {
        row.insert("startingHashKey".to_owned(), text(range.starting_hash_key()));
        row.insert("endingHashKey".to_owned(), text(range.ending_hash_key()));
    }
    row
}

/// Reads a row; none if it is no lease.
pub(crate) fn read(stream: &StreamId, row: &Item) -> Result<Option<Lease>, String> {
    if get(row, ENTITY).is_some_and(|entity| entity != "LEASE") {
        return Ok(None);
    }
    let key = get(row, LEASE_KEY).ok_or("it has no leaseKey")?;
    if row.contains_key(STREAM) || key.contains(':') {
        return Err("it is of an application that reads several streams (`account:stream:epoch:shard`), whose tables are not understood".to_owned());
    }
    if let Some(other) = get(row, OWN_STREAM).filter(|other| *other != stream.name()) {
        return Err(format!("it is of stream {other}: a table is for one stream"));
    }
    let number = get(row, CHECKPOINT).ok_or("it has no checkpoint")?;
    let sub = match row.get(SUB) {
        None => 0,
        Some(sub) => number_of(sub).ok_or("its checkpointSubSequenceNumber is no number")?,
    };
    let own = get(row, OWN).and_then(|own| own.parse::<Checkpoint>().ok());
    let own = own.filter(|own| columns(own) == (number, sub));
    let checkpoint = match own {
        Some(own) => own,
        None => foreign(number, sub).ok_or_else(|| format!("its checkpoint is {number:?}"))?,
    };
    let counter = match row.get(COUNTER) {
        None => 0,
        Some(counter) => number_of(counter).ok_or("its leaseCounter is no number")?,
    };
    // Of a hand-over under way, the owner is whom it is taken from.
    let owner = get(row, "checkpointOwner").or(get(row, OWNER)).map(str::to_owned);
    let writer = get(row, WRITER).and_then(|writer| writer.rsplit_once(' '));
    let writer = writer.filter(|(_, of)| owner.is_none() && of.parse() == Ok(counter));
    let writer = writer.map(|(writer, _)| writer.to_owned());
    Ok(Some(Lease { shard_id: key.to_owned(), counter, owner, checkpoint, writer }))
}

/// A checkpoint of the Java library.
fn foreign(number: &str, sub: u64) -> Option<Checkpoint> {
    Some(match number {
        // The library keeps the time in its configuration; without it, nothing is skipped from
        // here.
        "TRIM_HORIZON" | "AT_TIMESTAMP" => Checkpoint::Start(StartPosition::TrimHorizon),
        "LATEST" => Checkpoint::Start(StartPosition::Latest),
        "SHARD_END" => Checkpoint::End,
        _ if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: Some(sub) }
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

pub(crate) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

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

    fn java(number: &str, sub: u64) -> Item {
        Item::from([
            (LEASE_KEY.to_owned(), text(SHARD)),
            (COUNTER.to_owned(), n(7)),
            (OWNER.to_owned(), text("worker-1")),
            (OWNER_SWITCHES.to_owned(), n(0)),
            (CHECKPOINT.to_owned(), text(number)),
            (SUB.to_owned(), n(sub)),
        ])
    }

    #[test]
    fn what_this_crate_writes_comes_back_as_it_was() {
        let at = |at| Checkpoint::Start(at);
        for (checkpoint, told) in [
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
            assert_eq!(columns(&checkpoint), told);
            let lease =
                read(&orders(), &new(&orders(), &shard(), &checkpoint, "me")).unwrap().unwrap();
            assert_eq!((lease.checkpoint, lease.writer.as_deref()), (checkpoint, Some("me")));
            assert_eq!((lease.shard_id.as_str(), lease.counter, lease.owner), (SHARD, 0, None));
        }
    }

    #[test]
    fn a_new_row_has_what_the_java_library_needs() {
        let row = new(&orders(), &shard(), &Checkpoint::Start(StartPosition::TrimHorizon), "me");
        let parents = AttributeValue::Ss(vec!["shardId-a".to_owned(), "shardId-b".to_owned()]);
        assert_eq!(row[PARENTS], parents);
        assert_eq!((&row["startingHashKey"], &row["endingHashKey"]), (&text("0"), &text("7")));
        assert_eq!((&row[COUNTER], &row[OWNER_SWITCHES]), (&n(0), &n(0)));
        for absent in [OWNER, "childShardIds", "pendingCheckpoint"] {
            assert!(!row.contains_key(absent), "{absent}");
        }
        let root = Shard::builder().shard_id(SHARD).build().unwrap();
        assert!(
            !new(&orders(), &root, &Checkpoint::End, "me").contains_key(PARENTS),
            "a set is never empty"
        );
    }

    #[test]
    fn a_row_of_the_java_library() {
        for (number, sub, checkpoint) in [
            ("49590338271490256608559692538361571095921575989136588898", 0, None),
            ("49590338271490256608559692538361571095921575989136588898", 4, None),
            ("TRIM_HORIZON", 0, Some(Checkpoint::Start(StartPosition::TrimHorizon))),
            ("AT_TIMESTAMP", 0, Some(Checkpoint::Start(StartPosition::TrimHorizon))),
            ("LATEST", 0, Some(Checkpoint::Start(StartPosition::Latest))),
            ("SHARD_END", 0, Some(Checkpoint::End)),
        ] {
            let lease = read(&orders(), &java(number, sub)).unwrap().unwrap();
            assert_eq!(lease.checkpoint, checkpoint.unwrap_or_else(|| after(number, Some(sub))));
            assert_eq!(
                (lease.counter, lease.owner.as_deref(), lease.writer),
                (7, Some("worker-1"), None)
            );
        }
    }

    /// The library has moved on from where this crate was: its own attribute is stale.
    #[test]
    fn what_the_java_library_wrote_later_counts() {
        let mut row = new(&orders(), &shard(), &after("9", None), "me");
        row.insert(CHECKPOINT.to_owned(), text("10"));
        assert_eq!(read(&orders(), &row).unwrap().unwrap().checkpoint, after("10", Some(0)));
        row.insert(CHECKPOINT.to_owned(), text("9"));
        row.insert(SUB.to_owned(), n(2));
        assert_eq!(read(&orders(), &row).unwrap().unwrap().checkpoint, after("9", Some(2)));
    }

    /// The library leaves the attribute alone: it takes the row, moves it, and lets go of it.
    #[test]
    fn who_moved_a_row_last_is_told_by_its_counter() {
        let writer = |row: &Item| read(&orders(), row).unwrap().unwrap().writer;
        let mut row = new(&orders(), &shard(), &after("9", None), "me");
        assert_eq!(writer(&row).as_deref(), Some("me"));
        row.insert(OWNER.to_owned(), text("worker-1"));
        assert_eq!(writer(&row), None);
        row.remove(OWNER);
        row.insert(COUNTER.to_owned(), n(1));
        assert_eq!(writer(&row), None);
        row.insert(WRITER.to_owned(), written_by("another", 1));
        assert_eq!(writer(&row).as_deref(), Some("another"));
    }

    #[test]
    fn what_is_no_lease_is_left_out_and_what_is_not_understood_is_an_error() {
        let with = |name: &str, value: AttributeValue| {
            let mut row = java("7", 0);
            row.insert(name.to_owned(), value);
            row
        };
        assert_eq!(read(&orders(), &with(ENTITY, text("WORKER_METRIC_STATS"))), Ok(None));
        assert!(read(&orders(), &with(ENTITY, text("LEASE"))).unwrap().is_some());
        for (bad, why) in [
            (with(CHECKPOINT, text("soon")), "soon"),
            (with(SUB, text("x")), "checkpointSubSequenceNumber"),
            (with(STREAM, text("orders")), "several streams"),
            (with(LEASE_KEY, text("1:orders:2:shardId-000000000000")), "several streams"),
            (with(COUNTER, text("x")), "leaseCounter"),
            (with(OWN_STREAM, text("others")), "of stream others"),
        ] {
            let error = read(&orders(), &bad).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
