//! Properties of a shard as the SDK describes it.

use aws_sdk_kinesis::types::Shard;

/// Returns the ids of a shard's parents: the parent, then the adjacent parent.
pub(crate) fn parent_ids(shard: &Shard) -> [Option<&str>; 2] {
    let parent = shard.parent_shard_id().filter(|id| !id.is_empty());
    let adjacent = shard.adjacent_parent_shard_id();
    let adjacent = adjacent.filter(|id| !id.is_empty() && parent != Some(id));
    [parent, adjacent]
}

/// Returns whether the shard was split or merged, so that Kinesis accepts no writes to it.
pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard
        .sequence_number_range()
        .is_some_and(|range| range.ending_sequence_number().is_some_and(|end| !end.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_is_named_twice_is_one_parent() {
        let parents = |parent: &str, adjacent: &str| {
            let shard = Shard::builder().shard_id("2").parent_shard_id(parent);
            let shard = shard.adjacent_parent_shard_id(adjacent).build().unwrap();
            parent_ids(&shard).map(|id| id.map(str::to_owned))
        };
        assert_eq!(parents("1", "1"), [Some("1".to_owned()), None]);
        assert_eq!(parents("", ""), [None, None]);
    }
}
