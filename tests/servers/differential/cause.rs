//! The errors in a call according to AWS's API model and documentation, the only reasons for which
//! the fake may reject it.

use std::collections::HashMap;

use aws_sdk_kinesis::types::{Shard, ShardFilterType, ShardIteratorType};

use super::call::{Call, Filter, From, List, Named, Put, Sequence, Start, Time, Token};
use super::side::Stored;
use super::world::range;
use crate::stream::is_closed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    // The stream.
    NoStream,
    StreamExists,
    StreamName,
    UnknownStream,
    /// The iterator or token belongs to an earlier stream of this name.
    OfTheFormerStream,
    OtherCreation,
    // The shard.
    ClosedShard,
    EmptyShardId,
    NoShardId,
    /// `ExclusiveStartShardId` contains no number.
    NumberlessShardId,
    UnknownShard,
    // Splits and merges.
    Itself,
    KeyAtStart,
    KeyOutside,
    NotAdjacent,
    Reversed,
    LessThanHalf,
    MoreThanDouble,
    SameCount,
    // Counts, limits, and hours.
    TooHigh,
    TooLow,
    RetentionTooLong,
    RetentionTooShort,
    WrongWay,
    // Listings.
    BesideToken,
    EmptyToken,
    FilterMembers,
    FilterType,
    GarbageToken,
    TwoStarts,
    // Reads.
    EmptyIterator,
    ForeignSequence,
    Future,
    GarbageIterator,
    IteratorType,
    NoIterator,
    NoSequence,
    NoTimestamp,
    SequencePattern,
    StraySequence,
    // Writes.
    HashKeyPattern,
    HashKeyTooLarge,
    NoRecords,
    PartitionKey,
    TooManyRecords,
}
#[expect(
    clippy::enum_glob_use,
    reason = "there are many variants, and their names are unique"
)]
use Cause::*;

/// The state that makes a call right or wrong.
pub(crate) struct Context<'a> {
    /// The shards of the fake.
    pub(crate) shards: &'a [Shard],
    /// The records so far, by their data.
    pub(crate) records: &'a HashMap<String, Stored>,
    pub(crate) retention: i32,
    /// Whether the stream was deleted and created again.
    pub(crate) recreated: bool,
}

const MAX_LIMIT: i32 = 10_000;

/// Returns the causes that apply.
fn applicable<const N: usize>(causes: [(Cause, bool); N]) -> Vec<Cause> {
    causes.into_iter().filter(|(_, is)| *is).map(|(cause, _)| cause).collect()
}

