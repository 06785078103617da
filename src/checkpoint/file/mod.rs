//! The store that keeps checkpoints in a file.

pub(crate) mod database;
pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, ready};
use redb::{ReadableDatabase, TableError};
use tokio::task::spawn_blocking;

pub use self::error::FileStoreError;
use crate::checkpoint::file::database::{CHECKPOINTS, Database};
use crate::checkpoint::file::error::FileErrorKind;
use crate::checkpoint::file::writer::{RowChange, Writer};
use crate::checkpoint::store::{CheckpointStore, Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// A store that keeps the checkpoints of any number of streams in one file, for consumers on one
/// machine.
///
/// The key of a stream is its ARN, or the bare name where no ARN is given: see
/// [`StreamId::check_unambiguous`].
///
/// The file is a [redb](https://docs.rs/redb) database. A confirmed checkpoint is on the disk
/// (`fsync`), and survives a crash of the process or the machine. Saves that wait for the disk at
/// the same time share one commit. One process has the file open at a time; clones of the store
/// share it.
///
/// After an error of the disk, such as a full one, the next call opens the database again. The file
/// stays locked meanwhile.
///
/// # Damage
///
/// Each page of the file has a checksum, and all are verified when the file is opened. A damaged
/// file is refused and left unchanged. If the last process was killed, the last commit may be
/// damaged as if it were cut short. Then the commit before it counts, and some records come again.
/// An empty file counts as a new one.
///
/// A file that is removed, replaced or moved away while it is open confirms nothing: `load`, `save`
/// and `forget` fail ([`FileStoreError::is_lost`]) until the same file is at its path again. On
/// systems other than Unix, only a removed file is noticed, and not a replaced one.
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
    /// Opens the file, or creates it. Its folder must exist. A file whose creation was interrupted
    /// by a crash is created again.
    ///
    /// The call blocks while the whole file is read and verified, a few milliseconds for each MiB,
    /// and for up to half a second if the file is in use, since its process may be about to end. A
    /// store that was given to [`Checkpoints`](crate::Checkpoints) is closed when their save task
    /// has ended, shortly after their last clone is dropped. To open the file again in the same
    /// process, let the runtime make progress first, as by `tokio::time::sleep`: this call blocks a
    /// current-thread runtime, so that the task cannot end meanwhile.
    ///
    /// # Errors
    ///
    /// If another process, or another store of this process, has the file open; if the file is not
    /// a database or is damaged ([`FileStoreError::is_damaged`]); if it cannot be read and written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileStoreError> {
        let path: Arc<Path> = path.as_ref().into();
        let database = Database::open(&path).map_err(|kind| FileStoreError::new(&path, kind))?;
        Ok(Self::of(path, database))
    }

    fn of(path: Arc<Path>, database: Database) -> Self {
        let database = Arc::new(database);
        Self { path, writer: Writer::new(Arc::clone(&database)), database }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self, stream: &StreamId) -> Result<Vec<(String, Checkpoint)>, StoreError> {
        let read = self.database.with(|database| {
            let rows = rows(database, stream.as_str())?;
            let others = if rows.is_empty() { streams(database)? } else { Vec::new() };
            Ok((rows, others))
        });
        let (rows, others) = read.map_err(|error| {
            FileStoreError::new(&self.path, FileErrorKind::Database(Box::new(error)))
        })?;
        self.database
            .check_identity()
            .map_err(|lost| FileStoreError::new(&self.path, lost.into()))?;
        stream.check_unambiguous(others.iter().map(String::as_str))?;
        let checkpoints = rows.into_iter().map(|(shard_id, text)| match text.parse() {
            Ok(checkpoint) => Ok((shard_id, checkpoint)),
            Err(error) => {
                Err(FileStoreError::new(&self.path, FileErrorKind::Row { shard_id, error }).into())
            }
        });
        checkpoints.collect()
    }

    async fn write(&self, change: RowChange) -> Result<(), StoreError> {
        let written = self.writer.write(change).await;
        written.map_err(|failure| FileStoreError::new(&self.path, failure.into()).into())
    }
}

/// Returns the id and the text of the checkpoint of each shard of a stream.
fn rows(database: &redb::Database, stream: &str) -> Result<Vec<(String, String)>, redb::Error> {
    let table = match database.begin_read()?.open_table(CHECKPOINTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut rows = Vec::new();
    for row in table.range((stream, "")..)? {
        let (key, checkpoint) = row?;
        let (of, shard_id) = key.value();
        if of != stream {
            break;
        }
        rows.push((shard_id.to_owned(), checkpoint.value().to_owned()));
    }
    Ok(rows)
}

/// Returns the key of each stream.
fn streams(database: &redb::Database) -> Result<Vec<String>, redb::Error> {
    let table = match database.begin_read()?.open_table(CHECKPOINTS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut streams = Vec::new();
    let mut after = String::new();
    while let Some(row) = table.range((after.as_str(), "")..)?.next() {
        let (key, _) = row?;
        let (stream, _) = key.value();
        // The least text after the keys of this stream.
        after = format!("{stream}\0");
        streams.push(stream.to_owned());
    }
    Ok(streams)
}

impl CheckpointStore for FileStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        let (store, stream) = (self.clone(), stream.clone());
        async move { spawn_blocking(move || store.read(&stream)).await? }.boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Err(error) = save.checkpoint.validate() {
            return ready(Err(error.into())).boxed();
        }
        let checkpoint = Some(save.checkpoint.to_string());
        self.write(RowChange::new(save.stream, save.shard_id(), checkpoint)).boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.write(RowChange::new(stream, shard_id, None)).boxed()
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.database).addr())
    }
}

#[cfg(test)]
pub(crate) mod damage_tests;
#[cfg(test)]
mod tests;
