//! The combinator under it all: lists of shards in, shards out, parents first.

pub(crate) mod graph;
pub(crate) mod key;
pub(crate) mod late_parents;
pub(crate) mod node;
pub(crate) mod sequential_hasher;
pub(crate) mod setters;
pub(crate) mod start_policy;
pub(crate) mod wait;

#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream::{FusedStream, FuturesUnordered};
use futures::{Stream, StreamExt};

use crate::lineage::graph::ShardGraph;
use crate::lineage::graph::not_found::Resolved;
use crate::lineage::wait::{Event, ReofferBackoff, Wait};
use crate::listing::shard_list::ShardList;
use crate::listing::shard_lists::ListRequest;
use crate::shard::handle::{Offer, ShardHandle};
use crate::shard::outcome::OnDrop;
use crate::shard::position::StartAt;

pub(crate) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// After as many lists in one poll, others get their turn: a source that is always ready must not
/// hold the task.
const MAX_LISTS_PER_POLL: usize = 32;

/// Offers the shards that `lists` name, each one once, and each after its parents.
///
/// This is [`all_shards`](crate::all_shards) without its way to list shards: bring your own (a
/// cache, another API, a fixed list where there is no permission for `ListShards`), or
/// [`shard_lists`](crate::listing::shard_lists()). The ordering contract at the [crate's
/// root](crate#the-ordering-contract) holds.
///
/// The stream ends when `lists` has ended and every handle too, for good: one that is out may yet
/// be handed back, or name children. So collecting the handles without ending them waits for ever;
/// end each while the stream is polled, as `for_each_concurrent` does.
///
/// An `Err` of `lists` is passed on, and what comes after it is taken as if it had not been.
///
/// # Panics
///
/// Polling it panics outside a tokio runtime with its time driver enabled when a shard has been
/// handed back.
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
/// let parent = Shard::builder().shard_id("shardId-000000000000").build().unwrap();
/// let child = Shard::builder().shard_id("shardId-000000000001").parent_shard_id("shardId-000000000000").build().unwrap();
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
        returns: ReofferBackoff::default(),
        on_drop: OnDrop::default(),
        max_reoffer_delay: DEFAULT_POLL_INTERVAL,
        polled: false,
        ended: false,
    }
}

/// Stream of [`parents_first`].
#[pin_project::pin_project]
#[must_use = "streams do nothing unless polled"]
pub struct ParentsFirst<S> {
    #[pin]
    lists: S,
    lists_ended: bool,
    graph: ShardGraph,
    waits: FuturesUnordered<Wait>,
    returns: ReofferBackoff,
    on_drop: OnDrop,
    max_reoffer_delay: Duration,
    polled: bool,
    ended: bool,
}

impl<S> ParentsFirst<S> {
    /// Of what [`resume`](Self::resume) names, the shards of which a record was processed: by then
    /// all their ancestors were finished, also those that are not named.
    pub(crate) fn resume_past(&mut self, past_start: impl IntoIterator<Item = String>) {
        self.graph.start_policy.resume_past(past_start);
    }

    /// The list that would help now, for a source that can be asked to list: after a poll that was
    /// `Pending`, ask, and begin that listing. Each want is told once. That this is asked, and how
    /// often, is up to the source: the lineage never waits for it.
    #[must_use]
    pub fn take_list_request(self: Pin<&mut Self>) -> Option<ListRequest> {
        let graph = self.project().graph;
        let wanted = graph.take_list_request()?;
        graph.listing_begins(wanted == ListRequest::Full);
        Some(wanted)
    }

    /// A listing that nobody was asked for has begun after all that was polled.
    pub(crate) fn listing_begins(self: Pin<&mut Self>, full: bool) {
        self.project().graph.listing_begins(full);
    }

    /// The source of the lists.
    pub fn get_ref(&self) -> &S {
        &self.lists
    }

