//! Draws the next call of a script.

use aws_sdk_kinesis::types::ShardIteratorType;

use super::call::{Call, From, List, Sequence, Start, Token};
use super::world::{World, range};
use super::wrong;

/// The maximum number of shards, which keeps scripts short.
const MAX_SHARDS: usize = 24;

pub(crate) fn next(world: &mut World<'_>) -> Call {
    match world.rng.u32(0..100) {
        0..12 => Call::PutRecord { stream: world.named(), record: world.record() },
        12..22 => {
            let records = (0..world.rng.usize(1..6)).map(|_| world.record()).collect();
            Call::PutRecords { records }
        }
        22..30 => reshard(world),
        30..42 => list(world),
        42..46 => Call::ListToTheEnd { page: world.rng.i32(1..4), filter: world.filter() },
        46..56 => {
            let shard = world.any_shard();
            let start = start(world, &shard);
            Call::GetShardIterator { stream: world.named(), shard: Some(shard), start }
        }
        56..70 => match world.some_iterator() {
            Some(slot) => {
                let limit = world.rng.bool().then(|| world.rng.i32(1..4));
                Call::GetRecords { from: From::Iterator(slot), limit }
            }
            None => Call::ReadToTheEnd { shard: world.any_shard(), limit: 2 },
        },
        70..76 => Call::ReadToTheEnd { shard: world.any_shard(), limit: world.rng.i32(1..5) },
        76..79 => Call::DescribeStreamSummary { stream: world.named() },
        79..81 => {
            let after = world.rng.bool().then(|| world.any_shard());
            Call::DescribeStream { stream: world.named(), limit: Some(world.rng.i32(1..6)), after }
        }
        81..83 => {
            let longer = world.rng.bool();
            let hours =
                if longer { world.retention + 24 } else { world.rng.i32(24..=world.retention) };
            Call::ChangeRetention { stream: world.named(), hours, longer }
        }
        _ => wrong::call(world),
    }
}

fn reshard(world: &mut World<'_>) -> Call {
    if world.updates_shard_count && world.rng.u32(0..3) == 0 {
        let open = i32::try_from(world.stream.open_shards().len()).expect("few shards");
        let target = world.rng.i32((open + 1) / 2..=open * 2);
        return Call::UpdateShardCount { stream: world.named(), target };
    }
    match world.adjacent_pair() {
        Some((low, high)) if world.rng.bool() || world.stream.shards().len() > MAX_SHARDS => {
            Call::MergeShards { stream: world.named(), shard: low, adjacent: high }
        }
        _ => {
            let shard = world.wide_shard();
            let (low, high) = range(&shard);
            let key = match world.rng.u32(0..6) {
                // The lowest and the highest key that AWS accepts.
                0 if high - low > 4 => low + 2,
                1 if high - low > 4 => high - 1,
                _ => low + (high - low) / 2 + 1,
            };
            let shard = shard.shard_id().to_owned();
            Call::SplitShard { stream: world.named(), shard, key: key.to_string() }
        }
    }
}

fn list(world: &mut World<'_>) -> Call {
    let max = world.rng.bool().then(|| world.rng.i32(1..5));
    if world.has_token && world.rng.bool() {
        return Call::ListShards(List { token: Some(Token::Last), max, ..List::default() });
    }
    let mut list = List { stream: Some(world.named()), max, ..List::default() };
    if world.rng.u32(0..3) == 0 {
        list.after = Some(world.any_shard());
    }
    if world.rng.bool() {
        list.filter = world.filter();
    }
    if world.rng.u32(0..12) == 0 {
        list.created = Some(true);
    }
    Call::ListShards(list)
}

fn start(world: &mut World<'_>, shard: &str) -> Start {
    let plain = |kind| Start { kind, sequence: None, time: None };
    let own: Vec<_> = world.records.iter().filter(|(_, of)| of == shard).cloned().collect();
    let sequence = match world.rng.choice(own) {
        Some((data, _)) => Sequence::Of(data),
        None => Sequence::StartOf(shard.to_owned()),
    };
    let time = Some(world.time());
    match world.rng.u32(0..6) {
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
