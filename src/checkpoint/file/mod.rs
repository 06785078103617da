//! Checkpoints in a file.

mod error;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};
use tokio::task::spawn_blocking;

pub use self::error::FileStoreError;
use self::error::Kind;
use self::writer::{Change, Writer};
use super::{Checkpoint, CheckpointStore, Save, StoreError};
use crate::StreamId;

/// By stream and shard, a checkpoint's text.
const CHECKPOINTS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("checkpoints");

/// Keeps checkpoints in one file, of as many streams as you like: for a consumer that runs on one machine.
///
/// The file is a [redb](https://docs.rs/redb) database. What is confirmed is on the disk (`fsync`), whenever the process or the machine goes down. Saves that wait for the disk at the same time share one commit. One process has the file at a
/// time; clones of the store share it.
///
/// ```
/// use kinesis_shards::{Checkpoints, FileStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("kinesis-shards-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let path = dir.join("checkpoints");
/// let store = FileStore::open(&path)?;
/// let orders = Checkpoints::load(store.clone(), "orders").await?;
/// let payments = Checkpoints::load(store, "payments").await?;
/// # drop((orders, payments));
/// # std::fs::remove_dir_all(dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    path: Arc<Path>,
    database: Arc<Database>,
    writer: Writer,
}

impl FileStore {
    /// Opens the file, or makes it if there is none. Its folder must be there.
    ///
    /// It blocks for a few milliseconds; for longer if the process before has crashed, and the file is looked over; and for up to half a second if the file is in use, in case that is just ending. A store that was given to
    /// [`Checkpoints`](crate::Checkpoints) is let go of when the task that saves has ended, a moment after the last clone of these is dropped.
    ///
    /// # Errors
    ///
    /// If another process, or another store of this one, has it open; if it is no database, or is damaged, in which case it is left as it is; if it cannot be read and written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileStoreError> {
        let path: Arc<Path> = path.as_ref().into();
        let database = open(&path).map_err(|kind| FileStoreError::new(&path, kind))?;
        let database = Arc::new(database);
        Ok(Self { path, writer: Writer::new(Arc::clone(&database)), database })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        Box::new(FileStoreError::new(&self.path, Kind::Database(Box::new(error.into()))))
    }

    fn read(&self, stream: &str) -> Result<Vec<(String, Checkpoint)>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = match read.open_table(CHECKPOINTS) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let mut checkpoints = Vec::new();
        for row in table.range((stream, "")..).map_err(|error| self.failed(error))? {
            let (key, checkpoint) = row.map_err(|error| self.failed(error))?;
            let (of, shard_id) = key.value();
            if of != stream {
                break;
            }
            let checkpoint = checkpoint.value().parse().map_err(|error| {
                let kind = Kind::Row { shard_id: shard_id.to_owned(), error };
                FileStoreError::new(&self.path, kind)
            })?;
            checkpoints.push((shard_id.to_owned(), checkpoint));
        }
        Ok(checkpoints)
    }

    async fn write(&self, change: Change) -> Result<(), StoreError> {
        let written = self.writer.write(change).await;
        written.map_err(|error| Box::new(FileStoreError::new(&self.path, Kind::Commit(error))) as StoreError)
    }
}

/// For whoever has the file to let go of it: a process that is ending, or the last commit of a store that was dropped.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(10);

fn open(path: &Path) -> Result<Database, Kind> {
    for _ in 0..ATTEMPTS {
        // An empty file is made into a database; one of another kind is not.
        match Database::create(path) {
            Ok(database) => return Ok(database),
            Err(DatabaseError::DatabaseAlreadyOpen) => std::thread::sleep(PAUSE),
            Err(error) => return Err(Kind::Database(Box::new(error.into()))),
        }
    }
    Err(Kind::InUse)
}

impl CheckpointStore for FileStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        let (store, stream) = (self.clone(), stream.name().to_owned());
        async move { spawn_blocking(move || store.read(&stream)).await? }.boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        let checkpoint = Some(save.checkpoint.to_string());
        self.write(Change::new(save.stream, save.shard_id(), checkpoint)).boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.write(Change::new(stream, shard_id, None)).boxed()
    }
}

#[cfg(test)]
mod tests;
