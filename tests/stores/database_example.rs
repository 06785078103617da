//! An example that writes a stream to PostgreSQL, in a process that is killed.

use std::process::ExitCode;
use std::time::Duration;

use fastrand::Rng;
use tokio_postgres::{Client, NoTls};

use crate::client::local_client;
use crate::consumer_process::ConsumerProcess;
use crate::kind::Kind;
use crate::process::{Process, postgres_url};
use crate::producer::create;

/// Closes all connections but this one.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";

/// A part of the line that an example logs after the commit of a page.
pub(crate) const PAGE: &str = " records";

/// An example, and the servers that it uses.
pub(crate) struct DatabaseExample {
    kinesis: Process,
    postgres: Process,
    /// The variable that makes this program run the example.
    variable: &'static str,
    /// A part of the line that the example logs when it has started.
    started: &'static str,
    pub(crate) client: aws_sdk_kinesis::Client,
    pub(crate) database: Client,
}

impl DatabaseExample {
    /// Starts the servers, and creates the stream `orders` with two shards.
    pub(crate) async fn new(variable: &'static str, started: &'static str) -> Result<Self, String> {
        let kinesis = Process::start(Kind::Kinesalite).await?;
        let postgres = Process::start(Kind::Postgres).await?;
        let client = local_client(kinesis.port);
        create(&client, "orders", 2).await?;
        let connected = tokio_postgres::connect(&postgres_url(postgres.port), NoTls).await;
        let (database, connection) = connected.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self { kinesis, postgres, variable, started, client, database })
    }

    /// Starts the example with these arguments.
    pub(crate) fn spawn(&self, args: &[&str]) -> Result<ConsumerProcess, String> {
        ConsumerProcess::start(|this| {
            this.env(self.variable, "1")
                .env("AWS_ACCESS_KEY_ID", "x")
                .env("AWS_SECRET_ACCESS_KEY", "x")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.kinesis.port))
                .env("RUST_LOG", "info,stores=debug") // a line for each page
                .args(["orders", "--database", &postgres_url(self.postgres.port)])
                .args(args)
        })
    }

    /// Starts the example, and returns it once it has started.
    pub(crate) fn start(&self, args: &[&str]) -> Result<ConsumerProcess, String> {
        let consumer = self.spawn(args)?;
        consumer.until(self.started)?;
        Ok(consumer)
    }

    /// Starts the example, and returns it during its start, when it has started, or, twice as
    /// often, once it has committed a page.
    pub(crate) fn start_to_kill(
        &self,
        args: &[&str],
        rng: &mut Rng,
    ) -> Result<ConsumerProcess, String> {
        let consumer = self.spawn(args)?;
        match rng.u32(..4) {
            0 => {}
            1 => drop(consumer.until(self.started)?),
            _ => drop(consumer.until(PAGE)?),
        }
        Ok(consumer)
    }

    /// Closes the connections of the example to PostgreSQL, within a second.
    pub(crate) async fn cut(&self, rng: &mut Rng) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(rng.u64(..1_000))).await;
        self.database.execute(CUT, &[]).await.map(drop).map_err(|error| error.to_string())
    }
}

/// Returns how the process of an example ends.
pub(crate) fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Stops the example with SIGTERM, and checks that it saves everything.
pub(crate) fn stop(consumer: ConsumerProcess) -> Result<(), String> {
    consumer.signal("TERM")?;
    let (lines, status) = consumer.wait()?;
    if !status.success() {
        return Err(format!("the shutdown was not complete: {status}: {:?}", lines.last()));
    }
    Ok(())
}
