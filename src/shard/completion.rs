//! How a handle tells the stream of shards that it has ended.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::shard::outcome::{HandleOutcome, ParentOutcome};

/// A reusable oneshot channel from a handle to the stream of shards.
///
/// Each shard has one, so the channel is embedded in the offer instead of being an allocation like
/// the futures crate's oneshot, and takes one atomic exchange on each side.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    /// One of the constants below.
    state: AtomicU8,
    /// The outcome with the children, set before the state becomes `COMPLETED_WITH_CHILDREN`.
    /// Boxed, since few handles name children.
    outcome: Mutex<Option<Box<HandleOutcome>>>,
    waker: AtomicWaker,
}

/// The handle is out, and no waker is registered.
const OUT: u8 = 0;
/// The handle is out, and a waker is registered.
const WAITED_FOR: u8 = 1;
const COMPLETED: u8 = 2;
const COMPLETED_WITH_CHILDREN: u8 = 3;
const DROPPED: u8 = 4;
const ABANDONED: u8 = 5;
const EXPIRED: u8 = 6;
const RETURNED: u8 = 7;
const STOPPED: u8 = 8;

impl Completion {
    /// Ends the handle. It is called once per handle.
    pub(crate) fn end(&self, outcome: HandleOutcome) {
        let state = match &outcome {
            HandleOutcome::Abandoned => ABANDONED,
            HandleOutcome::Returned => RETURNED,
            HandleOutcome::Closed(ParentOutcome::Completed, children) if children.is_empty() => {
                COMPLETED
            }
            HandleOutcome::Closed(ParentOutcome::Completed, _) => {
                let mut slot = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
                *slot = Some(Box::new(outcome));
                COMPLETED_WITH_CHILDREN
            }
            HandleOutcome::Expired => EXPIRED,
            HandleOutcome::Stopped => STOPPED,
            HandleOutcome::Closed(..) => DROPPED,
        };
        if self.state.swap(state, Ordering::AcqRel) == WAITED_FOR {
            self.waker.wake();
        }
    }

    /// Wakes the stream of shards, which then polls the shard again.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Waits until the handle has ended, and takes the outcome: the next handle may end again.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<HandleOutcome> {
        let mut state = self.state.load(Ordering::Acquire);
        if state <= WAITED_FOR {
            self.waker.register(cx.waker());
            // The handle may have ended before the waker was registered.
            state = match self.state.compare_exchange(
                state,
                WAITED_FOR,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Poll::Pending,
                Err(ended) => ended,
            };
        }
        self.state.store(OUT, Ordering::Release);
        let completed = || HandleOutcome::Closed(ParentOutcome::Completed, Vec::new());
        Poll::Ready(match state {
            COMPLETED => completed(),
            COMPLETED_WITH_CHILDREN => {
                let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
                outcome.map_or_else(completed, |outcome| *outcome)
            }
            ABANDONED => HandleOutcome::Abandoned,
            RETURNED => HandleOutcome::Returned,
            EXPIRED => HandleOutcome::Expired,
            STOPPED => HandleOutcome::Stopped,
            _ => HandleOutcome::Closed(ParentOutcome::Dropped, Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_sdk_kinesis::types::ChildShard;
    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::future::poll_fn;

    use super::*;

    fn outcomes() -> Vec<HandleOutcome> {
        let child = ChildShard::builder()
            .shard_id("child")
            .set_parent_shards(Some(vec![]))
            .build()
            .unwrap();
        vec![
            HandleOutcome::Closed(ParentOutcome::Completed, vec![]),
            HandleOutcome::Closed(ParentOutcome::Completed, vec![child]),
            HandleOutcome::Closed(ParentOutcome::Dropped, vec![]),
            HandleOutcome::Abandoned,
            HandleOutcome::Returned,
            HandleOutcome::Expired,
            HandleOutcome::Stopped,
        ]
    }

    #[test]
    fn an_outcome_is_taken_once_and_the_completion_is_reusable() {
        let completion = Completion::default();
        for outcome in outcomes() {
            let expected = format!("{outcome:?}");
            completion.end(outcome);
            let mut ended = poll_fn(|cx| completion.poll_ended(cx));
            assert_eq!(format!("{:?}", block_on(&mut ended)), expected);
            assert!(ended.now_or_never().is_none());
        }
    }

    #[test]
    fn a_handle_that_ends_in_another_thread_wakes_the_waiter_at_any_time() {
        for _ in 0..2_000 {
            let completion = Arc::new(Completion::default());
            let handle = std::thread::spawn({
                let completion = Arc::clone(&completion);
                move || completion.end(HandleOutcome::Abandoned)
            });
            let outcome = block_on(poll_fn(|cx| completion.poll_ended(cx)));
            assert!(matches!(outcome, HandleOutcome::Abandoned));
            handle.join().unwrap();
        }
    }
}
