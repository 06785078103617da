//! A server process on a free port of the loopback interface, which ends with the test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

use crate::client::{counting, local_client};
use crate::install::{Source, servers_dir};
use crate::kind::Kind;

/// The limit for a server that hangs when it starts. Starting takes a second or two.
const START_TIMEOUT: Duration = Duration::from_mins(10);
/// How long to wait for a server that is starting before the request is sent again.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Ports below those that Linux, macOS and Windows assign to outgoing connections, so that none of
/// these takes the port of a server before it starts or while it restarts.
const PORTS: RangeInclusive<u16> = 10_000..=30_000;
const MAX_STARTS: usize = 10;
const LOG_RETENTION: Duration = Duration::from_hours(24);

/// A running server. Dropping it kills the process. If the test is killed, the process ends because
/// its stdin closes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
}

impl Process {
    /// Starts the server on a free port, and waits until it responds.
    pub(crate) async fn start(kind: Kind) -> Result<Self, String> {
        let mut failures = Vec::new();
        // Another process may take the port before the server does.
        for _ in 0..MAX_STARTS {
            match Self::start_on(kind, free_port()?).await {
                Ok(process) => return Ok(process),
                Err(failure) => failures.push(failure),
            }
        }
        Err(failures.join("\n"))
    }

    pub(crate) async fn start_on(kind: Kind, port: u16) -> Result<Self, String> {
        let log = new_log(kind)?;
        let output = File::create(&log).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let child = command(kind, port)?
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{kind} did not start: {error}"))?;
        let mut process = Self { child, port, log };
        process
            .ready(kind)
            .await
            .map_err(|error| format!("{kind}: {error}\n{}", process.log_tail()))?;
        Ok(process)
    }

    async fn ready(&mut self, kind: Kind) -> Result<(), String> {
        let (client, _) = counting(&local_client(self.port));
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let responds = async {
                match kind {
                    Kind::Redis => pongs(self.port).await.unwrap_or(false),
                    Kind::Postgres => {
                        tokio_postgres::connect(&postgres_url(self.port), NoTls).await.is_ok()
                    }
                    _ => client.list_streams().send().await.is_ok(),
                }
            };
            let responds = tokio::time::timeout(PING_TIMEOUT, responds).await.unwrap_or(false);
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended when it started ({status})"));
            }
            if responds {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("no response within {START_TIMEOUT:?}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        format!("--- {} ---\n{tail}", self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This is SIGKILL: kinesis-local takes half a minute to end on SIGTERM.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn postgres_url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

/// Returns whether a Redis responds on the port.
async fn pongs(port: u16) -> std::io::Result<bool> {
    let mut redis = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    redis.write_all(b"PING\r\n").await?;
    let mut response = [0; 5];
    redis.read_exact(&mut response).await?;
    Ok(response == *b"+PONG")
}

fn command(kind: Kind, port: u16) -> Result<Command, String> {
    let launch = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/servers/launch");
    let source = kind.source().ok_or("the fake is not a process")?;
    let installed = source.installed()?;
    let mut command = match source {
        Source::Npm => {
            let mut node = Command::new("node");
            node.arg("-r").arg(launch.join("loopback.js"));
            node
        }
        Source::Pip | Source::Postgres => Command::new(installed.join("bin/python")),
    };
    let modules = installed.join("node_modules");
    match kind {
        Kind::KinesisLocal => {
            command.arg(modules.join("kinesis-local/main.js"));
            command.env("KINESIS_MOCK_PLAIN_PORT", port.to_string());
            command.env("KINESIS_MOCK_TLS_PORT", free_port()?.to_string());
            command.env("KINESIS_MOCK_CERT_PATH", modules.join("kinesis-local/server.json"));
            command.env("LOG_LEVEL", "ERROR").env("SHARD_LIMIT", "100000");
            for change in [
                "CREATE_STREAM",
                "DELETE_STREAM",
                "SPLIT_SHARD",
                "MERGE_SHARDS",
                "UPDATE_SHARD_COUNT",
            ] {
                command.env(format!("{change}_DURATION"), "5ms");
            }
        }
        Kind::Kinesalite => {
            command.arg(modules.join("kinesalite/cli.js")).args(["--port", &port.to_string()]);
            command.args(["--shardLimit", "100000", "--createStreamMs", "5"]);
            command.args(["--deleteStreamMs", "5", "--updateStreamMs", "5"]);
        }
        Kind::Moto => {
            command.arg(launch.join("start_moto.py")).arg(port.to_string());
        }
        Kind::Ministack => {
            command.arg(launch.join("supervised.py")).arg(installed.join("bin/ministack"));
            command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
            command.env("SERVICES", "kinesis,dynamodb,dynamodbstreams");
        }
        Kind::Redis => {
            // The Redis server that the Python package contains.
            let dir = logs()?.join(format!("{kind}-{}-{port}", std::process::id()));
            fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
            command.arg(launch.join("supervised.py")).arg(installed.join("bin/redis-server"));
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "always"]).arg("--dir").arg(dir);
        }
        Kind::Postgres => {
            command.arg(launch.join("start_postgres.py"));
            command.arg(installed.join("package")).arg(port.to_string());
        }
        Kind::Fake => return Err("the fake is not a process".to_owned()),
    }
    Ok(command)
}

fn free_port() -> Result<u16, String> {
    let drawn = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(PORTS.len());
    let mut free = drawn.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().ok_or_else(|| format!("no port of {PORTS:?} is free"))
}

/// Returns the folder of the logs, and of the data that servers keep.
fn logs() -> Result<PathBuf, String> {
    let logs = servers_dir().join("logs");
    fs::create_dir_all(&logs).map_err(|error| error.to_string())?;
    Ok(logs)
}

fn new_log(kind: Kind) -> Result<PathBuf, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let logs = logs()?;
    let now = SystemTime::now();
    for old in fs::read_dir(&logs).into_iter().flatten().flatten() {
        let age = old
            .metadata()
            .and_then(|log| log.modified())
            .ok()
            .and_then(|at| now.duration_since(at).ok());
        if age.is_some_and(|age| age > LOG_RETENTION) {
            let _ = fs::remove_file(old.path());
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(logs.join(format!("{kind}-{}-{n}.log", std::process::id())))
}
