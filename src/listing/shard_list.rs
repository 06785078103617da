//! One complete or partial list of a stream's shards.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::types::Shard;

use crate::listing::error::ListError;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;
use crate::util::received_shard::ReceivedShard;

/// One list of a stream's shards, with all its pages: the input of
/// [`ParentsFirst`](crate::lineage::ParentsFirst).
///
/// The constructors refuse a list with a shard that has no id or is its own ancestor, and sort the
/// shards so that parents precede their children.
///
/// ```
/// use aws_sdk_kinesis::types::Shard;
/// use kinesis_shards::listing::ShardList;
///
/// let shard = |id: &str| Shard::builder().shard_id(id);
/// let parent = shard("shardId-000000000000").build()?;
/// let child = shard("shardId-000000000001").parent_shard_id("shardId-000000000000").build()?;
///
/// let list = ShardList::full("orders", vec![child, parent])?;
/// let ids: Vec<_> = list.shards().map(Shard::shard_id).collect();
/// assert_eq!(ids, ["shardId-000000000000", "shardId-000000000001"]);
///
/// let itself = shard("shardId-000000000001").parent_shard_id("shardId-000000000001").build()?;
/// assert!(ShardList::full("orders", vec![itself]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShardList {
    pub(crate) context: Arc<StreamContext>,
    pub(crate) extent: Extent,
    /// The shards, parents before children across the pages. They stay in pages, so that a long
    /// list is not copied.
    pub(crate) pages: Vec<Vec<ReceivedShard>>,
    /// The greatest id, in Kinesis's order.
    pub(crate) greatest_id: Option<String>,
    /// When the source began its first listing, by Kinesis's clock. For a list with no source,
    /// when the list was created.
    pub(crate) run_began: SystemTime,
    /// Kinesis knew no stream of this name at the first listing.
    pub(crate) stream_was_missing: bool,
}

/// The part of the stream's shards that a list covers.
#[derive(Debug, Clone, Default)]
pub(crate) enum Extent {
    /// All shards: one that the list omits is unlisted.
    #[default]
    Full,
    /// All shards, of which only these, those of an earlier run, and their descendants are read.
    Filtered(HashSet<String>),
    /// Only shards that are newer than earlier lists: nothing follows from an omission.
    Additions,
}

impl Extent {
    pub(crate) fn is_full(&self) -> bool {
        !matches!(self, Self::Additions)
    }
}

impl ShardList {
    /// Creates a complete list: every shard that Kinesis lists. A parent that the list omits counts
    /// as expired.
    ///
    /// # Errors
    ///
    /// [`ListError::MalformedList`] if a shard has no id or is its own ancestor.
    pub fn full(stream: impl Into<StreamId>, shards: Vec<Shard>) -> Result<Self, ListError> {
        let context = Arc::new(StreamContext::new(stream.into()));
        Self::from_pages(context, Extent::Full, Pages::of_one(shards))
    }

    /// Creates a list of the shards after the greatest known id (`ExclusiveStartShardId`): nothing
    /// follows from the omission of a shard.
    ///
    /// # Errors
    ///
    /// Those of [`full`](Self::full).
    pub fn additions(stream: impl Into<StreamId>, shards: Vec<Shard>) -> Result<Self, ListError> {
        let context = Arc::new(StreamContext::new(stream.into()));
        Self::from_pages(context, Extent::Additions, Pages::of_one(shards))
    }

    /// Returns the shards, parents before children.
    ///
    /// Shards that were listed in CBOR (feature `cbor`) are parts of their page. The first call
    /// copies each that it yields.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.received().map(ReceivedShard::sdk)
    }

    /// Returns the shards as they were received, parents before children.
    pub(crate) fn received(&self) -> impl DoubleEndedIterator<Item = &ReceivedShard> {
        self.pages.iter().flatten()
    }

    /// Returns whether the list is complete.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.extent.is_full()
    }

    pub(crate) fn from_pages(
        context: Arc<StreamContext>,
        extent: Extent,
        pages: Pages,
    ) -> Result<Self, ListError> {
        if pages.has_nameless {
            return Err(ListError::malformed(&context.id, "a shard has no id"));
        }
        let (pages, greatest_id) = if pages.in_order {
            let last = pages.shards.last().and_then(|page| page.last());
            let greatest_id = last.map(|shard| shard.shard_id().to_owned());
            (pages.shards, greatest_id)
        } else {
            let mut shards: Vec<ReceivedShard> = pages.into_shards().collect();
            merge_repeats(&mut shards);
            let greatest_id = shards.iter().map(ReceivedShard::shard_id).max().map(str::to_owned);
            let sorted = sort_parents_first(shards).map_err(|id| {
                ListError::malformed(&context.id, format!("{id} is its own ancestor"))
            })?;
            (vec![sorted], greatest_id)
        };
        Ok(Self {
            context,
            extent,
            pages,
            greatest_id,
            run_began: SystemTime::now(),
            stream_was_missing: false,
        })
    }
}

