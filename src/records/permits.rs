//! Which of many readers may send requests now.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;

/// Shards that open at once ask for their iterators at most this many at a time.
const MAX_ITERATOR_REQUESTS: usize = 256;

/// Bounds the requests in flight of readers that are polled together.
///
/// A reader acquires a permit once its pause is over, in the order in which the pauses end, and
/// keeps it for an iterator and the read that uses it. It releases the permit as soon as the
/// response is there: a page that waits to be taken holds none, however long it waits.
#[derive(Clone, Debug, Default)]
pub struct RequestPermits {
    requests: Option<Arc<Semaphore>>,
    iterators: Option<Arc<Semaphore>>,
}

/// Released when it is dropped; `None` where there is no limit.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

impl RequestPermits {
    /// Creates permits for many readers, without a limit but that of iterators.
    pub(crate) fn of_many() -> Self {
        Self { requests: None, iterators: Some(Arc::new(Semaphore::new(MAX_ITERATOR_REQUESTS))) }
    }

    pub(crate) fn at_most(self, requests: usize) -> Self {
        let requests =
            (requests < Semaphore::MAX_PERMITS).then(|| Arc::new(Semaphore::new(requests)));
        Self { requests, ..self }
    }

    /// Waits until requests may be sent.
    pub(crate) async fn acquire(&self) -> Permit {
        acquire(self.requests.as_ref()).await
    }

    /// Waits until an iterator may be asked for, with a permit for requests already acquired.
    pub(crate) async fn acquire_iterator(&self) -> Permit {
        acquire(self.iterators.as_ref()).await
    }
}

async fn acquire(semaphore: Option<&Arc<Semaphore>>) -> Permit {
    let semaphore = Arc::clone(semaphore?);
    // tokio's budget must not count this: it would have thousands of readers in one task polled in
    // vain.
    Box::pin(unconstrained(semaphore.acquire_owned())).await.ok()
}
