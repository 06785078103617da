//! Which file is open, to notice when its path names another one, or none.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::file::error::Lost;

/// The path of an open file, and on Unix its device and inode.
///
/// The system keeps an open file alive when it is removed or replaced, and takes writes to it that
/// nobody will ever read. The inode cannot be that of another file while this one is open.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Absolute: the process may change its working directory.
    path: PathBuf,
    id: FileId,
}

impl Identity {
    pub(crate) fn of(file: &File, path: &Path) -> io::Result<Self> {
        Ok(Self { path: std::path::absolute(path)?, id: FileId::of(&file.metadata()?) })
    }

    /// Checks that the path still names the file. One `stat`.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        match std::fs::metadata(&self.path) {
            Ok(now) if FileId::of(&now) == self.id => Ok(()),
            Ok(_) => Err(Lost::Replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Lost::Removed),
            Err(error) => Err(Lost::Unknown(error.kind())),
        }
    }
}

/// What tells two files apart. The link count adds nothing: a path that names the inode is a link
/// to it.
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

/// The standard library tells files apart only on Unix: elsewhere a file is only known to be there
/// or not.
#[cfg(not(unix))]
#[derive(Debug, PartialEq, Eq)]
struct FileId;

#[cfg(not(unix))]
impl FileId {
    fn of(_: &Metadata) -> Self {
        Self
    }
}
