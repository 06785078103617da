//! The workers of one application, each a process with a proxy between it and DynamoDB.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;

use crate::client::local_client;
use crate::consumer_process::ConsumerProcess;
use crate::kind::Kind;
use crate::log::Log;
use crate::process::Process;
use crate::producer::create;
use crate::proxy::Proxy;
use crate::wait::Wait;
use crate::worker::{Order, Times, now};

/// How the lines of the workers are waited for. Each comes in seconds.
pub(crate) const WAIT: Wait =
    Wait { limit: Duration::from_mins(5), pause: Duration::from_millis(20) };

/// The servers of some fleets, and the folder of their files.
pub(crate) struct Servers {
    kinesis: Process,
    dynamodb: Process,
    dir: PathBuf,
}

impl Servers {
    pub(crate) async fn start(name: &str, kinesis: Kind, dynamodb: Kind) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("leases-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let kinesis = Process::start(kinesis).await?;
        Ok(Self { kinesis, dynamodb: Process::start(dynamodb).await?, dir })
    }

    pub(crate) fn kinesis(&self) -> Client {
        local_client(self.kinesis.port)
    }

    pub(crate) fn kinesis_port(&self) -> u16 {
        self.kinesis.port
    }

    pub(crate) fn dynamodb_port(&self) -> u16 {
        self.dynamodb.port
    }

