//! Ctrl-C and SIGTERM.

use super::common::ctrl_c::ctrl_c;
#[cfg(unix)]
use super::common::error::with_cause;

/// Waits for Ctrl-C or SIGTERM, which systemd and Kubernetes send to stop a service.
pub(crate) async fn stop_signal() {
    #[cfg(unix)]
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => return,
            () = ctrl_c() => return,
        },
        Err(error) => eprintln!("warning: no handler for SIGTERM: {}", with_cause(&error)),
    }
    ctrl_c().await;
}
