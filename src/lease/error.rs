//! Errors of leases.

use std::fmt;

use crate::lease::machine::Death;

/// The error of a worker that cannot join, or that has stopped for good: another worker has its id,
/// the tables are of another stream or of an unknown layout, or a request fails that no retry
/// mends.
///
/// [`Leases::join`](super::Leases::join) returns it. After that, the stream of shards yields it:
/// see [`ReadError::is_worker_stopped`](crate::ReadError::is_worker_stopped).
///
/// ```
/// use kinesis_shards::lease::{LeaseOptions, Leases};
/// use kinesis_shards::testing::LeaseBoard;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let board = LeaseBoard::new();
/// let join = || {
///     let options = LeaseOptions::new().worker("worker-1");
///     Leases::join_with(&board, "orders-application", "orders", options)
/// };
/// let leases = join().await.unwrap();
/// let error = join().await.unwrap_err();
/// assert!(error.is_worker_id_taken());
/// # drop(leases);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LeaseError {
    worker: String,
    tables: String,
    death: Death,
    has_joined: bool,
}

impl LeaseError {
    pub(crate) fn new(worker: &str, tables: String, death: Death) -> Self {
        Self { worker: worker.to_owned(), tables, death, has_joined: true }
    }

    /// Marks the error as that of a worker that has not joined.
    pub(crate) fn of_join(self) -> Self {
        Self { has_joined: false, ..self }
    }

    /// Returns whether another worker is running under the same id. Give each its own id
    /// ([`LeaseOptions::worker`](super::LeaseOptions::worker)).
    #[must_use]
    pub fn is_worker_id_taken(&self) -> bool {
        matches!(self.death, Death::TwinIsAlive | Death::Superseded)
    }
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worker, tables, death, has_joined } = self;
        match death {
            Death::TwinIsAlive => write!(
                f,
                "worker {worker} cannot join {tables}: a worker with this id is running; give each \
                 worker its own id"
            ),
            Death::Superseded => write!(
                f,
                "worker {worker} of {tables} has stopped: another has joined with its id; give \
                 each worker its own id"
            ),
            Death::OtherStream(stream) => write!(
                f,
                "worker {worker} cannot use {tables}: they are of stream {stream}; each \
                 application and stream needs its own tables"
            ),
            Death::StreamInUse => write!(
                f,
                "the leases of worker {worker} are in use by another stream of shards: call \
                 `leased` once for each `Leases`"
            ),
            Death::Failed(text) if !has_joined => {
                write!(f, "worker {worker} cannot join {tables}: {text}")
            }
            Death::Failed(text) => write!(f, "worker {worker} has stopped: {text}"),
        }
    }
}

impl std::error::Error for LeaseError {}
