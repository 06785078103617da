//! `GetShardIterator` and `GetRecords`.

use std::time::Duration;

use super::records::Record;
use super::refusal::{Code, Refusal};
use super::sequence::SequenceNumber;
use super::service::{ACCOUNT, Service, StreamRef};
use super::shard::{Shard, shard_id};
use super::stream::Stream;
use super::time::Millis;
use super::token::{Cursor, LIFETIME};

/// The most records of one answer.
const MAX_RECORDS: i64 = 10_000;
/// The most bytes of one answer.
pub(crate) const MAX_READ_BYTES: usize = 10 << 20;

/// Where an iterator starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IteratorStart<'a> {
    AfterSequence(&'a str),
    AtSequence(&'a str),
    AtTimestamp(Millis),
    Latest,
    TrimHorizon,
}

/// One answer of `GetRecords`.
#[derive(Debug)]
pub(crate) struct ReadBatch<'a> {
    pub(crate) records: Vec<&'a Record>,
    /// `None` at the end of a closed shard.
    pub(crate) next_iterator: Option<String>,
    pub(crate) behind: Duration,
    /// Told at the end of a closed shard, and only there.
    pub(crate) children: Vec<&'a Shard>,
}

impl Service {
    pub(crate) fn shard_iterator(
        &mut self,
        stream: StreamRef<'_>,
        shard: &str,
        start: IteratorStart<'_>,
        now: Millis,
    ) -> Result<String, Refusal> {
        let stream = self.live_stream(stream, now)?;
        let shard = stream.shard(shard)?;
        let offset = match start {
            IteratorStart::TrimHorizon => shard.records.first(),
            IteratorStart::Latest => shard.records.next(),
            IteratorStart::AtTimestamp(time) if time > now => {
                return Err(Refusal::invalid(format!(
                    "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
                     timestampInMillis: {}, currentTimestampInMillis: {}",
                    time.0, now.0
                )));
            }
            IteratorStart::AtTimestamp(time) => shard.records.at_time(time),
            IteratorStart::AtSequence(text) => shard.records.at_sequence(own_sequence(stream, shard, text)?),
            IteratorStart::AfterSequence(text) => {
                let sequence = own_sequence(stream, shard, text)?;
                shard.records.at_sequence(SequenceNumber {
                    place: sequence.place.saturating_add(1),
                    second: 0,
                    ..sequence
                })
            }
        };
        Ok(cursor(stream, shard.index, offset, now))
    }

    pub(crate) fn read(
        &mut self,
        iterator: &str,
        limit: Option<i64>,
        now: Millis,
    ) -> Result<ReadBatch<'_>, Refusal> {
        let limit = match limit.unwrap_or(MAX_RECORDS) {
            limit @ 1..=MAX_RECORDS => usize::try_from(limit).unwrap_or(usize::MAX),
            limit @ ..=0 => {
                return Err(Refusal::constraint(limit, "limit", "have value greater than or equal to 1"));
            }
            limit => return Err(Refusal::invalid(format!("Limit {limit} is greater than {MAX_RECORDS}."))),
        };
        let at = parse_iterator(iterator, now)?;
        let last_with_records = self.end_with_last_records;
        let stream = self.live_stream(StreamRef::named(&at.stream), now)?;
        if stream.id != at.stream_id {
            return Err(Refusal::not_found(format!(
                "Shard {} in stream {} under account {ACCOUNT} does not exist",
                shard_id(at.shard),
                at.stream
            )));
        }
        let horizon = stream.retention_start(now);
        if let Some(shard) = stream.shards.get_mut(&at.shard) {
            shard.records.trim(horizon);
        }
        let stream = &*stream;
        let shard = stream.shard_at(at.shard)?;
        let offset = at.offset.max(shard.records.first());
        let records = take(shard.records.from(offset), limit);
        let next = offset + records.len() as u64;
        let left = shard.records.from(next).next();
        let behind = match (left, records.last()) {
            (None, _) => Duration::ZERO,
            // Zero would say that nothing is left.
            (Some(left), last) => {
                now.since(last.map_or(left.arrived, |last| last.arrived)).max(Duration::from_millis(1))
            }
        };
        let ended = !shard.is_open() && left.is_none() && (last_with_records || records.is_empty());
        Ok(ReadBatch {
            records,
            next_iterator: (!ended).then(|| cursor(stream, shard.index, next, now)),
            behind,
            children: shard
                .children
                .iter()
                .filter(|_| ended)
                .filter_map(|child| stream.shards.get(child))
                .collect(),
        })
    }
}

/// The shard an iterator points to, if it is an iterator that is still good.
pub(crate) fn parse_iterator(iterator: &str, now: Millis) -> Result<Cursor, Refusal> {
    let cursor: Cursor = iterator.parse().map_err(|()| Refusal::invalid("Invalid ShardIterator."))?;
    if now.since(cursor.issued) > LIFETIME {
        return Err(Refusal::new(
            Code::ExpiredIterator,
            format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} which is further \
                 in the future than the tolerated delay of 300000 milliseconds.",
                cursor.issued.0, now.0
            ),
        ));
    }
    Ok(cursor)
}

fn cursor(stream: &Stream, shard: u32, offset: u64, now: Millis) -> String {
    Cursor { issued: now, stream_id: stream.id, shard, offset, stream: stream.name.clone() }.to_string()
}

/// As many records as fit one answer, and one if there is any.
fn take<'a>(records: impl Iterator<Item = &'a Record>, limit: usize) -> Vec<&'a Record> {
    let mut bytes = 0;
    records
        .take(limit)
        .take_while(|record| {
            let first = bytes == 0;
            bytes += record.size();
            first || bytes <= MAX_READ_BYTES
        })
        .collect()
}

fn own_sequence(stream: &Stream, shard: &Shard, text: &str) -> Result<SequenceNumber, Refusal> {
    let invalid = |why: &str| {
        Refusal::invalid(format!(
            "StartingSequenceNumber {text} used in GetShardIterator on shard {} in stream {} under account {ACCOUNT} \
             is invalid{why}.",
            shard.id, stream.name
        ))
    };
    let sequence: SequenceNumber = text.parse().map_err(|()| invalid(""))?;
    if sequence.shard != shard.index {
        return Err(Refusal::invalid(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
            shard_id(sequence.shard),
            shard.id
        )));
    }
    if sequence.generation != shard.start.generation {
        return Err(invalid(" because it did not come from this stream"));
    }
    Ok(sequence)
}
