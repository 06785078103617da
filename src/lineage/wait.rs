//! What the lineage waits for once a shard is out: that its handle ends, so that its children may be offered, and that a
//! shard that was handed back may be offered again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::channel::oneshot;
use tokio::time::{Instant, Sleep, sleep};

use super::serial::{Serial, SerialMap};
use crate::ParentOutcome;
use crate::handle::{Ending, Offer};

/// One of the futures in the lineage's `FuturesUnordered`.
#[derive(Debug)]
pub(super) enum Wait {
    /// For a shard that is out, and may be a parent. The futures crate's oneshot: tokio's takes part in its cooperative
    /// budget, which makes a set of thousands that are released together quadratic.
    Parent {
        serial: Serial,
        ending: oneshot::Receiver<Ending>,
    },
    Delay(Pin<Box<Delay>>),
}

#[pin_project::pin_project]
#[derive(Debug)]
pub(super) struct Delay {
    serial: Serial,
    offer: Option<Box<Offer>>,
    #[pin]
    sleep: Sleep,
}

/// What came to pass.
#[derive(Debug)]
pub(super) enum Event {
    Ended(Serial, Ending),
    Again(Serial, Box<Offer>),
}

impl Future for Wait {
    type Output = Event;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        #[cfg(test)]
        tests::POLLS.with(|polls| polls.set(polls.get() + 1));
        match &mut *self {
            Self::Parent { serial, ending } => {
                let ending = ready!(Pin::new(ending).poll(cx));
                // A handle says how it ended in every case; one that could not has dropped its end.
                let ending = ending.unwrap_or(Ending::Closed(ParentOutcome::Dropped, Vec::new()));
                Poll::Ready(Event::Ended(*serial, ending))
            }
            Self::Delay(delay) => {
                let delay = delay.as_mut().project();
                ready!(delay.sleep.poll(cx));
                match delay.offer.take() {
                    Some(offer) => Poll::Ready(Event::Again(*delay.serial, offer)),
                    None => Poll::Pending,
                }
            }
        }
    }
}

/// How often each shard was handed back, of those that were.
#[derive(Debug, Default)]
pub(super) struct Returns {
    of: SerialMap<Return>,
}

#[derive(Debug)]
struct Return {
    times: u32,
    offered_again: Instant,
}

const FIRST_DELAY: Duration = Duration::from_millis(100);

impl Returns {
    /// The wait before a shard that was handed back is offered again: it doubles from 100 ms up to `most` while the shard keeps
    /// coming back, and begins anew once it was held for longer than `most`.
    pub(super) fn delay(&mut self, serial: Serial, offer: Box<Offer>, most: Duration) -> Wait {
        let now = Instant::now();
        let entry = self.of.entry(serial).or_insert(Return { times: 0, offered_again: now });
        if now.saturating_duration_since(entry.offered_again) > most {
            entry.times = 0;
        }
        let delay = FIRST_DELAY.saturating_mul(1 << entry.times.min(20)).min(most);
        entry.times += 1;
        entry.offered_again = now + delay;
        Wait::Delay(Box::pin(Delay { serial, offer: Some(offer), sleep: sleep(delay) }))
    }

    pub(super) fn forget(&mut self, serial: Serial) {
        if !self.of.is_empty() {
            self.of.remove(&serial);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(in crate::lineage) static POLLS: Cell<u64> = const { Cell::new(0) };
    }
}
