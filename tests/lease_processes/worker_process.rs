//! The parts of a worker process that do not depend on what it reads: its file of lines, and how it
//! ends.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kinesis_shards::checkpoint::ShutdownReport;
use kinesis_shards::lease::Leases;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// Runs a worker that appends its lines to a file. `work` returns whether the shutdown was
/// complete, and `note` writes that, or the error, with the time.
pub(crate) fn run(
    path: &str,
    note: fn(&File, &str),
    work: impl AsyncFnOnce(&Arc<File>) -> Result<bool, Box<dyn Error>>,
) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let file = Arc::new(File::options().create(true).append(true).open(path).expect("a file"));
    let result = runtime.block_on(work(&file));
    // The read of stdin may never end.
    runtime.shutdown_background();
    match result {
        Ok(is_complete) => {
            note(&file, &format!("stopped {is_complete}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            note(&file, &format!("error {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line at once. The file keeps it even if the process is killed right after.
pub(crate) fn write_line(mut file: &File, line: &str) {
    file.write_all(format!("{line}\n").as_bytes()).expect("the file can be written");
}

/// Ends a worker on SIGTERM.
pub(crate) struct Terminate(tokio::signal::unix::Signal);

impl Terminate {
    /// Listens for the signal from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::terminate())?))
    }

    /// Spawns a task that shuts the worker down on the signal. The end of stdin does the same, in
    /// case the program that has started the worker ends.
    pub(crate) fn shut_down(self, leases: &Leases, limit: Duration) -> JoinHandle<ShutdownReport> {
        let Self(mut terminate) = self;
        let leases = leases.clone();
        tokio::spawn(async move {
            let stdin =
                tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
            tokio::select! {
                _ = terminate.recv() => {}
                _ = stdin => {}
            }
            leases.shutdown(limit).await
        })
    }
}
