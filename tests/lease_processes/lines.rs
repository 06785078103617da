//! A file of lines that another process writes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A file of lines, and how far it was read.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    /// The number of bytes read.
    read: u64,
}

impl LineFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lines that were written since the last call. A file that does not exist yet has
    /// none.
    pub(crate) fn new_lines(&mut self) -> Result<Vec<String>, String> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(Vec::new()) };
        let mut text = String::new();
        let read =
            file.seek(SeekFrom::Start(self.read)).and_then(|_| file.read_to_string(&mut text));
        read.map_err(|error| format!("{}: {error}", self.path.display()))?;
        // A line without its end is still being written, or was never finished.
        let Some(end) = text.rfind('\n') else { return Ok(Vec::new()) };
        self.read += end as u64 + 1;
        Ok(text[..end].lines().map(str::to_owned).collect())
    }
}
