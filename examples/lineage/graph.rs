//! The shards of a stream as nodes of a picture.

use std::collections::BTreeMap;

use aws_sdk_kinesis::types::Shard;
use kinesis_shards::checkpoint::Checkpoint;

/// A shard of the picture.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// The parents that are listed.
    pub(crate) parents: Vec<String>,
    /// The part of all hash keys that the shard has, from 0 to 1.
    pub(crate) range: (f64, f64),
    /// How many generations of listed ancestors the shard has.
    pub(crate) generation: usize,
    pub(crate) is_closed: bool,
    pub(crate) state: State,
}

/// How far a consumer has read a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// No checkpoints are shown.
    Unknown,
    /// Read to its end.
    Finished,
    /// Read in part, or from now on.
    Reading,
    /// A parent is not finished.
    Waiting,
}

impl State {
    pub(crate) const ALL: [Self; 4] = [Self::Unknown, Self::Finished, Self::Reading, Self::Waiting];

    /// Returns the name, also as a class of Mermaid.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "listed",
            Self::Finished => "finished",
            Self::Reading => "reading",
            Self::Waiting => "waiting",
        }
    }

    /// Returns the color of the fill.
    pub(crate) fn color(self) -> &'static str {
        match self {
            Self::Unknown => "#dbe9f6",
            Self::Finished => "#d9d9d9",
            Self::Reading => "#b7e1b0",
            Self::Waiting => "#fde7b0",
        }
    }
}

/// Returns the nodes of a full list of shards, parents first. `checkpoints` are those of a
/// consumer, if there is one.
pub(crate) fn nodes<'a>(
    shards: impl IntoIterator<Item = &'a Shard>,
    checkpoints: Option<&BTreeMap<String, Checkpoint>>,
) -> Vec<Node> {
    let mut shards: Vec<_> = shards.into_iter().collect();
    // Ids grow with time, and so a parent's is smaller.
    shards.sort_by_key(|shard| shard.shard_id().to_owned());
    let mut nodes: Vec<Node> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for shard in shards {
        let ids = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        let listed = ids.into_iter().flatten().filter(|id| places.contains_key(*id));
        let parents: Vec<_> = listed.map(str::to_owned).collect();
        let known = || parents.iter().map(|id| &nodes[places[id]]);
        let generation = known().map(|parent| parent.generation + 1).max().unwrap_or(0);
        let is_finished = |state: State| matches!(state, State::Finished | State::Unknown);
        let is_open = known().all(|parent| is_finished(parent.state));
        let state = match checkpoints {
            None => State::Unknown,
            Some(checkpoints) => match checkpoints.get(shard.shard_id()) {
                Some(Checkpoint::End) => State::Finished,
                Some(_) => State::Reading,
                None if is_open => State::Reading,
                None => State::Waiting,
            },
        };
        let range = shard.hash_key_range();
        let range = range.map_or((0.0, 1.0), |range| {
            (part(range.starting_hash_key(), 0.0), part(range.ending_hash_key(), 1.0))
        });
        let end = shard.sequence_number_range().and_then(|range| range.ending_sequence_number());
        places.insert(shard.shard_id().to_owned(), nodes.len());
        nodes.push(Node {
            id: shard.shard_id().to_owned(),
            parents,
            range,
            generation,
            is_closed: end.is_some(),
            state,
        });
    }
    nodes
}

/// Returns a hash key as a part of the greatest.
fn part(hash_key: &str, otherwise: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a picture needs no more")]
    let part = |key: u128| key as f64 / u128::MAX as f64;
    hash_key.parse().map_or(otherwise, part)
}

/// Returns the id without its common part: `shardId-000000000042` is `42`.
pub(crate) fn short(id: &str) -> &str {
    let digits = id.strip_prefix("shardId-").unwrap_or(id);
    let short = digits.trim_start_matches('0');
    if short.is_empty() { "0" } else { short }
}
