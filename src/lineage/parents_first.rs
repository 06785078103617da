//! The combinator that orders shards.

#[cfg(feature = "dynamodb")]
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

#[cfg(feature = "dynamodb")]
use aws_sdk_kinesis::types::ChildShard;
use futures::stream::{FusedStream, FuturesUnordered};
use futures::{Stream, StreamExt};

use crate::lineage::final_list::FinalList;
use crate::lineage::graph::ShardGraph;
use crate::lineage::reader_reports::Resolved;
use crate::lineage::wait::{Event, ReofferBackoff, Wait};
use crate::listing::shard_list::ShardList;
use crate::listing::shard_lists::ListRequest;
use crate::shard::handle::ShardHandle;
use crate::shard::offer::Offer;
use crate::shard::outcome::OnDrop;
use crate::shard::position::{Progress, StartAt};

pub(crate) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// After this many lists in one poll the task yields, since a source may always be ready.
const MAX_LISTS_PER_POLL: usize = 32;

/// Offers each shard that `lists` name, once and after its parents.
///
/// The stream is [`all_shards`](crate::all_shards) over a source of your own: a cache, another API,
/// a fixed list where `ListShards` is not permitted, or
/// [`shard_lists`](crate::listing::shard_lists()). The [ordering
/// contract](crate::lineage#the-ordering-contract) holds.
///
/// The stream ends when `lists` and all handles have ended: until then, a handle may be abandoned
/// or name children. Collecting the handles without ending them therefore waits for ever; end each
/// while the stream is polled, as `for_each_concurrent` does.
///
/// # Errors
///
/// The stream passes on each `Err` of `lists`, and continues with the next list.
///
/// # Panics
///
/// Polling it outside a tokio runtime with its time driver enabled panics once a shard has been
/// abandoned.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: all state lives in the [`ParentsFirst`].
///
/// ```
/// use aws_sdk_kinesis::types::Shard;
/// use futures::{StreamExt, TryStreamExt, stream};
/// use kinesis_shards::ListError;
/// use kinesis_shards::lineage::parents_first;
/// use kinesis_shards::listing::ShardList;
///
/// # futures::executor::block_on(async {
/// let shard = |id: &str| Shard::builder().shard_id(id);
/// let parent = shard("shardId-000000000000").build().unwrap();
/// let child = shard("shardId-000000000001").parent_shard_id("shardId-000000000000");
/// let child = child.build().unwrap();
///
/// let lists = stream::iter([ShardList::full("orders", vec![child, parent])]);
/// let mut shards = parents_first(lists);
///
/// let parent = shards.try_next().await?.expect("a shard with no parent");
/// assert_eq!(parent.id(), "shardId-000000000000");
/// parent.complete();
///
/// let child = shards.try_next().await?.expect("its child");
/// assert_eq!(child.id(), "shardId-000000000001");
/// child.complete();
///
/// assert!(shards.next().await.is_none());
/// # Ok::<(), ListError>(()) }).unwrap();
/// ```
pub fn parents_first<S, E>(lists: S) -> ParentsFirst<S>
where
    S: Stream<Item = Result<ShardList, E>>,
{
    ParentsFirst {
        lists,
        lists_ended: false,
        graph: ShardGraph::default(),
        waits: FuturesUnordered::new(),
        reoffers: ReofferBackoff::default(),
        on_drop: OnDrop::default(),
        max_reoffer_delay: DEFAULT_POLL_INTERVAL,
        polled: false,
        ended: false,
    }
}

/// Stream of [`parents_first`]: see the example there.
#[pin_project::pin_project]
#[must_use = "streams do nothing unless polled"]
pub struct ParentsFirst<S> {
    #[pin]
    lists: S,
    lists_ended: bool,
    graph: ShardGraph,
    /// One wait for each shard that is out, or abandoned and not yet re-offered.
    waits: FuturesUnordered<Wait>,
    reoffers: ReofferBackoff,
    on_drop: OnDrop,
    max_reoffer_delay: Duration,
    polled: bool,
    ended: bool,
}

