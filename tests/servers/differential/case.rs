//! A difference in its context, which an entry of the table is matched against.

use aws_sdk_kinesis::types::{Shard, ShardFilterType};

use super::call::{Call, Filter, List, Named, Put, Time};
use super::cause::Cause;
use super::compare::Difference;
use super::world::range;
use crate::stream::is_closed;

pub(crate) struct Case<'a> {
    pub(crate) call: &'a Call,
    pub(crate) difference: &'a Difference,
    /// The errors in the call.
    pub(crate) causes: &'a [Cause],
    /// All shards of the fake.
    pub(crate) shards: &'a [Shard],
    /// The shard that the call reads, if any, and how its stream was named.
    pub(crate) reads: Option<(&'a str, Named)>,
    /// Whether the last record of the page arrived in the same millisecond as the last one of the
    /// shard.
    pub(crate) ends_in_the_last_moment: bool,
    /// The request for the first page, if the call is for a later one.
    pub(crate) first_page: Option<&'a List>,
    /// Whether the marks of this script are whole seconds.
    pub(crate) whole_seconds: bool,
    /// Whether a `PutRecords` was rejected before.
    pub(crate) follows_rejected_put: bool,
}

impl Case<'_> {
    pub(crate) fn server(&self) -> &str {
        self.difference.server.as_deref().unwrap_or_default()
    }

    pub(crate) fn fake(&self) -> &str {
        self.difference.fake.as_deref().unwrap_or_default()
    }

    /// Returns whether all ranges, `A-B`, differ by no more than rounding.
    pub(crate) fn is_rounded_differently(&self) -> bool {
        let (server, fake) = (ranges(self.server()), ranges(self.fake()));
        let near = |(server, fake): (&[u128; 2], &[u128; 2])| {
            server.iter().zip(fake).all(|(server, fake)| server.abs_diff(*fake) <= 4)
        };
        server.len() == fake.len() && server.iter().zip(&fake).all(near)
    }

    /// Returns whether the server's ranges, `A-B`, differ in size and the fake's do not.
    pub(crate) fn is_uneven(&self) -> bool {
        let spread = |text: &str| {
            let sizes = ranges(text).into_iter().map(|[first, last]| last.abs_diff(first));
            sizes.clone().max().unwrap_or_default() - sizes.min().unwrap_or_default()
        };
        spread(self.server()) > 100 && spread(self.fake()) <= 100
    }

    /// Returns whether both have the same words in different orders.
    pub(crate) fn is_in_another_order(&self) -> bool {
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        sorted(self.server()) == sorted(self.fake())
    }

    /// Returns whether the server lists all shards that the fake lists, and more.
    pub(crate) fn server_lists_more(&self) -> bool {
        let server: Vec<_> = self.server().split(' ').collect();
        self.fake().split(' ').filter(|id| !id.is_empty()).all(|id| server.contains(&id))
    }

    pub(crate) fn names_by_arn(&self) -> bool {
        matches!(self.call.named(), Some(Named::ByArn | Named::ByBoth))
    }

    pub(crate) fn list(&self) -> Option<&List> {
        if let Call::ListShards(list) = self.call { Some(list) } else { None }
    }

    /// Returns the filter of the request itself.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        match self.call {
            Call::ListShards(list) => list.filter.as_ref(),
            Call::ListToTheEnd { filter, .. } => filter.as_ref(),
            _ => None,
        }
    }

    /// Returns whether the request or that for its first page has a filter.
    pub(crate) fn filters(&self) -> bool {
        self.filter().is_some() || self.first_page.is_some_and(|list| list.filter.is_some())
    }

    pub(crate) fn filters_by(&self, kind: &ShardFilterType) -> bool {
        self.filter().is_some_and(|filter| filter.kind == *kind)
    }

    /// Returns whether the filter has the time of a mark. A server that rounds times may put a
    /// change near a mark on its other side.
    pub(crate) fn filters_by_a_mark(&self) -> bool {
        let first = self.first_page.and_then(|list| list.filter.as_ref());
        self.filter().or(first).is_some_and(|filter| matches!(filter.time, Some(Time::Mark(_))))
    }

    /// Returns whether the filter has a time before the stream was created.
    pub(crate) fn filters_by_an_early_time(&self) -> bool {
        self.filter()
            .is_some_and(|filter| matches!(filter.time, Some(Time::HourAgo | Time::WeekAgo)))
    }

    /// Returns whether the listing has later pages, which the token alone requests.
    pub(crate) fn has_later_pages(&self) -> bool {
        self.first_page.is_some()
            || matches!(self.call, Call::ListToTheEnd { page, .. }
                if usize::try_from(*page).is_ok_and(|page| page < self.shards.len()))
    }

    pub(crate) fn begins_after_a_shard(&self) -> bool {
        let begins = |list: &List| list.after.is_some();
        self.list().is_some_and(begins) || self.first_page.is_some_and(begins)
    }

    /// Returns whether `ExclusiveStartShardId` is not a shard of the stream.
    pub(crate) fn begins_after_no_shard(&self) -> bool {
        let after = self.list().and_then(|list| list.after.as_deref());
        after.is_some_and(|after| !self.shard_is(after, |_| true))
    }

    pub(crate) fn asks_for_a_page(&self) -> bool {
        match self.call {
            Call::ListShards(list) => list.max.is_some() || list.token.is_some(),
            Call::ListToTheEnd { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn describes_after_a_shard(&self) -> bool {
        matches!(self.call, Call::DescribeStream { after: Some(_), .. })
    }

    pub(crate) fn shard_is(&self, id: &str, what: impl Fn(&Shard) -> bool) -> bool {
        self.shards.iter().any(|shard| shard.shard_id() == id && what(shard))
    }

    pub(crate) fn reads_closed(&self) -> bool {
        self.reads.is_some_and(|(id, _)| self.shard_is(id, is_closed))
    }

    pub(crate) fn reads_by_arn(&self) -> bool {
        self.reads.is_some_and(|(_, named)| named == Named::ByArn)
    }

    /// Returns whether the shard was split or merged, or is a child.
    pub(crate) fn reads_resharded(&self) -> bool {
        let resharded = |shard: &Shard| is_closed(shard) || shard.parent_shard_id().is_some();
        self.reads.is_some_and(|(id, _)| self.shard_is(id, resharded))
    }

    /// Returns whether a shard is so narrow that its ends are equal as floating-point numbers.
    pub(crate) fn has_a_narrow_shard(&self) -> bool {
        self.shards.iter().map(range).any(|(first, last)| last - first < 1 << 80)
    }

    /// Returns whether the server's value is the id of a closed shard.
    pub(crate) fn server_names_a_closed_shard(&self) -> bool {
        self.shard_is(self.server(), is_closed)
    }

    pub(crate) fn resharded(&self) -> bool {
        self.shards.iter().any(is_closed)
    }

    /// Returns whether a record has the last hash key of a shard.
    pub(crate) fn puts_to_a_last_key(&self) -> bool {
        let is_last = |put: &Put| {
            let key = put.hash_key.as_ref().and_then(|key| key.parse().ok());
            key.is_some_and(|key: u128| self.shards.iter().any(|shard| range(shard).1 == key))
        };
        match self.call {
            Call::PutRecord { record, .. } => is_last(record),
            Call::PutRecords { records } => records.iter().any(is_last),
            _ => false,
        }
    }
}

/// Parses ranges such as `0-7 8-15`.
fn ranges(text: &str) -> Vec<[u128; 2]> {
    let parse = |range: &str| {
        let (first, last) = range.split_once('-')?;
        Some([first.parse().ok()?, last.parse().ok()?])
    };
    text.split(' ').filter_map(parse).collect()
}
