//! stderr: lines that stay, and on a terminal one below them that is rewritten in place.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Console {
    is_terminal: bool,
    /// Records come between: the line must make room for them.
    is_shared: bool,
    /// What stands in the terminal's last line.
    line: Mutex<String>,
}

impl Console {
    pub(crate) fn new() -> Self {
        let is_terminal = stderr().is_terminal();
        Self { is_terminal, is_shared: is_terminal && stdout().is_terminal(), line: Mutex::default() }
    }

    fn line(&self) -> MutexGuard<'_, String> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that stays.
    pub(crate) fn say(&self, text: &str) {
        let line = self.line();
        let text = if self.is_terminal { format!("\r\x1b[K{text}\n{line}") } else { format!("{text}\n") };
        write(&text);
    }

    /// In place of the last such line; if stderr is no terminal, below it.
    pub(crate) fn progress(&self, text: &str) {
        if !self.is_terminal {
            return self.say(text);
        }
        text.clone_into(&mut self.line());
        write(&format!("\r\x1b[K{text}"));
    }

    /// Before records are printed.
    pub(crate) fn make_room(&self) {
        if self.is_shared && !self.line().is_empty() {
            write("\r\x1b[K");
        }
    }

    /// After records were printed.
    pub(crate) fn restore(&self) {
        if self.is_shared {
            write(&self.line());
        }
    }

    /// Leaves the cursor at the beginning of a line.
    pub(crate) fn end(&self) {
        if !std::mem::take(&mut *self.line()).is_empty() {
            write("\n");
        }
    }
}

/// Nobody is left to be told, should it fail.
fn write(text: &str) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
