//! The tables of a fleet of workers, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, FutureExt, ready};
use tokio::time::{Duration, sleep};

use crate::checkpoint::value::Checkpoint;
use crate::lease::sealed::{IntoTables, Tables};
use crate::lease::table::model::ModelTables;
use crate::lease::table::{LeaseTables, Request, Response, TableError};
use crate::shard::stream_id::StreamId;

/// The tables of a fleet of workers, in memory: give it to
/// [`Leases::join`](crate::lease::Leases::join) in place of a DynamoDB client. Clones share the
/// tables.
///
/// On a paused clock, a test runs several workers in one process, drops one, and sees the others
/// take its leases, without waiting for time to pass: see the example of
/// [`lease`](crate::lease#testing).
#[derive(Clone, Debug, Default)]
pub struct LeaseBoard {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug)]
struct Board {
    /// The tables, by the names of both.
    tables: BTreeMap<(String, String), ModelTables>,
    latency: Duration,
    is_down: bool,
    is_denied: bool,
    requests: usize,
}

impl Default for Board {
    fn default() -> Self {
        let latency = Duration::from_millis(5);
        let tables = BTreeMap::new();
        Self { tables, latency, is_down: false, is_denied: false, requests: 0 }
    }
}

/// The lease of one shard on a [`LeaseBoard`]: see [`LeaseBoard::leases`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BoardLease {
    /// The id of the shard.
    pub shard_id: String,
    /// The id of the worker that holds it. `None` if it was released.
    pub owner: Option<String>,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The counter: the fencing token of a lease that is granted now is at least this.
    pub counter: u64,
}

impl LeaseBoard {
    /// Creates a board without tables. Each response takes 5 ms of tokio's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the time that each response takes, on tokio's clock. Half of it passes before the
    /// request takes effect.
    ///
    /// # Default
    ///
    /// 5 ms
    pub fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Makes all requests fail as if the tables were down, or ends that. The requests are retried.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Makes all requests fail as without a permission, which no retry mends, or ends that.
    pub fn set_denied(&self, is_denied: bool) {
        self.lock().is_denied = is_denied;
    }

    /// Deletes the row of a shard, as a person might.
    ///
    /// # Panics
    ///
    /// If the application has no such row.
    #[track_caller]
    pub fn delete_lease(&self, application: &str, shard_id: &str) {
        let mut board = self.lock();
        let tables = board.tables.iter_mut().find(|((leases, _), _)| leases == application);
        let deleted = tables.and_then(|(_, tables)| tables.delete_row(shard_id));
        assert!(deleted.is_some(), "application {application} has no lease of {shard_id}");
    }

    /// Gives the lease table of an application another workers table: that table is new, as if the
    /// application had run elsewhere before.
    ///
    /// # Panics
    ///
    /// If there are no such tables.
    #[track_caller]
    pub fn move_leases(&self, application: &str, from: &str, to: &str) {
        let mut board = self.lock();
        let names = |workers: &str| (application.to_owned(), workers.to_owned());
        let tables = board.tables.remove(&names(from)).expect("there are such tables");
        let mut moved = ModelTables::default();
        for row in tables.rows() {
            moved.put_row(row.clone());
        }
        board.tables.insert(names(to), moved);
    }

    /// Returns the number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// Returns the leases of an application, in the order of their shards. Empty if no worker has
    /// joined it. See the example of [`lease`](crate::lease#testing).
    #[must_use]
    pub fn leases(&self, application: &str) -> Vec<BoardLease> {
        let board = self.lock();
        let tables = board.tables.iter().find(|((leases, _), _)| leases == application);
        let rows = tables.into_iter().flat_map(|(_, tables)| tables.rows());
        rows.map(|row| BoardLease {
            shard_id: row.shard_id.clone(),
            owner: row.owner.clone(),
            checkpoint: row.checkpoint.clone(),
            counter: row.counter,
        })
        .collect()
    }
}

/// The two tables of one application on a board.
struct BoardTables {
    board: LeaseBoard,
    names: (String, String),
}

impl LeaseTables for BoardTables {
    fn create_missing(&self) -> BoxFuture<'_, Result<(), TableError>> {
        self.board.lock().tables.entry(self.names.clone()).or_default();
        ready(Ok(())).boxed()
    }

    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, TableError>> {
        let (board, names) = (self.board.clone(), self.names.clone());
        async move {
            let latency = board.lock().latency;
            sleep(latency / 2).await;
            let response = {
                let mut board = board.lock();
                board.requests += 1;
                let failure = match (board.is_denied, board.is_down) {
                    (true, _) => Some((true, "the lease board denies every request")),
                    (_, true) => Some((false, "the lease board is down")),
                    _ => None,
                };
                match (failure, board.tables.get_mut(&names)) {
                    (None, Some(tables)) => Ok(tables.apply(&request)),
                    (failure, _) => {
                        let (is_permanent, text) = failure.unwrap_or((true, "there is no table"));
                        Err(TableError { is_permanent, source: text.into() })
                    }
                }
            };
            sleep(latency / 2).await;
            response
        }
        .boxed()
    }

    fn names(&self) -> String {
        format!("the tables {} and {} of a lease board", self.names.0, self.names.1)
    }
}

impl IntoTables for &LeaseBoard {
    fn into_tables(self, leases: String, workers: String, _: &StreamId) -> Tables {
        Tables(Arc::new(BoardTables { board: self.clone(), names: (leases, workers) }))
    }
}
