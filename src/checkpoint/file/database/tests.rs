use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

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
