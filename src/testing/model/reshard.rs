//! Splits, merges, and the changes of shard count that consist of them.

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::hash_range::HashRange;
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::shard::shard_id;
use crate::testing::model::stream::Stream;
use crate::testing::model::time::Millis;

/// AWS's default for the maximum number of shards of one stream.
const MAX_SHARDS: usize = 10_000;

impl Service {
    /// Splits a shard at `key`. Returns the lower child, and then the upper one, which starts at
    /// `key`.
    pub(crate) fn split_shard(
        &mut self,
        stream: StreamRef<'_>,
        shard: &str,
        key: u128,
        now: Millis,
    ) -> Result<(u32, u32), ApiError> {
        let stream = self.stream(stream, now)?;
        let (index, range) = find_open_shard(stream, shard)?;
        if key <= range.start.saturating_add(1) || key >= range.end {
            return Err(ApiError::invalid(format!(
                "NewStartingHashKey {key} used in SplitShard() on shard {} in stream {} under \
                 account {} is not both greater than one plus the shard's StartingHashKey {} and \
                 less than the shard's EndingHashKey {}.",
                shard_id(index),
                stream.name,
                stream.account,
                range.start,
                range.end
            )));
        }
        let name = stream.name.clone();
        self.in_new_generation(&name, now, |stream, generation| {
            stream.split(generation, index, key, now)
        })
    }

    /// Merges two open shards. The range of `adjacent` must follow that of `shard`.
    pub(crate) fn merge_shards(
        &mut self,
        stream: StreamRef<'_>,
        shard: &str,
        adjacent: &str,
        now: Millis,
    ) -> Result<u32, ApiError> {
        let stream = self.stream(stream, now)?;
        let ((low, low_range), (high, high_range)) =
            (find_open_shard(stream, shard)?, find_open_shard(stream, adjacent)?);
        if !low_range.is_followed_by(high_range) {
            return Err(ApiError::invalid(format!(
                "Shards {} and {} in stream {} under account {} are not an adjacent pair of shards \
                 eligible for merging",
                shard_id(low),
                shard_id(high),
                stream.name,
                stream.account
            )));
        }
        let name = stream.name.clone();
        self.in_new_generation(&name, now, |stream, generation| {
            stream.merge(generation, low, high, now)
        })
    }

    /// Scales uniformly: splits at every missing boundary, then merges across every superfluous
    /// one. Returns the shard counts before and after.
    pub(crate) fn update_shard_count(
        &mut self,
        stream: StreamRef<'_>,
        target: u32,
        now: Millis,
    ) -> Result<(usize, u32), ApiError> {
        let stream = self.stream(stream, now)?;
        let (current, target_count) = (stream.open_shard_count(), target as usize);
        check_target(stream, current, target_count)?;
        let name = stream.name.clone();
        for range in HashRange::uniform(target) {
            let stream = self.stream_mut(StreamRef::named(&name), now)?;
            if let Some(shard) = stream.shard_for(range.start)
                && shard.range.start != range.start
            {
                let index = shard.index;
                self.in_new_generation(&name, now, |stream, generation| {
                    stream.split(generation, index, range.start, now)
                })?;
            }
        }
        for range in HashRange::uniform(target) {
            while let Some((low, high)) =
                self.stream_mut(StreamRef::named(&name), now)?.first_pair_within(range)
            {
                self.in_new_generation(&name, now, |stream, generation| {
                    stream.merge(generation, low, high, now)
                })?;
            }
        }
        Ok((current, target))
    }

    /// Splits every open shard in two, as AWS does when it scales up an on-demand stream.
    pub(crate) fn double(&mut self, stream: StreamRef<'_>, now: Millis) -> Result<(), ApiError> {
        let stream = self.stream(stream, now)?;
        let open_shards: Vec<_> =
            stream.open_by_hash_key().map(|shard| (shard.id.clone(), shard.range)).collect();
        let name = stream.name.clone();
        if let Some((id, _)) = open_shards.iter().find(|(_, range)| range.end - range.start < 3) {
            return Err(ApiError::invalid(format!("{id} of stream {name} is too narrow to split")));
        }
        for (id, range) in open_shards {
            self.split_shard(StreamRef::named(&name), &id, range.middle(), now)?;
        }
        Ok(())
    }

    /// Makes a change whose new shards share a generation of sequence numbers.
    fn in_new_generation<T>(
        &mut self,
        name: &str,
        now: Millis,
        change: impl FnOnce(&mut Stream, u64) -> T,
    ) -> Result<T, ApiError> {
        let generation = self.new_generation(now);
        Ok(change(self.stream_mut(StreamRef::named(name), now)?, generation))
    }
}

