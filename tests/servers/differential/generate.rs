//! Draws the next call of a script. It looks at the fake alone, so that a seed is the same script
//! on every server.

use aws_sdk_kinesis::types::{Shard, ShardFilterType, ShardIteratorType};
use fastrand::Rng;
use kinesis_shards::testing::FakeStream;

use super::call::{Call, Filter, From, List, Named, Put, Sequence, Start, Time, Token};
use super::wrong;

/// What a call may be about.
pub(crate) struct World<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) stream: &'a FakeStream,
    /// The data of the records so far, each with its shard.
    pub(crate) records: Vec<(String, String)>,
    /// The iterators that can be read from.
    pub(crate) iterators: Vec<usize>,
    pub(crate) marks: usize,
    pub(crate) has_token: bool,
    pub(crate) next_record: &'a mut usize,
    /// Some servers do not know the operation: other scripts do without it.
    pub(crate) updates_shard_count: bool,
    /// Records go to the first and the last hash keys of shards, too.
    pub(crate) edges: bool,
    pub(crate) retention: i32,
}

/// No script has more shards than this, so that they stay quick.
const MOST_SHARDS: usize = 24;

impl World<'_> {
    pub(crate) fn next(&mut self) -> Call {
        match self.rng.u32(0..100) {
            0..12 => Call::PutRecord { stream: self.named(), record: self.record() },
            12..22 => {
                let records = (0..self.rng.usize(1..6)).map(|_| self.record()).collect();
                Call::PutRecords { records }
            }
            22..30 => self.reshard(),
            30..42 => self.list(),
            42..46 => Call::ListToTheEnd { page: self.rng.i32(1..4), filter: self.filter() },
            46..56 => {
                let shard = self.any_shard();
                let start = self.start(&shard);
                Call::GetShardIterator { stream: self.named(), shard: Some(shard), start }
            }
            56..70 => match self.some_iterator() {
                Some(slot) => {
                    let limit = self.rng.bool().then(|| self.rng.i32(1..4));
                    Call::GetRecords { from: From::Iterator(slot), limit }
                }
                None => Call::ReadToTheEnd { shard: self.any_shard(), limit: 2 },
            },
            70..76 => Call::ReadToTheEnd { shard: self.any_shard(), limit: self.rng.i32(1..5) },
            76..79 => Call::DescribeStreamSummary { stream: self.named() },
            79..81 => {
                let after = self.rng.bool().then(|| self.any_shard());
                Call::DescribeStream {
                    stream: self.named(),
                    limit: Some(self.rng.i32(1..6)),
                    after,
                }
            }
            81..83 => {
                let longer = self.rng.bool();
                let hours =
                    if longer { self.retention + 24 } else { self.rng.i32(24..=self.retention) };
                Call::ChangeRetention { stream: self.named(), hours, longer }
            }
            _ => wrong::call(self),
        }
    }

    pub(crate) fn named(&mut self) -> Named {
        match self.rng.u32(0..12) {
            0 => Named::ByArn,
            1 => Named::ByBoth,
            _ => Named::ByName,
        }
    }

    pub(crate) fn record(&mut self) -> Put {
        *self.next_record += 1;
        let data = format!("r{}", self.next_record);
        let hash_key = match self.rng.u32(0..4) {
            0 => Some(self.rng.u128(..)),
            // The edges of a shard that is open, or was.
            1 if self.edges => Some(range(&self.shard()).0),
            2 if self.edges => Some(range(&self.shard()).1),
            _ => None,
        };
        Put {
            data,
            key: format!("key {}", self.rng.u32(0..50)),
            hash_key: hash_key.map(|key| key.to_string()),
        }
    }

    fn reshard(&mut self) -> Call {
        if self.updates_shard_count && self.rng.u32(0..3) == 0 {
            let open = i32::try_from(self.stream.open_shards().len()).expect("few shards");
            let target = self.rng.i32((open + 1) / 2..=open * 2);
            return Call::UpdateShardCount { stream: self.named(), target };
        }
        match self.adjacent_pair() {
            Some((low, high)) if self.rng.bool() || self.stream.shards().len() > MOST_SHARDS => {
                Call::MergeShards { stream: self.named(), shard: low, adjacent: high }
            }
            _ => {
                let shard = self.wide_shard();
                let (low, high) = range(&shard);
                let key = match self.rng.u32(0..6) {
                    // As low and as high as is allowed.
                    0 if high - low > 4 => low + 2,
                    1 if high - low > 4 => high - 1,
                    _ => low + (high - low) / 2 + 1,
                };
                let shard = shard.shard_id().to_owned();
                Call::SplitShard { stream: self.named(), shard, key: key.to_string() }
            }
        }
    }

    fn list(&mut self) -> Call {
        let max = self.rng.bool().then(|| self.rng.i32(1..5));
        if self.has_token && self.rng.bool() {
            return Call::ListShards(List { token: Some(Token::Last), max, ..List::default() });
        }
        let mut list = List { stream: Some(self.named()), max, ..List::default() };
        if self.rng.u32(0..3) == 0 {
            list.after = Some(self.any_shard());
        }
        if self.rng.bool() {
            list.filter = self.filter();
        }
        if self.rng.u32(0..12) == 0 {
            list.created = Some(true);
        }
        Call::ListShards(list)
    }

    pub(crate) fn filter(&mut self) -> Option<Filter> {
        let (shard, time) = (Some(self.any_shard()), Some(self.time()));
        let plain = |kind| Filter { kind, shard: None, time: None };
        match self.rng.u32(0..8) {
            0 => Some(Filter { kind: ShardFilterType::AfterShardId, shard, time: None }),
            1 => Some(plain(ShardFilterType::AtLatest)),
            2 => Some(plain(ShardFilterType::AtTrimHorizon)),
            3 => Some(plain(ShardFilterType::FromTrimHorizon)),
            4 | 5 => Some(Filter { kind: ShardFilterType::AtTimestamp, shard: None, time }),
            6 => Some(Filter { kind: ShardFilterType::FromTimestamp, shard: None, time }),
            _ => None,
        }
    }

    fn start(&mut self, shard: &str) -> Start {
        let plain = |kind| Start { kind, sequence: None, time: None };
        let own: Vec<_> = self.records.iter().filter(|(_, of)| of == shard).cloned().collect();
        let sequence = match self.rng.choice(own) {
            Some((data, _)) => Sequence::Of(data),
            None => Sequence::StartOf(shard.to_owned()),
        };
        let time = Some(self.time());
        match self.rng.u32(0..6) {
            0 => plain(ShardIteratorType::Latest),
            1 => plain(ShardIteratorType::TrimHorizon),
            2 => Start {
                kind: ShardIteratorType::AtSequenceNumber,
                sequence: Some(sequence),
                time: None,
            },
            3 => Start {
                kind: ShardIteratorType::AfterSequenceNumber,
                sequence: Some(sequence),
                time: None,
            },
            _ => Start { kind: ShardIteratorType::AtTimestamp, sequence: None, time },
        }
    }

    pub(crate) fn time(&mut self) -> Time {
        match self.rng.u32(0..10) {
            0 => Time::HourAgo,
            1 => Time::WeekAgo,
            _ if self.marks > 0 => Time::Mark(self.rng.usize(0..self.marks)),
            _ => Time::HourAgo,
        }
    }

    pub(crate) fn some_iterator(&mut self) -> Option<usize> {
        self.rng.choice(&self.iterators).copied()
    }

    fn shard(&mut self) -> Shard {
        self.rng.choice(self.stream.shards()).expect("a stream has shards")
    }

    pub(crate) fn any_shard(&mut self) -> String {
        self.shard().shard_id().to_owned()
    }

    pub(crate) fn open_shard(&mut self) -> Shard {
        self.rng.choice(open_by_range(self.stream)).expect("a stream has open shards")
    }

    /// One that can be split.
    fn wide_shard(&mut self) -> Shard {
        let mut wide = open_by_range(self.stream);
        wide.retain(|shard| range(shard).1 - range(shard).0 > 4);
        self.rng.choice(wide).expect("not all are of a few hash keys")
    }

    pub(crate) fn closed_shard(&mut self) -> Option<String> {
        let open = self.stream.open_shards();
        let closed = self.stream.shards().into_iter().map(|shard| shard.shard_id);
        self.rng.choice(closed.filter(|id| !open.contains(id)).collect::<Vec<_>>())
    }

    pub(crate) fn adjacent_pair(&mut self) -> Option<(String, String)> {
        let open = open_by_range(self.stream);
        let pair = self.rng.choice(open.windows(2))?;
        Some((pair[0].shard_id().to_owned(), pair[1].shard_id().to_owned()))
    }
}

fn open_by_range(stream: &FakeStream) -> Vec<Shard> {
    let open = stream.open_shards();
    let mut shards = stream.shards();
    shards.retain(|shard| open.iter().any(|id| id == shard.shard_id()));
    shards.sort_by_key(range);
    shards
}

pub(crate) fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range().expect("a shard has a range");
    let [low, high] = [range.starting_hash_key(), range.ending_hash_key()];
    let parse = |key: &str| key.parse().expect("a decimal number");
    (parse(low), parse(high))
}
