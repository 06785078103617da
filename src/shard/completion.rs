//! The cell by which a shard closes: its handle writes into it, its stream of shards waits for
//! that.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use aws_sdk_kinesis::types::ChildShard;
use futures::task::AtomicWaker;

use crate::shard::outcome::{HandleOutcome, ParentOutcome};

/// Like the futures crate's oneshot, but part of what it speaks of instead of an allocation of its
/// own, and with one atomic exchange a side: there is one for each shard.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    /// One of the states below.
    state: AtomicU8,
    /// Set before the state says so.
    children: Mutex<Vec<ChildShard>>,
    waiting: AtomicWaker,
}

/// The handle is out, and nobody was waiting when it was last looked at.
const OUT: u8 = 0;
/// The handle is out, and `waiting` is to be woken.
const WAITED_FOR: u8 = 1;
const COMPLETED: u8 = 2;
const COMPLETED_WITH_CHILDREN: u8 = 3;
const DROPPED: u8 = 4;
const ABANDONED: u8 = 5;
const EXPIRED: u8 = 6;

impl Completion {
    /// The handle has ended. It says so once.
    pub(crate) fn end(&self, ending: HandleOutcome) {
        let state = match ending {
            HandleOutcome::Abandoned => ABANDONED,
            HandleOutcome::Closed(ParentOutcome::Completed, children) if children.is_empty() => {
                COMPLETED
            }
            HandleOutcome::Closed(ParentOutcome::Completed, children) => {
                *self.children.lock().unwrap_or_else(PoisonError::into_inner) = children;
                COMPLETED_WITH_CHILDREN
            }
            HandleOutcome::Expired => EXPIRED,
            HandleOutcome::Closed(..) => DROPPED,
        };
        if self.state.swap(state, Ordering::AcqRel) == WAITED_FOR {
            self.waiting.wake();
        }
    }

    /// Wakes the stream of shards, which looks at the shard again.
    pub(crate) fn wake(&self) {
        self.waiting.wake();
    }

    /// Waits for the ending and takes it: the cell is as new.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<HandleOutcome> {
        let mut state = self.state.load(Ordering::Acquire);
        if state <= WAITED_FOR {
            self.waiting.register(cx.waker());
            // It may have ended before the waker was there to be woken.
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
        Poll::Ready(match state {
            COMPLETED => HandleOutcome::Closed(ParentOutcome::Completed, Vec::new()),
            COMPLETED_WITH_CHILDREN => {
                let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
                HandleOutcome::Closed(ParentOutcome::Completed, std::mem::take(&mut children))
            }
            ABANDONED => HandleOutcome::Abandoned,
            EXPIRED => HandleOutcome::Expired,
            _ => HandleOutcome::Closed(ParentOutcome::Dropped, Vec::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::executor::block_on;
    use futures::future::poll_fn;

    use super::*;

    fn endings() -> Vec<HandleOutcome> {
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
            HandleOutcome::Expired,
        ]
    }

    #[test]
    fn what_is_written_is_what_is_read_and_then_the_cell_is_as_new() {
        let cell = Completion::default();
        for ending in endings() {
            let expected = format!("{ending:?}");
            cell.end(ending);
            assert_eq!(format!("{:?}", block_on(poll_fn(|cx| cell.poll_ended(cx)))), expected);
            assert!(futures::FutureExt::now_or_never(poll_fn(|cx| cell.poll_ended(cx))).is_none());
        }
    }

    #[test]
    fn an_ending_in_another_thread_wakes_whoever_waits_whenever_it_comes() {
        for _ in 0..2_000 {
            let cell = Arc::new(Completion::default());
            let ender = std::thread::spawn({
                let cell = Arc::clone(&cell);
                move || cell.end(HandleOutcome::Abandoned)
            });
            assert!(matches!(
                block_on(poll_fn(|cx| cell.poll_ended(cx))),
                HandleOutcome::Abandoned
            ));
            ender.join().unwrap();
        }
    }
}
