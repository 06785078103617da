//! The stream that the simulated workers read: its shards and their records.

use aws_sdk_kinesis::types::ChildShard;

use crate::checkpoint::value::Checkpoint;
use crate::lease::simulation::At;

/// A shard. Its records arrive at fixed times.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) id: String,
    pub(super) parents: Vec<usize>,
    pub(super) children: Vec<usize>,
    pub(super) created: At,
    pub(super) closed: At,
    /// When Kinesis stopped to list it.
    pub(super) expired: At,
    pub(super) records: Vec<At>,
}

pub(super) const NEVER: At = At::MAX;

#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub(super) shards: Vec<Shard>,
}

/// The distance between the sequence numbers of two shards.
const SPACING: u64 = 10_000_000;

impl Stream {
    pub(super) fn add(&mut self, parents: Vec<usize>, created: At) -> usize {
        let shard = self.shards.len();
        for parent in &parents {
            self.shards[*parent].children.push(shard);
        }
        self.shards.push(Shard {
            id: format!("shardId-{shard:012}"),
            parents,
            children: Vec::new(),
            created,
            closed: NEVER,
            expired: NEVER,
            records: Vec::new(),
        });
        shard
    }

    pub(super) fn is_listed(&self, shard: usize, at: At) -> bool {
        let shard = &self.shards[shard];
        shard.created <= at && at < shard.expired
    }

    /// Returns the children as the end of a shard names them.
    pub(super) fn child_shards(&self, shard: usize) -> Vec<ChildShard> {
        let child = |child: &usize| {
            let child = &self.shards[*child];
            ChildShard::builder()
                .shard_id(&child.id)
                .set_parent_shards(Some(self.ids(&child.parents)))
                .build()
                .expect("all required fields are set")
        };
        self.shards[shard].children.iter().map(child).collect()
    }

    pub(super) fn ids(&self, shards: &[usize]) -> Vec<String> {
        shards.iter().map(|shard| self.shards[*shard].id.clone()).collect()
    }

    /// Returns the checkpoint after the first `records` records of a shard.
    pub(super) fn checkpoint(shard: usize, records: usize) -> Checkpoint {
        let sequence_number = (shard as u64 + 1) * SPACING + records as u64;
        Checkpoint::After {
            sequence_number: sequence_number.to_string(),
            sub_sequence_number: None,
        }
    }

    /// Returns how many records of a shard are before a checkpoint.
    pub(super) fn records_before(&self, shard: usize, checkpoint: &Checkpoint) -> usize {
        match checkpoint {
            Checkpoint::Start(_) => 0,
            Checkpoint::After { sequence_number, .. } => {
                let number: u64 = sequence_number.parse().expect("it is a number");
                usize::try_from(number - (shard as u64 + 1) * SPACING).expect("it is small")
            }
            Checkpoint::End => self.shards[shard].records.len(),
        }
    }
}

/// Returns the index of a shard.
pub(super) fn index_of(shard_id: &str) -> Option<usize> {
    shard_id.strip_prefix("shardId-")?.parse().ok()
}
