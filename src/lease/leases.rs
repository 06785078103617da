//! The membership of one worker.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::time::{Duration, timeout, timeout_at};

use crate::checkpoint::checkpoints::{Checkpoints, ShutdownReport};
use crate::checkpoint::consumer::Consumer;
use crate::checkpoint::deadline::deadline_in;
use crate::checkpoint::shared::Shared;
use crate::lease::driver::Driver;
use crate::lease::error::LeaseError;
use crate::lease::machine::{Death, Event};
use crate::lease::options::LeaseOptions;
use crate::lease::sealed::IntoTables;
use crate::lease::status::WorkerStatus;
use crate::lease::store::LeaseStore;
use crate::lease::worker::Worker;
use crate::shard::stream_id::StreamId;
use crate::util::abort_on_drop::AbortOnDrop;

/// A longer limit of a shutdown counts as this.
const MAX_LIMIT: Duration = Duration::from_hours(24 * 365);
/// The time within which each of the two steps of joining must succeed.
const JOIN_TIMEOUT: Duration = Duration::from_mins(2);

/// The membership of one worker in the fleet that shares the shards of a stream. Clones are of the
/// same worker.
///
/// A task proves that the worker lives while a clone, or a stream made with one, lives. If all are
/// dropped without a [`shutdown`](Self::shutdown), the other workers take the leases after the
/// [failover time](LeaseOptions::failover_time). The task runs in the runtime in which the worker
/// joined. A runtime that makes no progress for most of the failover time loses the leases.
///
/// See the example of [`lease`](super).
#[derive(Clone)]
pub struct Leases {
    pub(crate) worker: Arc<Worker>,
    checkpoints: Checkpoints,
    _driver: Arc<AbortOnDrop<()>>,
}

impl Leases {
    /// Joins the workers of an application that read a stream. Creates the tables that are missing,
    /// billed on demand, and waits until they are active.
    ///
    /// `tables` is a `&aws_sdk_dynamodb::Client`, or a `&testing::LeaseBoard` in tests. The lease
    /// table has the name of the application, and is the table that an application of the Kinesis
    /// Client Library with this name has. The workers table has that name with `-workers`. Each
    /// application and stream needs its own tables.
    ///
    /// Joining takes a few requests; under the id of a worker that has not left, also a fifth of
    /// the failover time and 500 ms.
    ///
    /// See the example of [`lease`](super).
    ///
    /// # Errors
    ///
    /// If a table cannot be created, read or written, if the tables are of an unknown layout, if a
    /// worker with the same id is running ([`is_worker_id_taken`](LeaseError::is_worker_id_taken)),
    /// and if the tables are not active, or the worker has not joined, within 2 minutes each.
    /// Throttled requests and server errors are retried until then.
    ///
    /// Whether the tables are of another stream is seen later: the stream of shards then yields the
    /// error.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt. A row that it has written to the workers table is
    /// removed by the other workers.
    pub async fn join(
        tables: impl LeaseBackend,
        application: &str,
        stream: impl Into<StreamId>,
    ) -> Result<Self, LeaseError> {
        Self::join_with(tables, application, stream, LeaseOptions::new()).await
    }

    /// Joins as [`join`](Self::join) does, with other options.
    ///
    /// See the example of [`LeaseOptions`].
    ///
    /// # Errors
    ///
    /// The same as those of [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    ///
    /// # Cancel safety
    ///
    /// The same as that of [`join`](Self::join).
    pub async fn join_with(
        tables: impl LeaseBackend,
        application: &str,
        stream: impl Into<StreamId>,
        options: LeaseOptions,
    ) -> Result<Self, LeaseError> {
        let stream = stream.into();
        let (leases, workers) = options
            .tables
            .clone()
            .unwrap_or_else(|| (application.to_owned(), format!("{application}-workers")));
        let tables = tables.into_tables(leases, workers, &stream).0;
        let worker =
            Arc::new(Worker::new(Arc::clone(&tables), application, stream.clone(), options));
        let (id, names) = (worker.id.clone(), tables.names());
        let failed =
            |text: String| LeaseError::new(&id, names.clone(), Death::Failed(text)).of_join();
        match timeout(JOIN_TIMEOUT, tables.create_missing()).await {
            Ok(created) => created.map_err(|error| failed(error.source.to_string()))?,
            Err(_) => return Err(failed(format!("it got no table within {JOIN_TIMEOUT:?}"))),
        }
        let store = Arc::new(LeaseStore(Arc::downgrade(&worker)));
        let checkpoint_options = worker.options.checkpoints.clone();
        let shared = Shared::new(stream, store, checkpoint_options, Vec::new());
        let consumer = Consumer::new(shared);
        worker.set_shared(Arc::clone(&consumer.shared));
        let driver = Arc::new(Driver::spawn(&worker));
        // The machine has sent its first request when it was created.
        worker.step(Event::Tick);
        let joined = Self { worker, checkpoints: Checkpoints::of(consumer), _driver: driver };
        let Ok(result) = timeout(JOIN_TIMEOUT, joined.wait_until_joined()).await else {
            return Err(failed(format!(
                "the tables gave no complete response within {JOIN_TIMEOUT:?}"
            )));
        };
        result.map_err(LeaseError::of_join)?;
        Ok(joined)
    }