fn find_open_shard(stream: &Stream, id: &str) -> Result<(u32, HashRange), ApiError> {
    let shard = stream.shard(id)?;
    if !shard.is_open() {
        return Err(ApiError::invalid(format!(
            "Shard {} in stream {} under account {} has already been merged or split, and thus is \
             not eligible for merging or splitting.",
            shard.id, stream.name, stream.account
        )));
    }
    Ok((shard.index, shard.range))
}

fn check_target(stream: &Stream, current: usize, target: usize) -> Result<(), ApiError> {
    let reject = |code, why: &str| {
        Err(ApiError::new(
            code,
            format!(
                "UpdateShardCount of stream {} under account {} from {current} to {target} shards: \
                 {why}",
                stream.name, stream.account
            ),
        ))
    };
    if target == 0 {
        return Err(ApiError::constraint(
            target,
            "targetShardCount",
            "have value greater than or equal to 1",
        ));
    }
    if target > current * 2 {
        return reject(
            Code::LimitExceeded,
            "cannot scale up to more than double the current shard count.",
        );
    }
    if target * 2 < current {
        return reject(
            Code::LimitExceeded,
            "cannot scale down below half the current shard count.",
        );
    }
    if target > MAX_SHARDS {
        return reject(Code::LimitExceeded, "cannot scale to more than 10000 shards.");
    }
    if target == current {
        return reject(Code::InvalidArgument, "the target is the current shard count.");
    }
    Ok(())
}

impl Stream {
    fn split(&mut self, generation: u64, index: u32, key: u128, now: Millis) -> (u32, u32) {
        let (low, high) = self.shards[&index].range.split_at(key);
        let low = self.open_shard(generation, low, (Some(index), None), now);
        let high = self.open_shard(generation, high, (Some(index), None), now);
        self.close_shard(index, vec![low, high], now);
        (low, high)
    }

    fn merge(&mut self, generation: u64, low: u32, high: u32, now: Millis) -> u32 {
        let range =
            HashRange { start: self.shards[&low].range.start, end: self.shards[&high].range.end };
        let child = self.open_shard(generation, range, (Some(low), Some(high)), now);
        self.close_shard(low, vec![child], now);
        self.close_shard(high, vec![child], now);
        child
    }

