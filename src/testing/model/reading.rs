//! `GetShardIterator` and `GetRecords`.

use std::time::Duration;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::records::Record;
use crate::testing::model::sequence::SequenceNumber;
use crate::testing::model::service::{EndRules, Service, StreamRef};
use crate::testing::model::shard::{Shard, shard_id};
use crate::testing::model::stream::Stream;
use crate::testing::model::time::Millis;
use crate::testing::model::token::{Cursor, LIFETIME};

/// The maximum number of records in one response.
pub(crate) const MAX_RECORDS: usize = 10_000;
/// The maximum number of bytes in one response.
pub(crate) const MAX_READ_BYTES: usize = 10 << 20;

/// The position at which an iterator starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IteratorStart<'a> {
    AfterSequence(&'a str),
    AtSequence(&'a str),
    AtTimestamp(Millis),
    Latest,
    TrimHorizon,
}

/// Faults of one response to `GetRecords`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadFaults {
    /// The response has no records, although there may be some.
    pub(crate) no_records: bool,
    /// The response has neither a next iterator nor child shards.
    pub(crate) no_continuation: bool,
    /// Whether the end of a closed shard comes with its last records. `None` leaves this to the
    /// service.
    pub(crate) end_with_last_records: Option<bool>,
}

/// Where a read begins, and how much it may return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRange {
    pub(crate) offset: u64,
    /// Whether nothing was read from this position yet.
    pub(crate) is_new: bool,
    pub(crate) max_records: usize,
    pub(crate) max_bytes: usize,
}

/// One response to `GetRecords`, or one event of a subscription.
#[derive(Debug)]
pub(crate) struct ReadBatch<'a> {
    /// Distinguishes the streams that have had this name.
    pub(crate) stream_id: u64,
    pub(crate) shard: &'a Shard,
    pub(crate) records: Vec<&'a Record>,
    pub(crate) ended: bool,
    /// The offset at which the next read begins. `None` at the end of a closed shard.
    pub(crate) next: Option<u64>,
    /// The iterator at `next`, which a subscription has no use for.
    pub(crate) next_iterator: Option<String>,
    pub(crate) behind: Duration,
    /// Empty, except at the end of a closed shard.
    pub(crate) children: Vec<&'a Shard>,
}

impl Service {
    pub(crate) fn shard_iterator(
        &mut self,
        stream: StreamRef<'_>,
        shard: &str,
        start: IteratorStart<'_>,
        now: Millis,
    ) -> Result<String, ApiError> {
        let stream = self.live_stream(stream, now)?;
        let shard = stream.shard(shard)?;
        let offset = start_offset(stream, shard, start, "GetShardIterator", now)?;
        let (key, iterator) =
            ((stream.id, shard.index), cursor(stream, shard.index, offset, now, true));
        self.meters.admit_iterator(key, now)?;
        Ok(iterator)
    }

    /// Reads one batch.
    pub(crate) fn read(
        &mut self,
        iterator: &str,
        limit: Option<i64>,
        faults: ReadFaults,
        now: Millis,
    ) -> Result<ReadBatch<'_>, ApiError> {
        let limit = check_limit(limit)?;
        let at = parse_iterator(iterator, now)?;
        let key = (at.stream_id, at.shard);
        let stream = self.live_stream(StreamRef::named(&at.stream), now)?;
        let horizon = stream.retention_start(now);
        match stream.shards.get_mut(&at.shard) {
            Some(shard) if stream.id == at.stream_id => shard.records.trim(horizon),
            _ => return Err(stream.no_shard_at(at.shard)),
        }
        self.meters.admit_read(key, now)?;
        // `live_stream` would borrow the meters too.
        let stream = self
            .streams
            .get(&at.stream)
            .ok_or_else(|| ApiError::not_found("The stream is gone."))?;
        let shard = stream.shard_at(at.shard)?;
        let range = ReadRange {
            offset: at.offset,
            is_new: at.is_new,
            max_records: limit,
            max_bytes: MAX_READ_BYTES,
        };
        let mut batch = read_batch(stream, shard, range, self.end_rules, faults, now);
        self.meters.have_read(key, batch.bytes(), now);
        batch.next_iterator = batch.next.map(|next| cursor(stream, shard.index, next, now, false));
        Ok(batch)
    }
}

impl ReadBatch<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.size()).sum()
    }
}

/// Returns the offset of a position in the shard, for a request of `operation`.
pub(crate) fn start_offset(
    stream: &Stream,
    shard: &Shard,
    start: IteratorStart<'_>,
    operation: &str,
    now: Millis,
) -> Result<u64, ApiError> {
    match start {
        IteratorStart::TrimHorizon => Ok(shard.records.first()),
        IteratorStart::Latest => Ok(shard.records.next()),
        IteratorStart::AtTimestamp(time) if time > now => Err(ApiError::invalid(format!(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
             timestampInMillis: {}, currentTimestampInMillis: {}",
            time.0, now.0
        ))),
        IteratorStart::AtTimestamp(time) => Ok(shard.records.at_time(time)),
        IteratorStart::AtSequence(text) => {
            Ok(shard.records.at_sequence(own_sequence(stream, shard, text, operation)?))
        }
        IteratorStart::AfterSequence(text) => {
            let sequence = own_sequence(stream, shard, text, operation)?;
            Ok(shard.records.at_sequence(SequenceNumber {
                place: sequence.place.saturating_add(1),
                second: 0,
                ..sequence
            }))
        }
    }
}

