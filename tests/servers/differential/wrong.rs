//! Draws invalid calls.

use aws_sdk_kinesis::types::{ShardFilterType, ShardIteratorType};

use super::call::{Call, Filter, From, List, Named, Put, Sequence, Start, Time, Token};
use super::world::{World, range};

const LIMITS: [i32; 3] = [0, -1, 10_001];
const NO_SHARDS: [&str; 4] = ["shardId-000000009999", "shardId-", "nonsense", ""];
const NO_SEQUENCES: [&str; 5] =
    ["0", "1", "not a number", "", "49590000000000000000000000000000000000000000000000000002"];
const NO_HASH_KEYS: [&str; 4] = ["340282366920938463463374607431768211456", "-1", "007", "key"];

pub(super) fn call(world: &mut World<'_>) -> Call {
    match world.rng.u32(0..20) {
        0..6 => Call::ListShards(list(world)),
        6..10 => iterator(world),
        10..12 => read(world),
        12..14 => put(world),
        14..19 => reshard(world),
        _ => describe(world),
    }
}

fn named(world: &mut World<'_>) -> Named {
    match world.rng.u32(0..3) {
        0 => Named::Unknown,
        1 => Named::NotAtAll,
        _ => Named::Invalid,
    }
}

fn pick<T: Copy>(world: &mut World<'_>, from: &[T]) -> T {
    from[world.rng.usize(0..from.len())]
}

fn list(world: &mut World<'_>) -> List {
    let list = List { stream: Some(Named::ByName), ..List::default() };
    let filter = |kind, shard, time| Some(Filter { kind, shard, time });
    let token = Some(Token::Last);
    match world.rng.u32(0..14) {
        0 => List { stream: Some(named(world)), ..list },
        1 => List { max: Some(pick(world, &LIMITS)), ..list },
        2 => List { stream: None, token: Some(Token::Garbage), ..list },
        3 => List { stream: None, token: Some(Token::Empty), ..list },
        4 => List { after: Some(pick(world, &NO_SHARDS).to_owned()), ..list },
        // A token excludes every other parameter.
        5 => List { token, ..list },
        6 => List { stream: None, token, after: Some(world.any_shard()), ..list },
        7 => List {
            stream: None,
            token,
            filter: filter(ShardFilterType::AtLatest, None, None),
            ..list
        },
        8 => List { stream: None, token, created: Some(true), ..list },
        9 => List { created: Some(false), ..list },
        10 => List { filter: filter(pick_kind(world), None, None), ..list },
        11 => {
            let (shard, time) = (Some(world.any_shard()), Some(Time::HourAgo));
            List { filter: filter(pick_kind(world), shard, time), ..list }
        }
        12 => {
            let shard = Some(pick(world, &NO_SHARDS).to_owned());
            List { filter: filter(ShardFilterType::AfterShardId, shard, None), ..list }
        }
        _ => {
            let kind = if world.rng.bool() {
                ShardFilterType::AtTimestamp
            } else {
                ShardFilterType::FromTimestamp
            };
            List { filter: filter(kind, None, Some(Time::InAnHour)), ..list }
        }
    }
}

fn pick_kind(world: &mut World<'_>) -> ShardFilterType {
    let kinds = [
        "AFTER_SHARD_ID",
        "AT_LATEST",
        "AT_TIMESTAMP",
        "FROM_TIMESTAMP",
        "AT_TRIM_HORIZON",
        "SOMETIME",
    ];
    ShardFilterType::from(pick(world, &kinds))
}

fn iterator(world: &mut World<'_>) -> Call {
    let (stream, shard) = (Named::ByName, Some(world.any_shard()));
    let plain = |kind| Start { kind, sequence: None, time: None };
    let latest = plain(ShardIteratorType::Latest);
    let sequenced = |kind, sequence| Start { kind, sequence: Some(sequence), time: None };
    let by_sequence = if world.rng.bool() {
        ShardIteratorType::AtSequenceNumber
    } else {
        ShardIteratorType::AfterSequenceNumber
    };
    match world.rng.u32(0..9) {
        0 => Call::GetShardIterator { stream: named(world), shard, start: latest },
        1 => {
            let shard = Some(pick(world, &NO_SHARDS).to_owned());
            Call::GetShardIterator { stream, shard, start: latest }
        }
        2 => Call::GetShardIterator { stream, shard: None, start: latest },
        3 => {
            let text = Sequence::Text(pick(world, &NO_SEQUENCES));
            Call::GetShardIterator { stream, shard, start: sequenced(by_sequence, text) }
        }
        4 => {
            // The sequence number most likely belongs to another shard.
            let sequence = match world.rng.choice(&world.records) {
                Some((data, _)) => Sequence::Of(data.clone()),
                None => Sequence::StartOf(world.any_shard()),
            };
            Call::GetShardIterator { stream, shard, start: sequenced(by_sequence, sequence) }
        }
        5 => Call::GetShardIterator { stream, shard, start: plain(by_sequence) },
        6 => {
            let kind = if world.rng.bool() {
                ShardIteratorType::Latest
            } else {
                ShardIteratorType::AtTimestamp
            };
            let start = sequenced(kind, Sequence::StartOf(world.any_shard()));
            Call::GetShardIterator { stream, shard, start }
        }
        7 => {
            let time = world.rng.bool().then_some(Time::InAnHour);
            let start = Start { kind: ShardIteratorType::AtTimestamp, sequence: None, time };
            Call::GetShardIterator { stream, shard, start }
        }
        _ => Call::GetShardIterator {
            stream,
            shard,
            start: plain(ShardIteratorType::from("SOMEWHERE")),
        },
    }
}