impl<S> ParentsFirst<S> {
    /// Sets where the run begins; see [`StartAt`].
    ///
    /// # Default
    ///
    /// [`StartAt::TrimHorizon`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.set_start_at(start);
        self
    }

    /// Continues an earlier run; see [`AllShards::resume`](crate::AllShards::resume).
    ///
    /// # Default
    ///
    /// Nothing.
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn resume(mut self, progress: impl IntoIterator<Item = (String, Progress)>) -> Self {
        self.set_resume(progress);
        self
    }

    /// Sets the effect of dropping an unfinished handle.
    ///
    /// # Default
    ///
    /// [`OnDrop::Close`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.set_on_drop(on_drop);
        self
    }

    /// Sets the longest delay before an abandoned shard is re-offered. The delay grows from 100 ms
    /// to this while the same shard keeps being abandoned.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Panics
    ///
    /// If `delay` is zero, since a shard that cannot be read would be re-offered without a pause;
    /// and after the first poll.
    #[track_caller]
    pub fn max_reoffer_delay(mut self, delay: Duration) -> Self {
        self.set_max_reoffer_delay(delay);
        self
    }

    #[track_caller]
    pub(crate) fn set_start_at(&mut self, start: StartAt) {
        self.assert_unpolled("start_at");
        self.graph.start_policy.start_at = start;
    }

    #[track_caller]
    pub(crate) fn set_resume(&mut self, progress: impl IntoIterator<Item = (String, Progress)>) {
        self.assert_unpolled("resume");
        self.graph.start_policy.resume(progress);
    }

    /// Ends the stream when all shards are read: each is read to its end or stopped before it, or
    /// is a descendant of one that was stopped.
    #[track_caller]
    pub(crate) fn set_ends_when_read(&mut self) {
        self.assert_unpolled("until");
        self.graph.final_list = Some(FinalList::default());
    }

    /// Returns whether the stream ends when all shards are read.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn ends_when_read(&self) -> bool {
        self.graph.final_list.is_some()
    }

    /// Names the shards of [`resume`](Self::resume) that have a processed record: all their
    /// ancestors count as finished, also those without progress.
    pub(crate) fn resume_started(&mut self, started: impl IntoIterator<Item = String>) {
        self.graph.start_policy.resume_started(started);
    }

    /// Closes all ancestors of a shard that another worker hands over, and inserts the shard if no
    /// list has named it. Returns the ids of the ancestors, whose handles may be out, or `None`
    /// before the first list.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn take_over(&mut self, shard: ChildShard) -> Option<Vec<String>> {
        self.graph.take_over(shard)
    }

    /// Closes the ancestors of shards that have a processed record, except those of `unfinished`
    /// and what lies between. Returns their ids, whose handles may be out, or `None`
    /// before the first list.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn close_ancestors(
        &mut self,
        started: &BTreeMap<String, Vec<String>>,
        unfinished: &BTreeSet<String>,
    ) -> Option<Vec<String>> {
        self.graph.close_ancestors(started, unfinished)
    }

    #[track_caller]
    pub(crate) fn set_on_drop(&mut self, on_drop: OnDrop) {
        self.assert_unpolled("on_drop");
        self.on_drop = on_drop;
    }

    #[track_caller]
    pub(crate) fn set_max_reoffer_delay(&mut self, delay: Duration) {
        self.assert_unpolled("max_reoffer_delay");
        assert!(!delay.is_zero(), "the longest delay before a re-offer must be at least 1 ns");
        self.max_reoffer_delay = delay;
    }

    #[track_caller]
    fn assert_unpolled(&self, setter: &str) {
        assert!(!self.polled, "{setter} must be called before the stream of shards is polled");
    }

    /// Returns the listing that would help now, if one would, for a source that lists on demand.
    ///
    /// Call it after a poll that was `Pending`, and begin that listing. Each request is returned
    /// once. The stream never waits for the listing, so that the source decides whether and how
    /// often to list.
    #[must_use]
    pub fn take_list_request(self: Pin<&mut Self>) -> Option<ListRequest> {
        let graph = self.project().graph;
        let request = graph.take_list_request()?;
        graph.listing_begins(request == ListRequest::Full);
        Some(request)
    }

    /// Notes that the source has begun a listing by itself, after the last poll.
    pub(crate) fn listing_begins(self: Pin<&mut Self>, full: bool) {
        self.project().graph.listing_begins(full);
    }

    /// Returns the source of the lists.
    pub fn get_ref(&self) -> &S {
        &self.lists
    }

    /// Returns the source of the lists, pinned.
    #[must_use]
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().lists
    }

    /// Returns the source of the lists, before it is pinned.
    pub(crate) fn lists_mut(&mut self) -> &mut S {
        &mut self.lists
    }

    /// Returns how many shards the stream remembers: those that wait or are out, and closed ones
    /// that may still be listed.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.graph.len()
    }

    /// Begins to collect the ids for [`take_forgotten`](Self::take_forgotten).
    pub(crate) fn track_forgotten(&mut self) {
        self.graph.forgotten.get_or_insert_default();
    }

    /// Takes the ids of the shards that were forgotten since the last call: they are unlisted, or
    /// the stream was deleted and created again.
    pub(crate) fn take_forgotten(&mut self) -> Vec<String> {
        let mut ids = self.graph.forgotten.as_mut().map(std::mem::take).unwrap_or_default();
        // The ids come from hash tables.
        ids.sort_unstable();
        ids
    }

    /// Returns for how many shards it is remembered that they were abandoned.
    #[cfg(test)]
    pub(crate) fn abandoned(&self) -> usize {
        self.reoffers.len()
    }

    pub(crate) fn start(&self) -> StartAt {
        self.graph.start_policy.start_at
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.graph.start_policy.is_resumed()
    }
}

