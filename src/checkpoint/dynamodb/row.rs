//! The row of a shard, in the layout of the Kinesis Client Library.

use std::fmt;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, Shard};

use crate::checkpoint::dynamodb::expressions::Expressions;
use crate::checkpoint::dynamodb::item::{Item, get, n, number_of, s, set, set_of, sorted};
use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;

pub(crate) const LEASE_KEY: &str = "leaseKey";
pub(crate) const LEASE_COUNTER: &str = "leaseCounter";
pub(crate) const LEASE_OWNER: &str = "leaseOwner";
pub(crate) const CHECKPOINT_OWNER: &str = "checkpointOwner";
pub(crate) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(crate) const CHECKPOINT: &str = "checkpoint";
const SUB_SEQUENCE_NUMBER: &str = "checkpointSubSequenceNumber";
/// The columns of a checkpoint that the KCL has announced and not yet made.
pub(crate) const PENDING: [&str; 3] =
    ["pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"];
const PARENT_SHARD_IDS: &str = "parentShardId";
pub(crate) const CHILD_SHARD_IDS: &str = "childShardIds";
const STARTING_HASH_KEY: &str = "startingHashKey";
const ENDING_HASH_KEY: &str = "endingHashKey";
const ENTITY_TYPE: &str = "entityType";
const STREAM_NAME: &str = "streamName";
/// The exact checkpoint, in an attribute of this crate that the KCL neither reads nor removes. It
/// counts only while the KCL's columns are those that were written with it.
const EXACT_CHECKPOINT: &str = "kinesisShardsCheckpoint";

/// The [`Writer`] of this crate that moved the row last. The attribute is stale once the KCL moves
/// the row.
const WRITER: &str = "kinesisShardsWriter";

/// The [key](StreamId::as_str) of the stream, so that the table of another stream is noticed.
const STREAM_KEY: &str = "kinesisShardsStream";

/// A row of the lease table: the lease of one shard, and its checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeaseRow {
    pub(crate) shard_id: String,
    /// Every write adds 1. The counter at the grant is the fencing token of the lease.
    pub(crate) counter: u64,
    pub(crate) owner: Option<String>,
    /// The former owner, while a leader of KCL 3 asks it to hand the lease over.
    pub(crate) checkpoint_owner: Option<String>,
    pub(crate) checkpoint: Checkpoint,
    /// The parents, in ascending order. The table keeps a set.
    pub(crate) parents: Vec<String>,
    /// The children that the end of the shard named, in ascending order.
    pub(crate) children: Vec<String>,
    pub(crate) hash_range: Option<HashKeyRange>,
    /// The last writer of this crate, and the counter that it wrote.
    pub(crate) writer: Option<Writer>,
}

/// A write of this crate: the attribute `kinesisShardsWriter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// The run of the worker, as text; the random text of a `DynamoDbStore`.
    pub(crate) run: String,
    pub(crate) counter: u64,
}

impl LeaseRow {
    /// Creates a row without an owner.
    pub(crate) fn new<'a>(
        shard_id: &str,
        parents: impl Iterator<Item = &'a str>,
        hash_range: Option<HashKeyRange>,
        checkpoint: Checkpoint,
        writer: Writer,
    ) -> Self {
        Self {
            shard_id: shard_id.to_owned(),
            counter: writer.counter,
            owner: None,
            checkpoint_owner: None,
            checkpoint,
            parents: sorted(parents),
            children: Vec::new(),
            hash_range,
            writer: Some(writer),
        }
    }

    /// Returns the worker that works on the shard: during a hand-over of KCL 3, the former owner.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.checkpoint_owner.as_deref().or(self.owner.as_deref())
    }

    /// Returns whether a worker has the lease, and nobody else still works on the shard for it.
    pub(crate) fn is_owned_by(&self, worker: &str) -> bool {
        self.owner.as_deref() == Some(worker) && self.checkpoint_owner.is_none()
    }

    /// Returns the store of this crate that wrote the row last, if nobody holds it and nobody has
    /// moved it since.
    pub(crate) fn last_store(&self) -> Option<&str> {
        let writer = self.writer.as_ref();
        let writer = writer.filter(|it| self.holder().is_none() && it.counter == self.counter);
        writer.map(|writer| writer.run.as_str())
    }

    /// Returns whether every record of the shard was processed.
    pub(crate) fn has_ended(&self) -> bool {
        self.checkpoint == Checkpoint::End
    }

    /// Returns the writer of the last write, unless it was a KCL. A writer counts only with the
    /// counter of the row.
    pub(crate) fn last_writer(&self) -> Option<&Writer> {
        self.writer.as_ref().filter(|writer| writer.counter == self.counter)
    }

    /// Returns whether the last write was this one.
    pub(crate) fn was_written_by(&self, writer: &Writer) -> bool {
        self.last_writer() == Some(writer)
    }
}

impl Writer {
    fn parse(text: &str) -> Option<Self> {
        let (run, counter) = text.rsplit_once(' ')?;
        Some(Self { run: run.to_owned(), counter: counter.parse().ok()? })
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.run, self.counter)
    }
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

