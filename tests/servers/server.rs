//! The running servers, and the view of one that a scenario has.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::testing::{FakeKinesis, Fault};
use kinesis_shards::{TryAllShards, try_all_shards};
use tokio::sync::OnceCell;

use crate::client::{Requests, counting, local_client, unwrap_response};
use crate::kind::Kind;
use crate::known::{self, Quirk};
use crate::process::Process;

/// The servers with a Kinesis.
pub(crate) const ALL: [Kind; 4] = [Kind::KinesisLocal, Kind::Kinesalite, Kind::Moto, Kind::Fake];

/// A running server. Dropping the last reference ends it.
pub(crate) struct Running {
    kind: Kind,
    client: Client,
    engine: Engine,
}

enum Engine {
    Fake(FakeKinesis),
    /// The process is `None` while the server is down.
    Process {
        port: u16,
        process: Mutex<Option<Process>>,
    },
}

impl Running {
    pub(crate) async fn start(kind: Kind) -> Result<Arc<Self>, String> {
        let (client, engine) = if kind == Kind::Fake {
            // The fake has the system's time, as the other servers do, and short pages.
            let fake = FakeKinesis::builder().starting_at(SystemTime::now()).page_size(100).build();
            (fake.client(), Engine::Fake(fake))
        } else {
            let process = Process::start(kind).await?;
            let port = process.port;
            let config = local_client(port).config().to_builder();
            // kinesalite cuts its CBOR off after 16 KiB.
            let config = if kind == Kind::Kinesalite {
                config.protocol(CborProtocol::disabled())
            } else {
                config
            };
            (
                Client::from_conf(config.build()),
                Engine::Process { port, process: Mutex::new(Some(process)) },
            )
        };
        Ok(Arc::new(Self { kind, client, engine }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
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

    /// Starts the server again on its port, without its data.
    async fn restart(&self) {
        match &self.engine {
            Engine::Fake(fake) => {
                fake.clear_faults();
                let streams = self.client.list_streams().send().await;
                for stream in unwrap_response(streams).stream_names {
                    fake.delete_stream(&stream);
                }
            }
            Engine::Process { port, process } => {
                let started =
                    Process::start_on(self.kind, *port).await.expect("the server restarts");
                *process.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
            }
        }
    }
}

/// The servers. The first test that needs one starts it.
#[derive(Default)]
pub(crate) struct Servers {
    running: [OnceCell<Result<Arc<Running>, String>>; ALL.len()],
}

impl Servers {
    pub(crate) async fn get(&self, kind: Kind) -> Result<Arc<Running>, String> {
        let started = self.running[kind as usize].get_or_init(|| async {
            Running::start(kind).await.map_err(|error| {
                // Printed once instead of with each test.
                eprintln!("servers: {error}");
                format!("{kind} could not be started; the reason is printed above")
            })
        });
        started.await.clone()
    }
}

/// A server as one scenario sees it: a client whose requests are counted, stream names of its own,
/// and a log of events for its failure message.
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

    /// Returns a client whose requests [`requests`](Self::requests) does not count.
    pub(crate) fn other_client(&self) -> Client {
        counting(&self.running.client).0
    }

    pub(crate) fn new_name(&self) -> String {
        format!("{}-{}", self.scenario, self.names.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn all_shards(&self, stream: &str) -> TryAllShards {
        try_all_shards(&self.client, stream)
    }

    /// Returns a time after everything that has happened and before everything that will.
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

    /// Waits until the system's clock shows another second, the resolution of sequence numbers.
    pub(crate) async fn next_second(&self) {
        let second = || DateTime::from(SystemTime::now()).secs();
        let now = second();
        while second() == now {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn kill(&self) {
        self.running.kill();
        self.seen.note("the server was killed");
    }

    /// Restarts the server on its port.
    pub(crate) async fn restart(&self) {
        self.running.restart().await;
        self.seen.note("the server has restarted");
    }
}

/// The events of a scenario, with the time since it began.
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
