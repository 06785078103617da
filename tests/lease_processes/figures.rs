//! How long the workers of a fleet take, and how many requests they send.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};

use crate::fleet::{Fleet, Servers};
use crate::kind::Kind;
use crate::producer::{Load, Producer};
use crate::trial::number_from;
use crate::worker::{Times, now};

/// The times of a run in CI. With `LEASE_RUNS`, the workers have the defaults of the crate.
const SHORT_TIMES: Times =
    Times { failover: 3_000, settle: 2_000, rest: 1_000, save_interval: 500 };
const SHARDS: i32 = 10;
/// How long requests are counted in a run with the defaults of the crate.
const COUNTED: Duration = Duration::from_secs(30);
/// Runs at the same time.
const CONCURRENCY: usize = 5;

/// What a run has measured.
#[derive(Debug, Default)]
struct Figures {
    /// In seconds, or numbers.
    values: BTreeMap<&'static str, Vec<f64>>,
    requests: BTreeMap<String, f64>,
}

const STOP: &str = "SIGTERM -> shard read by another, s";
const GAP: &str = "SIGTERM: shard not read for, s";
const KILL: &str = "SIGKILL -> shard read by another, s";
const REPEATS: &str = "records repeated by a SIGKILL";
const BALANCE: &str = "worker started -> balanced, s";
const BALANCE_MOVES: &str = "moves until balanced";
const DEPLOY_MOVES: &str = "moves per shard in a surge deploy of all workers";

impl Figures {
    fn add(&mut self, what: &'static str, value: f64) {
        self.values.entry(what).or_default().push(value);
    }

    fn extend(mut self, other: Self) -> Self {
        for (what, values) in other.values {
            self.values.entry(what).or_default().extend(values);
        }
        for (what, requests) in other.requests {
            *self.requests.entry(what).or_default() += requests;
        }
        self
    }

    fn print(&self, runs: u64, header: impl Display) {
        println!("{header}: median and worst");
        for (what, values) in &self.values {
            let mut values = values.clone();
            values.sort_by(f64::total_cmp);
            let (median, worst) = (values[values.len() / 2], values[values.len() - 1]);
            println!("{what:<50} {median:>8.2} {worst:>8.2}  of {}", values.len());
        }
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let runs = runs as f64;
        let requests: Vec<_> = self
            .requests
            .iter()
            .map(|(what, requests)| format!("{what} {:.0}", requests / runs))
            .collect();
        println!("requests per minute of 2 workers and {SHARDS} shards: {}", requests.join(", "));
    }
}

