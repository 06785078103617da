//! Commits all waiting changes at once.

use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::oneshot;
use tokio::task::spawn_blocking;

use crate::checkpoint::file::database::{CHECKPOINTS, Database};
use crate::checkpoint::file::error::{FileErrorKind, LostFile};
use crate::shard::stream_id::StreamId;

/// Writes changes to the database. Those that arrive during a commit share the next one.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    database: Arc<Database>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(RowChange, oneshot::Sender<Outcome>)>,
    /// Whether a thread is committing, and will check the queue again.
    is_committing: bool,
    commits: u64,
}

type Outcome = Result<(), WriteFailure>;

/// Why a change was not made. The changes of one commit share the error.
#[derive(Clone, Debug)]
pub(crate) enum WriteFailure {
    Commit(Arc<redb::Error>),
    Lost(LostFile),
}

impl From<WriteFailure> for FileErrorKind {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Commit(error) => Self::Commit(error),
            WriteFailure::Lost(lost) => Self::Lost(lost),
        }
    }
}

#[derive(Debug)]
pub(crate) struct RowChange {
    stream: String,
    shard_id: String,
    /// `None` forgets the shard.
    checkpoint: Option<String>,
}

impl RowChange {
    pub(crate) fn new(stream: &StreamId, shard_id: &str, checkpoint: Option<String>) -> Self {
        Self { stream: stream.as_str().to_owned(), shard_id: shard_id.to_owned(), checkpoint }
    }
}

impl Writer {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, queue: Arc::default() }
    }

    /// Writes a change. It is queued by the call itself, and is made even if the future is dropped.
    /// Changes are made in the order of the calls.
    pub(crate) fn write(&self, change: RowChange) -> impl Future<Output = Outcome> + Send + use<> {
        let (sender, outcome) = oneshot::channel();
        let is_first = with(&self.queue, |queue| {
            queue.waiting.push((change, sender));
            !std::mem::replace(&mut queue.is_committing, true)
        });
        if is_first {
            let Self { database, queue } = self.clone();
            let run = Run { database, queue, is_over: false };
            // The thread ends when the queue is empty.
            spawn_blocking(move || run.commit_all());
        }
        async move { outcome.await.unwrap_or_else(|_| Err(shut_down())) }
    }

    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        with(&self.queue, |queue| queue.commits)
    }
}

fn commit(
    database: &redb::Database,
    changes: &[(RowChange, oneshot::Sender<Outcome>)],
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(CHECKPOINTS)?;
        for (RowChange { stream, shard_id, checkpoint }, _) in changes {
            let key = (stream.as_str(), shard_id.as_str());
            match checkpoint {
                Some(checkpoint) => table.insert(key, checkpoint.as_str())?,
                None => table.remove(key)?,
            };
        }
    }
    // By redb's default, this returns when the commit is durable.
    Ok(write.commit()?)
}

/// A run of commits. If one panics, or none begins because the runtime shuts down, the changes fail
/// and the next one starts another run.
struct Run {
    database: Arc<Database>,
    queue: Arc<Mutex<Queue>>,
    is_over: bool,
}

impl Run {
    fn commit_all(mut self) {
        loop {
            let changes = with(&self.queue, |queue| {
                queue.commits += 1;
                std::mem::take(&mut queue.waiting)
            });
            let outcome = self.commit(&changes);
            let is_last = with(&self.queue, |queue| {
                queue.is_committing = !queue.waiting.is_empty();
                !queue.is_committing
            });
            let answer = || {
                for (_, sender) in changes {
                    let _ = sender.send(outcome.clone());
                }
            };
            if is_last {
                // A caller that gets its outcome may drop the store and open the file again.
                self.is_over = true;
                drop(self);
                return answer();
            }
            answer();
        }
    }

    /// Commits changes. They are not confirmed if the path does not name the file any more: they
    /// would be lost with the process.
    fn commit(&self, changes: &[(RowChange, oneshot::Sender<Outcome>)]) -> Outcome {
        let written = self.database.with(|database| commit(database, changes));
        written.map_err(|error| WriteFailure::Commit(Arc::new(error)))?;
        self.database.check_identity().map_err(WriteFailure::Lost)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.is_over {
            with(&self.queue, |queue| {
                queue.is_committing = false;
                queue.waiting.clear();
            });
        }
    }
}

fn with<T>(queue: &Mutex<Queue>, f: impl FnOnce(&mut Queue) -> T) -> T {
    f(&mut queue.lock().unwrap_or_else(PoisonError::into_inner))
}

fn shut_down() -> WriteFailure {
    let error = std::io::Error::other("the runtime was shut down, or the commit panicked");
    WriteFailure::Commit(Arc::new(redb::Error::Io(error)))
}
