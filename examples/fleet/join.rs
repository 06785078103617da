//! One more worker of a real fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client as DynamoDb;
use kinesis_shards::lease::{LeaseEvent, LeaseEventKind, LeaseOptions, Leases};
use kinesis_shards::{StreamId, all_shards};

use crate::args::Args;
use crate::common::ctrl_c::ctrl_c;
use crate::common::error::with_cause;
use crate::common::logs;
use crate::consume::consume;

/// How long Ctrl-C waits for records in flight and for the tables.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);

/// Reads this worker's shards until Ctrl-C. Returns whether everything was given away.
pub(crate) async fn run(stream: &StreamId, application: &str, args: &Args) -> Result<bool, String> {
    logs::print_warnings("kinesis_shards"); // failed requests
    let client = args.source.client(stream).await?;
    // A stream that does not exist is an error here. Later, a failed listing is only retried.
    drop(all_shards(&client, stream).ready().await.map_err(|error| with_cause(&error))?);

    // Without a URL of its own the tables are on the same server: a worker of an emulator must not
    // write to tables in AWS by accident.
    let url = args.dynamodb_endpoint_url.as_ref().or(args.source.endpoint_url.as_ref());
    let config = args.source.config(stream, url.map(String::as_str)).await?;
    let mut options = LeaseOptions::new().on_event(print_event);
    if let Some(worker) = &args.worker {
        options = options.worker(worker);
    }
    let leases = Leases::join_with(&DynamoDb::new(&config), application, stream, options)
        .await
        .map_err(|error| with_cause(&error))?;
    println!("Worker {} of {application} reads {stream}. Ctrl-C leaves.\n", leases.worker_id());

    // `leave` ends the stream of records below, once all leases are given away.
    let leave = tokio::spawn({
        let leases = leases.clone();
        async move {
            ctrl_c().await;
            leases.shutdown(SHUTDOWN_LIMIT).await
        }
    });
    let mut counts = BTreeMap::<String, u64>::new();
    consume(&client, &leases, args.source.from, |record| {
        *counts.entry(record.shard_id().to_owned()).or_default() += 1;
    })
    .await?;

    let report = leave.await.map_err(|error| error.to_string())?;
    println!("\n{report}");
    for (shard, count) in counts {
        println!("{shard}: {count} records");
    }
    Ok(report.is_complete())
}

fn print_event(event: &LeaseEvent<'_>) {
    match &event.kind {
        LeaseEventKind::Granted { shard_id, token } => println!("got {shard_id}, token {token}"),
        LeaseEventKind::Ended { shard_id, end } => println!("lost {shard_id}: {end}"),
        LeaseEventKind::Fenced { worker } => println!("declared {worker} dead"),
        // Warnings are printed for these.
        _ => {}
    }
}
