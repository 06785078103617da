//! Which of many readers may ask now.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;

/// Shards that are opened at once do not all ask for their iterators in the same instant, but so many at a time.
const ITERATORS: usize = 256;

/// Shared by readers that are polled together. Each waits for its turn in the order in which they came to it, and gives it back when it has an answer: it rests without.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    requests: Option<Arc<Semaphore>>,
    iterators: Option<Arc<Semaphore>>,
}

/// Given back when it is dropped; there is none where there is no limit.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Turns {
    /// For many readers, with no limit but that of the first requests.
    pub(super) fn of_many() -> Self {
        Self { requests: None, iterators: Some(Arc::new(Semaphore::new(ITERATORS))) }
    }

    pub(super) fn at_most(self, requests: usize) -> Self {
        let requests = (requests < Semaphore::MAX_PERMITS).then(|| Arc::new(Semaphore::new(requests)));
        Self { requests, ..self }
    }

    /// To ask for anything.
    pub(super) async fn next(&self) -> Turn {
        turn(self.requests.as_ref()).await
    }

    /// To ask for an iterator, besides.
    pub(super) async fn iterator(&self) -> Turn {
        turn(self.iterators.as_ref()).await
    }
}

async fn turn(of: Option<&Arc<Semaphore>>) -> Turn {
    let turns = Arc::clone(of?);
    // It is no work that tokio's budget should count: with that, thousands of readers in one task would be polled in vain.
    Box::pin(unconstrained(turns.acquire_owned())).await.ok()
}
