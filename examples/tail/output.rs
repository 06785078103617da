//! stdout, which can be slow, and can be closed by its reader.

use std::io;

use tokio::io::{AsyncWriteExt, Stdout};

pub(crate) async fn print(stdout: &mut Stdout, lines: &str) -> io::Result<()> {
    stdout.write_all(lines.as_bytes()).await?;
    stdout.flush().await
}

/// Waits until the reader of stdout closes it, so that `| head` ends the program even if no record
/// arrives. Only a pipe reports that; otherwise this waits forever.
#[cfg(unix)]
pub(crate) async fn closed() {
    use std::os::fd::AsFd;

    use tokio::io::Interest;
    use tokio::net::unix::pipe::Sender;

    // Unchecked: nothing is written here, so the pipe need not become non-blocking, which would
    // affect every process that shares it.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    match stdout.and_then(Sender::from_owned_fd_unchecked) {
        Ok(pipe) if pipe.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
pub(crate) async fn closed() {
    std::future::pending::<()>().await;
}