/// The pages of a list. Each is checked when it arrives, while it is in the processor's cache.
#[derive(Debug)]
pub(crate) struct Pages {
    shards: Vec<Vec<ReceivedShard>>,
    has_nameless: bool,
    /// The order is that of AWS: ids ascend, and a child's id is greater than its parents'. Then
    /// no table is needed to sort the list.
    in_order: bool,
}

impl Pages {
    pub(crate) fn new() -> Self {
        Self { shards: Vec::new(), has_nameless: false, in_order: true }
    }

    fn of_one(page: Vec<Shard>) -> Self {
        let mut pages = Self::new();
        pages.push(page.into_iter().map(ReceivedShard::from).collect());
        pages
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn push(&mut self, page: Vec<ReceivedShard>) {
        // The order of the bytes is that of the texts.
        let before = self.shards.last().and_then(|page| page.last());
        let mut last = before.map_or(&b""[..], ReceivedShard::id_bytes);
        for shard in &page {
            let id = shard.id_bytes();
            let mut parents = shard.parent_ids().into_iter().flatten();
            self.has_nameless |= id.is_empty();
            self.in_order &= last < id && !parents.any(|parent| parent.as_bytes() >= id);
            last = id;
        }
        if !page.is_empty() {
            self.shards.push(page);
        }
    }

    pub(crate) fn into_shards(self) -> impl Iterator<Item = ReceivedShard> {
        self.shards.into_iter().flatten()
    }
}

/// Adds to the first mention of each shard the parents that only a later mention names, up to two
/// in all.
fn merge_repeats(shards: &mut [ReceivedShard]) {
    let mut first_at = HashMap::with_capacity(shards.len());
    let mut repeats = Vec::new();
    for (i, shard) in shards.iter().enumerate() {
        let first = *first_at.entry(shard.shard_id()).or_insert(i);
        if first != i {
            repeats.push((first, i));
        }
    }
    for (first, repeat) in repeats {
        let added = shards[repeat].parent_ids().map(|id| id.map(str::to_owned));
        for id in added.into_iter().flatten() {
            let known = shards[first].parent_ids();
            let [has_parent, has_adjacent] = known.map(|known| known.is_some());
            if known.contains(&Some(&id)) || has_parent && has_adjacent {
                continue;
            }
            let mut sdk = shards[first].to_sdk();
            if has_parent {
                sdk.adjacent_parent_shard_id = Some(id);
            } else {
                sdk.parent_shard_id = Some(id);
            }
            shards[first] = ReceivedShard::from(sdk);
        }
    }
}

/// Sorts parents before their children, by Kahn's algorithm. The error is the id of a shard on a
/// cycle.
fn sort_parents_first(shards: Vec<ReceivedShard>) -> Result<Vec<ReceivedShard>, String> {
    let mut at = HashMap::with_capacity(shards.len());
    for (i, shard) in shards.iter().enumerate() {
        at.entry(shard.shard_id()).or_insert(i);
    }
    let mut children = vec![Vec::new(); shards.len()];
    let mut waits_for = vec![0_usize; shards.len()];
    for (i, shard) in shards.iter().enumerate() {
        // A shard that is listed twice has the parents of both mentions, and precedes its repeat.
        let first = at[shard.shard_id()];
        if i != first {
            children[first].push(i);
            waits_for[i] += 1;
        }
        for parent in shard.parent_ids().into_iter().flatten() {
            if let Some(&parent) = at.get(parent) {
                children[parent].push(first);
                waits_for[first] += 1;
            }
        }
    }
    let mut next: VecDeque<usize> = (0..shards.len()).filter(|&i| waits_for[i] == 0).collect();
    let mut order = Vec::with_capacity(shards.len());
    while let Some(i) = next.pop_front() {
        order.push(i);
        for &child in &children[i] {
            waits_for[child] -= 1;
            if waits_for[child] == 0 {
                next.push_back(child);
            }
        }
    }
    if let Some(stuck) = waits_for.iter().position(|&n| n > 0) {
        // Each stuck shard has a stuck parent: climbing as many steps as there are shards ends on a
        // cycle.
        let mut stuck_parent = vec![stuck; shards.len()];
        for parent in (0..shards.len()).filter(|&i| waits_for[i] > 0) {
            for &child in &children[parent] {
                stuck_parent[child] = parent;
            }
        }
        let on_cycle = (0..shards.len()).fold(stuck, |i, _| stuck_parent[i]);
        return Err(shards[on_cycle].shard_id().to_owned());
    }
    let mut shards: Vec<Option<ReceivedShard>> = shards.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|i| shards[i].take()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        Shard::builder()
            .shard_id(id)
            .set_parent_shard_id(parents.first().map(ToString::to_string))
            .set_adjacent_parent_shard_id(parents.get(1).map(ToString::to_string))
            .build()
            .unwrap()
    }