pub(crate) async fn run() -> Result<(), String> {
    let runs = number_from("LEASE_RUNS");
    let times = if runs.is_some() { Times::DEFAULT } else { SHORT_TIMES };
    let runs = runs.unwrap_or(1);
    let servers = Servers::start("figures", Kind::Kinesalite, Kind::Ministack).await?;
    let servers = Arc::new(servers);
    let figures = futures::stream::iter(0..runs)
        .map(|run| measure(Arc::clone(&servers), run, times))
        .buffer_unordered(CONCURRENCY)
        .try_fold(Figures::default(), |all, figures| async { Ok(all.extend(figures)) })
        .await?;
    figures.print(runs, format!("{runs} runs of {SHARDS} shards with {times:?}"));
    servers.remove_files();
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of minutes")]
fn seconds(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}

/// Measures one fleet, whose records come all the time.
async fn measure(servers: Arc<Servers>, run: u64, times: Times) -> Result<Figures, String> {
    let mut figures = Figures::default();
    let stream = format!("figures-{run}");
    let shards = SHARDS.unsigned_abs() as usize;
    let mut fleet = Fleet::new(&servers, &stream, SHARDS, times).await?;
    let load = Load {
        seed: run,
        keys: 100,
        max_pause: Duration::from_millis(100),
        pauses_per_reshard: 0,
        ..Load::default()
    };
    let producer = Producer::start(&servers.kinesis(), &stream, load);
    fleet.join("worker-0").await?;
    fleet.balanced(shards).await?;

    let (before, started) = (fleet.granted(), now());
    fleet.join("worker-1").await?;
    fleet.balanced(shards).await?;
    figures.add(BALANCE, seconds(started, now()));
    figures.add(BALANCE_MOVES, as_f64(fleet.granted() - before));
    let failover = Duration::from_millis(times.failover);
    // A worker beats faster in its first 15 s; in a short run these are counted, too.
    tokio::time::sleep(failover * 3 / 2).await;
    let counted = COUNTED.min(failover * 3);
    let requests = fleet.requests();
    tokio::time::sleep(counted).await;
    for (what, count) in fleet.requests() {
        let count = count - requests.get(&what).copied().unwrap_or_default();
        figures.requests.insert(what, as_f64(count) * 60.0 / counted.as_secs_f64());
    }

    // A surge deploy replaces all workers, one after the other.
    let before = fleet.granted();
    for (number, old) in fleet.running().into_iter().enumerate() {
        fleet.join(&format!("worker-{}", 2 + number)).await?;
        let before = fleet.holder(old);
        let at = fleet.stop(old).await?;
        for (last, first) in fleet.read_again(&before, at).await? {
            figures.add(STOP, seconds(at, first));
            figures.add(GAP, seconds(last, first));
        }
    }
    fleet.balanced(shards).await?;
    figures.add(DEPLOY_MOVES, as_f64(fleet.granted() - before) / as_f64(shards));

    let killed = fleet.running()[0];
    let before = fleet.holder(killed);
    let repeats = fleet.log.repeats();
    let at = fleet.kill(killed);
    for (_, first) in fleet.read_again(&before, at).await? {
        figures.add(KILL, seconds(at, first));
    }
    let written = producer.stop().await?;
    fleet.delivered(&written.by_key).await?;
    figures.add(REPEATS, as_f64(fleet.log.repeats() - repeats));
    fleet.stop_all().await?;
    Ok(figures)
}

#[allow(clippy::cast_precision_loss, reason = "a small number")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

impl Fleet {
    /// Returns how often a lease was granted.
    fn granted(&self) -> usize {
        let processes = 0..self.log.processes();
        let notes = processes.flat_map(|process| self.log.notes(process));
        notes.filter(|note| note.starts_with("granted")).count()
    }

    /// Returns the requests of all running workers, by operation.
    fn requests(&self) -> BTreeMap<String, usize> {
        let mut requests = BTreeMap::new();
        for process in self.running() {
            for (what, count) in self.proxy(process).requests() {
                *requests.entry(what).or_default() += count;
            }
        }
        requests
    }

    /// Returns what a process holds, before it ends.
    fn holder(&self, process: usize) -> Holder {
        let shards = self.log.leases(process).clone();
        Holder { process, shards, deliveries: self.log.deliveries.len() }
    }

    /// Waits until others have read each shard that a process held, and returns for each the time
    /// of the last record there and of the first elsewhere.
    async fn read_again(&mut self, holder: &Holder, at: u64) -> Result<Vec<(u64, u64)>, String> {
        let find = |fleet: &Self, shard: &str| {
            let deliveries = &fleet.log.deliveries[holder.deliveries..];
            let deliveries = deliveries.iter().filter(|record| record.shard == shard);
            let (own, others): (Vec<_>, Vec<_>) =
                deliveries.partition(|record| record.process == holder.process);
            let last = own.iter().map(|record| record.after).max().unwrap_or(at);
            Some((last, others.iter().map(|record| record.after).min()?))
        };
        self.wait_until("others have read its shards", |fleet| {
            holder.shards.iter().all(|shard| find(fleet, shard).is_some())
        })
        .await?;
        Ok(holder.shards.iter().filter_map(|shard| find(self, shard)).collect())
    }
}

/// A process that is about to end.
struct Holder {
    process: usize,
    shards: BTreeSet<String>,
    /// The number of deliveries before its end.
    deliveries: usize,
}