    /// Returns the two lowest open shards that start in `range`, if more than one does.
    fn first_pair_within(&self, range: HashRange) -> Option<(u32, u32)> {
        let mut inside = self.open.range(range.start..=range.end).map(|(_, index)| *index);
        Some((inside.next()?, inside.next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model::stream::Mode;

    const NOW: Millis = Millis(1_700_000_000_000);
    const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

    fn service(shards: u32) -> Service {
        let mut service = Service::default();
        service.create_stream("orders", Mode::Provisioned, shards, NOW).expect("a new stream");
        service
    }

    /// Returns the index, the parent, the adjacent parent and whether it is open, of every shard.
    fn lineage(service: &mut Service) -> Vec<(u32, Option<u32>, Option<u32>, bool)> {
        let stream = service.stream(ORDERS, NOW).expect("the stream");
        stream
            .shards()
            .map(|shard| (shard.index, shard.parent, shard.adjacent_parent, shard.is_open()))
            .collect()
    }

    fn assert_open_shards_cover_everything(service: &mut Service) {
        let stream = service.stream(ORDERS, NOW).expect("the stream");
        let ranges: Vec<_> = stream.open.values().map(|index| stream.shards[index].range).collect();
        assert!(stream.open.values().all(|index| stream.shards[index].is_open()));
        assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, u128::MAX));
        assert!(ranges.windows(2).all(|pair| pair[0].is_followed_by(pair[1])));
    }

    #[test]
    fn split_closes_the_shard_and_opens_two() {
        let mut service = service(1);
        assert_eq!(service.split_shard(ORDERS, "shardId-000000000000", 1 << 127, NOW), Ok((1, 2)));
        assert_eq!(
            lineage(&mut service),
            [(0, None, None, false), (1, Some(0), None, true), (2, Some(0), None, true)]
        );
        assert_open_shards_cover_everything(&mut service);
        let stream = service.stream(ORDERS, NOW).expect("the stream");
        let (parent, child) =
            (stream.shard_at(0).expect("parent"), stream.shard_at(1).expect("child"));
        assert!(
            parent.start < parent.end.expect("closed") && parent.end.expect("closed") < child.start
        );
        assert_eq!(parent.children, [1, 2]);
    }

    #[test]
    fn merged_shard_has_two_parents_and_can_be_split() {
        let mut service = service(2);
        assert_eq!(
            service.merge_shards(ORDERS, "shardId-000000000000", "shardId-000000000001", NOW),
            Ok(2)
        );
        assert_eq!(lineage(&mut service)[2], (2, Some(0), Some(1), true));
        assert_eq!(service.split_shard(ORDERS, "shardId-000000000002", 1 << 126, NOW), Ok((3, 4)));
        assert_eq!(lineage(&mut service)[2], (2, Some(0), Some(1), false));
        assert_open_shards_cover_everything(&mut service);
    }

    #[test]
    fn invalid_splits_and_merges_are_rejected() {
        let mut service = service(3);
        let code = |result: Result<u32, ApiError>| result.expect_err("rejected").code;
        let merge =
            |service: &mut Service, low, high| code(service.merge_shards(ORDERS, low, high, NOW));
        assert_eq!(
            merge(&mut service, "shardId-000000000000", "shardId-000000000002"),
            Code::InvalidArgument
        );
        assert_eq!(
            merge(&mut service, "shardId-000000000001", "shardId-000000000000"),
            Code::InvalidArgument
        );
        assert_eq!(
            merge(&mut service, "shardId-000000000000", "shardId-000000000000"),
            Code::InvalidArgument
        );
        assert_eq!(
            merge(&mut service, "shardId-000000000000", "shardId-000000000009"),
            Code::ResourceNotFound
        );
        let split = |service: &mut Service, shard, key| {
            code(service.split_shard(ORDERS, shard, key, NOW).map(|(low, _)| low))
        };
        assert_eq!(split(&mut service, "shardId-000000000000", 1), Code::InvalidArgument);
        assert_eq!(
            split(&mut service, "shardId-000000000000", u128::MAX / 3),
            Code::InvalidArgument
        );
        assert_eq!(split(&mut service, "nonsense", 5), Code::ResourceNotFound);
        service.split_shard(ORDERS, "shardId-000000000000", 2, NOW).expect("the smallest split");
        assert_eq!(split(&mut service, "shardId-000000000000", 5), Code::InvalidArgument);
        assert_eq!(
            merge(&mut service, "shardId-000000000000", "shardId-000000000001"),
            Code::InvalidArgument
        );
    }

    #[test]
    fn doubling_the_count_splits_every_shard_and_halving_merges_pairs() {
        let mut service = service(2);
        assert_eq!(service.update_shard_count(ORDERS, 4, NOW), Ok((2, 4)));
        assert_eq!(
            lineage(&mut service)[2..],
            [
                (2, Some(0), None, true),
                (3, Some(0), None, true),
                (4, Some(1), None, true),
                (5, Some(1), None, true)
            ]
        );
        service.update_shard_count(ORDERS, 2, NOW).expect("halved");
        assert_eq!(
            lineage(&mut service)[6..],
            [(6, Some(2), Some(3), true), (7, Some(4), Some(5), true)]
        );
        assert_open_shards_cover_everything(&mut service);
    }

    #[test]
    fn uneven_counts_end_in_uniform_ranges() {
        let mut service = service(2);
        for target in [3, 5, 4, 7, 6, 3, 2, 1] {
            service.update_shard_count(ORDERS, target, NOW).expect("within the limits");
            assert_open_shards_cover_everything(&mut service);
            let stream = service.stream(ORDERS, NOW).expect("the stream");
            let starts: Vec<_> = stream.open.keys().copied().collect();
            assert_eq!(
                starts,
                HashRange::uniform(target).map(|range| range.start).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn shard_count_at_most_doubles_and_at_least_halves() {
        let mut service = service(4);
        for (target, code) in [
            (9, Code::LimitExceeded),
            (1, Code::LimitExceeded),
            (4, Code::InvalidArgument),
            (0, Code::Validation),
        ] {
            assert_eq!(
                service.update_shard_count(ORDERS, target, NOW).expect_err("rejected").code,
                code,
                "{target}"
            );
        }
    }

    #[test]
    fn half_of_an_odd_count_rounds_up() {
        let mut service = service(5);
        let rejected = service.update_shard_count(ORDERS, 2, NOW).expect_err("below half");
        assert_eq!(rejected.code, Code::LimitExceeded);
        service.update_shard_count(ORDERS, 3, NOW).expect("not below half");
    }

    #[test]
    fn double_splits_each_open_shard_once() {
        let mut service = Service::default();
        service.create_stream("orders", Mode::OnDemand, 2, NOW).expect("a new stream");
        service.double(ORDERS, NOW).expect("doubled");
        let children = |parent, index| (index, Some(parent), None, true);
        assert_eq!(
            lineage(&mut service)[2..],
            [children(0, 2), children(0, 3), children(1, 4), children(1, 5)]
        );
        assert_open_shards_cover_everything(&mut service);
        service.split_shard(ORDERS, "shardId-000000000002", 2, NOW).expect("the smallest split");
        assert_eq!(
            service.double(ORDERS, NOW).expect_err("too narrow").code,
            Code::InvalidArgument
        );
        assert_eq!(lineage(&mut service).len(), 8, "a rejected call changes nothing");
    }
}
