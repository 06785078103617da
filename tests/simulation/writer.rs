//! The changes of the stream.

use std::collections::BTreeMap;

use fastrand::Rng;
use kinesis_shards::testing::FakeStream;

use crate::script::Step;
use crate::world::World;

/// Bounds that keep a script small enough to be read.
const MAX_OPEN: usize = 8;
const MAX_SHARDS: usize = 40;

impl World {
    pub(crate) fn change(&self, step: &Step) {
        if let Step::Expire(count) = *step {
            for shard in self.oracle.lock().unwrap().truth.closed().into_iter().take(count) {
                self.stream.expire(&format!("shardId-{:012}", shard.index));
            }
        }
        reshard(&self.stream, self.is_on_demand(), step);
    }
}

/// Splits and merges shards.
pub(crate) fn reshard(stream: &FakeStream, is_on_demand: bool, step: &Step) {
    let open = in_order(stream);
    let room = open.len() < MAX_OPEN && stream.shards().len() < MAX_SHARDS;
    let count = u32::try_from(open.len()).unwrap_or(u32::MAX);
    match *step {
        Step::Split(pick) if room => {
            stream.split(&open[pick % open.len()]);
        }
        Step::Merge(pick) if open.len() > 1 => {
            let low = pick % (open.len() - 1);
            stream.merge(&open[low], &open[low + 1]);
        }
        Step::Scale(pick) if room => {
            let least = open.len().div_ceil(2);
            let target = least + pick % (2 * open.len() - least + 1);
            if target != open.len() && target <= MAX_OPEN {
                stream.update_shard_count(u32::try_from(target).unwrap_or(count));
            }
        }
        Step::Double if 2 * open.len() <= MAX_OPEN && is_on_demand => {
            stream.double();
        }
        Step::Double if 2 * open.len() <= MAX_OPEN => stream.update_shard_count(2 * count),
        Step::Storm(changes, seed) => {
            let mut rng = Rng::with_seed(seed);
            for _ in 0..changes {
                let pick = rng.usize(..64);
                let step = if rng.bool() { Step::Split(pick) } else { Step::Merge(pick) };
                reshard(stream, is_on_demand, &step);
            }
        }
        _ => {}
    }
}

/// Returns the open shards in the order of their hash keys.
fn in_order(stream: &FakeStream) -> Vec<String> {
    let open = stream.open_shards();
    let shards = stream.shards();
    let by_key: BTreeMap<u128, String> = shards
        .iter()
        .filter(|shard| open.iter().any(|id| id == shard.shard_id()))
        .filter_map(|shard| {
            let first = shard.hash_key_range()?.starting_hash_key().parse().ok()?;
            Some((first, shard.shard_id().to_owned()))
        })
        .collect();
    by_key.into_values().collect()
}