/// Returns the new row of a shard that a store writes.
pub(crate) fn new(shard: &Shard, checkpoint: &Checkpoint, store: &str) -> LeaseRow {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    LeaseRow::new(
        shard.shard_id(),
        parents.into_iter().flatten(),
        shard.hash_key_range().cloned(),
        checkpoint.clone(),
        Writer { run: store.to_owned(), counter: 0 },
    )
}

/// Returns the new row that a store writes of a child that the end of its parent named.
pub(crate) fn child(child: &ChildShard, store: &str) -> LeaseRow {
    LeaseRow::new(
        child.shard_id(),
        child.parent_shards().iter().map(String::as_str),
        child.hash_key_range().cloned(),
        Checkpoint::Start(StartPosition::TrimHorizon),
        Writer { run: store.to_owned(), counter: 0 },
    )
}

/// Returns the attributes of a new row.
pub(crate) fn to_item(stream: &StreamId, row: &LeaseRow) -> Item {
    let (position, sub) = kcl_columns(&row.checkpoint);
    let range = row.hash_range.as_ref();
    let columns = [
        (LEASE_KEY, Some(s(&row.shard_id))),
        (LEASE_COUNTER, Some(n(row.counter))),
        (LEASE_OWNER, row.owner.as_deref().map(s)),
        (CHECKPOINT_OWNER, row.checkpoint_owner.as_deref().map(s)),
        (OWNER_SWITCHES, Some(n(0))),
        (CHECKPOINT, Some(s(position))),
        (SUB_SEQUENCE_NUMBER, Some(n(sub))),
        (PARENT_SHARD_IDS, set(&row.parents)),
        (CHILD_SHARD_IDS, set(&row.children)),
        (STARTING_HASH_KEY, range.map(|range| s(range.starting_hash_key()))),
        (ENDING_HASH_KEY, range.map(|range| s(range.ending_hash_key()))),
        (EXACT_CHECKPOINT, Some(s(&row.checkpoint.to_string()))),
        (STREAM_KEY, Some(s(stream.as_str()))),
        (WRITER, row.writer.as_ref().map(|writer| s(&writer.to_string()))),
    ];
    columns.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Adds the changes that every write to a row makes: it counts the row on, and leaves its writer.
pub(crate) fn count_on(write: Expressions, stream: &StreamId, writer: &Writer) -> Expressions {
    write
        .set(LEASE_COUNTER, n(writer.counter))
        .set(WRITER, s(&writer.to_string()))
        .set(STREAM_KEY, s(stream.as_str()))
}

/// Adds the changes that save a checkpoint, as the KCL does.
pub(crate) fn save(write: Expressions, checkpoint: &Checkpoint) -> Expressions {
    let (position, sub) = kcl_columns(checkpoint);
    let write = write
        .set(CHECKPOINT, s(position))
        .set(SUB_SEQUENCE_NUMBER, n(sub))
        .set(EXACT_CHECKPOINT, s(&checkpoint.to_string()))
        .set(OWNER_SWITCHES, n(0));
    PENDING.into_iter().fold(write, Expressions::remove)
}

/// Returns whether [`read`] accepts a row with this key: an application of the KCL that reads
/// several streams has keys of the form `account:stream:epoch:shard`.
pub(crate) fn is_loadable_key(key: &str) -> bool {
    !key.contains(':')
}

/// Reads a row. Returns `None` if it is not a lease, and an error that says why it is not one of
/// this stream.
pub(crate) fn read(stream: &StreamId, row: &Item) -> Result<Option<LeaseRow>, String> {
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
    let text = |name| get(row, name).map(str::to_owned);
    Ok(Some(LeaseRow {
        shard_id: key.to_owned(),
        counter,
        owner: text(LEASE_OWNER),
        checkpoint_owner: text(CHECKPOINT_OWNER),
        checkpoint,
        parents: set_of(row, PARENT_SHARD_IDS),
        children: set_of(row, CHILD_SHARD_IDS),
        hash_range: hash_range(row),
        writer: get(row, WRITER).and_then(Writer::parse),
    }))
}

fn hash_range(row: &Item) -> Option<HashKeyRange> {
    let (start, end) = (get(row, STARTING_HASH_KEY)?, get(row, ENDING_HASH_KEY)?);
    HashKeyRange::builder().starting_hash_key(start).ending_hash_key(end).build().ok()
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

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;
    use aws_sdk_dynamodb::types::AttributeValue;
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

    fn new_item(shard: &Shard, checkpoint: &Checkpoint) -> Item {
        to_item(&orders(), &new(shard, checkpoint, "me"))
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
            let lease = new(&shard(), &checkpoint, "me");
            assert_eq!(read(&orders(), &to_item(&orders(), &lease)), Ok(Some(lease)));
        }
    }

    #[test]
    fn a_new_row_has_the_columns_that_the_kcl_needs() {
        let row = new_item(&shard(), &Checkpoint::Start(StartPosition::TrimHorizon));
        let parents = AttributeValue::Ss(vec!["shardId-a".to_owned(), "shardId-b".to_owned()]);
        assert_eq!(row[PARENT_SHARD_IDS], parents);
        assert_eq!((&row["startingHashKey"], &row["endingHashKey"]), (&s("0"), &s("7")));
        assert_eq!((&row[LEASE_COUNTER], &row[OWNER_SWITCHES]), (&n(0), &n(0)));
        for absent in [LEASE_OWNER, "childShardIds", "pendingCheckpoint"] {
            assert!(!row.contains_key(absent), "{absent}");
        }
        let root = Shard::builder().shard_id(SHARD).build().unwrap();
        assert!(
            !new_item(&root, &Checkpoint::End).contains_key(PARENT_SHARD_IDS),
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
            assert_eq!((lease.counter, lease.holder()), (7, Some("worker-1")));
            assert_eq!(lease.writer, None);
        }
    }

    /// All columns of KCL 2.7 and of 3.5.
    #[test]
    fn every_column_of_a_row_of_the_kcl_is_read() {
        let ids = |ids: &[&str]| set(&ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>());
        let mut row = kcl_row("9", 2);
        for (name, value) in [
            (PENDING[0], s("11")),
            (PENDING[1], n(0)),
            (PENDING[2], AttributeValue::B(Blob::new("state"))),
            (PARENT_SHARD_IDS, ids(&["shardId-b", "shardId-a"]).unwrap()),
            (CHILD_SHARD_IDS, ids(&["shardId-d", "shardId-c"]).unwrap()),
            (STARTING_HASH_KEY, s("0")),
            (ENDING_HASH_KEY, s("7")),
        ] {
            row.insert(name.to_owned(), value);
        }
        let mut lease = LeaseRow {
            counter: 7,
            owner: Some("worker-1".to_owned()),
            children: vec!["shardId-c".to_owned(), "shardId-d".to_owned()],
            writer: None,
            ..new(&shard(), &after("9", Some(2)), "me")
        };
        assert_eq!(read(&orders(), &row), Ok(Some(lease.clone())));
        for (name, value) in [
            ("throughputKBps", AttributeValue::N("12.5".to_owned())),
            (ENTITY_TYPE, s("LEASE")),
            (CHECKPOINT_OWNER, s("worker-2")),
        ] {
            row.insert(name.to_owned(), value);
        }
        lease.checkpoint_owner = Some("worker-2".to_owned());
        assert_eq!(lease.holder(), Some("worker-2"));
        assert_eq!(read(&orders(), &row), Ok(Some(lease)));
    }

    #[test]
    fn the_attribute_of_this_crate_is_stale_once_the_kcl_moves_the_checkpoint() {
        let mut row = new_item(&shard(), &after("9", None));
        row.insert(CHECKPOINT.to_owned(), s("10"));
        assert_eq!(read(&orders(), &row).unwrap().unwrap().checkpoint, after("10", Some(0)));
        row.insert(CHECKPOINT.to_owned(), s("9"));
        row.insert(SUB_SEQUENCE_NUMBER.to_owned(), n(2));
        assert_eq!(read(&orders(), &row).unwrap().unwrap().checkpoint, after("9", Some(2)));
    }

    /// The KCL leaves the attribute alone when it takes, moves and releases a row.
    #[test]
    fn the_writer_counts_only_with_the_counter_that_it_wrote() {
        let writer = |row: &Item| {
            let row = read(&orders(), row).unwrap().unwrap();
            row.last_store().map(str::to_owned)
        };
        let mut row = new_item(&shard(), &after("9", None));
        assert_eq!(writer(&row).as_deref(), Some("me"));
        row.insert(LEASE_OWNER.to_owned(), s("worker-1"));
        assert_eq!(writer(&row), None);
        row.remove(LEASE_OWNER);
        row.insert(LEASE_COUNTER.to_owned(), n(1));
        assert_eq!(writer(&row), None);
        row.insert(WRITER.to_owned(), s("another 1"));
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
            let row = to_item(&of.into(), &new(&shard(), &after("9", None), "me"));
            let error = read(&stream.into(), &row).err();
            let is_as_expected = match (why, &error) {
                (Some(why), Some(error)) => error.contains(why),
                (why, error) => why.is_none() && error.is_none(),
            };
            assert!(is_as_expected, "{stream} beside {of}: {error:?}");
        }
    }

    #[test]
    fn a_write_counts_only_with_the_counter_of_the_row() {
        let writer = |run: &str, counter| Writer { run: run.to_owned(), counter };
        let no_parents = std::iter::empty();
        let row = LeaseRow::new(SHARD, no_parents, None, Checkpoint::End, writer("a", 7));
        assert!(row.was_written_by(&writer("a", 7)));
        assert!(!row.was_written_by(&writer("b", 7)) && !row.was_written_by(&writer("a", 8)));
        let moved = LeaseRow { counter: 8, ..row };
        assert!(!moved.was_written_by(&writer("a", 7)) && !moved.was_written_by(&writer("a", 8)));
    }
}
