//! stdout, which may be slow, or go away.

use std::io;

use tokio::io::{AsyncWriteExt, Stdout};

pub(crate) async fn print(stdout: &mut Stdout, lines: &str) -> io::Result<()> {
    stdout.write_all(lines.as_bytes()).await?;
    stdout.flush().await
}

/// Waits until nobody reads stdout any more, so that `| head` ends it also when no record comes. Only a pipe tells that.
#[cfg(unix)]
pub(crate) async fn closed() {
    use std::os::fd::AsFd;

    use tokio::io::Interest;
    use tokio::net::unix::pipe::Sender;

    // Unchecked, since nothing is written here: it need not become non-blocking, for all who share it.
    let watched = io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    match watched {
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
pub(crate) async fn closed() {
    std::future::pending::<()>().await;
}
