//! When each shard may be read: parents before children.
//!
//! [`parents_first`] takes any stream of [`ShardList`]s and offers each
//! shard as a [`ShardHandle`] once all its parents have been processed.
//! [`all_shards`](crate::all_shards) and [`try_all_shards`](crate::try_all_shards) feed it with the
//! lists of a real stream ([`shard_lists`](crate::listing::shard_lists)); feed it yourself where
//! you list shards another way.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::all_shards;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 2).split("shardId-000000000000");
//! # let client = kinesis.client();
//! all_shards(&client, "orders")
//! # .take(4)
//!     .for_each_concurrent(None, |shard| async move {
//!         println!("{} opens at {:?}", shard.id(), shard.start());
//!         // ... read it to its end ...
//!         shard.complete(); // its children may start now
//!     })
//!     .await;
//! # }
//! ```
//!
//! # The ordering contract
//!
//! ```text
//!             time ──────────────────────────────────────────────▶
//!
//! Kinesis     0 ──────────┬── split ──▶ 2 ─────────────────────────
//!                         └───────────▶ 3 ──────┐
//!             1 ────────────────────────────────┴─ merge ──▶ 4 ────
//!
//! offered     0 1            0 done: 2 3           3 done, 1 done: 4
//!             at once        in the very next      only when both
//!                            poll                  are closed
//! ```
//!
//! 1. **Order.** A shard is offered when every parent (`ParentShardId` and `AdjacentParentShardId`)
//!    is closed, or is missing from a *complete* listing: AWS stops listing a shard once its
//!    records have expired. A parent that is known stays a parent when a later listing omits it.
//! 2. **Once.** Each shard is offered exactly once for as long as the stream value lives, whatever
//!    the listings repeat, misorder or omit. It is offered again only after
//!    [`abandon`](ShardHandle::abandon), or a drop under
//!    [`OnDrop::Reoffer`], and then after a delay that grows from 100 ms to
//!    the poll interval while the same shard keeps coming back.
//! 3. **Nothing is skipped** that was written after the run began, or after the position that an
//!    earlier run reached. [`StartAt`] says where each shard starts, and
//!    [`resume`](crate::AllShards::resume) how a run continues an earlier one.
//! 4. **No timer between parent and child.** Closing the last parent of a known child makes the
//!    child ready in the very next poll. Closing a shard with no known child starts a listing at
//!    once; one listing is in flight at a time, and a burst of closings shares one.
//! 5. **Cheap when idle.** After the first listing, each poll asks only for newer shards: one
//!    request, whatever the number of shards. A [full
//!    listing](crate::AllShards::full_listing_interval) every 10 minutes, and after
//!    `ResourceNotFoundException`, catches what a partial one cannot.
//! 6. **Bounded memory.** A shard is forgotten when it is closed, no shard waits for it, and two
//!    full listings in a row have omitted it.
//! 7. **A re-created stream is a new stream.** Its shards have the ids of the old stream's shards,
//!    but other `StartingSequenceNumber`s, and are offered as new.
//! 8. **Nothing is detached.** The crate spawns no task unless you ask for it
//!    ([`spawn_on`](crate::ReadOptions::spawn_on), [`Checkpoints`](crate::Checkpoints)), and such a
//!    task ends with the value it works for. No lock is held across an await, and there is no
//!    `unsafe`. All state lives in the stream value: dropping `next()` loses nothing, dropping the
//!    stream frees everything, and handles that outlive it close without effect.
//! 9. **Malformed input is an error, not a panic.**
//!
//! # It works only while it is polled
//!
//! Shards are listed, and children offered, only while the stream is polled:
//!
//! ```no_run
//! # use futures::StreamExt;
//! # async fn read(shard: kinesis_shards::ShardHandle) {}
//! # async fn wrong(mut shards: kinesis_shards::AllShards) {
//! while let Some(shard) = shards.next().await {
//!     read(shard).await; // WRONG: never leaves the first open shard
//! }
//! # }
//! ```
//!
//! Read shards concurrently instead, with [`records`](crate::ShardStreamExt::records),
//! `for_each_concurrent`, or tasks:
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::{ShardHandle, all_shards};
//! use tokio::task::JoinSet;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! async fn read(shard: ShardHandle) {
//!     // ...
//!     shard.complete();
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 2).split("shardId-000000000000");
//! # let client = kinesis.client();
//! let mut readers = JoinSet::new();
//! let mut shards = all_shards(&client, "orders");
//! # let mut shards = shards.take(4);
//! while let Some(shard) = shards.next().await {
//!     readers.spawn(read(shard));
//!     while readers.try_join_next().is_some() {}
//! }
//! # }
//! ```
//!
//! # When a reader fails
//!
//! By default a handle that is dropped closes its shard as if it had been completed, so that the
//! simplest program cannot hang. The children can tell: their [`parents`](ShardHandle::parents) say
//! [`Dropped`](crate::shard::ParentOutcome::Dropped). Set
//! [`OnDrop::Reoffer`] if your readers may fail half-way: then only
//! [`complete`](ShardHandle::complete) closes a shard, and a handle that `?`, a panic or an aborted
//! task drops is offered again. The crate's own readers always re-offer.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::{OnDrop, ShardHandle, all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! async fn read(shard: ShardHandle) -> Result<(), &'static str> {
//! #   static FAILED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
//! #   if !FAILED.swap(true, std::sync::atomic::Ordering::SeqCst) {
//!     Err("the database is away")?; // drops the handle: the shard comes back after 100 ms
//! #   }
//!     shard.complete();
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1);
//! # let client = kinesis.client();
//! all_shards(&client, "orders")
//!     .on_drop(OnDrop::Reoffer)
//! # .take(2)
//!     .for_each_concurrent(None, |shard| async move {
//!         if let Err(error) = read(shard).await {
//!             eprintln!("{error}");
//!         }
//!     })
//!     .await;
//! # }
//! ```
//!
//! # Stopping
//!
//! [`AllShards`](crate::AllShards) never ends by itself. With checkpoints,
//! [`Checkpoints::shutdown`](crate::Checkpoints::shutdown) ends it, waits for records in flight,
//! and saves. Without them, `take_until` ends the stream and lets the readers in flight finish;
//! dropping the whole pipeline stops the readers too. A stream of [`parents_first`] ends when its
//! lists have ended and every handle has.
//!
//! # Requests and permissions
//!
//! Offering shards needs `kinesis:ListShards` and nothing else. In steady state the stream sends
//! one `ListShards` request per [poll interval](crate::AllShards::poll_interval) (30 s); AWS allows
//! 1,000 a second and stream. A failed listing is retried after 500 ms, then with a delay that
//! doubles up to the poll interval; each delay is shortened at random by up to a half. The SDK's
//! own retries come before that. A request that gets no response within 60 s of being polled fails:
//! the SDK alone would wait for ever.
//!
//! # Logs
//!
//! The crate logs with `tracing`, target `kinesis_shards`. It logs a failed listing at `WARN` with
//! the stream and the next attempt, a shard that is still listed although its reader was told that
//! there is no such shard at `WARN`, a stream that was deleted and created again at `INFO`, and
//! each listing at `DEBUG`.

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
        stream = offer.stream().name(),
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
