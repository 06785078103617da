//! Ctrl-C and SIGTERM.

/// Waits for Ctrl-C or SIGTERM, which systemd and Kubernetes send to stop a service.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    #[cfg(windows)]
    let mut terminate = tokio::signal::windows::ctrl_shutdown()?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
