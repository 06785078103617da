use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::checkpoint::file::tests::Dir;

/// A disk that takes a number of writes, and then is full or panics.
#[derive(Debug)]
pub(crate) struct FakeDisk {
    free_writes: AtomicUsize,
    panics_when_full: AtomicBool,
    syncs: AtomicBool,
}

impl Default for FakeDisk {
    fn default() -> Self {
        let free_writes = AtomicUsize::new(usize::MAX);
        Self { free_writes, panics_when_full: AtomicBool::new(false), syncs: AtomicBool::new(true) }
    }
}

impl FakeDisk {
    pub(crate) fn fill_after(&self, free_writes: usize) {
        self.free_writes.store(free_writes, Ordering::SeqCst);
    }

    /// Panics from now on when the disk is full.
    pub(crate) fn panic_when_full(&self) {
        self.panics_when_full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn disable_sync(&self) {
        self.syncs.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_sync_enabled(&self) -> bool {
        self.syncs.load(Ordering::SeqCst)
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        let left = self
            .free_writes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(
            left.is_ok() || !self.panics_when_full.load(Ordering::SeqCst),
            "the disk panics, as scripted"
        );
        left.map(drop).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
    }
}

/// The parts of redb's lock.
#[test]
fn a_range_is_locked_for_one_open_file_until_it_or_the_file_is_unlocked() {
    let dir = Dir::new("ranges");
    let open = || Storage(Arc::new(LockedFile::new(&dir.file()).unwrap()));
    let byte = |at| (Bound::Included(at), Bound::Included(at));
    let locks = |storage: &Storage, at| storage.try_lock_range(byte(at).0, byte(at).1).unwrap();
    let (one, two) = (open(), open());
    for _ in 0..2 {
        assert!(locks(&one, 1), "the file stays locked while its database is opened again");
        assert!(!locks(&two, 1));
    }
    assert!(locks(&two, 2) && !locks(&one, 2));
    one.unlock_range(byte(1).0, byte(1).1).unwrap();
    assert!(locks(&two, 1) && !locks(&one, 1));
    two.0.unlock().unwrap();
    assert!(locks(&one, 1) && locks(&one, 2) && !locks(&two, 1));
}

#[cfg(unix)]
#[test]
fn the_directory_of_a_file_must_exist_to_be_synced() {
    sync_directory(Path::new("a file in the working directory")).unwrap();
    let error = sync_directory(Path::new("no such folder/checkpoints")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// Opens a file of zeros, but for the byte at `at`. Returns whether a database was made of it.
fn is_unfinished(len: u64, at: u64) -> bool {
    let dir = Dir::new(&format!("unfinished {len} {at}"));
    let file = File::create(dir.file()).unwrap();
    file.set_len(len).unwrap();
    let mut bytes = std::fs::read(dir.file()).unwrap();
    if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
        *byte = 1;
        std::fs::write(dir.file(), &bytes).unwrap();
    }
    let opened = Database::open(&dir.file());
    if opened.is_err() {
        assert!(std::fs::read(dir.file()).unwrap() == bytes, "the file was changed");
    }
    opened.is_ok()
}

#[test]
fn only_a_small_file_of_a_header_and_zeros_is_an_unfinished_database() {
    const NOWHERE: u64 = u64::MAX;
    let header_len = HEADER_LEN as u64;
    for (len, at, expected) in [
        (4_096, NOWHERE, true),
        (4_096, MAGIC_LEN as u64 - 1, false),
        (4_096, header_len - 1, true),
        (4_096, header_len, false),
        (header_len, NOWHERE, true),
        (MAX_NEW_FILE_LEN, NOWHERE, true),
        (MAX_NEW_FILE_LEN + 1, NOWHERE, false),
    ] {
        assert_eq!(is_unfinished(len, at), expected, "{len} bytes, and one at {at}");
    }
}
