//! The state of a script from which its next call is drawn: that of the fake alone, so that a seed
//! gives the same script on every server.

use aws_sdk_kinesis::types::{Shard, ShardFilterType};
use fastrand::Rng;
use kinesis_shards::testing::FakeStream;

use super::call::{Filter, Named, Put, Time};

/// The state from which a call is drawn.
pub(crate) struct World<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) stream: &'a FakeStream,
    /// The data of the records so far, each with its shard.
    pub(crate) records: Vec<(String, String)>,
    /// The iterators that a call can use.
    pub(crate) iterators: Vec<usize>,
    pub(crate) marks: usize,
    pub(crate) has_token: bool,
    pub(crate) next_record: &'a mut usize,
    /// Whether the script has `UpdateShardCount`, which some servers do not implement.
    pub(crate) updates_shard_count: bool,
    /// Whether records also have the first and the last hash keys of shards.
    pub(crate) edges: bool,
    pub(crate) retention: i32,
}

impl World<'_> {
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
            // The first or the last hash key of an open or closed shard.
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

    pub(crate) fn shard(&mut self) -> Shard {
        self.rng.choice(self.stream.shards()).expect("a stream has shards")
    }

    pub(crate) fn any_shard(&mut self) -> String {
        self.shard().shard_id().to_owned()
    }

    pub(crate) fn open_shard(&mut self) -> Shard {
        self.rng.choice(open_by_range(self.stream)).expect("a stream has open shards")
    }

    /// Returns an open shard that can be split.
    pub(crate) fn wide_shard(&mut self) -> Shard {
        let mut wide = open_by_range(self.stream);
        wide.retain(|shard| range(shard).1 - range(shard).0 > 4);
        self.rng.choice(wide).expect("a shard that is wide enough")
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
