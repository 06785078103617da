use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::types::Shard;

use crate::listing::error::ListError;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;

/// One list of a stream's shards, all its pages together: what
/// [`ParentsFirst`](crate::lineage::ParentsFirst) is fed with.
///
/// It can hold only what can be true: a list with a shard that has no id, or that is its own
/// ancestor, is refused when it is made. Inside, parents come before their children, whatever the
/// order they were given in.
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
/// assert_eq!(list.shards().map(Shard::shard_id).collect::<Vec<_>>(), ["shardId-000000000000", "shardId-000000000001"]);
///
/// let itself = shard("shardId-000000000001").parent_shard_id("shardId-000000000001").build()?;
/// assert!(ShardList::full("orders", vec![itself]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShardList {
    pub(crate) context: Arc<StreamContext>,
    pub(crate) extent: Extent,
    /// Parents before children, across the pages. Kept as pages: a long list is never copied into
    /// one.
    pub(crate) pages: Vec<Vec<Shard>>,
    /// As Kinesis orders them.
    pub(crate) greatest_id: Option<String>,
    /// When its source first asked for a list, by Kinesis's clock, or the list was made.
    pub(crate) first_asked_at: SystemTime,
    /// Kinesis knew no stream of this name when it was first asked.
    pub(crate) stream_was_missing: bool,
}

/// How much of the stream a list speaks of.
#[derive(Debug, Clone, Default)]
pub(crate) enum Extent {
    /// All of it: a shard that is not here is not listed.
    #[default]
    Full,
    /// All of it, of which only these shards, their descendants and those of an earlier run are
    /// wanted.
    Filtered(HashSet<String>),
    /// Only what is newer than the lists before it: that a shard is not here says nothing.
    Additions,
}

impl Extent {
    pub(crate) fn is_full(&self) -> bool {
        !matches!(self, Self::Additions)
    }
}

impl ShardList {
    /// A complete listing: every shard that Kinesis lists. A parent that is not in it counts as
    /// expired.
    ///
    /// # Errors
    ///
    /// [`ListError::MalformedList`] if a shard has no id or is its own ancestor.
    pub fn full(stream: impl Into<StreamId>, shards: Vec<Shard>) -> Result<Self, ListError> {
        Self::from_pages(Arc::new(StreamContext::new(stream.into())), Extent::Full, shards.into())
    }

    /// What a listing from the greatest known id on gave (`ExclusiveStartShardId`): nothing follows
    /// from a shard's absence.
    ///
    /// # Errors
    ///
    /// As for [`full`](Self::full).
    pub fn additions(stream: impl Into<StreamId>, shards: Vec<Shard>) -> Result<Self, ListError> {
        Self::from_pages(
            Arc::new(StreamContext::new(stream.into())),
            Extent::Additions,
            shards.into(),
        )
    }

    /// The shards, parents before children.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.pages.iter().flatten()
    }

    /// Whether it is a complete listing.
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
            let greatest_id = last.map(|shard| shard.shard_id.clone());
            (pages.shards, greatest_id)
        } else {
            let mut shards: Vec<Shard> = pages.into_shards().collect();
            unite_repeats(&mut shards);
            let greatest_id = shards.iter().map(Shard::shard_id).max().map(str::to_owned);
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
            first_asked_at: SystemTime::now(),
            stream_was_missing: false,
        })
    }
}

/// The pages of a list, looked at as they come, while they are in the processor's cache.
#[derive(Debug)]
pub(crate) struct Pages {
    shards: Vec<Vec<Shard>>,
    has_nameless: bool,
    /// As AWS lists them: ids ascend, none comes twice, and a child's is above its parents'. No
    /// table is needed to see that.
    in_order: bool,
}

impl Pages {
    pub(crate) fn new() -> Self {
        Self { shards: Vec::new(), has_nameless: false, in_order: true }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn push(&mut self, page: Vec<Shard>) {
        let mut last = self.shards.last().and_then(|page| page.last()).map_or("", Shard::shard_id);
        for shard in &page {
            let id = shard.shard_id();
            self.has_nameless |= id.is_empty();
            self.in_order &=
                last < id && !parent_ids(shard).into_iter().flatten().any(|parent| parent >= id);
            last = id;
        }
        if !page.is_empty() {
            self.shards.push(page);
        }
    }

    pub(crate) fn into_shards(self) -> impl Iterator<Item = Shard> {
        self.shards.into_iter().flatten()
    }
}

impl From<Vec<Shard>> for Pages {
    fn from(shards: Vec<Shard>) -> Self {
        let mut pages = Self::new();
        pages.push(shards);
        pages
    }
}

/// The ids of a shard's parents: the parent, then the adjacent parent.
pub(crate) fn parent_ids(shard: &Shard) -> [Option<&str>; 2] {
    let id = |id: Option<&'_ str>| -> bool { id.is_some_and(|id| !id.is_empty()) };
    let parent = shard.parent_shard_id().filter(|parent| id(Some(parent)));
    let adjacent = shard
        .adjacent_parent_shard_id()
        .filter(|adjacent| id(Some(adjacent)) && parent != Some(adjacent));
    [parent, adjacent]
}

/// Whether Kinesis takes no more writes to the shard: it was split or merged.
pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard
        .sequence_number_range()
        .is_some_and(|range| range.ending_sequence_number().is_some_and(|end| !end.is_empty()))
}

