//! The combinator under it all: lists of shards in, shards out, parents first.

mod family;
mod key;
mod member;
mod origin;
mod orphans;
mod sequential_hasher;
mod setters;
mod wait;

#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream::{FusedStream, FuturesUnordered};
use futures::{Stream, StreamExt};

pub use self::family::WantedList;
use self::family::{Family, Judged};
use self::wait::{Event, Returns, Wait};
use crate::handle::Offer;
use crate::{OnDrop, ShardHandle, ShardList, StartAt};

pub(crate) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// After as many lists in one poll, others get their turn: a source that is always ready must not hold the task.
const MOST_LISTS_A_POLL: usize = 32;

/// Offers the shards that `lists` name, each one once, and each after its parents.
///
/// This is [`all_shards`](crate::all_shards) without its way to list shards: bring your own (a cache, another API, a fixed list where there is no
/// permission for `ListShards`), or [`shard_lists`](crate::shard_lists()). The ordering contract at the [crate's root](crate#the-ordering-contract) holds.
///
/// The stream ends when `lists` has ended and every handle too, for good: one that is out may yet be handed back, or name children. So collecting the
/// handles without ending them waits for ever; end each while the stream is polled, as `for_each_concurrent` does.
///
/// An `Err` of `lists` is passed on, and what comes after it is taken as if it had not been.
///
/// # Panics
///
/// Polling it panics outside a tokio runtime with its time driver enabled when a shard has been handed back.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: all state lives in the [`Lineage`].
///
/// ```
/// use aws_sdk_kinesis::types::Shard;
/// use futures::{StreamExt, TryStreamExt, stream};
/// use kinesis_shards::{Error, ShardList, parents_first};
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
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
pub fn parents_first<S, E>(lists: S) -> Lineage<S>
where
    S: Stream<Item = Result<ShardList, E>>,
{
    Lineage {
        lists,
        lists_ended: false,
        family: Family::default(),
        waits: FuturesUnordered::new(),
        returns: Returns::default(),
        on_drop: OnDrop::default(),
        longest_return: DEFAULT_POLL_INTERVAL,
        polled: false,
        ended: false,
    }
}

/// Stream of [`parents_first`].
#[pin_project::pin_project]
#[must_use = "streams do nothing unless polled"]
pub struct Lineage<S> {
    #[pin]
    lists: S,
    lists_ended: bool,
    family: Family,
    waits: FuturesUnordered<Wait>,
    returns: Returns,
    on_drop: OnDrop,
    longest_return: Duration,
    polled: bool,
    ended: bool,
}

impl<S> Lineage<S> {
    /// Of what [`resume`](Self::resume) names, the shards of which a record was processed: by then all their ancestors were finished, also
    /// those that are not named.
    pub(crate) fn resume_past(&mut self, past_start: impl IntoIterator<Item = String>) {
        self.family.origin.resume_past(past_start);
    }

    /// The list that would help now, for a source that can be asked to list: after a poll that was `Pending`, ask, and begin that listing.
    /// Each want is told once. That this is asked, and how often, is up to the source: the lineage never waits for it.
    #[must_use]
    pub fn wanted(self: Pin<&mut Self>) -> Option<WantedList> {
        let family = self.project().family;
        let wanted = family.wanted()?;
        family.listing_begins(wanted == WantedList::Full);
        Some(wanted)
    }

    /// A listing that nobody was asked for has begun after all that was polled.
    pub(crate) fn listing_begins(self: Pin<&mut Self>, full: bool) {
        self.project().family.listing_begins(full);
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

    /// How many shards are remembered: those that wait or are out, and those closed that may still be listed.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.family.len()
    }

    /// From now on, [`forgotten`](Self::forgotten) tells what is forgotten.
    pub(crate) fn tell_forgotten(&mut self) {
        self.family.forgotten.get_or_insert_default();
    }