impl Context<'_> {
    pub(crate) fn errors_in(&self, call: &Call) -> Vec<Cause> {
        match call {
            Call::CreateStream { .. } => vec![StreamExists],
            Call::ChangeRetention { stream, hours, longer } => {
                [named(*stream), self.retention(*hours, *longer)].concat()
            }
            Call::DescribeStream { stream, limit, .. } => {
                [named(*stream), limited(*limit)].concat()
            }
            Call::DescribeStreamSummary { stream } => named(*stream),
            Call::GetRecords { from, limit } => [self.read(*from), limited(*limit)].concat(),
            Call::GetShardIterator { stream, shard, start } => {
                let id = shard.as_deref().map_or_else(|| vec![NoShardId], |id| self.shard(id));
                [named(*stream), id, self.start(shard.as_deref(), start)].concat()
            }
            Call::ListShards(list) => self.list(list),
            Call::MergeShards { stream, shard, adjacent } => {
                [named(*stream), self.open(shard), self.open(adjacent), self.pair(shard, adjacent)]
                    .concat()
            }
            Call::PutRecord { stream, record } => [named(*stream), put(record)].concat(),
            Call::PutRecords { records } => {
                let count =
                    [(NoRecords, records.is_empty()), (TooManyRecords, records.len() > 500)];
                records.iter().flat_map(put).chain(applicable(count)).collect()
            }
            Call::SplitShard { stream, shard, key } => {
                [named(*stream), self.open(shard), hash_key(key), self.cut(shard, key)].concat()
            }
            Call::UpdateShardCount { stream, target } => {
                [named(*stream), self.count(*target)].concat()
            }
            Call::DeleteStream
            | Call::ListStreams
            | Call::ListToTheEnd { .. }
            | Call::OpenRanges
            | Call::ReadToTheEnd { .. } => vec![],
        }
    }

    fn find(&self, id: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.shard_id() == id)
    }

    fn shard(&self, id: &str) -> Vec<Cause> {
        applicable([(EmptyShardId, id.is_empty()), (UnknownShard, self.find(id).is_none())])
    }

    fn open(&self, id: &str) -> Vec<Cause> {
        [self.shard(id), applicable([(ClosedShard, self.find(id).is_some_and(is_closed))])].concat()
    }

    fn pair(&self, low: &str, high: &str) -> Vec<Cause> {
        let follows = |low: &str, high: &str| {
            let (low, high) = (self.find(low).map(range), self.find(high).map(range));
            low.zip(high).is_some_and(|(low, high)| low.1.checked_add(1) == Some(high.0))
        };
        let (itself, reversed) = (low == high, follows(high, low));
        let apart = !itself && !reversed && !follows(low, high);
        applicable([(Itself, itself), (Reversed, reversed), (NotAdjacent, apart)])
    }

    fn cut(&self, shard: &str, key: &str) -> Vec<Cause> {
        let (Some((low, high)), Ok(key)) = (self.find(shard).map(range), key.parse::<u128>())
        else {
            return vec![];
        };
        applicable([
            (KeyAtStart, key == low || key == low.saturating_add(1)),
            (KeyOutside, key < low || key >= high),
        ])
    }

    fn count(&self, target: i32) -> Vec<Cause> {
        let open = self.shards.iter().filter(|shard| !is_closed(shard)).count();
        let open = i32::try_from(open).expect("few shards");
        applicable([
            (TooLow, target < 1),
            (LessThanHalf, target * 2 < open),
            (MoreThanDouble, target > open * 2),
            (SameCount, target == open),
        ])
    }

    fn retention(&self, hours: i32, longer: bool) -> Vec<Cause> {
        let wrong_way = if longer { hours < self.retention } else { hours > self.retention };
        applicable([
            (RetentionTooShort, hours < 24),
            (RetentionTooLong, hours > 8760),
            (WrongWay, wrong_way),
        ])
    }

    fn list(&self, list: &List) -> Vec<Cause> {
        let List { stream, token, max, after, filter, created } = list;
        let other = created.is_some() || after.is_some() || filter.is_some();
        let stream = stream.unwrap_or(Named::NotAtAll);
        let beside = token.is_some() && (stream != Named::NotAtAll || other);
        let of_name =
            if token.is_some() && stream == Named::NotAtAll { vec![] } else { named(stream) };
        let begin = after.iter().chain(filter.iter().filter_map(|filter| filter.shard.as_ref()));
        let (empty, numberless) =
            (begin.clone().any(String::is_empty), begin.clone().any(|id| is_numberless(id)));
        let after_shard =
            filter.as_ref().is_some_and(|filter| filter.kind == ShardFilterType::AfterShardId);
        let own = applicable([
            (BesideToken, beside),
            (EmptyToken, *token == Some(Token::Empty)),
            (GarbageToken, *token == Some(Token::Garbage)),
            (OfTheFormerStream, *token == Some(Token::Last) && self.recreated),
            (OtherCreation, *created == Some(false)),
            (EmptyShardId, empty),
            (NumberlessShardId, numberless),
            (TwoStarts, after.is_some() && after_shard),
        ]);
        [of_name, limited(*max), own, filter.as_ref().map(filtered).unwrap_or_default()].concat()
    }

    fn read(&self, from: From) -> Vec<Cause> {
        applicable([
            (NoIterator, from == From::Nothing),
            (EmptyIterator, from == From::Empty),
            (GarbageIterator, from == From::Garbage),
            (OfTheFormerStream, matches!(from, From::Iterator(_)) && self.recreated),
        ])
    }

    fn start(&self, shard: Option<&str>, start: &Start) -> Vec<Cause> {
        use ShardIteratorType::{
            AfterSequenceNumber, AtSequenceNumber, AtTimestamp, Latest, TrimHorizon,
        };
        let Start { kind, sequence, time } = start;
        let by_sequence = matches!(kind, AfterSequenceNumber | AtSequenceNumber);
        let by_time = *kind == AtTimestamp;
        let plain = matches!(kind, Latest | TrimHorizon);
        let (unreadable, foreign) = match sequence {
            None => (false, false),
            Some(Sequence::Text(text)) => (!is_decimal(text), true),
            Some(Sequence::StartOf(of)) => (false, Some(of.as_str()) != shard),
            Some(Sequence::Of(data)) => {
                let of = self.records.get(data).map(|stored| stored.shard.as_str());
                (false, of != shard)
            }
        };
        let former = self.recreated && matches!(sequence, Some(Sequence::Of(_)));
        applicable([
            (IteratorType, !by_sequence && !by_time && !plain),
            (NoSequence, by_sequence && sequence.is_none()),
            (StraySequence, !by_sequence && sequence.is_some()),
            (SequencePattern, unreadable),
            (ForeignSequence, by_sequence && foreign && !unreadable),
            (OfTheFormerStream, former),
            (NoTimestamp, by_time && time.is_none()),
            (Future, by_time && *time == Some(Time::InAnHour)),
        ])
    }
}

fn named(stream: Named) -> Vec<Cause> {
    applicable([
        (NoStream, stream == Named::NotAtAll),
        (StreamName, stream == Named::Invalid),
        (UnknownStream, stream == Named::Unknown),
    ])
}

fn limited(limit: Option<i32>) -> Vec<Cause> {
    applicable([
        (TooLow, limit.is_some_and(|limit| limit < 1)),
        (TooHigh, limit.is_some_and(|limit| limit > MAX_LIMIT)),
    ])
}

fn hash_key(key: &str) -> Vec<Cause> {
    let well_formed = is_decimal(key) && key.len() <= 39;
    applicable([
        (HashKeyPattern, !well_formed),
        (HashKeyTooLarge, well_formed && key.parse::<u128>().is_err()),
    ])
}

fn is_decimal(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

fn put(record: &Put) -> Vec<Cause> {
    let wrong_key = record.key.is_empty() || record.key.chars().count() > 256;
    [
        applicable([(PartitionKey, wrong_key)]),
        record.hash_key.as_deref().map(hash_key).unwrap_or_default(),
    ]
    .concat()
}

fn is_numberless(id: &str) -> bool {
    id.rsplit('-').next().is_none_or(|number| number.parse::<u32>().is_err())
}

fn filtered(filter: &Filter) -> Vec<Cause> {
    use ShardFilterType::{
        AfterShardId, AtLatest, AtTimestamp, AtTrimHorizon, FromTimestamp, FromTrimHorizon,
    };
    let (by_shard, by_time) = match filter.kind {
        AfterShardId => (true, false),
        AtTimestamp | FromTimestamp => (false, true),
        AtLatest | AtTrimHorizon | FromTrimHorizon => (false, false),
        _ => return vec![FilterType],
    };
    applicable([(
        FilterMembers,
        by_shard != filter.shard.is_some() || by_time != filter.time.is_some(),
    )])
}
