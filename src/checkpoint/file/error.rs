//! Errors of the file store.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::value::ParseCheckpointError;

/// An error of a [`FileStore`](super::FileStore).
///
/// ```
/// use kinesis_shards::FileStore;
///
/// let error = FileStore::open("no/such/folder/checkpoints").unwrap_err();
/// assert_eq!(error.path().file_name().unwrap(), "checkpoints");
/// eprintln!("{error}");
/// ```
#[derive(Debug)]
pub struct FileStoreError {
    path: PathBuf,
    kind: FileErrorKind,
}

#[derive(Debug)]
pub(crate) enum FileErrorKind {
    InUse,
    Row {
        shard_id: String,
        error: ParseCheckpointError,
    },
    Database(Box<redb::Error>),
    /// One commit may have several changes.
    Commit(Arc<redb::Error>),
    Lost(LostFile),
}

/// Why a file that is open is not the one at its path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LostFile {
    Removed,
    Replaced,
    /// The path could not be looked up.
    Unknown(std::io::ErrorKind),
}

impl From<LostFile> for FileErrorKind {
    fn from(lost: LostFile) -> Self {
        Self::Lost(lost)
    }
}

impl From<std::io::Error> for FileErrorKind {
    fn from(error: std::io::Error) -> Self {
        Self::Database(Box::new(redb::Error::Io(error)))
    }
}

impl FileStoreError {
    pub(crate) fn new(path: &Path, kind: FileErrorKind) -> Self {
        Self { path: path.to_owned(), kind }
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether another process, or another store of this process, has the file open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self.kind, FileErrorKind::InUse)
    }

    /// Returns whether the file is not a database or is damaged. The file was not changed.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let error = match &self.kind {
            FileErrorKind::Database(error) => &**error,
            FileErrorKind::Commit(error) => &**error,
            FileErrorKind::Row { .. } => return true,
            FileErrorKind::InUse | FileErrorKind::Lost(_) => return false,
        };
        match error {
            redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => true,
            // The file ends within a page.
            redb::Error::Io(error) => {
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
            }
            _ => false,
        }
    }

    /// Returns whether the file was removed or replaced while the store had it open. A checkpoint
    /// in it would be lost when the process ends.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.kind, FileErrorKind::Lost(LostFile::Removed | LostFile::Replaced))
    }
}

impl fmt::Display for FileStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            FileErrorKind::InUse => write!(
                f,
                "checkpoint file {path} is in use by another process, or by another FileStore of \
                 this one"
            ),
            FileErrorKind::Row { shard_id, .. } => {
                write!(f, "cannot parse the checkpoint of shard {shard_id} in {path}")
            }
            FileErrorKind::Database(_) if self.is_damaged() => {
                write!(
                    f,
                    "checkpoint file {path} is damaged: restore it, or remove it to start over"
                )
            }
            FileErrorKind::Database(_) => write!(f, "cannot open or read checkpoint file {path}"),
            FileErrorKind::Commit(_) => write!(f, "cannot write checkpoint file {path}"),
            FileErrorKind::Lost(LostFile::Removed) => {
                write!(f, "checkpoint file {path} was removed while open: restart the consumer")
            }
            FileErrorKind::Lost(LostFile::Replaced) => {
                write!(f, "checkpoint file {path} was replaced while open: restart the consumer")
            }
            FileErrorKind::Lost(LostFile::Unknown(kind)) => {
                write!(f, "cannot check whether {path} is still the open file: {kind}")
            }
        }
    }
}

impl std::error::Error for FileStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            FileErrorKind::InUse | FileErrorKind::Lost(_) => None,
            FileErrorKind::Row { error, .. } => Some(error),
            FileErrorKind::Database(error) => Some(&**error),
            FileErrorKind::Commit(error) => Some(&**error),
        }
    }
}