    /// The source of the lists, pinned.
    #[must_use]
    pub fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut S> {
        self.project().lists
    }

    /// How many shards are remembered: those that wait or are out, and those closed that may still
    /// be listed.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.graph.len()
    }

    /// From now on, [`forgotten`](Self::forgotten) tells what is forgotten.
    pub(crate) fn tell_forgotten(&mut self) {
        self.graph.forgotten.get_or_insert_default();
    }

    /// The ids of shards that were forgotten: Kinesis lists them no more, or the stream was deleted
    /// and created again.
    pub(crate) fn forgotten(&mut self) -> Vec<String> {
        let mut ids = self.graph.forgotten.as_mut().map(std::mem::take).unwrap_or_default();
        // The tables that they come from are in no order.
        ids.sort_unstable();
        ids
    }

    /// The source of the lists, to be set.
    pub(crate) fn lists_mut(&mut self) -> &mut S {
        &mut self.lists
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
            // First the waits: what has ended may set its children free. That the set is empty says
            // nothing: the next shard that is offered fills it again. One event at a time, since
            // each shard that is offered brings one at the most.
            let event = this.waits.poll_next_unpin(cx);
            let is_event = matches!(event, Poll::Ready(Some(_)));
            match event {
                Poll::Ready(Some(Event::Closed(id, outcome, children))) => {
                    this.returns.forget(&id);
                    this.graph.close(&id, outcome, children);
                }
                Poll::Ready(Some(Event::Expired(id, offer))) => {
                    if !this.graph.not_found(id.clone(), offer) {
                        this.returns.forget(&id);
                    }
                }
                Poll::Ready(Some(Event::EndClaimed(id, offer))) => {
                    this.graph.hear_end_claim(id.clone(), Arc::clone(&offer));
                    this.waits.push(Wait::Parent { id, offer });
                }
                Poll::Ready(Some(Event::Abandoned(id, offer))) => {
                    this.waits.push(this.returns.delay(id, offer, *this.max_reoffer_delay));
                }
                Poll::Ready(Some(Event::Again(id, offer))) => {
                    if !this.graph.offer_again(id.clone(), offer) {
                        this.returns.forget(&id);
                    }
                }
                Poll::Ready(None) | Poll::Pending => {}
            }

            // Then what is ready, so that all that one list brought is out before the next is asked
            // for.
            if let Some((id, offer)) = this.graph.next_ready() {
                this.waits.push(Wait::Parent { id, offer: Arc::clone(&offer) });
                return Poll::Ready(Some(Ok(ShardHandle::new(offer, *this.on_drop))));
            }
            if *this.lists_ended {
                this.graph.resolve_without_list();
            }
            if let Some(Resolved { id, offer, is_listed }) = this.graph.next_resolved() {
                if is_listed {
                    warn_still_listed(&offer);
                    this.waits.push(this.returns.delay(id, offer, *this.max_reoffer_delay));
                } else {
                    this.returns.forget(&id);
                    this.graph.close_unlisted(&id);
                }
                continue;
            }
            if is_event {
                continue;
            }

            if *this.lists_ended {
                if this.waits.is_empty() {
                    *this.ended = true;
                    return Poll::Ready(None);
                }
                // A handle that is out may be handed back, or name its children.
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
                        retire_gone(this.waits, this.graph);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => *this.lists_ended = true,
            }
        }
    }
}

/// Tells the readers of a stream that was created again that their shards are gone.
fn retire_gone(waits: &FuturesUnordered<Wait>, graph: &ShardGraph) {
    for wait in waits {
        if let Wait::Parent { id, offer } = wait
            && !graph.holds(id)
        {
            offer.retire();
        }
    }
}

fn warn_still_listed(offer: &Offer) {
    tracing::warn!(
        stream = offer.stream.name(),
        shard = offer.shard.shard_id(),
        "Kinesis lists the shard, but told its reader that there is no such shard: it is offered again; is the client that reads of the stream's region and account?"
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
