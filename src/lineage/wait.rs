//! What the lineage waits for once a shard is out: that its handle ends, so that its children may
//! be offered, and that a shard that was handed back may be offered again.

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
use crate::shard::handle::Offer;
use crate::shard::outcome::{HandleOutcome, ParentOutcome};
use crate::util::runtime::LastRuntime;

/// One of the futures in the lineage's `FuturesUnordered`.
#[derive(Debug)]
pub(crate) enum Wait {
    /// For a shard that is out, and may be a parent. It takes no part in tokio's cooperative
    /// budget, as tokio's own oneshot does: that makes a set of thousands that are released
    /// together quadratic.
    Parent { id: NodeId, offer: Arc<Offer> },
    /// For a shard that was handed back. Outside that budget too.
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

/// What came to pass.
#[derive(Debug)]
pub(crate) enum Event {
    Closed(NodeId, ParentOutcome, Vec<ChildShard>),
    Abandoned(NodeId, Arc<Offer>),
    Expired(NodeId, Arc<Offer>),
    /// The reader claims that the shard has ended. Its handle is still out.
    EndClaimed(NodeId, Arc<Offer>),
    Again(NodeId, Arc<Offer>),
}

impl Future for Wait {
    type Output = Event;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        #[cfg(test)]
        tests::POLLS.with(|polls| polls.set(polls.get() + 1));
        match &mut *self {
            Self::Parent { id, offer } => Poll::Ready(match offer.poll_ended(cx) {
                Poll::Ready(HandleOutcome::Closed(outcome, children)) => {
                    Event::Closed(id.clone(), outcome, children)
                }
                Poll::Ready(HandleOutcome::Abandoned) => {
                    Event::Abandoned(id.clone(), Arc::clone(offer))
                }
                Poll::Ready(HandleOutcome::Expired) => {
                    Event::Expired(id.clone(), Arc::clone(offer))
                }
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
                Poll::Ready(Event::Again(delay.id.clone(), Arc::clone(delay.offer)))
            }
        }
    }
}

/// How often each shard was handed back, of those that were.
#[derive(Debug, Default)]
pub(crate) struct ReofferBackoff {
    of: HashMap<NodeId, Return>,
}

#[derive(Debug)]
struct Return {
    times: u32,
    offered_again: Instant,
}

const FIRST_DELAY: Duration = Duration::from_millis(100);

impl ReofferBackoff {
    /// The wait before a shard that was handed back is offered again: it doubles from 100 ms up to
    /// `most` while the shard keeps coming back, and begins anew once it was held for longer than
    /// `most`.
    pub(crate) fn delay(&mut self, id: NodeId, offer: Arc<Offer>, most: Duration) -> Wait {
        let now = Instant::now();
        let entry = self.of.entry(id.clone()).or_insert(Return { times: 0, offered_again: now });
        if now.saturating_duration_since(entry.offered_again) > most {
            entry.times = 0;
        }
        let delay = FIRST_DELAY.saturating_mul(1 << entry.times.min(20)).min(most);
        entry.times += 1;
        entry.offered_again = now + delay;
        let (until, mut runtime) = (now + delay, LastRuntime::default());
        // The timer is that of the runtime in which the shard is handed back.
        runtime.has_changed();
        Wait::Delay(Box::pin(Delay { id, offer, until, sleep: sleep_until(until), runtime }))
    }

    pub(crate) fn forget(&mut self, id: &NodeId) {
        if !self.of.is_empty() {
            self.of.remove(id);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static POLLS: Cell<u64> = const { Cell::new(0) };
    }
}
