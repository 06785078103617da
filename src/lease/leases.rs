//! One worker's part of a stream's shards.

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

/// How long a worker tries to join.
const JOIN_TIMEOUT: Duration = Duration::from_mins(2);

/// One worker's membership in a fleet that shares the shards of a stream.
///
/// A task keeps the membership alive while a clone, or a stream made with one, lives. If all are
/// dropped without a [`shutdown`](Self::shutdown), the other workers take the leases after the
/// failover time. The task runs in the runtime in which the worker has joined.
///
/// See the example of [`lease`](super).
#[derive(Clone)]
pub struct Leases {
    pub(crate) worker: Arc<Worker>,
    checkpoints: Checkpoints,
    _driver: Arc<AbortOnDrop<()>>,
}

impl Leases {
    /// Joins the workers of an application that read a stream. Creates both tables if they are
    /// missing, billed on demand.
    ///
    /// `tables` is a `&aws_sdk_dynamodb::Client`, or a `testing::LeaseBoard` in tests. The lease
    /// table has the name of the application, and is the one that an application of the Kinesis
    /// Client Library with this name has. The workers table has that name with `-workers`. Each
    /// application and stream needs its own.
    ///
    /// # Errors
    ///
    /// If the tables cannot be created, read or written, if they are of another stream or of an
    /// unknown layout, if a worker with the same id is running, and if joining takes longer than 2
    /// minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn join(
        tables: impl LeaseBackend,
        application: &str,
        stream: impl Into<StreamId>,
    ) -> Result<Self, LeaseError> {
        Self::join_with(tables, application, stream, LeaseOptions::new()).await
    }

    /// Joins as [`join`](Self::join) does, with other options.
    ///
    /// # Errors
    ///
    /// As of [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
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
        let worker = Arc::new(Worker::new(Arc::clone(&tables), stream.clone(), options));
        let failed = |text: String| LeaseError::new(&worker.id, tables.names(), Death::Failed(text));
        match timeout(JOIN_TIMEOUT, tables.create_missing()).await {
            Ok(created) => created.map_err(|error| failed(error.source.to_string()))?,
            Err(_) => return Err(failed(format!("no table within {JOIN_TIMEOUT:?}"))),
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
        match timeout(JOIN_TIMEOUT, joined.wait_until_joined()).await {
            Ok(result) => result.map(|()| joined),
            Err(_) => {
                let (worker, tables) = (&joined.worker, joined.worker.tables.names());
                let text = format!("it could not join within {JOIN_TIMEOUT:?}");
                Err(LeaseError::new(&worker.id, tables, Death::Failed(text)))
            }
        }
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

    /// Returns the workers of the fleet that are not dead, as this one has read them last, in the
    /// order of their ids. They are read every few seconds.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.worker.workers()
    }

    /// Returns the checkpoints of the shards that this worker reads, for their
    /// [`status`](Checkpoints::status) and to [`flush`](Checkpoints::flush) them.
    ///
    /// A shutdown of these checkpoints would end the reading and keep the leases: call
    /// [`Leases::shutdown`] instead.
    #[must_use]
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Gives all leases away and leaves the fleet.
    ///
    /// The other workers learn at once which shards come to them. Then the delivery of records
    /// ends, and each shard is given away as soon as its records in flight are acknowledged. The
    /// streams of shards and of records end. The pipeline must be polled meanwhile, so call
    /// `shutdown` from another task.
    ///
    /// At the limit, the leases that are left are given away with their checkpoints as they are:
    /// the records in flight come again at the new owner, and the [`ShutdownReport`] says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the leases are given away all the same, while a clone
    /// lives.
    pub async fn shutdown(&self, limit: Duration) -> ShutdownReport {
        let deadline = deadline_in(limit);
        let waker = self.worker.waiting.subscribe();
        self.worker.step(Event::Shutdown { limit });
        let left = poll_fn(|cx| {
            waker.register(cx.waker());
            let inbox = self.worker.inbox();
            if inbox.has_left || inbox.death.is_some() { Poll::Ready(()) } else { Poll::Pending }
        });
        let has_left = timeout_at(deadline, left).await.is_ok();
        let given = std::mem::take(&mut self.worker.inbox().given);
        self.checkpoints.report_leases(given, has_left)
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

/// The place of the tables of a fleet: a `&aws_sdk_dynamodb::Client`, or a `testing::LeaseBoard` in
/// tests. The trait is sealed.
///
/// See the example of [`lease`](super).
pub trait LeaseBackend: IntoTables {}

impl<T: IntoTables> LeaseBackend for T {}
