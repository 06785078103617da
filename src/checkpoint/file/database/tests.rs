use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// A disk that takes a number of changes, and then is full or panics.
#[derive(Debug)]
pub(crate) struct Disk {
    changes: AtomicUsize,
    panics: AtomicBool,
    syncs: AtomicBool,
}

impl Default for Disk {
    fn default() -> Self {
        let changes = AtomicUsize::new(usize::MAX);
        Self { changes, panics: AtomicBool::new(false), syncs: AtomicBool::new(true) }
    }
}

impl Disk {
    pub(crate) fn takes(&self, changes: usize) {
        self.changes.store(changes, Ordering::SeqCst);
    }

    /// Panics from now on where the disk would be full.
    pub(crate) fn panics(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    pub(crate) fn never_syncs(&self) {
        self.syncs.store(false, Ordering::SeqCst);
    }

    pub(crate) fn syncs(&self) -> bool {
        self.syncs.load(Ordering::SeqCst)
    }

    pub(crate) fn change(&self) -> io::Result<()> {
        let left = self
            .changes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(
            left.is_ok() || !self.panics.load(Ordering::SeqCst),
            "the disk panics, as scripted"
        );
        left.map(drop).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
    }
}
