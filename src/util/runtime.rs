//! The runtime in which a stream is polled: its timers work in no other.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::{Handle, Id};
use tokio::time::{Duration, Sleep, sleep};

/// The runtime of the last poll.
#[derive(Debug, Default)]
pub(crate) struct LastRuntime(Option<Id>);

impl LastRuntime {
    /// Returns whether this poll is in another runtime than the last. Timers made before are then
    /// to be made again: tokio panics when one is polled whose runtime has shut down, and one whose
    /// runtime is not driven never fires.
    pub(crate) fn has_changed(&mut self) -> bool {
        let Ok(here) = Handle::try_current() else { return false };
        self.0.replace(here.id()).is_some_and(|last| last != here.id())
    }
}

/// A timer that is made when it is first polled, and begins again in another runtime.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    runtime: LastRuntime,
}

impl Timer {
    /// Is ready this time after the first poll, and then begins again.
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
