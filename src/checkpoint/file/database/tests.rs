use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A disk that takes so many changes more.
#[derive(Debug)]
pub(in crate::checkpoint::file) struct Disk(AtomicUsize);

impl Default for Disk {
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Disk {
    pub(in crate::checkpoint::file) fn takes(&self, changes: usize) {
        self.0.store(changes, Ordering::SeqCst);
    }

    pub(super) fn change(&self) -> io::Result<()> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
    }
}
