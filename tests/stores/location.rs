//! The location of a store: a path, or the port of a server of its own.

use std::path::PathBuf;

use crate::backend::Backend;
use crate::process::Process;

pub(crate) struct StoreLocation {
    address: String,
    dir: PathBuf,
    _server: Option<Process>,
}

impl StoreLocation {
    pub(crate) async fn new(backend: Backend) -> Result<Self, String> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("stores-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let server = match backend.server() {
            Some(kind) => Some(Process::start(kind).await?),
            None => None,
        };
        let address = match &server {
            Some(server) => server.port.to_string(),
            None => dir.join("checkpoints").display().to_string(),
        };
        Ok(Self { address, dir, _server: server })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for StoreLocation {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
