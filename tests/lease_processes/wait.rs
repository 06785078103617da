//! Waiting for what other processes do.

use std::time::{Duration, Instant};

/// How something is waited for: at most this long, and looked at after each pause.
pub(crate) struct Wait {
    pub(crate) limit: Duration,
    pub(crate) pause: Duration,
}

impl Wait {
    /// Waits until `holds` returns true. An error of `holds` ends the wait.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut() -> Result<bool, String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + self.limit;
        while !holds().await? {
            if Instant::now() > deadline {
                return Err(format!("not within {:?}: {what}", self.limit));
            }
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }
}
