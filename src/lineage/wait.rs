//! Waits for shards that were offered: for their handles to end, and for abandoned shards to be
//! re-offered.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_kinesis::types::ChildShard;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::lineage::node::NodeId;
use crate::shard::offer::Offer;
use crate::shard::outcome::{HandleOutcome, ParentOutcome};
use crate::util::runtime::LastRuntime;

/// One of the futures in the lineage's `FuturesUnordered`.
///
/// The future takes no part in tokio's cooperative budget, unlike tokio's own oneshot: a set of
/// thousands that become ready together would be polled a quadratic number of times.
#[derive(Debug)]
pub(crate) enum Wait {
    /// Waits for the handle of a shard to end.
    Handle { id: NodeId, offer: Arc<Offer> },
    /// Waits for an abandoned shard to be re-offered.
    Delay(Pin<Box<Delay>>),
}

#[pin_project::pin_project]
#[derive(Debug)]
pub(crate) struct Delay {
    id: NodeId,
    offer: Arc<Offer>,
    until: Instant,
    #[pin]
    sleep: Sleep,
    runtime: LastRuntime,
}

/// The output of a [`Wait`].
#[derive(Debug)]
pub(crate) enum Event {
    Closed(NodeId, ParentOutcome, Vec<ChildShard>),
    Abandoned(NodeId, Arc<Offer>),
    Expired(NodeId, Arc<Offer>),
    Stopped(NodeId),
    /// The reader claims that the shard has ended. Its handle is still out.
    EndClaimed(NodeId, Arc<Offer>),
    Reoffered(NodeId, Arc<Offer>),
}

impl Future for Wait {
    type Output = Event;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        #[cfg(test)]
        tests::POLLS.with(|polls| polls.set(polls.get() + 1));
        match &mut *self {
            Self::Handle { id, offer } => Poll::Ready(match offer.poll_ended(cx) {
                Poll::Ready(HandleOutcome::Closed(outcome, children)) => {
                    Event::Closed(id.clone(), outcome, children)
                }
                Poll::Ready(HandleOutcome::Abandoned) => {
                    Event::Abandoned(id.clone(), Arc::clone(offer))
                }
                Poll::Ready(HandleOutcome::Returned) => {
                    Event::Reoffered(id.clone(), Arc::clone(offer))
                }
                Poll::Ready(HandleOutcome::Expired) => {
                    Event::Expired(id.clone(), Arc::clone(offer))
                }
                Poll::Ready(HandleOutcome::Stopped) => Event::Stopped(id.clone()),
                Poll::Pending if offer.hears_end_claim() => {
                    Event::EndClaimed(id.clone(), Arc::clone(offer))
                }
                Poll::Pending => return Poll::Pending,
            }),
            Self::Delay(delay) => {
                let mut delay = delay.as_mut().project();
                if delay.runtime.has_changed() {
                    delay.sleep.set(sleep_until(*delay.until));
                }
                ready!(Pin::new(&mut unconstrained(delay.sleep)).poll(cx));
                Poll::Ready(Event::Reoffered(delay.id.clone(), Arc::clone(delay.offer)))
            }
        }
    }
}

/// How often each shard was abandoned, of those that were.
#[derive(Debug, Default)]
pub(crate) struct ReofferBackoff {
    shards: HashMap<NodeId, Abandonments>,
}

#[derive(Debug)]
struct Abandonments {
    /// How often in a row the shard was held for no longer than the maximum delay.
    short: u32,
    /// How often in a row no reader has begun.
    unread: u32,
    reoffered_at: Instant,
}

const MIN_REOFFER_DELAY: Duration = Duration::from_millis(100);
/// How often in a row a shard is abandoned unread before that is logged.
const UNREAD_TO_WARN: u32 = 8;

impl ReofferBackoff {
    /// Returns the wait before an abandoned shard is re-offered.
    ///
    /// The delay doubles from 100 ms up to `max_delay` while the shard keeps being abandoned. It
    /// starts again from 100 ms once the shard was held for longer than `max_delay`.
    pub(crate) fn delay(&mut self, id: NodeId, offer: Arc<Offer>, max_delay: Duration) -> Wait {
        let now = Instant::now();
        let entry = self.shards.entry(id.clone());
        let entry = entry.or_insert(Abandonments { short: 0, unread: 0, reoffered_at: now });
        if now.saturating_duration_since(entry.reoffered_at) > max_delay {
            entry.short = 0;
        }
        entry.unread = if offer.take_was_read() { 0 } else { entry.unread.saturating_add(1) };
        if entry.unread >= UNREAD_TO_WARN && entry.unread.is_power_of_two() {
            warn_unread(&offer, entry.unread);
        }
        let delay = MIN_REOFFER_DELAY.saturating_mul(1 << entry.short.min(20)).min(max_delay);
        entry.short += 1;
        let until = now + delay;
        entry.reoffered_at = until;
        let mut runtime = LastRuntime::default();
        // The timer belongs to the runtime in which the shard was abandoned.
        runtime.has_changed();
        Wait::Delay(Box::pin(Delay { id, offer, until, sleep: sleep_until(until), runtime }))
    }

    pub(crate) fn forget(&mut self, id: &NodeId) {
        if !self.shards.is_empty() {
            self.shards.remove(id);
        }
    }
}

#[cfg(test)]
impl ReofferBackoff {
    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }
}

fn warn_unread(offer: &Offer, times: u32) {
    tracing::warn!(
        stream = offer.stream().name(),
        shard = offer.shard.shard_id(),
        times,
        "the shard was abandoned again without being read, and its children wait: does a filter on \
         the stream of shards drop it?"
    );
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static POLLS: Cell<u64> = const { Cell::new(0) };
    }
}
