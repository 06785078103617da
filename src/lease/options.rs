//! Options of leases.

use std::fmt;
use std::sync::Arc;

use tokio::time::Duration;

use crate::checkpoint::options::CheckpointOptions;
use crate::lease::event::LeaseEvent;

/// Options of [`Leases::join_with`](super::Leases::join_with): the id of the worker, times and
/// limits.
///
/// ```
/// use std::time::Duration;
///
/// use kinesis_shards::lease::LeaseOptions;
///
/// let options = LeaseOptions::new()
///     .worker("orders-7d9f-x2k4") // such as the name of the pod
///     .max_leases(50)
///     .failover_time(Duration::from_secs(20));
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until they are given to Leases::join_with"]
pub struct LeaseOptions {
    pub(crate) worker: Option<String>,
    pub(crate) failover: Duration,
    pub(crate) max_leases: Option<u64>,
    pub(crate) settle: Duration,
    pub(crate) rest: Duration,
    pub(crate) move_timeout: Duration,
    pub(crate) beside_kcl: bool,
    pub(crate) checkpoints: CheckpointOptions,
    pub(crate) tables: Option<(String, String)>,
    pub(crate) on_event: Vec<Arc<OnEvent>>,
}

type OnEvent = dyn Fn(&LeaseEvent<'_>) + Send + Sync;

const MIN_FAILOVER: Duration = Duration::from_secs(3);
const MAX_FAILOVER: Duration = Duration::from_mins(5);

impl LeaseOptions {
    /// Creates options with the default of each setter.
    pub fn new() -> Self {
        Self {
            worker: None,
            failover: Duration::from_secs(10),
            max_leases: None,
            settle: Duration::from_secs(30),
            rest: Duration::from_mins(1),
            move_timeout: Duration::from_secs(30),
            beside_kcl: false,
            checkpoints: CheckpointOptions::new()
                .save_interval(Duration::from_secs(30))
                .save_records(u32::MAX),
            tables: None,
            on_event: Vec::new(),
        }
    }

    /// Sets the id of the worker. It must differ from the ids of all workers of the application
    /// that run at the same time, including those of the Kinesis Client Library.
    ///
    /// A worker that crashes and restarts under the same id takes up its leases a fifth of the
    /// [failover time](Self::failover_time) and 500 ms after its start: 2.5 s by default.
    ///
    /// # Default
    ///
    /// The environment variable `HOSTNAME`, or `worker` without it, and eight random hexadecimal
    /// digits
    ///
    /// # Panics
    ///
    /// If it is empty, or begins with `#`.
    #[track_caller]
    pub fn worker(self, id: impl Into<String>) -> Self {
        let id = id.into();
        assert!(!id.is_empty() && !id.starts_with('#'), "{id:?} cannot be the id of a worker");
        Self { worker: Some(id), ..self }
    }

    /// Sets the time after which a worker that does not prove that it lives loses its leases.
    ///
    /// A worker proves it every fifth of this time with one write to its own row, and stops
    /// delivering records after four fifths of it without a proof. All workers of an application
    /// need the same time: stop them all to change it. Less than 5 s is for tables that respond
    /// fast at all times.
    ///
    /// # Default
    ///
    /// 10 s
    ///
    /// # Panics
    ///
    /// If it is less than 3 s or more than 5 minutes.
    #[track_caller]
    pub fn failover_time(self, time: Duration) -> Self {
        assert!(
            (MIN_FAILOVER..=MAX_FAILOVER).contains(&time),
            "a failover time of {time:?} is not between 3 s and 5 min"
        );
        Self { failover: time, ..self }
    }

    /// Sets the greatest number of leases that this worker takes. Shards that no worker has room
    /// for are not read, and reported ([`NoRoom`](super::LeaseEventKind::NoRoom)). The number does
    /// not bound the leases that a restarted worker takes up under its own id.
    ///
    /// # Default
    ///
    /// No limit
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn max_leases(self, leases: u64) -> Self {
        assert!(leases > 0, "max_leases is 0: this worker would never read a shard");
        Self { max_leases: Some(leases), ..self }
    }

    /// Sets how long the workers must stay the same before leases are moved for balance. If workers
    /// come and go all the time, leases are moved after 5 minutes out of balance.
    ///
    /// In a rolling deploy, a new worker joins shortly before an old one leaves. If both happen
    /// within this time, each shard moves once.
    ///
    /// # Default
    ///
    /// 30 s
    pub fn settle(self, time: Duration) -> Self {
        Self { settle: time, ..self }
    }

    /// Sets how long a lease stays with a worker at least before it is moved for balance.
    ///
    /// # Default
    ///
    /// 60 s
    pub fn rest(self, time: Duration) -> Self {
        Self { rest: time, ..self }
    }

    /// Sets how long a move for balance waits for the acknowledgement of the records in flight,
    /// while no record of the shard is delivered. After that, the move is called off, and tried
    /// again later.
    ///
    /// # Default
    ///
    /// 30 s
    pub fn move_timeout(self, time: Duration) -> Self {
        Self { move_timeout: time, ..self }
    }

    /// Moves the counter of each lease every third of the failover time, as workers of the Kinesis
    /// Client Library (KCL) do, so that KCL workers in the same table see that its owner lives. The
    /// delivery of a shard pauses when its counter could not be moved for four fifths of that time.
    ///
    /// This is for the days of a migration: each move is a write, as with the KCL. Workers of KCL
    /// 2.x may still take leases for balance. See [the page](super) on coming from the KCL.
    ///
    /// # Default
    ///
    /// Off
    pub fn beside_kcl(self) -> Self {
        Self { beside_kcl: true, ..self }
    }

    /// Sets the options of the checkpoints. A move and a shutdown save exactly; after a crash, the
    /// records since the last save come again. Each save is one write: see [the
    /// costs](super#requests-and-costs).
    ///
    /// # Default
    ///
    /// [`CheckpointOptions::new`] with a [`save_interval`](CheckpointOptions::save_interval) of
    /// 30 s, and no limit on the records between saves
    pub fn checkpoints(self, options: CheckpointOptions) -> Self {
        Self { checkpoints: options, ..self }
    }

    /// Sets the names of the lease table and of the workers table. The name of the application is
    /// not used then.
    ///
    /// # Default
    ///
    /// The name of the application, and that name with `-workers`
    pub fn tables(self, leases: impl Into<String>, workers: impl Into<String>) -> Self {
        Self { tables: Some((leases.into(), workers.into())), ..self }
    }

    /// Calls `on_event` with each [`LeaseEvent`], in tasks that also prove that the worker lives:
    /// it should return quickly. A second call adds a listener. A panic in it is logged, and has no
    /// other effect.
    ///
    /// # Default
    ///
    /// None
    ///
    /// ```
    /// use kinesis_shards::lease::{LeaseEventKind, LeaseOptions};
    ///
    /// let options = LeaseOptions::new().on_event(|event| {
    ///     if let LeaseEventKind::Granted { shard_id, token } = &event.kind {
    ///         println!("{} reads {shard_id} under token {token}", event.worker);
    ///     }
    /// });
    /// ```
    pub fn on_event(mut self, on_event: impl Fn(&LeaseEvent<'_>) + Send + Sync + 'static) -> Self {
        self.on_event.push(Arc::new(on_event));
        self
    }

    /// Returns the id of the worker, or a new one.
    pub(crate) fn worker_id(&self) -> String {
        self.worker.clone().unwrap_or_else(|| {
            let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
            format!("{}-{:08x}", host.as_deref().unwrap_or("worker"), fastrand::u32(..))
        })
    }
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LeaseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseOptions")
            .field("worker", &self.worker)
            .field("failover_time", &self.failover)
            .field("max_leases", &self.max_leases)
            .field("settle", &self.settle)
            .field("rest", &self.rest)
            .field("move_timeout", &self.move_timeout)
            .field("beside_kcl", &self.beside_kcl)
            .field("checkpoints", &self.checkpoints)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}