    fn ids(list: &ShardList) -> Vec<&str> {
        list.shards().map(Shard::shard_id).collect()
    }

    #[test]
    fn the_order_of_aws_is_kept() {
        let list = ShardList::full(
            "s",
            vec![shard("0", &[]), shard("1", &["0"]), shard("2", &["0", "1"])],
        );
        assert_eq!(ids(&list.unwrap()), ["0", "1", "2"]);
        // Sorted, 2 would precede 1.
        let list = vec![shard("0", &[]), shard("1", &["0"]), shard("2", &[])];
        assert_eq!(ids(&ShardList::full("s", list).unwrap()), ["0", "1", "2"]);
    }

    #[test]
    fn a_list_with_children_before_parents_is_sorted() {
        let mixed =
            vec![shard("3", &["1", "2"]), shard("1", &["4"]), shard("4", &[]), shard("2", &[])];
        assert_eq!(ids(&ShardList::full("s", mixed).unwrap()), ["4", "2", "1", "3"]);
    }

    #[test]
    fn a_parent_with_a_greater_id_is_still_a_parent() {
        assert_eq!(
            ids(&ShardList::full("s", vec![shard("1", &["2"]), shard("2", &[])]).unwrap()),
            ["2", "1"]
        );
    }

    #[test]
    fn a_shard_that_is_listed_twice_is_no_cycle() {
        let twice = vec![shard("1", &["0"]), shard("0", &[]), shard("1", &["0"])];
        assert_eq!(ids(&ShardList::full("s", twice).unwrap()), ["0", "1", "1"]);
    }

    #[test]
    fn the_first_mention_of_a_shard_gets_the_parents_of_all() {
        for (mentions, parents) in [
            ([&[][..], &["0"], &["0"]], [Some("0"), None]),
            ([&["0"], &[], &["1"]], [Some("0"), Some("1")]),
            ([&["", "0"], &["0"], &["1", "0"]], [Some("1"), Some("0")]),
            ([&[], &["0", "1"], &["7"]], [Some("0"), Some("1")]),
        ] {
            let list = [&[][..], &mentions].concat();
            let list = list.into_iter().map(|parents| shard("2", parents));
            let list = list.chain([shard("1", &[]), shard("0", &[])]).collect();
            let list = ShardList::full("s", list).unwrap();
            let two = list.received().find(|shard| shard.shard_id() == "2").unwrap();
            assert_eq!(two.parent_ids(), parents);
            assert_eq!(ids(&list)[2..], ["2"; 3]);
        }
    }

    #[test]
    fn a_shard_that_is_its_own_ancestor_is_refused() {
        for bad in [
            vec![shard("0", &["0"])],
            vec![shard("0", &["1"]), shard("1", &["0"])],
            vec![
                shard("9", &["2"]),
                shard("0", &["2"]),
                shard("1", &["0"]),
                shard("2", &["7", "1"]),
            ],
            // Only a repeat names the cycle, as when a damaged page follows a good one.
            vec![shard("0", &[]), shard("0", &["0"])],
            vec![shard("9", &["0"]), shard("0", &[]), shard("1", &["0"]), shard("0", &["1"])],
            vec![shard("0", &["1", "9"]), shard("1", &["0"]), shard("9", &[])],
        ] {
            let error = ShardList::full("orders", bad).unwrap_err().to_string();
            assert!(error.contains("own ancestor") && error.contains("orders"), "{error}");
            assert!(!error.contains('9'), "a shard that is on no cycle is named: {error}");
        }
    }

    #[test]
    fn a_shard_without_an_id_is_refused() {
        assert!(
            ShardList::full("orders", vec![shard("", &[])])
                .unwrap_err()
                .to_string()
                .contains("no id")
        );
    }
}