impl<S, E> Stream for ParentsFirst<S>
where
    S: Stream<Item = Result<ShardList, E>>,
{
    type Item = Result<ShardHandle, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        *this.polled = true;
        if *this.ended {
            return Poll::Ready(None);
        }
        let mut lists_taken = 0;
        loop {
            // The waits come first: a handle that has ended may make its children ready. An empty
            // set is no end, since the next offered shard adds to it. One event at a time is
            // enough, since each offered shard adds at most one.
            let event = this.waits.poll_next_unpin(cx);
            let is_event = matches!(event, Poll::Ready(Some(_)));
            match event {
                Poll::Ready(Some(Event::Closed(id, outcome, children))) => {
                    this.reoffers.forget(&id);
                    this.graph.close(&id, outcome, children);
                }
                Poll::Ready(Some(Event::Expired(id, offer))) => {
                    if !this.graph.not_found(id.clone(), offer) {
                        this.reoffers.forget(&id);
                    }
                }
                Poll::Ready(Some(Event::Stopped(id))) => {
                    this.reoffers.forget(&id);
                    this.graph.stop(&id);
                }
                Poll::Ready(Some(Event::EndClaimed(id, offer))) => {
                    this.graph.hear_end_claim(id.clone(), Arc::clone(&offer));
                    this.waits.push(Wait::Handle { id, offer });
                }
                Poll::Ready(Some(Event::Abandoned(id, offer))) => {
                    this.waits.push(this.reoffers.delay(id, offer, *this.max_reoffer_delay));
                }
                Poll::Ready(Some(Event::Reoffered(id, offer))) => {
                    if !this.graph.offer_again(id.clone(), offer) {
                        this.reoffers.forget(&id);
                    }
                }
                Poll::Ready(None) | Poll::Pending => {}
            }

            // The ready shards come next: all shards of one list are out before the next list is
            // polled for.
            if let Some((id, offer)) = this.graph.next_ready() {
                this.waits.push(Wait::Handle { id, offer: Arc::clone(&offer) });
                return Poll::Ready(Some(Ok(ShardHandle::new(offer, *this.on_drop))));
            }
            if *this.lists_ended {
                this.graph.resolve_without_list();
            }
            if let Some(Resolved { id, offer, is_listed }) = this.graph.next_resolved() {
                if is_listed {
                    warn_still_listed(&offer);
                    this.waits.push(this.reoffers.delay(id, offer, *this.max_reoffer_delay));
                } else {
                    this.reoffers.forget(&id);
                    this.graph.close_unlisted(&id);
                }
                continue;
            }
            if is_event {
                continue;
            }

            if this.waits.is_empty() && (*this.lists_ended || this.graph.is_all_read()) {
                *this.ended = true;
                return Poll::Ready(None);
            }
            if *this.lists_ended {
                // A handle that is out may be abandoned, or name its children.
                return Poll::Pending;
            }
            if lists_taken == MAX_LISTS_PER_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(this.lists.as_mut().poll_next(cx)) {
                Some(Ok(list)) => {
                    lists_taken += 1;
                    if this.graph.absorb(list) {
                        retire_readers(this.waits, this.graph);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => *this.lists_ended = true,
            }
        }
    }
}

/// Ends the readers of a deleted stream.
fn retire_readers(waits: &FuturesUnordered<Wait>, graph: &ShardGraph) {
    for wait in waits {
        if let Wait::Handle { id, offer } = wait
            && !graph.holds(id)
        {
            offer.retire();
        }
    }
}

fn warn_still_listed(offer: &Offer) {
    tracing::warn!(
        stream = offer.stream().name(),
        shard = offer.shard.shard_id(),
        "Kinesis lists the shard, but its reader got ResourceNotFoundException; re-offering it: \
         check the region and account of the client that reads"
    );
}

impl<S, E> FusedStream for ParentsFirst<S>
where
    S: Stream<Item = Result<ShardList, E>>,
{
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S> fmt::Debug for ParentsFirst<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentsFirst")
            .field("tracked", &self.tracked())
            .field("out", &self.waits.len())
            .field("lists_ended", &self.lists_ended)
            .finish_non_exhaustive()
    }
}