/// Reads one batch of a shard whose expired records are trimmed.
pub(crate) fn read_batch<'a>(
    stream: &'a Stream,
    shard: &'a Shard,
    range: ReadRange,
    rules: EndRules,
    faults: ReadFaults,
    now: Millis,
) -> ReadBatch<'a> {
    let offset = range.offset.max(shard.records.first());
    let max_records = if faults.no_records { 0 } else { range.max_records };
    let records = take(shard.records.from(offset), max_records, range.max_bytes);
    let next = offset + records.len() as u64;
    let left = shard.records.from(next).next();
    let with_last_records = faults.end_with_last_records.unwrap_or(rules.with_last_records);
    let may_end = if rules.kinesalite {
        !range.is_new && !faults.no_records && records.is_empty()
    } else {
        !faults.no_records && (with_last_records || records.is_empty())
    };
    let ended = !shard.is_open() && left.is_none() && may_end;
    let behind = match (left, shard.closed) {
        (Some(left), _) => {
            let reached = records.last().map_or(left.arrived, |last| last.arrived);
            // Zero would mean that the batch reached the tip of the shard.
            now.since(reached).max(Duration::from_millis(1))
        }
        (None, Some(closed)) if ended && rules.kinesalite => now.since(closed),
        (None, _) => Duration::ZERO,
    };
    let names_children =
        ended && rules.child_shards && !rules.kinesalite && !faults.no_continuation;
    let children = shard
        .children
        .iter()
        .filter(|_| names_children)
        .filter_map(|child| stream.shards.get(child));
    ReadBatch {
        stream_id: stream.id,
        shard,
        records,
        ended,
        next: (!ended && !faults.no_continuation).then_some(next),
        next_iterator: None,
        behind,
        children: children.collect(),
    }
}

fn check_limit(limit: Option<i64>) -> Result<usize, ApiError> {
    let Some(limit) = limit else { return Ok(MAX_RECORDS) };
    match usize::try_from(limit) {
        Ok(limit @ 1..=MAX_RECORDS) => Ok(limit),
        Err(_) | Ok(0) => {
            Err(ApiError::constraint(limit, "limit", "have value greater than or equal to 1"))
        }
        Ok(_) => Err(ApiError::invalid(format!("Limit {limit} is greater than {MAX_RECORDS}."))),
    }
}

/// Parses an iterator and checks that it has not expired.
fn parse_iterator(iterator: &str, now: Millis) -> Result<Cursor, ApiError> {
    let cursor: Cursor =
        iterator.parse().map_err(|()| ApiError::invalid("Invalid ShardIterator."))?;
    if now.since(cursor.issued) > LIFETIME {
        return Err(ApiError::new(
            Code::ExpiredIterator,
            format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} \
                 which is further in the future than the tolerated delay of 300000 milliseconds.",
                cursor.issued.0, now.0
            ),
        ));
    }
    Ok(cursor)
}

fn cursor(stream: &Stream, shard: u32, offset: u64, now: Millis, is_new: bool) -> String {
    let stream_id = stream.id;
    Cursor { is_new, issued: now, stream_id, shard, offset, stream: stream.name.clone() }
        .to_string()
}

/// Returns as many records as one response can hold, and at least one if there is any.
fn take<'a>(
    records: impl Iterator<Item = &'a Record>,
    limit: usize,
    max_bytes: usize,
) -> Vec<&'a Record> {
    let mut bytes = 0;
    records
        .take(limit)
        .take_while(|record| {
            let first = bytes == 0;
            bytes += record.size();
            first || bytes <= max_bytes
        })
        .collect()
}

/// Parses a sequence number and checks that it is one of `shard`.
fn own_sequence(
    stream: &Stream,
    shard: &Shard,
    text: &str,
    operation: &str,
) -> Result<SequenceNumber, ApiError> {
    let invalid = |why: &str| {
        ApiError::invalid(format!(
            "StartingSequenceNumber {text} used in {operation} on shard {} in stream {} under \
             account {} is invalid{why}.",
            shard.id, stream.name, stream.account
        ))
    };
    let sequence: SequenceNumber = text.parse().map_err(|()| invalid(""))?;
    if sequence.shard != shard.index {
        return Err(ApiError::invalid(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard \
             with {}",
            shard_id(sequence.shard),
            shard.id
        )));
    }
    if sequence.generation != shard.start.generation {
        return Err(invalid(" because it did not come from this stream"));
    }
    Ok(sequence)
}
