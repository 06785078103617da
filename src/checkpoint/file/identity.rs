//! Whether the path of an open file still names that file.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::file::error::LostFile;

/// The path of an open file, and on Unix its device and inode.
///
/// The system keeps an open file when it is removed or replaced, and accepts writes to it that are
/// lost when it is closed. No other file has its inode while it is open.
#[derive(Debug)]
pub(crate) struct Identity {
    /// An absolute path, since the process may change its working directory.
    path: PathBuf,
    id: FileId,
}

impl Identity {
    pub(crate) fn of(file: &File, path: &Path) -> io::Result<Self> {
        Ok(Self { path: std::path::absolute(path)?, id: FileId::of(&file.metadata()?) })
    }

    /// Checks that the path still names the file, with one `stat`.
    pub(crate) fn check(&self) -> Result<(), LostFile> {
        match std::fs::metadata(&self.path) {
            Ok(now) if FileId::of(&now) == self.id => Ok(()),
            Ok(_) => Err(LostFile::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LostFile::Removed),
            Err(error) => Err(LostFile::Unknown(error.kind())),
        }
    }
}

/// The identity of a file.
#[cfg(unix)]
#[derive(Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

#[cfg(unix)]
impl FileId {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The standard library identifies files only on Unix. Elsewhere only a removed file is noticed.
#[cfg(not(unix))]
#[derive(Debug, PartialEq, Eq)]
struct FileId;

#[cfg(not(unix))]
impl FileId {
    fn of(_: &Metadata) -> Self {
        Self
    }
}
