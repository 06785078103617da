//! A consumer in a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The limit for a consumer that hangs. It prints a line every second or so.
const LINE_TIMEOUT: Duration = Duration::from_mins(10);

/// A running consumer. Dropping it kills the process.
pub(crate) struct ConsumerProcess {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl ConsumerProcess {
    /// Starts this program with the environment and the arguments that say what to consume.
    pub(crate) fn start(set: impl FnOnce(&mut Command) -> &mut Command) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let child =
            set(&mut Command::new(this)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("the consumer did not start: {error}"))?;
        let out = child.stdout.take().ok_or("the consumer has no stdout")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn next_line(&self) -> Result<Option<String>, String> {
        self.line_within(LINE_TIMEOUT)
    }

    fn line_within(&self, limit: Duration) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the consumer ended".to_owned()),
        }
    }

    /// Returns the lines that it has printed since the last call.
    #[allow(dead_code, reason = "the consumers of stores are waited for")]
    pub(crate) fn new_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.try_iter()
    }

    /// Returns its lines until it has started.
    pub(crate) fn started(&self) -> Result<Vec<String>, String> {
        self.until("started")
    }

    /// Returns its lines up to the first one that contains `text`.
    pub(crate) fn until(&self, text: &str) -> Result<Vec<String>, String> {
        let mut lines: Vec<String> = Vec::new();
        let deadline = Instant::now() + LINE_TIMEOUT;
        while lines.last().is_none_or(|line| !line.contains(text)) {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.line_within(left);
            let line = line.map_err(|error| format!("{error}: {:?}", lines.last()))?;
            lines.push(line.ok_or_else(|| format!("no line with {text}: {:?}", lines.last()))?);
        }
        Ok(lines)
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) -> Result<(), String> {
        let mut kill = Command::new("kill");
        let status = kill.arg(format!("-{signal}")).arg(self.id().to_string()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            failed => Err(format!("kill -{signal} {}: {failed:?}", self.id())),
        }
    }

    /// Returns whether it has ended.
    #[allow(dead_code, reason = "the consumers of stores print their end")]
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Closes its stdin.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until the process ends, and returns its last lines and its status.
    pub(crate) fn wait(mut self) -> Result<(Vec<String>, ExitStatus), String> {
        let lines = self.lines.iter().collect();
        Ok((lines, self.child.wait().map_err(|error| error.to_string())?))
    }

    /// Kills the process with SIGKILL and returns its last lines.
    pub(crate) fn kill(mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.lines.iter().collect()
    }
}

impl Drop for ConsumerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