fn read(world: &mut World<'_>) -> Call {
    let iterator = world.some_iterator().map_or(From::Garbage, From::Iterator);
    match world.rng.u32(0..6) {
        0 => Call::GetRecords { from: From::Garbage, limit: None },
        1 => Call::GetRecords { from: From::Empty, limit: None },
        2 => Call::GetRecords { from: From::Nothing, limit: None },
        _ => Call::GetRecords { from: iterator, limit: Some(pick(world, &LIMITS)) },
    }
}

fn put(world: &mut World<'_>) -> Call {
    let record = world.record();
    match world.rng.u32(0..7) {
        0 => Call::PutRecord { stream: named(world), record },
        1 => {
            let hash_key = Some(pick(world, &NO_HASH_KEYS).to_owned());
            Call::PutRecord { stream: Named::ByName, record: Put { hash_key, ..record } }
        }
        2 => Call::PutRecord {
            stream: Named::ByName,
            record: Put { key: String::new(), hash_key: None, ..record },
        },
        3 => Call::PutRecord {
            stream: Named::ByName,
            record: Put { key: "k".repeat(257), ..record },
        },
        4 => Call::PutRecords { records: vec![] },
        5 => Call::PutRecords { records: vec![record; 501] },
        _ => {
            let bad =
                Put { hash_key: Some(pick(world, &NO_HASH_KEYS).to_owned()), ..world.record() };
            Call::PutRecords { records: vec![record, bad] }
        }
    }
}

fn reshard(world: &mut World<'_>) -> Call {
    let stream = Named::ByName;
    let open = world.open_shard();
    let ((low, high), id) = (range(&open), open.shard_id().to_owned());
    let middle = (low + (high - low) / 2).to_string();
    // Few scripts have `UpdateShardCount`.
    match world.rng.u32(0..if world.updates_shard_count { 20 } else { 13 }) {
        0 => Call::SplitShard { stream: named(world), shard: id, key: middle },
        1 => Call::SplitShard { stream, shard: pick(world, &NO_SHARDS).to_owned(), key: middle },
        2 | 3 => match world.closed_shard() {
            Some(shard) => Call::SplitShard { stream, shard, key: middle },
            None => Call::SplitShard { stream, shard: String::new(), key: middle },
        },
        4 => {
            let beyond = high.saturating_add(1);
            let key =
                pick(world, &[low, low.saturating_add(1), high, beyond, low.saturating_sub(1)]);
            Call::SplitShard { stream, shard: id, key: key.to_string() }
        }
        5 => Call::SplitShard { stream, shard: id, key: pick(world, &NO_HASH_KEYS).to_owned() },
        6 => Call::MergeShards { stream: named(world), shard: id.clone(), adjacent: id },
        7 => Call::MergeShards { stream, shard: id.clone(), adjacent: id },
        8 => match world.adjacent_pair() {
            // The shards are in the wrong order.
            Some((low, high)) => Call::MergeShards { stream, shard: high, adjacent: low },
            None => Call::MergeShards { stream, shard: id, adjacent: "nonsense".to_owned() },
        },
        9 => {
            let adjacent =
                world.closed_shard().unwrap_or_else(|| "shardId-000000009999".to_owned());
            Call::MergeShards { stream, shard: id, adjacent }
        }
        10 => {
            let far = world.open_shard().shard_id().to_owned();
            let adjacent =
                world.adjacent_pair().is_some_and(|pair| pair == (id.clone(), far.clone()));
            Call::MergeShards {
                stream,
                shard: id.clone(),
                adjacent: if adjacent { id } else { far },
            }
        }
        11 => Call::CreateStream { name: world.stream.name().to_owned(), shards: 1 },
        _ if world.updates_shard_count => {
            let open = i32::try_from(world.stream.open_shards().len()).expect("few shards");
            let target = pick(world, &[0, -1, open * 2 + 1, open, (open + 1) / 2 - 1]);
            Call::UpdateShardCount { stream, target }
        }
        _ => Call::UpdateShardCount { stream: Named::Unknown, target: 2 },
    }
}

fn describe(world: &mut World<'_>) -> Call {
    match world.rng.u32(0..3) {
        0 => return Call::DescribeStreamSummary { stream: named(world) },
        1 => {
            let kept = world.retention;
            let longer = world.rng.bool();
            let hours = if longer { kept - 1 } else { kept + 1 };
            let hours = pick(world, &[hours, 23, 0, -1, 8761]);
            return Call::ChangeRetention { stream: Named::ByName, hours, longer };
        }
        _ => {}
    }
    Call::DescribeStream { stream: Named::ByName, limit: Some(pick(world, &LIMITS)), after: None }
}
