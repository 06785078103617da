//! A worker of the demonstration, in a process of its own.

use std::io::Read;
use std::time::Duration;

use kinesis_shards::StartAt;
use kinesis_shards::checkpoint::CheckpointOptions;
use kinesis_shards::lease::{LeaseEvent, LeaseEventKind, LeaseOptions, Leases};
use tokio::sync::oneshot;

use crate::client::local_client;
use crate::common::error::with_cause;
use crate::consume::consume;
use crate::dynamodb::dynamodb;
use crate::message::Message;
use crate::servers::{APPLICATION, STREAM};

const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// What a worker process needs to know.
pub(crate) struct Order {
    pub(crate) id: String,
    /// The port of the Kinesis.
    pub(crate) kinesis: u16,
    /// The port of the DynamoDB.
    pub(crate) dynamodb: u16,
}

impl Order {
    /// The environment variable that makes this program a worker.
    pub(crate) const VARIABLE: &str = "FLEET_WORKER";

    pub(crate) fn from_env() -> Option<Self> {
        let order = std::env::var(Self::VARIABLE).ok()?;
        let mut parts = order.split(' ');
        Some(Self {
            id: parts.next()?.to_owned(),
            kinesis: parts.next()?.parse().ok()?,
            dynamodb: parts.next()?.parse().ok()?,
        })
    }

    pub(crate) fn to_env(&self) -> String {
        format!("{} {} {}", self.id, self.kinesis, self.dynamodb)
    }
}

/// Reads this worker's shards until its stdin is closed, and prints each [`Message`].
pub(crate) async fn run(order: &Order) -> Result<(), String> {
    // Shorter times than the defaults (10 s, 30 s, 60 s, 30 s), to show all within half a minute.
    let options = LeaseOptions::new()
        .worker(&order.id)
        .failover_time(Duration::from_secs(4))
        .settle(Duration::from_secs(2))
        .rest(Duration::from_secs(2))
        .checkpoints(CheckpointOptions::new().save_interval(Duration::from_secs(2)))
        .on_event(print_event);
    let leases =
        Leases::join_with(&dynamodb(&order.dynamodb.to_string()), APPLICATION, STREAM, options)
            .await
            .map_err(|error| with_cause(&error))?;

    // `leave` ends the stream of records below, once all leases are given away.
    let leave = tokio::spawn({
        let leases = leases.clone();
        async move {
            stdin_is_closed().await;
            leases.shutdown(SHUTDOWN_LIMIT).await
        }
    });
    consume(&local_client(order.kinesis), &leases, StartAt::TrimHorizon, |record| {
        if let Ok(number) = String::from_utf8_lossy(record.data()).parse() {
            println!("{}", Message::Read { number });
        }
    })
    .await?;
    let report = leave.await.map_err(|error| error.to_string())?;
    println!("{}", Message::Left { is_complete: report.is_complete() });
    Ok(())
}

fn print_event(event: &LeaseEvent<'_>) {
    let message = match event.kind.clone() {
        LeaseEventKind::Granted { shard_id, .. } => Message::Granted { shard: shard_id },
        LeaseEventKind::Ended { shard_id, .. } => Message::Ended { shard: shard_id },
        LeaseEventKind::Fenced { worker } => Message::Fenced { worker },
        _ => return,
    };
    println!("{message}");
}

/// Waits until the demonstration closes this worker's stdin, or ends.
async fn stdin_is_closed() {
    let (closed, is_closed) = oneshot::channel();
    // A thread of its own: tokio's reading of stdin would keep a worker that fails from ending.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = closed.send(());
    });
    let _ = is_closed.await;
}