    /// Creates a file, such as for the log of a process.
    pub(crate) fn new_file(&self, name: &str) -> Result<File, String> {
        let path = self.dir.join(name);
        File::create(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Removes the files. If a test fails, they stay.
    pub(crate) fn remove_files(&self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The workers of one application. The number of a process is that of its start.
pub(crate) struct Fleet {
    servers: Arc<Servers>,
    pub(crate) stream: String,
    times: Times,
    pub(crate) log: Log,
    /// The processes that run, by number.
    running: BTreeMap<usize, Running>,
    since: Instant,
    history: Vec<String>,
}

struct Running {
    id: String,
    process: ConsumerProcess,
    proxy: Proxy,
}

impl Fleet {
    /// Creates a stream for workers that are started later.
    pub(crate) async fn new(
        servers: &Arc<Servers>,
        stream: &str,
        shards: i32,
        times: Times,
    ) -> Result<Self, String> {
        create(&servers.kinesis(), stream, shards).await?;
        Ok(Self {
            servers: Arc::clone(servers),
            stream: stream.to_owned(),
            times,
            log: Log::default(),
            running: BTreeMap::new(),
            since: Instant::now(),
            history: Vec::new(),
        })
    }

    /// Starts a worker with this id, and returns the number of the process.
    pub(crate) async fn start(&mut self, id: &str) -> Result<usize, String> {
        let process = self.log.processes();
        let file = self.servers.dir.join(format!("{}-{process}-{id}", self.stream));
        self.log.add(file.clone());
        self.note(format!("process {process} starts as {id}"));
        let proxy = Proxy::start(self.servers.dynamodb.port).await;
        let order = Order {
            kinesis: self.servers.kinesis.port,
            dynamodb: proxy.port(),
            stream: self.stream.clone(),
            application: self.stream.clone(),
            worker: id.to_owned(),
            file: file.display().to_string(),
            times: self.times,
        };
        let running = Running { id: id.to_owned(), process: order.start()?, proxy };
        self.running.insert(process, running);
        Ok(process)
    }

    /// Starts a worker and waits until it has joined.
    pub(crate) async fn join(&mut self, id: &str) -> Result<usize, String> {
        let process = self.start(id).await?;
        self.wait_until("it has joined", |fleet| fleet.log.has(process, "joined")).await?;
        Ok(process)
    }

    /// Returns the numbers of the processes that run, the oldest first.
    pub(crate) fn running(&self) -> Vec<usize> {
        self.running.keys().copied().collect()
    }

    pub(crate) fn id(&self, process: usize) -> String {
        self.running[&process].id.clone()
    }

    pub(crate) fn proxy(&self, process: usize) -> &Proxy {
        &self.running[&process].proxy
    }

    pub(crate) fn signal(&mut self, process: usize, signal: &str) -> Result<(), String> {
        self.note(format!("process {process} gets SIG{signal}"));
        self.running[&process].process.signal(signal)
    }

    /// Kills a process, and returns when.
    pub(crate) fn kill(&mut self, process: usize) -> u64 {
        self.note(format!("process {process} gets SIGKILL"));
        let running = self.running.remove(&process).expect("a process that runs");
        let at = now();
        running.process.kill();
        at
    }

    /// Returns whether a process that got SIGTERM has given all its leases away.
    pub(crate) fn has_stopped(&self, process: usize) -> bool {
        self.log.has(process, "stopped")
    }

    /// Waits until a process that got SIGTERM has ended, with a complete report.
    pub(crate) async fn ended(&mut self, process: usize) -> Result<(), String> {
        self.wait_until("it has stopped", |fleet| fleet.has_stopped(process)).await?;
        self.remove_stopped(process)?;
        if !self.log.has(process, "stopped true") {
            return Err(self.failure(&format!("the shutdown of {process} was not complete")));
        }
        Ok(())
    }

    /// Waits for the end of a process that has stopped.
    pub(crate) fn remove_stopped(&mut self, process: usize) -> Result<(), String> {
        self.note(format!("process {process} has stopped"));
        let running = self.running.remove(&process).expect("a process that runs");
        running.process.wait().map(drop)
    }

    /// Waits until a process has ended with an error.
    pub(crate) async fn failed(&mut self, process: usize) -> Result<(), String> {
        let running = self.running.remove(&process).expect("a process that runs");
        self.wait_until("it has failed", |fleet| fleet.log.has(process, "error")).await?;
        running.process.wait().map(drop)
    }

    /// Stops a worker, and returns when it got the signal.
    pub(crate) async fn stop(&mut self, process: usize) -> Result<u64, String> {
        let at = now();
        self.signal(process, "TERM")?;
        self.ended(process).await?;
        Ok(at)
    }

    pub(crate) async fn stop_all(&mut self) -> Result<(), String> {
        for process in self.running() {
            self.signal(process, "TERM")?;
        }
        for process in self.running() {
            self.ended(process).await?;
        }
        Ok(())
    }

    /// Reads the lines of the workers.
    pub(crate) fn read(&mut self) -> Result<(), String> {
        self.log.read()?;
        for (process, running) in &mut self.running {
            let notes = self.log.notes(*process);
            if let Some(error) = notes.iter().find(|note| note.starts_with("error")) {
                return Err(format!("{}: {error}", running.id));
            }
            if running.process.has_ended() && !self.log.has(*process, "stopped") {
                self.log.read()?;
                if !self.log.has(*process, "stopped") {
                    return Err(format!("{} ended by itself", running.id));
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn wait_until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<(), String> {
        let waited = WAIT.until(what, async || {
            self.read()?;
            Ok(holds(self))
        });
        waited.await.map_err(|error| self.failure(&error))
    }

    /// Returns how many leases each running process has.
    fn leases(&self) -> impl Iterator<Item = usize> + '_ {
        self.running.keys().map(|process| self.log.leases(*process).len())
    }

    /// Waits until all these shards have an owner, and no worker has two leases more than another.
    pub(crate) async fn balanced(&mut self, shards: usize) -> Result<(), String> {
        self.wait_until("the leases are balanced", |fleet| {
            let (least, most) = (fleet.leases().min(), fleet.leases().max());
            fleet.leases().sum::<usize>() == shards && most <= least.map(|least| least + 1)
        })
        .await
    }

    /// Waits until every record was delivered.
    pub(crate) async fn all_delivered(&mut self, by_key: &[usize]) -> Result<(), String> {
        let total: usize = by_key.iter().sum();
        let all = self
            .wait_until("all records were delivered", |fleet| fleet.log.records() >= total)
            .await;
        all.map_err(|error| {
            let lost = self.log.lost(by_key);
            format!("{} of {total} records are lost: {lost:?}\n{error}", lost.len())
        })
    }

    /// Waits until every record was delivered, and checks all deliveries.
    pub(crate) async fn delivered(&mut self, by_key: &[usize]) -> Result<(), String> {
        self.all_delivered(by_key).await?;
        self.check()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.log.check().map_err(|error| self.failure(&error))
    }

    pub(crate) fn note(&mut self, what: impl std::fmt::Display) {
        let at = self.since.elapsed().as_secs_f64();
        self.history.push(format!("{at:>8.3} s ({})  {what}", now()));
    }

    /// Adds what has happened to an error.
    pub(crate) fn failure(&self, error: &str) -> String {
        let history = self.history.join("\n");
        let leases = self.running.iter().map(|(process, running)| {
            format!("process {process} ({}) has {:?}\n", running.id, self.log.leases(*process))
        });
        let leases: String = leases.collect();
        format!("{error}\n{history}\n{leases}the files are in {}", self.servers.dir.display())
    }
}
