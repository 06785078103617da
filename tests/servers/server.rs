//! The servers, and what a scenario holds of one.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use kinesis_shards::testing::{FakeKinesis, Fault};
use kinesis_shards::{TryAllShards, try_all_shards};
use tokio::sync::OnceCell;

use crate::client::{Requests, counting, local_client};
use crate::kind::Kind;
use crate::known::{self, Quirk};
use crate::process::Process;
use crate::stream::done;

/// Those that have a Kinesis.
pub(crate) const ALL: [Kind; 4] = [Kind::KinesisLocal, Kind::Kinesalite, Kind::Moto, Kind::Fake];

/// A server that runs. Dropping the last reference to it ends it.
pub(crate) struct Running {
    kind: Kind,
    /// Without the suite's own timeouts.
    client: Client,
    engine: Engine,
}

enum Engine {
    Fake(FakeKinesis),
    /// No process while it is killed.
    Process {
        port: u16,
        process: Mutex<Option<Process>>,
    },
}

impl Running {
    pub(crate) async fn start(kind: Kind) -> Result<Arc<Self>, String> {
        let (client, engine) = if kind == Kind::Fake {
            // On the system's clock, as the others are, and with pages that are soon full.
            let fake = FakeKinesis::builder().starting_at(SystemTime::now()).page_size(100).build();
            (fake.client(), Engine::Fake(fake))
        } else {
            let process = Process::start(kind).await?;
            let port = process.port;
            (local_client(port), Engine::Process { port, process: Mutex::new(Some(process)) })
        };
        Ok(Arc::new(Self { kind, client, engine }))
    }

    pub(crate) fn log_tail(&self) -> String {
        let Engine::Process { process, .. } = &self.engine else { return String::new() };
        let process = process.lock().unwrap_or_else(PoisonError::into_inner);
        process.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    fn kill(&self) {
        match &self.engine {
            Engine::Fake(fake) => fake.on_request(|_| Some(Fault::ConnectionRefused)),
            Engine::Process { process, .. } => {
                *process.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
    }

    /// Starts it again, where it was, with nothing of what it had.
    async fn start_again(&self) {
        match &self.engine {
            Engine::Fake(fake) => {
                fake.clear_faults();
                for stream in done(self.client.list_streams().send().await).stream_names {
                    fake.delete_stream(&stream);
                }
            }
            Engine::Process { port, process } => {
                let started =
                    Process::start_on(self.kind, *port).await.expect("the server starts again");
                *process.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
            }
        }
    }
}

/// Those that were asked for: each is started once, by the first test that needs it.
#[derive(Default)]
pub(crate) struct Servers {
    running: [OnceCell<Result<Arc<Running>, String>>; ALL.len()],
}

impl Servers {
    pub(crate) async fn get(&self, kind: Kind) -> Result<Arc<Running>, String> {
        let started = self.running[kind as usize].get_or_init(|| async {
            Running::start(kind).await.map_err(|error| {
                // Once, not with each of its tests.
                eprintln!("servers: {error}");
                format!("{kind} could not be started: the reason is above")
            })
        });
        started.await.clone()
    }
}

/// What one scenario holds of one server: a client whose requests are counted, names that nobody
/// else uses, and a record of what was seen, to be shown if it fails.
#[derive(Clone)]
pub(crate) struct Server {
    running: Arc<Running>,
    scenario: &'static str,
    names: Arc<AtomicUsize>,
    pub(crate) client: Client,
    pub(crate) requests: Requests,
    pub(crate) seen: Seen,
}

impl Server {
    pub(crate) fn new(running: Arc<Running>, scenario: &'static str) -> Self {
        let (client, requests) = counting(&running.client);
        Self { running, scenario, names: Arc::default(), client, requests, seen: Seen::default() }
    }

    pub(crate) fn has(&self, quirk: Quirk) -> bool {
        known::has(self.running.kind, quirk)
    }

    /// A client of its own, whose requests are not among [`requests`](Self::requests).
    pub(crate) fn other_client(&self) -> Client {
        counting(&self.running.client).0
    }

    pub(crate) fn new_name(&self) -> String {
        format!("{}-{}", self.scenario, self.names.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn all_shards(&self, stream: &str) -> TryAllShards {
        try_all_shards(&self.client, stream)
    }

    /// A time that all that happened so far is before, and all that happens next is not.
    pub(crate) async fn now_apart(&self) -> DateTime {
        if self.has(Quirk::TimestampsAreSeconds) {
            self.next_second().await;
            return DateTime::from_secs(DateTime::from(SystemTime::now()).secs());
        }
        // AWS's timestamps have milliseconds.
        let pause = Duration::from_millis(5);
        tokio::time::sleep(pause).await;
        let now = DateTime::from_millis(
            DateTime::from(SystemTime::now()).to_millis().unwrap_or_default(),
        );
        tokio::time::sleep(pause).await;
        now
    }

    /// Waits for the system's clock to show another second: sequence numbers tell no shorter time
    /// apart.
    pub(crate) async fn next_second(&self) {
        let second = || DateTime::from(SystemTime::now()).secs();
        let now = second();
        while second() == now {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn kill(&self) {
        self.running.kill();
        self.seen.note("the server is killed");
    }

    /// Starts it again, on the port that it had.
    pub(crate) async fn start_again(&self) {
        self.running.start_again().await;
        self.seen.note("the server is back");
    }
}

/// What a scenario saw, with the time since it began.
#[derive(Clone)]
pub(crate) struct Seen {
    since: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { since: Instant::now(), lines: Arc::default() }
    }
}

impl Seen {
    pub(crate) fn note(&self, what: impl fmt::Display) {
        let line = format!("{:>7.3} s  {what}", self.since.elapsed().as_secs_f64());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        f.write_str(&lines.join("\n"))
    }
}
