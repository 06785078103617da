//! The runtime in which a stream is polled. Timers work only in the runtime that created them.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::{Handle, Id};
use tokio::time::{Duration, Sleep, sleep};

/// The runtime of the last poll.
#[derive(Debug, Default)]
pub(crate) struct LastRuntime(Option<Id>);

impl LastRuntime {
    /// Returns whether this poll is in another runtime than the last. The caller must then replace
    /// its timers: polling one whose runtime was shut down panics, and one whose runtime is not
    /// driven never fires.
    pub(crate) fn has_changed(&mut self) -> bool {
        let Ok(here) = Handle::try_current() else { return false };
        self.0.replace(here.id()).is_some_and(|last| last != here.id())
    }
}

/// A timer that starts when it is first polled, and starts again in another runtime.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    runtime: LastRuntime,
}

impl Timer {
    /// Waits until `time` has passed since the first poll. The next poll starts the timer again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, time: Duration) -> Poll<()> {
        if self.runtime.has_changed() {
            self.sleep = None;
        }
        let is_over = self.sleep.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx);
        if is_over.is_ready() {
            self.sleep = None;
        }
        is_over
    }
}
