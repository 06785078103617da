//! Faults of a listing: AWS's listings are eventually consistent, so one may differ from the truth.

use std::collections::HashSet;

use crate::testing::model::sequence::SequenceNumber;
use crate::testing::model::shard::{Shard, shard_index};
use crate::testing::model::stream::Stream;
use crate::testing::model::time::Millis;

/// A fault of one page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListingFault {
    #[default]
    None,
    /// The page has no shards and no token, if it is the first page.
    NoShards,
    /// The page shows the stream as it was at this time, with the shards that have expired since.
    AsOf(Millis),
    /// The page omits this shard.
    Without(String),
    /// The page omits about one shard in four. The number is the seed that picks them.
    WithoutSome(u64),
    /// The page shows this closed shard as open, and its children unchanged.
    StillOpen(String),
    /// The page omits every descendant of this shard.
    Childless(String),
    /// The page has no shards, and a token that continues from here.
    Empty,
}

/// A shard as a listing shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedShard<'a> {
    pub(crate) shard: &'a Shard,
    /// The end that the listing shows. `None` shows the shard as open.
    pub(crate) end: Option<SequenceNumber>,
    pub(crate) closed: Option<Millis>,
}

/// A fault of a listing, resolved against a stream.
pub(crate) struct View {
    fault: ListingFault,
    subject: Option<u32>,
    hidden: HashSet<u32>,
}

impl View {
    pub(crate) fn new(fault: ListingFault, stream: &Stream) -> Self {
        let subject = match &fault {
            ListingFault::Without(id)
            | ListingFault::StillOpen(id)
            | ListingFault::Childless(id) => shard_index(id),
            _ => None,
        };
        let mut hidden = HashSet::new();
        if let (ListingFault::Childless(_), Some(subject)) = (&fault, subject) {
            // Children have greater indices than their parents, so one pass finds every descendant.
            for shard in stream.shards() {
                if shard.parents().any(|parent| parent == subject || hidden.contains(&parent)) {
                    hidden.insert(shard.index);
                }
            }
        }
        Self { fault, subject, hidden }
    }

    /// Returns the shards from an index on, as this view shows them.
    pub(crate) fn shards<'a>(
        &self,
        stream: &'a Stream,
        from: u32,
    ) -> impl Iterator<Item = ListedShard<'a>> {
        let mut gone = Vec::new();
        if let ListingFault::AsOf(then) = self.fault {
            let since = stream.gone.iter().filter(|gone| gone.since > then).map(|gone| &gone.shard);
            gone.extend(since.filter(|shard| shard.index >= from));
            gone.sort_unstable_by_key(|shard| shard.index);
        }
        let mut gone = gone.into_iter().peekable();
        let mut listed = stream.shards.range(from..).map(|(_, shard)| shard).peekable();
        let in_order = std::iter::from_fn(move || match (gone.peek(), listed.peek()) {
            (Some(first), Some(other)) if other.index < first.index => listed.next(),
            (Some(_), _) => gone.next(),
            (None, _) => listed.next(),
        });
        in_order.filter_map(|shard| self.of(shard))
    }

    /// Returns the shard as this view shows it, or `None` if the view hides it.
    fn of<'a>(&self, shard: &'a Shard) -> Option<ListedShard<'a>> {
        let (truth, open) = (
            ListedShard { shard, end: shard.end, closed: shard.closed },
            ListedShard { shard, end: None, closed: None },
        );
        let is_subject = self.subject == Some(shard.index);
        match self.fault {
            ListingFault::AsOf(then) if shard.opened > then => None,
            ListingFault::AsOf(then) if shard.closed.is_some_and(|closed| closed > then) => {
                Some(open)
            }
            ListingFault::Without(_) if is_subject => None,
            ListingFault::WithoutSome(number)
                if mix(number ^ u64::from(shard.index)).is_multiple_of(4) =>
            {
                None
            }
            ListingFault::StillOpen(_) if is_subject => Some(open),
            ListingFault::Childless(_) if self.hidden.contains(&shard.index) => None,
            ListingFault::Empty | ListingFault::NoShards => None,
            _ => Some(truth),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fault == ListingFault::Empty
    }
}

/// Returns a pseudorandom number that depends on the input alone (`SplitMix64`).
pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
