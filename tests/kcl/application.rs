//! The workers of one application, Java and Rust, each a process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::error::DisplayErrorContext;

use crate::client::local_client;
use crate::dynamodb::dynamodb;
use crate::java::{self, Library};
use crate::kind::Kind;
use crate::log::{Log, Record};
use crate::process::Process;
use crate::producer::{Load, Producer, create, one_to_each};
use crate::table::{Watch, ask_for_hand_over};
use crate::wait::Wait;
use crate::worker::Order;

/// How the lines of the workers are waited for. A KCL takes a minute for some.
const WAIT: Wait = Wait { limit: Duration::from_mins(10), pause: Duration::from_millis(100) };
const STREAM: &str = "orders";
pub(crate) const SHARDS: u8 = 4;
const KEYS: usize = 12;
/// In milliseconds. Half of the default of both libraries, to take half of the time.
const FAILOVER: u64 = 5_000;

/// The servers and the workers of one application.
pub(crate) struct Application {
    name: String,
    kinesis: Process,
    dynamodb: Process,
    dir: PathBuf,
    library: Library,
    pub(crate) log: Log,
    /// The processes that run, by number.
    running: BTreeMap<usize, Running>,
    /// The names of all processes.
    names: Vec<String>,
    /// The numbers of the Rust workers.
    rust_workers: Vec<usize>,
    /// The files of what the Java workers log.
    java_logs: Vec<PathBuf>,
    producer: Option<Producer>,
    /// The records that were put besides those of the producer.
    marks: Vec<Record>,
    watch: Option<Watch>,
    since: Instant,
    history: Vec<String>,
}

