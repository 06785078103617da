//! stderr: lines that stay and, on a terminal, a progress line below them that is rewritten.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Console {
    is_terminal: bool,
    /// Records are printed on the same terminal: the progress line must make room for them.
    is_shared: bool,
    /// The progress line, on the last line of the terminal.
    line: Mutex<String>,
}

impl Console {
    pub(crate) fn new() -> Self {
        let is_terminal = stderr().is_terminal();
        let is_shared = is_terminal && stdout().is_terminal();
        Self { is_terminal, is_shared, line: Mutex::default() }
    }

    fn line(&self) -> MutexGuard<'_, String> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line that stays.
    pub(crate) fn print(&self, text: &str) {
        let line = self.line();
        if self.is_terminal {
            write(&format!("\r\x1b[K{text}\n{line}"));
        } else {
            write(&format!("{text}\n"));
        }
    }

    /// Replaces the progress line. If stderr is not a terminal, prints a new line.
    pub(crate) fn progress(&self, text: &str) {
        if !self.is_terminal {
            return self.print(text);
        }
        text.clone_into(&mut self.line());
        write(&format!("\r\x1b[K{text}"));
    }

    /// Clears the progress line before records are printed.
    pub(crate) fn hide_progress(&self) {
        if self.is_shared && !self.line().is_empty() {
            write("\r\x1b[K");
        }
    }

    /// Prints the progress line again after records were printed.
    pub(crate) fn show_progress(&self) {
        if self.is_shared {
            write(&self.line());
        }
    }

    /// Ends the progress line, so that the next output begins on a new line.
    pub(crate) fn end(&self) {
        if !std::mem::take(&mut *self.line()).is_empty() {
            write("\n");
        }
    }
}

/// Ignores failures: stderr is the only place to report them.
fn write(text: &str) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
