//! A difference in its place: what an entry of the table is asked about.

use aws_sdk_kinesis::types::{Shard, ShardFilterType};

use super::call::{Call, Filter, List, Named, Put, Time};
use super::cause::Cause;
use super::compare::Difference;
use super::generate::range;

pub(crate) struct Case<'a> {
    pub(crate) call: &'a Call,
    pub(crate) difference: &'a Difference,
    /// What is wrong with the call.
    pub(crate) causes: &'a [Cause],
    /// All shards, as the fake has them.
    pub(crate) shards: &'a [Shard],
    /// The shard that is read, if one is, and how its stream was named.
    pub(crate) reads: Option<(&'a str, Named)>,
    /// The last record of the page came in the same moment as the last one of the shard.
    pub(crate) ends_in_the_last_moment: bool,
    /// What the first page was asked for, if this is a later one.
    pub(crate) first_page: Option<&'a List>,
    /// The moments of this script are whole seconds.
    pub(crate) whole_seconds: bool,
    /// A `PutRecords` was refused before.
    pub(crate) follows_a_refused_put: bool,
}

impl Case<'_> {
    pub(crate) fn server(&self) -> &str {
        self.difference.server.as_deref().unwrap_or_default()
    }

    pub(crate) fn fake(&self) -> &str {
        self.difference.fake.as_deref().unwrap_or_default()
    }

    /// All ranges, `A-B`, differ by so little that it is another rounding.
    pub(crate) fn is_rounded_otherwise(&self) -> bool {
        let (server, fake) = (ranges(self.server()), ranges(self.fake()));
        let near = |(server, fake): (&[u128; 2], &[u128; 2])| {
            server.iter().zip(fake).all(|(server, fake)| server.abs_diff(*fake) <= 4)
        };
        server.len() == fake.len() && server.iter().zip(&fake).all(near)
    }

    /// The server's ranges, `A-B`, are not of one size, and the fake's are.
    pub(crate) fn is_uneven(&self) -> bool {
        let spread = |text: &str| {
            let sizes = ranges(text).into_iter().map(|[first, last]| last.abs_diff(first));
            sizes.clone().max().unwrap_or_default() - sizes.min().unwrap_or_default()
        };
        spread(self.server()) > 100 && spread(self.fake()) <= 100
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
        matches!(self.call.named(), Some(Named::ByArn | Named::ByBoth))
    }

    pub(crate) fn list(&self) -> Option<&List> {
        if let Call::ListShards(list) = self.call { Some(list) } else { None }
    }

    /// The filter of the request itself.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        match self.call {
            Call::ListShards(list) => list.filter.as_ref(),
            Call::ListToTheEnd { filter, .. } => filter.as_ref(),
            _ => None,
        }
    }

    /// It has a filter, or its first page had.
    pub(crate) fn filters(&self) -> bool {
        self.filter().is_some() || self.first_page.is_some_and(|list| list.filter.is_some())
    }

    pub(crate) fn filters_by(&self, kind: &ShardFilterType) -> bool {
        self.filter().is_some_and(|filter| filter.kind == *kind)
    }

    /// By a moment of the script. Where those are too fine for the server, what is near one may be
    /// on its other side.
    pub(crate) fn filters_by_a_mark(&self) -> bool {
        let first = self.first_page.and_then(|list| list.filter.as_ref());
        self.filter().or(first).is_some_and(|filter| matches!(filter.time, Some(Time::Mark(_))))
    }

    /// By a moment before the stream was made.
    pub(crate) fn filters_by_an_early_time(&self) -> bool {
        self.filter()
            .is_some_and(|filter| matches!(filter.time, Some(Time::HourAgo | Time::WeekAgo)))
    }

    /// Some of it comes in later pages, which the token alone asks for.
    pub(crate) fn has_later_pages(&self) -> bool {
        self.first_page.is_some()
            || matches!(self.call, Call::ListToTheEnd { page, .. } if usize::try_from(*page).is_ok_and(|page| page < self.shards.len()))
    }

    pub(crate) fn begins_after_a_shard(&self) -> bool {
        let begins = |list: &List| list.after.is_some();
        self.list().is_some_and(begins) || self.first_page.is_some_and(begins)
    }

    /// `ExclusiveStartShardId` is no shard of the stream.
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

    /// A shard that was split or merged, or came of it.
    pub(crate) fn reads_resharded(&self) -> bool {
        let resharded = |shard: &Shard| is_closed(shard) || shard.parent_shard_id().is_some();
        self.reads.is_some_and(|(id, _)| self.shard_is(id, resharded))
    }

    /// So narrow that a floating-point number does not tell its ends apart.
    pub(crate) fn has_a_narrow_shard(&self) -> bool {
        self.shards.iter().map(range).any(|(first, last)| last - first < 1 << 80)
    }

    /// The server's answer is the id of a closed shard.
    pub(crate) fn server_names_a_closed_shard(&self) -> bool {
        self.shard_is(self.server(), is_closed)
    }

    pub(crate) fn resharded(&self) -> bool {
        self.shards.iter().any(is_closed)
    }

    /// A record goes to the last hash key of a shard.
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

pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
}

/// Those of a text such as `0-7 8-15`.
fn ranges(text: &str) -> Vec<[u128; 2]> {
    let parse = |range: &str| {
        let (first, last) = range.split_once('-')?;
        Some([first.parse().ok()?, last.parse().ok()?])
    };
    text.split(' ').filter_map(parse).collect()
}