struct Running {
    id: String,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Application {
    pub(crate) async fn new(name: &str, version: &str) -> Result<Self, String> {
        let library = Library::build(version)?;
        let name = format!("{name}-{version}");
        let dir = std::env::temp_dir().join(format!("kcl-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let kinesis = Process::start(Kind::KinesisLocal).await?;
        let dynamodb = Process::start(Kind::Ministack).await?;
        create(&local_client(kinesis.port), STREAM, SHARDS.into()).await?;
        let mut application = Self {
            name,
            kinesis,
            dynamodb,
            dir,
            library,
            log: Log::default(),
            running: BTreeMap::new(),
            names: Vec::new(),
            rust_workers: Vec::new(),
            java_logs: Vec::new(),
            producer: None,
            marks: Vec::new(),
            watch: None,
            since: Instant::now(),
            history: Vec::new(),
        };
        application.watch = Some(Watch::start(&application.dynamodb(), &application.name));
        Ok(application)
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        dynamodb(&self.dynamodb.port.to_string())
    }

    /// Starts to put records, and to split and merge shards if `reshards`.
    pub(crate) fn produce(&mut self, reshards: bool) {
        let load = Load {
            seed: fastrand::u64(..),
            keys: KEYS,
            max_pause: Duration::from_millis(400),
            pauses_per_reshard: if reshards { 20 } else { 0 },
            max_open: usize::from(SHARDS) + 2,
        };
        self.note("records are put");
        let client = local_client(self.kinesis.port);
        self.producer = Some(Producer::start(&client, STREAM, load));
    }

    /// Starts a Java worker, and returns the number of the process.
    pub(crate) fn start_java(&mut self, id: &str) -> Result<usize, String> {
        let file = self.dir.join(id);
        let mut java = self.library.worker();
        java.args([self.kinesis.port.to_string(), self.dynamodb.port.to_string()]);
        java.args([&self.name, STREAM, id]).arg(&file).arg(FAILOVER.to_string());
        self.java_logs.push(self.dir.join(format!("{id}.log")));
        self.start(id, file, java)
    }

    /// Starts a Rust worker, and returns the number of the process.
    pub(crate) fn start_rust(&mut self, id: &str, beside_kcl: bool) -> Result<usize, String> {
        let file = self.dir.join(id);
        let order = Order {
            kinesis: self.kinesis.port,
            dynamodb: self.dynamodb.port,
            application: self.name.clone(),
            stream: STREAM.to_owned(),
            worker: id.to_owned(),
            file: file.display().to_string(),
            failover: FAILOVER,
            beside_kcl,
        };
        let process = self.start(id, file, order.command()?)?;
        self.rust_workers.push(process);
        Ok(process)
    }

    fn start(&mut self, id: &str, file: PathBuf, mut command: Command) -> Result<usize, String> {
        self.note(format!("{id} starts"));
        let log = File::create(self.dir.join(format!("{id}.log")));
        let log = log.map_err(|error| error.to_string())?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.map_err(|error| format!("{id} did not start: {error}"))?;
        let process = self.log.add(file);
        self.names.push(id.to_owned());
        self.running.insert(process, Running { id: id.to_owned(), child });
        Ok(process)
    }

    /// Stops a worker with SIGTERM, and waits until it has ended.
    pub(crate) async fn stop(&mut self, process: usize) -> Result<(), String> {
        let Running { id, child } = &self.running[&process];
        let (id, pid) = (id.clone(), child.id().to_string());
        self.note(format!("{id} gets SIGTERM"));
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        killed.map_err(|error| error.to_string())?;
        self.wait_until("it has stopped", |this| this.log.has(process, "stopped")).await?;
        if let Some(mut running) = self.running.remove(&process) {
            running.child.wait().map_err(|error| error.to_string())?;
        }
        let end = self.log.notes(process).last().cloned().unwrap_or_default();
        self.note(format!("{id} has ended: {end}"));
        Ok(())
    }

    /// Kills a worker with SIGKILL.
    pub(crate) fn kill(&mut self, process: usize) {
        let Some(running) = self.running.remove(&process) else { return };
        self.note(format!("{} gets SIGKILL", running.id));
    }

    /// Puts a record to each open shard, and waits until each was delivered: every shard is read.
    pub(crate) async fn all_are_read(&mut self) -> Result<(), String> {
        let client = local_client(self.kinesis.port);
        let put = one_to_each(&client, STREAM, KEYS + self.marks.len()).await?;
        let marks = (KEYS + self.marks.len()..).take(put.len()).map(|key| (key, 0));
        let marks: Vec<_> = marks.collect();
        self.marks.extend(&marks);
        self.wait_until("every shard is read", |this| {
            marks.iter().all(|mark| this.log.is_delivered(*mark))
        })
        .await
    }

    /// Waits until a worker has been delivered this many records.
    pub(crate) async fn records(&mut self, process: usize, records: usize) -> Result<(), String> {
        self.wait_until("the worker reads", |this| this.log.records(process) >= records).await
    }

    pub(crate) async fn ask_for_hand_over(
        &mut self,
        shard: &str,
        from: &str,
        to: &str,
    ) -> Result<(), String> {
        self.note(format!("{from} is asked to hand {shard} over to {to}"));
        ask_for_hand_over(&self.dynamodb(), &self.name, shard, from, to).await
    }

    /// Reads the lines of the workers.
    fn read(&mut self) -> Result<(), String> {
        self.log.read()?;
        for (process, running) in &mut self.running {
            if let Some(error) =
                self.log.notes(*process).iter().find(|note| note.starts_with("error"))
            {
                return Err(format!("{}: {error}", running.id));
            }
            let has_ended = !matches!(running.child.try_wait(), Ok(None));
            if has_ended && !self.log.has(*process, "stopped") {
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
        waited.await?;
        self.note(what);
        Ok(())
    }

    /// Lets the workers work for a time.
    pub(crate) async fn work_for(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        self.wait_until("they have worked", |_| Instant::now() >= until).await
    }

    /// Waits until all records are delivered, stops all workers, and checks all that has happened.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        let producer = self.producer.take().ok_or("no record was put")?;
        let written = producer.stop().await?;
        let by_key = written.by_key.iter().enumerate();
        let records = by_key.flat_map(|(key, count)| (0..*count).map(move |number| (key, number)));
        let records: Vec<Record> = records.chain(self.marks.iter().copied()).collect();
        let all = self.wait_until("all records were delivered", |this| {
            records.iter().all(|record| this.log.is_delivered(*record))
        });
        if let Err(error) = all.await {
            let lost = records.iter().filter(|record| !self.log.is_delivered(**record));
            let lost: Vec<_> = lost.collect();
            return Err(format!(
                "{} of {} records are lost: {lost:?}\n{error}",
                lost.len(),
                records.len()
            ));
        }
        let running: Vec<_> = self.running.keys().copied().collect();
        for process in running {
            self.stop(process).await?;
        }
        let shards = local_client(self.kinesis.port).list_shards().stream_name(STREAM).send().await;
        let shards =
            shards.map_err(|error| format!("ListShards: {}", DisplayErrorContext(error)))?;
        self.log.check(shards.shards())?;
        if let Some(watch) = self.watch.take() {
            watch.stop().await?;
        }
        let excused = self.check_java_logs()?;
        let names = self.names.iter().enumerate();
        let by_worker: Vec<_> =
            names.map(|(process, name)| format!("{name} {}", self.log.records(process))).collect();
        println!(
            "{}: {} records, lost 0, repeated {}, by worker: {}; {} splits, {} merges; {excused} \
             ends lost between Java workers; {:.0} s",
            self.name,
            records.len(),
            self.log.repeats(),
            by_worker.join(", "),
            written.splits,
            written.merges,
            self.since.elapsed().as_secs_f64()
        );
        if std::env::var_os("KCL_HISTORY").is_some() {
            println!("{}", self.history.join("\n"));
        }
        let _ = fs::remove_dir_all(&self.dir);
        Ok(())
    }

    /// Checks that no Java worker has logged an exception. Returns how many are excused: a worker
    /// lost the lease of a shard at its end, and no Rust worker ever had that lease.
    fn check_java_logs(&self) -> Result<usize, String> {
        let mut excused = 0;
        for log in &self.java_logs {
            for error in java::exceptions(log) {
                let is_excused = error.lost_at_end.is_some_and(|shard| {
                    let granted = format!("granted {shard}");
                    !self.rust_workers.iter().any(|process| self.log.has(*process, &granted))
                });
                if !is_excused {
                    return Err(format!("{}:\n{}", log.display(), error.text));
                }
                excused += 1;
            }
        }
        Ok(excused)
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        let at = self.since.elapsed().as_secs_f64();
        self.history.push(format!("{at:>8.3} s  {what}"));
    }

    /// Adds what has happened to an error.
    pub(crate) fn failure(&self, error: &str) -> String {
        let leases = self.running.iter().map(|(process, running)| {
            format!("{} has {:?}\n", running.id, self.log.leases(*process))
        });
        let (leases, history) = (leases.collect::<String>(), self.history.join("\n"));
        format!("{error}\n{history}\n{leases}the files are in {}", self.dir.display())
    }
}