/// Gives the first mention of each shard the parents that only a later mention names. A third
/// parent is left out.
fn unite_repeats(shards: &mut [Shard]) {
    let mut first_at = HashMap::with_capacity(shards.len());
    let mut repeats = Vec::new();
    for (i, shard) in shards.iter().enumerate() {
        let first = *first_at.entry(shard.shard_id()).or_insert(i);
        if first != i {
            repeats.push((first, i));
        }
    }
    for (first, repeat) in repeats {
        let [parent, adjacent] = parent_ids(&shards[repeat]).map(|id| id.map(str::to_owned));
        for id in [parent, adjacent].into_iter().flatten() {
            let known = parent_ids(&shards[first]);
            if known.contains(&Some(&id)) {
                continue;
            }
            match known {
                [None, _] => shards[first].parent_shard_id = Some(id),
                [_, None] => shards[first].adjacent_parent_shard_id = Some(id),
                _ => {}
            }
        }
    }
}

/// Kahn's algorithm; the error is the id of a shard on a cycle or below one.
fn sort_parents_first(shards: Vec<Shard>) -> Result<Vec<Shard>, String> {
    let mut at = HashMap::with_capacity(shards.len());
    for (i, shard) in shards.iter().enumerate() {
        at.entry(shard.shard_id()).or_insert(i);
    }
    let mut children = vec![Vec::new(); shards.len()];
    let mut waits_for = vec![0_usize; shards.len()];
    for (i, shard) in shards.iter().enumerate() {
        // A shard that is listed twice has the parents that either names, and the repeat follows
        // it.
        let first = at[shard.shard_id()];
        if i != first {
            children[first].push(i);
            waits_for[i] += 1;
        }
        for parent in parent_ids(shard).into_iter().flatten() {
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
        // Every shard that is stuck has a parent that is: going up from one, as many times as there
        // are shards, ends on a cycle.
        let mut stuck_parent = vec![stuck; shards.len()];
        for parent in (0..shards.len()).filter(|&i| waits_for[i] > 0) {
            for &child in &children[parent] {
                stuck_parent[child] = parent;
            }
        }
        let on_cycle = (0..shards.len()).fold(stuck, |i, _| stuck_parent[i]);
        return Err(shards[on_cycle].shard_id.clone());
    }
    let mut shards: Vec<Option<Shard>> = shards.into_iter().map(Some).collect();
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
    fn aws_order_is_kept_as_it_is() {
        let list = ShardList::full(
            "s",
            vec![shard("0", &[]), shard("1", &["0"]), shard("2", &["0", "1"])],
        );
        assert_eq!(ids(&list.unwrap()), ["0", "1", "2"]);
    }

    #[test]
    fn children_before_parents_are_put_right() {
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
    fn a_shard_twice_in_one_list_is_no_cycle() {
        let twice = vec![shard("1", &["0"]), shard("0", &[]), shard("1", &["0"])];
        assert_eq!(ids(&ShardList::full("s", twice).unwrap()), ["0", "1", "1"]);
    }

    #[test]
    fn the_first_mention_of_a_shard_has_the_parents_of_all() {
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
            let two = list.shards().find(|shard| shard.shard_id() == "2").unwrap();
            assert_eq!(parent_ids(two), parents);
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
            // Only a repeat says so: as when a broken page follows a good one.
            vec![shard("0", &[]), shard("0", &["0"])],
            vec![shard("9", &["0"]), shard("0", &[]), shard("1", &["0"]), shard("0", &["1"])],
        ] {
            let error = ShardList::full("orders", bad).unwrap_err().to_string();
            assert!(error.contains("own ancestor") && error.contains("orders"), "{error}");
            assert!(!error.contains('9'), "names one below the cycle: {error}");
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

    #[test]
    fn one_id_twice_is_one_parent() {
        assert_eq!(parent_ids(&shard("2", &["1", "1"])), [Some("1"), None]);
        assert_eq!(parent_ids(&shard("2", &["", ""])), [None, None]);
    }
}