    /// The ids of shards that were forgotten: Kinesis lists them no more, or the stream was deleted and created again.
    pub(crate) fn forgotten(&mut self) -> Vec<String> {
        let mut ids = self.family.forgotten.as_mut().map(std::mem::take).unwrap_or_default();
        // The tables that they come from are in no order.
        ids.sort_unstable();
        ids
    }

    /// The source of the lists, to be set.
    pub(crate) fn lists_mut(&mut self) -> &mut S {
        &mut self.lists
    }

    pub(crate) fn start(&self) -> StartAt {
        self.family.origin.start_at
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.family.origin.is_resumed()
    }
}

impl<S, E> Stream for Lineage<S>
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
            // First the waits: what has ended may set its children free. That the set is empty says nothing: the next shard that
            // is offered fills it again. One event at a time, since each shard that is offered brings one at the most.
            let event = this.waits.poll_next_unpin(cx);
            let is_event = matches!(event, Poll::Ready(Some(_)));
            match event {
                Poll::Ready(Some(Event::Closed(id, outcome, children))) => {
                    this.returns.forget(&id);
                    this.family.close(&id, outcome, children);
                }
                Poll::Ready(Some(Event::Expired(id, offer))) => {
                    if !this.family.doubt(id.clone(), offer) {
                        this.returns.forget(&id);
                    }
                }
                Poll::Ready(Some(Event::EndClaimed(id, offer))) => {
                    this.family.hear_end_claim(id.clone(), Arc::clone(&offer));
                    this.waits.push(Wait::Parent { id, offer });
                }
                Poll::Ready(Some(Event::HandedBack(id, offer))) => {
                    this.waits.push(this.returns.delay(id, offer, *this.longest_return));
                }
                Poll::Ready(Some(Event::Again(id, offer))) => {
                    if !this.family.offer_again(id.clone(), offer) {
                        this.returns.forget(&id);
                    }
                }
                Poll::Ready(None) | Poll::Pending => {}
            }

            // Then what is ready, so that all that one list brought is out before the next is asked for.
            if let Some((id, offer)) = this.family.next_ready() {
                this.waits.push(Wait::Parent { id, offer: Arc::clone(&offer) });
                return Poll::Ready(Some(Ok(ShardHandle::new(offer, *this.on_drop))));
            }
            if *this.lists_ended {
                this.family.judge_without_list();
            }
            if let Some(Judged { id, offer, is_listed }) = this.family.next_judged() {
                if is_listed {
                    warn_of_doubt(&offer);
                    this.waits.push(this.returns.delay(id, offer, *this.longest_return));
                } else {
                    this.returns.forget(&id);
                    this.family.close_unlisted(&id);
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
            if lists_taken == MOST_LISTS_A_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(this.lists.as_mut().poll_next(cx)) {
                Some(Ok(list)) => {
                    lists_taken += 1;
                    if this.family.absorb(list) {
                        bury_the_gone(this.waits, this.family);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => *this.lists_ended = true,
            }
        }
    }
}

/// Tells the readers of a stream that was created again that their shards are gone.
fn bury_the_gone(waits: &FuturesUnordered<Wait>, family: &Family) {
    for wait in waits {
        if let Wait::Parent { id, offer } = wait
            && !family.holds(id)
        {
            offer.bury();
        }
    }
}

fn warn_of_doubt(offer: &Offer) {
    tracing::warn!(
        stream = offer.stream.name(),
        shard = offer.shard.shard_id(),
        "Kinesis lists the shard, but told its reader that there is no such shard: it is offered again; is the client that reads of the stream's region and account?"
    );
}

impl<S, E> FusedStream for Lineage<S>
where
    S: Stream<Item = Result<ShardList, E>>,
{
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S> fmt::Debug for Lineage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineage")
            .field("tracked", &self.tracked())
            .field("out", &self.waits.len())
            .field("lists_ended", &self.lists_ended)
            .finish_non_exhaustive()
    }
}
