use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ParseCheckpointError;

/// Why a [`FileStore`](super::FileStore) could not do what it was asked for.
#[derive(Debug)]
pub struct FileStoreError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    InUse,
    Row {
        shard_id: String,
        error: ParseCheckpointError,
    },
    Database(Box<redb::Error>),
    /// One commit may be that of many.
    Commit(Arc<redb::Error>),
}

impl From<std::io::Error> for Kind {
    fn from(error: std::io::Error) -> Self {
        Self::Database(Box::new(redb::Error::Io(error)))
    }
}

impl FileStoreError {
    pub(super) fn new(path: &Path, kind: Kind) -> Self {
        Self { path: path.to_owned(), kind }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another process, or another store of this one, has the file open.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self.kind, Kind::InUse)
    }
}

impl fmt::Display for FileStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            Kind::InUse => write!(
                f,
                "the checkpoints in {path} are in use: another process, or another FileStore of this one, has the file open; stop it, or clone its store, or use another file"
            ),
            Kind::Row { shard_id, error } => {
                write!(f, "the checkpoint of shard {shard_id} in {path} is not understood: {error}")
            }
            Kind::Database(error) => {
                write!(f, "the checkpoints in {path} cannot be used; the file was left as it is: {error}")
            }
            Kind::Commit(error) => write!(f, "the checkpoints in {path} could not be written: {error}"),
        }
    }
}

impl std::error::Error for FileStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::InUse => None,
            Kind::Row { error, .. } => Some(error),
            Kind::Database(error) => Some(&**error),
            Kind::Commit(error) => Some(&**error),
        }
    }
}
