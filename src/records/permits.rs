//! Permits that bound the requests in flight of many readers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;

/// The maximum number of iterator requests in flight when many shards open at once.
const MAX_ITERATOR_REQUESTS: usize = 256;

/// Bounds the requests in flight of readers that are polled together.
///
/// A reader acquires a permit once its pause is over, in the order in which the pauses end, and
/// keeps it for an iterator and the read that uses it. It releases the permit when the response
/// arrives: a page that waits to be taken holds no permit.
#[derive(Clone, Debug, Default)]
pub struct RequestPermits {
    requests: Option<Arc<Semaphore>>,
    iterators: Option<Arc<Semaphore>>,
}

/// A permit, released when it is dropped. `None` if there is no limit.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

impl RequestPermits {
    /// Creates the permits of many readers, which limit only iterator requests.
    pub(crate) fn for_many_readers() -> Self {
        Self { requests: None, iterators: Some(Arc::new(Semaphore::new(MAX_ITERATOR_REQUESTS))) }
    }

    /// Limits the requests in flight.
    pub(crate) fn with_max_requests(self, requests: usize) -> Self {
        let requests =
            (requests < Semaphore::MAX_PERMITS).then(|| Arc::new(Semaphore::new(requests)));
        Self { requests, ..self }
    }

    /// Acquires a permit for requests.
    pub(crate) async fn acquire(&self) -> Permit {
        acquire(self.requests.as_ref()).await
    }

    /// Acquires a permit for an iterator request. The caller already holds a permit for requests.
    pub(crate) async fn acquire_iterator(&self) -> Permit {
        acquire(self.iterators.as_ref()).await
    }
}

async fn acquire(semaphore: Option<&Arc<Semaphore>>) -> Permit {
    let semaphore = Arc::clone(semaphore?);
    // tokio's coop budget must not count this, or thousands of readers in one task would be polled
    // in vain.
    Box::pin(unconstrained(semaphore.acquire_owned())).await.ok()
}
