//! The example `replicas` in three processes: one gets SIGTERM, one SIGKILL, and the last one
//! continues. Every record is handled.

use std::collections::HashSet;
use std::process::ExitCode;

use crate::consumer_process::ConsumerProcess;
use crate::dynamodb::dynamodb;
use crate::fleet::{Servers, WAIT};
use crate::kind::Kind;
use crate::producer::{Load, Producer, create};

#[path = "../../examples/services/replicas.rs"]
mod example;

const VARIABLE: &str = "REPLICA";
const STREAM: &str = "replicas";
const APPLICATION: &str = "replicas-application";

/// Runs the example if this is its process.
pub(crate) fn replica() -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let result = example::main();
    if let Err(error) = &result {
        eprintln!("Error: {error:?}");
    }
    Some(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn run() -> Result<(), String> {
    let servers = Servers::start(STREAM, Kind::Kinesalite, Kind::Ministack).await?;
    create(&servers.kinesis(), STREAM, 4).await?;
    let load = Load { pauses_per_reshard: 100, ..Load::default() };
    let producer = Producer::start(&servers.kinesis(), STREAM, load);

    // The first one gets all leases, and keeps them: leases are balanced after some minutes only.
    let mut replicas = Replicas::default();
    replicas.start(&servers)?;
    replicas.wait_until("a record is handled", |replicas| replicas.handles(0)).await?;
    replicas.start(&servers)?;
    replicas.start(&servers)?;
    have_joined(&servers, 3).await?;

    replicas.terminate(0)?;
    replicas
        .wait_until("another one continues", |replicas| replicas.handles(1) || replicas.handles(2))
        .await?;
    let (killed, last) = if replicas.handles(1) { (1, 2) } else { (2, 1) };
    replicas.kill(killed);
    // It reads all open shards once it has handled a record of each key.
    let before = replicas.0[last].handled.len();
    let has_every_key = |replicas: &Replicas| {
        let handled = replicas.0[last].handled[before..].iter();
        let keys: HashSet<_> = handled.filter_map(|record| record.split_once(':')).collect();
        let keys: HashSet<_> = keys.into_iter().map(|(key, _)| key).collect();
        keys.len() == Load::default().keys
    };
    replicas.wait_until("the last one reads all shards", has_every_key).await?;

    let written = producer.stop().await?;
    let keys = written.by_key.iter().enumerate();
    let written: HashSet<_> = keys
        .flat_map(|(key, records)| (0..*records).map(move |number| format!("{key}:{number}")))
        .collect();
    let mut handled = HashSet::new();
    replicas
        .wait_until("all records are handled", |replicas| {
            handled = replicas.all().collect();
            handled.len() >= written.len()
        })
        .await?;
    replicas.terminate(last)?;
    if handled != written {
        return Err("the replicas have handled other records than those of the stream".to_owned());
    }
    let lines = replicas.all().count() - written.len();
    println!("{} records, 0 lost, {lines} handled again after the kill", written.len());
    servers.remove_files();
    Ok(())
}

/// Waits until the table of the workers has this number of replicas.
async fn have_joined(servers: &Servers, replicas: usize) -> Result<(), String> {
    let client = dynamodb(&servers.dynamodb_port().to_string());
    let have_joined = async || {
        let scan = client.scan().table_name(format!("{APPLICATION}-workers")).send();
        let rows = scan.await.map_err(|error| format!("Scan: {}", error.into_service_error()))?;
        let ids = rows.items().iter().filter_map(|row| row.get("worker")?.as_s().ok());
        // The other rows are those of the fleet.
        Ok(ids.filter(|id| !id.starts_with('#')).count() == replicas)
    };
    WAIT.until(&format!("{replicas} replicas have joined"), have_joined).await
}

/// The replicas, by the number of their start.
#[derive(Default)]
struct Replicas(Vec<Replica>);

struct Replica {
    /// `None` after its end.
    process: Option<ConsumerProcess>,
    /// The records that it has printed.
    handled: Vec<String>,
}

impl Replicas {
    fn start(&mut self, servers: &Servers) -> Result<(), String> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let log = servers.new_file(&format!("replica-{}.log", self.0.len()))?;
        let process = ConsumerProcess::start(|this| {
            this.env(VARIABLE, "1")
                .env("AWS_ACCESS_KEY_ID", "x")
                .env("AWS_SECRET_ACCESS_KEY", "x")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ENDPOINT_URL_KINESIS", url(servers.kinesis_port()))
                .env("AWS_ENDPOINT_URL_DYNAMODB", url(servers.dynamodb_port()))
                .args([STREAM, APPLICATION])
                .stderr(log)
        })?;
        self.0.push(Replica { process: Some(process), handled: Vec::new() });
        Ok(())
    }

    /// Returns whether a replica has handled a record.
    fn handles(&self, replica: usize) -> bool {
        !self.0[replica].handled.is_empty()
    }

    /// Returns the records that the replicas have handled, each as often as it was.
    fn all(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().flat_map(|replica| replica.handled.iter().cloned())
    }

    /// Stops a replica with SIGTERM.
    fn terminate(&mut self, replica: usize) -> Result<(), String> {
        let replica = &mut self.0[replica];
        let process = replica.process.take().expect("a replica that runs");
        process.signal("TERM")?;
        let (lines, status) = process.wait()?;
        replica.handled.extend(lines.iter().map(|line| record(line)));
        if status.success() { Ok(()) } else { Err(format!("after SIGTERM: {status}")) }
    }

    /// Kills a replica.
    fn kill(&mut self, replica: usize) {
        let replica = &mut self.0[replica];
        let lines = replica.process.take().expect("a replica that runs").kill();
        replica.handled.extend(lines.iter().map(|line| record(line)));
    }

    async fn wait_until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<(), String> {
        let waited = WAIT.until(what, async || {
            self.read()?;
            Ok(holds(self))
        });
        waited.await
    }

    /// Reads the lines of the replicas.
    fn read(&mut self) -> Result<(), String> {
        for replica in &mut self.0 {
            let Some(process) = &mut replica.process else { continue };
            let has_ended = process.has_ended();
            replica.handled.extend(process.new_lines().map(|line| record(&line)));
            if has_ended {
                return Err("a replica has ended by itself".to_owned());
            }
        }
        Ok(())
    }
}

/// Returns the record of a line, without its shard.
fn record(line: &str) -> String {
    line.split_once(' ').map_or(line, |(_, record)| record).to_owned()
}
