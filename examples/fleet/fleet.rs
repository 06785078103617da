//! The worker processes.

use std::collections::BTreeMap;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::message::Message;
use crate::worker::Order;

/// The worker processes, and what they print. Dropping it kills them.
pub(crate) struct Fleet {
    kinesis: u16,
    dynamodb: u16,
    workers: BTreeMap<String, Child>,
    /// The lines of all workers; `None` at the end of one.
    lines: mpsc::UnboundedReceiver<(String, Option<String>)>,
    sender: mpsc::UnboundedSender<(String, Option<String>)>,
}

impl Fleet {
    /// Creates a fleet without workers, for the servers at these ports.
    pub(crate) fn new(kinesis: u16, dynamodb: u16) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        Self { kinesis, dynamodb, workers: BTreeMap::new(), lines, sender }
    }

    /// Starts a worker: this program in another process.
    pub(crate) fn start(&mut self, id: &str) -> Result<(), String> {
        let order = Order { id: id.to_owned(), kinesis: self.kinesis, dynamodb: self.dynamodb };
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(this)
            .env(Order::VARIABLE, order.to_env())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{id} did not start: {error}"))?;
        let out = child.stdout.take().ok_or("a worker without stdout")?;
        let (id, sender) = (id.to_owned(), self.sender.clone());
        self.workers.insert(id.clone(), child);
        tokio::spawn(async move {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send((id.clone(), Some(line)));
            }
            let _ = sender.send((id, None));
        });
        Ok(())
    }

    /// Kills a worker with SIGKILL.
    pub(crate) async fn kill(&mut self, id: &str) -> Result<(), String> {
        let mut child = self.workers.remove(id).ok_or("no such worker")?;
        child.kill().await.map_err(|error| format!("{id} was not killed: {error}"))
    }

    /// Tells a worker to shut down: its stdin is closed.
    pub(crate) fn shut_down(&mut self, id: &str) -> Result<(), String> {
        let child = self.workers.get_mut(id).ok_or("no such worker")?;
        drop(child.stdin.take());
        Ok(())
    }

    /// Returns the next message, and the id of the worker.
    pub(crate) async fn next(&mut self) -> Result<(String, Message), String> {
        loop {
            match self.lines.recv().await {
                Some((worker, Some(line))) => return Ok((worker, line.parse()?)),
                // The last message of a worker that shuts down came before.
                Some((worker, None)) if self.is_expected_to_run(&worker) => {
                    return Err(format!("{worker} ended: its error is printed above"));
                }
                Some((worker, None)) => drop(self.workers.remove(&worker)),
                None => return Err("no worker is left".to_owned()),
            }
        }
    }

    fn is_expected_to_run(&self, worker: &str) -> bool {
        self.workers.get(worker).is_some_and(|child| child.stdin.is_some())
    }
}
