//! A difference in its place: what an entry of the table is asked about.

use aws_sdk_kinesis::types::{Shard, ShardFilterType};

use super::call::{Call, Filter, From, List};
use super::compare::Difference;

pub(crate) struct Case<'a> {
    pub(crate) call: &'a Call,
    pub(crate) difference: &'a Difference,
    /// All shards, as the fake has them.
    pub(crate) shards: &'a [Shard],
    /// The shard that is read, if one is.
    pub(crate) reads: Option<&'a str>,
    /// Whether the moments of this script are whole seconds.
    pub(crate) whole_seconds: bool,
}

impl Case<'_> {
    /// Both values, absent ones as empty texts.
    pub(crate) fn is(&self, server: &str, fake: &str) -> bool {
        self.server() == server && self.fake() == fake
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

    pub(crate) fn filters_by(&self, kind: &ShardFilterType) -> bool {
        self.filter().is_some_and(|filter| filter.kind == *kind)
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

    pub(crate) fn reads_from_a_child(&self) -> bool {
        self.reads.is_some_and(|id| self.shard_is(id, |shard| shard.parent_shard_id().is_some()))
    }

    pub(crate) fn resharded(&self) -> bool {
        self.shards.iter().any(is_closed)
    }

    pub(crate) fn reads_garbage(&self) -> bool {
        matches!(self.call, Call::GetRecords { from: From::Garbage | From::Empty, .. })
    }
}

pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
}
