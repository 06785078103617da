//! Checkpoints in a store of your own: `store.rs` implements one on Redis.
//!
//! `cargo run --example redis -- orders --redis redis://127.0.0.1/` follows a stream of yours until
//! Ctrl-C. Start it again, and it continues.

#[path = "../common/mod.rs"]
mod common;
mod store;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use kinesis_shards::{Checkpoints, ReadOptions, ShardStreamExt, StreamId, all_shards};

use crate::common::ctrl_c::ctrl_c;
use crate::common::error::{LastError, with_cause};
use crate::common::logs;
use crate::common::source::Source;
use crate::store::RedisStore;

/// How long Ctrl-C waits for records in flight and for the store.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);

/// Consumes a Kinesis stream with its checkpoints in Redis: stop it, start it, and it continues.
#[derive(Parser)]
#[command(name = "redis")]
struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN")]
    stream: StreamId,

    /// The Redis server
    #[arg(long, value_name = "URL", default_value = "redis://127.0.0.1/")]
    redis: String,

    #[command(flatten)]
    source: Source,
}

#[tokio::main]
async fn main() -> ExitCode {
    match follow(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints every record until Ctrl-C. Returns whether everything was saved.
async fn follow(args: &Args) -> Result<bool, String> {
    logs::print_warnings("kinesis_shards"); // failed listings, reads and saves
    let Args { stream, source, .. } = args;
    let client = source.client(stream).await?;
    // A stream that does not exist is an error here. Later, a failed listing is only retried.
    drop(all_shards(&client, stream).ready().await.map_err(|error| with_cause(&error))?);

    let store = RedisStore::connect(&args.redis).await;
    let store =
        store.map_err(|error| format!("cannot connect to Redis: {}", with_cause(&*error)))?;
    let checkpoints = Checkpoints::load(store, stream).await.map_err(|error| with_cause(&error))?;
    for (shard, _) in checkpoints.progress() {
        if let Some(checkpoint) = checkpoints.get(&shard) {
            println!("{shard}: checkpoint {checkpoint}");
        }
    }
    println!("Following {stream}. Ctrl-C saves and exits.\n");

    // `stop` ends the stream of records below, then waits for the last acknowledgement and save.
    let stop = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move {
            ctrl_c().await;
            checkpoints.shutdown(SHUTDOWN_LIMIT).await
        }
    });

    let mut records = all_shards(&client, stream)
        .start_at(source.from) // shards without a checkpoint
        .checkpoints(&checkpoints) // the others continue at theirs
        .records(&client)
        .with_options(ReadOptions::new().deaggregate())
        .auto_ack(); // asking for the next record acknowledges this one
    let last_error = LastError::default();
    while let Some(record) = records.next().await {
        match record {
            Ok(record) => {
                let data = String::from_utf8_lossy(record.data());
                let (shard, sequence_number) = (record.shard_id(), record.sequence_number());
                println!("{shard} {sequence_number} {}", data.escape_debug());
            }
            // The shard is offered again, and the others continue.
            Err(error) => eprintln!("{}; retrying", last_error.describe(&error)),
        }
    }

    let report = stop.await.map_err(|error| error.to_string())?;
    println!("\n{report}");
    for (shard, checkpoint) in report.checkpoints() {
        println!("{shard}: saved at {checkpoint}");
    }
    // The next run delivers unsaved records again.
    Ok(report.is_complete())
}
