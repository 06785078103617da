//! The database in the file, and the lock of the file.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{BackendError, Builder, DatabaseError, StorageBackend, StorageError, TableDefinition};

use crate::checkpoint::file::error::{FileErrorKind, LostFile};
use crate::checkpoint::file::identity::Identity;
use crate::util::lock::lock;

/// The text of each checkpoint, by stream and shard.
pub(crate) const CHECKPOINTS: TableDefinition<'_, (&str, &str), &str> =
    TableDefinition::new("checkpoints");

/// A database that is opened again after an error: redb refuses all calls after the disk has failed
/// once, even if the disk was full only for a moment.
#[derive(Debug)]
pub(crate) struct Database {
    file: Arc<LockedFile>,
    /// `None` after an error.
    database: Mutex<Option<redb::Database>>,
}

/// The retries for a file in use: its process may be ending, or the last commit of a dropped store.
const MAX_OPEN_ATTEMPTS: usize = 50;
const OPEN_RETRY_DELAY: Duration = Duration::from_millis(10);

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, FileErrorKind> {
        Self::open_file(LockedFile::new(path)?, path)
    }

    pub(crate) fn open_file(file: LockedFile, path: &Path) -> Result<Self, FileErrorKind> {
        let file = Arc::new(file);
        for _ in 0..MAX_OPEN_ATTEMPTS {
            match file.open() {
                Ok(database) => {
                    #[cfg(test)]
                    if !file.disk.is_sync_enabled() {
                        return Ok(Self { file, database: Mutex::new(Some(database)) });
                    }
                    sync_directory(path)?;
                    return Ok(Self { file, database: Mutex::new(Some(database)) });
                }
                Err(DatabaseError::DatabaseAlreadyOpen) => {
                    // Two processes that hold a part of the lock must not wait for each other.
                    file.unlock()?;
                    std::thread::sleep(OPEN_RETRY_DELAY);
                }
                Err(error) => return Err(FileErrorKind::Database(Box::new(error.into()))),
            }
        }
        Err(FileErrorKind::InUse)
    }

    #[cfg(test)]
    pub(crate) fn file(&self) -> &LockedFile {
        &self.file
    }

    /// Calls `f` with the database. After a call that failed or panicked, the next one opens the
    /// database again.
    pub(crate) fn with<T>(
        &self,
        f: impl FnOnce(&redb::Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let mut slot = lock(&self.database);
        let database = match slot.take() {
            Some(database) => database,
            None => self.file.open()?,
        };
        let result = catch_panic(|| f(&database)).unwrap_or_else(|panic| Err(panic.into()));
        if result.is_ok() {
            *slot = Some(database);
        } else if let Err(panic) = catch_panic(|| drop(database)) {
            tracing::debug!(error = %panic, "cannot close a database that has failed");
        }
        result
    }

    /// Checks that the path still names the open file.
    pub(crate) fn check_identity(&self) -> Result<(), LostFile> {
        self.file.identity.check()
    }
}

/// Turns a panic of redb into an error: redb notices some damage only by its assertions.
fn catch_panic<T>(f: impl FnOnce() -> T) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        StorageError::Corrupted(format!("redb panicked: {}", panic_message(&*panic)))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Makes the directory entry of the file durable.
fn sync_directory(path: &Path) -> Result<(), io::Error> {
    if cfg!(unix) {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// An open file, which stays locked until this is dropped, also while its database is closed and
/// opened again.
#[derive(Debug)]
pub(crate) struct LockedFile {
    file: FileBackend,
    identity: Identity,
    locked_ranges: Mutex<Vec<LockedRange>>,
    #[cfg(test)]
    pub(crate) disk: tests::FakeDisk,
}

type LockedRange = (Bound<u64>, Bound<u64>);

/// The length of the magic number of a redb database.
const MAGIC_LEN: usize = 9;
/// The length of the header. The rest of a new database is zeros.
const HEADER_LEN: usize = 320;
/// A new database is smaller than this.
const MAX_NEW_FILE_LEN: u64 = 1 << 24;

impl LockedFile {
    pub(crate) fn new(path: &Path) -> Result<Self, FileErrorKind> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let identity = Identity::of(&file, path)?;
        let file = FileBackend::new(file)
            .map_err(|error| FileErrorKind::Database(Box::new(error.into())))?;
        Ok(Self {
            file,
            identity,
            locked_ranges: Mutex::default(),
            #[cfg(test)]
            disk: tests::FakeDisk::default(),
        })
    }

    /// Opens the database, or creates it in an empty file.
    ///
    /// Every page is verified: redb trusts a file that was closed, and may panic on a damaged one.
    fn open(self: &Arc<Self>) -> Result<redb::Database, DatabaseError> {
        let create = || {
            let mut builder = Builder::new();
            builder.set_check_integrity_on_open(true);
            catch_panic(|| builder.create_with_backend(Storage(Arc::clone(self))))
                .unwrap_or_else(|panic| Err(panic.into()))
        };
        match create() {
            // The file is locked now.
            Err(DatabaseError::Storage(_)) if self.is_unfinished()? => {
                self.file.set_len(0)?;
                create()
            }
            opened => opened,
        }
    }

    /// Returns whether a process was killed while it created the database. The magic number is
    /// written last.
    fn is_unfinished(&self) -> Result<bool, io::Error> {
        let len = self.file.len()?;
        if len == 0 || len > MAX_NEW_FILE_LEN {
            return Ok(false);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.file.read(0, &mut bytes)?;
        let (magic, rest) = bytes.split_at(MAGIC_LEN.min(bytes.len()));
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        Ok(is_zero(magic) && rest.get(HEADER_LEN - MAGIC_LEN..).is_none_or(is_zero))
    }

    fn unlock(&self) -> Result<(), io::Error> {
        lock(&self.locked_ranges).clear();
        self.file.close()
    }
}

/// The file as redb uses it.
#[derive(Debug)]
struct Storage(Arc<LockedFile>);

impl StorageBackend for Storage {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        #[cfg(test)]
        self.0.disk.write()?;
        self.0.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        #[cfg(test)]
        if !self.0.disk.is_sync_enabled() {
            return Ok(());
        }
        #[cfg(test)]
        self.0.disk.write()?;
        self.0.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        #[cfg(test)]
        self.0.disk.write()?;
        self.0.file.write(offset, data)
    }

    /// Keeps the lock.
    fn close(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let mut locked = lock(&self.0.locked_ranges);
        let is_locked = locked.contains(&(start, end)) || self.0.file.try_lock_range(start, end)?;
        if is_locked && !locked.contains(&(start, end)) {
            locked.push((start, end));
        }
        Ok(is_locked)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        lock(&self.0.locked_ranges).retain(|range| *range != (start, end));
        self.0.file.unlock_range(start, end)
    }
}

#[cfg(test)]
pub(crate) mod tests;
