//! A difference in its place: what an entry of the table is asked about.

use aws_sdk_kinesis::types::Shard;

use super::call::{Call, Filter, List, Time};
use super::compare::Difference;

const NO_ERROR: &str = "no error";

pub(crate) struct Case<'a> {
    pub(crate) call: &'a Call,
    pub(crate) difference: &'a Difference,
    /// All shards, as the fake has them.
    pub(crate) shards: &'a [Shard],
    /// The shard that is read, if one is.
    pub(crate) reads: Option<&'a str>,
    /// It is the list after `UpdateShardCount`.
    pub(crate) follows_an_update: bool,
    /// A `PutRecords` was refused before.
    pub(crate) follows_a_refused_put: bool,
}

impl Case<'_> {
    /// Both refuse it, with other codes.
    pub(crate) fn is_refused_by_both(&self) -> bool {
        ![self.server(), self.fake()].contains(&NO_ERROR)
    }

    /// Only the fake refuses it.
    pub(crate) fn is_refused_by_the_fake(&self) -> bool {
        self.server() == NO_ERROR
    }

    /// Both ranges, `A-B`, differ by so little that it is another rounding.
    pub(crate) fn is_rounded_otherwise(&self) -> bool {
        let ends = |range: &str| -> Option<[u128; 2]> {
            let (first, last) = range.split_once('-')?;
            Some([first.parse().ok()?, last.parse().ok()?])
        };
        let (Some(server), Some(fake)) = (ends(self.server()), ends(self.fake())) else { return false };
        server.iter().zip(fake).all(|(server, fake)| server.abs_diff(fake) <= 4)
    }

    /// The same words, in another order.
    pub(crate) fn is_in_another_order(&self) -> bool {
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        sorted(self.server()) == sorted(self.fake())
    }

    /// The server has all shards that the fake has, and more.
    pub(crate) fn server_lists_more(&self) -> bool {
        let server: Vec<_> = self.server().split(' ').collect();
        self.fake().split(' ').filter(|id| !id.is_empty()).all(|id| server.contains(&id))
    }

    pub(crate) fn names_by_arn(&self) -> bool {
        use super::call::Named::{ByArn, ByBoth};
        let named = match self.call {
            Call::DescribeStream { stream, .. }
            | Call::DescribeStreamSummary { stream }
            | Call::GetShardIterator { stream, .. }
            | Call::MergeShards { stream, .. }
            | Call::PutRecord { stream, .. }
            | Call::SplitShard { stream, .. }
            | Call::UpdateShardCount { stream, .. } => Some(*stream),
            Call::ListShards(list) => list.stream,
            _ => None,
        };
        matches!(named, Some(ByArn | ByBoth))
    }

    pub(crate) fn filters(&self) -> bool {
        self.filter().is_some() || self.is_a_later_page()
    }

    /// The token holds what the first page was asked for.
    pub(crate) fn is_a_later_page(&self) -> bool {
        self.list().is_some_and(|list| list.token.is_some())
    }

    pub(crate) fn begins_after_a_shard(&self) -> bool {
        self.list().is_some_and(|list| list.after.is_some())
    }

    /// `ExclusiveStartShardId` is no shard of the stream.
    pub(crate) fn begins_after_no_shard(&self) -> bool {
        let after = self.list().and_then(|list| list.after.as_deref());
        after.is_some_and(|after| !self.shard_is(after, |_| true))
    }

    pub(crate) fn names_another_creation(&self) -> bool {
        self.list().is_some_and(|list| list.created == Some(false))
    }

    /// Where a script's moments are too fine for the server, what is near one may be on its other side.
    pub(crate) fn filters_by_time(&self) -> bool {
        self.filter().is_some_and(|filter| filter.time.is_some())
    }

    /// `AT_TIMESTAMP` without one.
    pub(crate) fn lacks_its_time(&self) -> bool {
        use aws_sdk_kinesis::types::ShardIteratorType::AtTimestamp;
        matches!(self.call, Call::GetShardIterator { start, .. } if start.kind == AtTimestamp && start.time.is_none())
    }

    pub(crate) fn starts_at_a_sequence(&self) -> bool {
        matches!(self.call, Call::GetShardIterator { start, .. } if start.sequence.is_some())
    }

    pub(crate) fn starts_at(&self, time: Time) -> bool {
        matches!(self.call, Call::GetShardIterator { start, .. } if start.time == Some(time))
    }
    pub(crate) fn server(&self) -> &str {
        self.difference.server.as_deref().unwrap_or_default()
    }

    pub(crate) fn fake(&self) -> &str {
        self.difference.fake.as_deref().unwrap_or_default()
    }

    pub(crate) fn list(&self) -> Option<&List> {
        if let Call::ListShards(list) = self.call { Some(list) } else { None }
    }

    pub(crate) fn filter(&self) -> Option<&Filter> {
        match self.call {
            Call::ListShards(list) => list.filter.as_ref(),
            Call::ListToTheEnd { filter, .. } => filter.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn asks_for_a_page(&self) -> bool {
        match self.call {
            Call::ListShards(list) => list.max.is_some() || list.token.is_some(),
            Call::ListToTheEnd { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn shard_is(&self, id: &str, what: impl Fn(&Shard) -> bool) -> bool {
        self.shards.iter().any(|shard| shard.shard_id() == id && what(shard))
    }

    pub(crate) fn reads_closed(&self) -> bool {
        self.reads.is_some_and(|id| self.shard_is(id, is_closed))
    }

    pub(crate) fn resharded(&self) -> bool {
        self.shards.iter().any(is_closed)
    }
}

pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
}
