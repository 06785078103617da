//! The consumer of one worker.

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::lease::Leases;
use kinesis_shards::{Record, ShardStreamExt, StartAt, all_shards};

use crate::common::error::{LastError, with_cause};

/// Reads the shards whose lease this worker holds, until it has left.
pub(crate) async fn consume(
    client: &Client,
    leases: &Leases,
    start: StartAt,
    mut process: impl FnMut(&Record),
) -> Result<(), String> {
    let mut records = all_shards(client, leases.stream().clone())
        .start_at(start) // counts for the first worker of the application
        .leased(leases) // the shards of this worker, each from its checkpoint
        .records(client);
    let last_error = LastError::default();
    while let Some(record) = records.next().await {
        match record {
            Ok(record) => {
                process(&record);
                record.ack();
            }
            Err(error) if error.is_worker_stopped() => return Err(with_cause(&error)),
            // The shard is offered again, and the others continue.
            Err(error) => eprintln!("{}; retrying", last_error.describe(&error)),
        }
    }
    Ok(())
}
