//! The task that sends the machine's requests and keeps its time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::lease::machine::{Event, Failure, Ticket};
use crate::lease::stalls::STALL_CHECK_INTERVAL;
use crate::lease::table::{Request, Response, TableError};
use crate::lease::worker::Worker;
use crate::util::abort_on_drop::AbortOnDrop;

/// Requests that are in flight at a time, besides beats and reads of the workers.
const MAX_REQUESTS: usize = 64;

/// Drives one worker until it is dropped.
pub(crate) struct Driver {
    worker: Arc<Worker>,
    requests: FuturesUnordered<BoxFuture<'static, Responded>>,
    /// The requests that wait for others to end.
    waiting: VecDeque<(Ticket, Request)>,
    /// Requests in flight that count.
    in_flight: usize,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The time of the next check for readers that are not polled.
    stall_check_at: Instant,
}

struct Responded {
    ticket: Ticket,
    counts: bool,
    result: Result<Response, Failure>,
}

impl Driver {
    /// Spawns the driver in the current runtime.
    pub(crate) fn spawn(worker: &Arc<Worker>) -> AbortOnDrop<()> {
        let driver = Self {
            worker: Arc::clone(worker),
            requests: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            in_flight: 0,
            timer: None,
            stall_check_at: Instant::now() + STALL_CHECK_INTERVAL,
        };
        AbortOnDrop::spawn(&Handle::current(), driver)
    }

    /// Sends a request. Proofs of life go before all others, and end early, since a later one takes
    /// their place.
    fn send(&mut self, ticket: Ticket, request: Request) {
        let limit = match request {
            Request::Beat(_) | Request::Workers { .. } => Some(self.worker.options.failover / 2),
            _ => None,
        };
        if limit.is_none() && self.in_flight >= MAX_REQUESTS {
            self.waiting.push_back((ticket, request));
            return;
        }
        let counts = limit.is_none();
        self.in_flight += usize::from(counts);
        let response = self.worker.tables.send(request);
        let responded = async move {
            let result = match limit {
                Some(limit) => timeout(limit, response).await.unwrap_or_else(|_| {
                    Err(TableError {
                        is_permanent: false,
                        source: format!("no response within {limit:?}").into(),
                    })
                }),
                None => response.await,
            };
            let result = result.map_err(|error| Failure {
                is_permanent: error.is_permanent,
                text: error.source.to_string(),
            });
            Responded { ticket, counts, result }
        };
        self.requests.push(responded.boxed());
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let at = self.worker.next_wake().min(self.stall_check_at);
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            self.timer = Some((at, Box::pin(sleep_until(at))));
        }
        let is_due =
            self.timer.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready());
        if is_due {
            self.timer = None;
        }
        is_due
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.worker.abandon();
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let worker = Arc::clone(&self.worker);
        worker.driver.register(cx.waker());
        // Bounded, so that other tasks of the runtime get their turn.
        for _ in 0..MAX_REQUESTS {
            for (shard_id, checkpoint) in worker.take_drained() {
                worker.step(Event::Drained { shard_id, checkpoint });
            }
            for shard_id in worker.driver.take_takeovers() {
                worker.step(Event::TakenOver(shard_id));
            }
            let requests = std::mem::take(&mut worker.work().requests);
            for (ticket, request) in requests {
                self.send(ticket, request);
            }
            if let Poll::Ready(Some(responded)) = self.requests.poll_next_unpin(cx) {
                let Responded { ticket, counts, result } = responded;
                self.in_flight -= usize::from(counts);
                if let Some((ticket, request)) = self.waiting.pop_front() {
                    self.send(ticket, request);
                }
                if let Err(failure) = &result {
                    tracing::debug!(
                        stream = worker.stream.name(),
                        worker = worker.id,
                        error = failure.text,
                        "a request to the tables of leases failed"
                    );
                }
                worker.step(Event::Responded(ticket, result));
                continue;
            }
            if self.poll_timer(cx) {
                if Instant::now() >= self.stall_check_at {
                    self.stall_check_at = Instant::now() + STALL_CHECK_INTERVAL;
                    worker.check_for_stalls();
                }
                worker.step(Event::Tick);
                continue;
            }
            if worker.work().requests.is_empty() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
