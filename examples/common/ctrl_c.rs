//! Ctrl-C.

use super::error::with_cause;

/// Waits for Ctrl-C. Without a handler for it, Ctrl-C ends the process, and this waits forever.
pub(crate) async fn ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("warning: no handler for Ctrl-C: {}", with_cause(&error));
        std::future::pending::<()>().await;
    }
}
