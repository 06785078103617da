//! The combinator under it all: lists of shards in, shards out, parents first.

mod family;
mod key;
mod member;
mod neighbourly;
mod origin;
mod orphans;
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

use self::family::Family;
pub use self::family::WantedList;
use self::wait::{Event, Returns, Wait};
use crate::{OnDrop, Progress, ShardHandle, ShardList, StartAt};

pub(crate) const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// After as many lists in one poll, others get their turn: a source that is always ready must not hold the task.
const MOST_LISTS_A_POLL: usize = 32;

/// Offers the shards that `lists` name, each one once, and each after its parents.
///
/// This is [`all_shards`](crate::all_shards) without its way to list shards: bring your own (a cache, another API, a fixed list where there is no
/// permission for `ListShards`), or [`shard_lists`](crate::shard_lists()). The ordering contract at the [crate's root](crate#the-ordering-contract) holds.
///
/// The stream ends when `lists` has ended and no shard waits, for a parent or for being offered again. Handles that are still out do not keep it from
/// ending; should one of them be abandoned, or bring a child, a later poll gives it.
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
/// # child.complete();
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
        returning: 0,
        on_drop: OnDrop::default(),
        longest_return: DEFAULT_POLL_INTERVAL,
        polled: false,
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
    /// How many of the waits are delays.
    returning: usize,
    on_drop: OnDrop,
    longest_return: Duration,
    polled: bool,
}

impl<S> Lineage<S> {
    /// Where the run begins; see [`StartAt`].
    ///
    /// # Default
    ///
    /// [`StartAt::TrimHorizon`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.assert_unpolled("start_at");
        self.family.origin.start_at = start;
        self
    }

    /// What an earlier run left; see [`AllShards::resume`](crate::AllShards::resume).
    ///
    /// # Default
    ///
    /// Nothing.
    ///
    /// # Panics
    ///
    /// After the first poll.
    pub fn resume(mut self, progress: impl IntoIterator<Item = (String, Progress)>) -> Self {
        self.assert_unpolled("resume");
        self.family.origin.resume(progress);
        self
    }

    /// Of what [`resume`](Self::resume) names, the shards of which a record was processed: by then all their ancestors were finished, also
    /// those that are not named.
    pub(crate) fn resume_past(&mut self, past_start: impl IntoIterator<Item = String>) {
        self.family.origin.resume_past(past_start);
    }

    /// What dropping an unfinished handle means.
    ///
    /// # Default
    ///
    /// [`OnDrop::Close`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.assert_unpolled("on_drop");
        self.on_drop = on_drop;
        self
    }

    /// The longest delay before a shard that was handed back is offered again: it grows from 100 ms to this while the same shard
    /// keeps coming back.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Panics
    ///
    /// After the first poll.
    pub fn longest_return(mut self, delay: Duration) -> Self {
        self.assert_unpolled("longest_return");
        self.longest_return = delay;
        self
    }

    /// The list that would help now, for a source that can be asked to list: after a poll that was `Pending`, ask, and begin that listing.
    /// Each want is told once. That this is asked, and how often, is up to the source: the lineage never waits for it.
    #[must_use]
    pub fn wanted(self: Pin<&mut Self>) -> Option<WantedList> {
        let family = self.project().family;
        let wanted = family.wanted()?;
        family.listing_begins();
        Some(wanted)
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
        self.family.forgotten.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn start(&self) -> StartAt {
        self.family.origin.start_at
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.family.origin.is_resumed()
    }

    fn assert_unpolled(&self, setter: &str) {
        assert!(
            !self.polled,
            "{setter} was called after the stream of shards was first polled: call it before"
        );
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
                Poll::Ready(Some(Event::HandedBack(id, offer))) => {
                    *this.returning += 1;
                    this.waits.push(this.returns.delay(id, offer, *this.longest_return));
                }
                Poll::Ready(Some(Event::Again(id, offer))) => {
                    *this.returning -= 1;
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
            if is_event {
                continue;
            }

            if *this.lists_ended {
                let waits = this.family.is_waiting() || *this.returning > 0;
                return if waits { Poll::Pending } else { Poll::Ready(None) };
            }
            if lists_taken == MOST_LISTS_A_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(this.lists.as_mut().poll_next(cx)) {
                Some(Ok(list)) => {
                    lists_taken += 1;
                    this.family.absorb(list);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => *this.lists_ended = true,
            }
        }
    }
}

impl<S, E> FusedStream for Lineage<S>
where
    S: Stream<Item = Result<ShardList, E>>,
{
    /// Never, since a handle that is out may yet be abandoned.
    fn is_terminated(&self) -> bool {
        false
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