    async fn wait_until_joined(&self) -> Result<(), LeaseError> {
        let waker = self.worker.waiting.subscribe();
        poll_fn(|cx| {
            waker.register(cx.waker());
            let inbox = self.worker.inbox();
            match &inbox.death {
                Some(error) => Poll::Ready(Err(error.clone())),
                None if inbox.has_joined => Poll::Ready(Ok(())),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Returns the id of this worker.
    #[must_use]
    pub fn worker_id(&self) -> &str {
        &self.worker.id
    }

    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.worker.stream
    }

    /// Returns the workers of the fleet, this one included, in the order of their ids. A worker
    /// that has left or was declared dead is left out.
    ///
    /// The workers are those of the last read, which is up to a fifth of the failover time old, and
    /// older with more than 40 workers.
    ///
    /// ```
    /// # use kinesis_shards::lease::Leases;
    /// # fn example(leases: &Leases) {
    /// for worker in leases.workers() {
    ///     println!("{} reads {} shards", worker.id, worker.leases);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.worker.workers()
    }

    /// Returns the checkpoints of the shards that this worker reads, for their
    /// [`status`](Checkpoints::status) and to [`flush`](Checkpoints::flush) them.
    ///
    /// A shutdown of these checkpoints ends the reading and keeps the leases: call
    /// [`Leases::shutdown`] instead.
    #[must_use]
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Gives all leases away and leaves the fleet, within `limit`.
    ///
    /// First the other workers learn which shards come to them. A fifth of the failover time
    /// later (at once if the limit is less than about 5 s) the delivery of records ends, and each
    /// lease is given away when its records in flight are acknowledged. Without another worker, the
    /// leases are released: the next worker that joins takes them. Then the streams of shards and
    /// of records end with `None`. The pipeline must be polled meanwhile, so call `shutdown` from
    /// another task.
    ///
    /// Shortly before the limit (2 s, or a fifth of it), the leases that are left are given away
    /// with their checkpoints as they are: the records in flight come again at the new owner, and
    /// the [`ShutdownReport`] says so. If the tables do not respond, this worker keeps leases, and
    /// the others take them after the failover time.
    ///
    /// See the example of [`lease`](super).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the leases are given away all the same, while a clone
    /// lives.
    pub async fn shutdown(&self, limit: Duration) -> ShutdownReport {
        let limit = limit.min(MAX_LIMIT);
        let deadline = deadline_in(limit);
        let waker = self.worker.waiting.subscribe();
        self.worker.inbox().shutdown.get_or_insert_default();
        self.worker.step(Event::Shutdown { limit });
        let left = poll_fn(|cx| {
            waker.register(cx.waker());
            let inbox = self.worker.inbox();
            if inbox.has_left || inbox.death.is_some() { Poll::Ready(()) } else { Poll::Pending }
        });
        let is_over = timeout_at(deadline, left).await.is_ok();
        let (shutdown, has_died) = {
            let inbox = self.worker.inbox();
            (inbox.shutdown.clone().unwrap_or_default(), inbox.death.is_some())
        };
        self.checkpoints.report_leases(shutdown, is_over && !has_died)
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("worker", &self.worker.id)
            .field("stream", &self.worker.stream.name())
            .field("tables", &self.worker.tables.names())
            .finish_non_exhaustive()
    }
}

/// The place of a fleet's tables: a `&aws_sdk_dynamodb::Client`, or a `&testing::LeaseBoard` in
/// tests. The trait is sealed.
///
/// See the example of [`lease`](super).
pub trait LeaseBackend: IntoTables {}

impl<T: IntoTables> LeaseBackend for T {}
