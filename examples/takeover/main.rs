//! Continues where a Java application of the Kinesis Client Library has stopped.
//!
//! `cargo run --example takeover -- orders --table orders-application` reads the application's
//! checkpoints from its DynamoDB table, and keeps its own there until Ctrl-C.

#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use kinesis_shards::{
    Checkpoints, DynamoDbStore, ReadOptions, ShardStreamExt, StreamId, all_shards,
};

use crate::common::ctrl_c::ctrl_c;
use crate::common::error::{LastError, with_cause};
use crate::common::logs;
use crate::common::source::Source;

/// How long Ctrl-C waits for records in flight and for the table.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);

/// Consumes a Kinesis stream from where a Java application of the Kinesis Client Library has
/// stopped, as its lease table says, and leaves the table so that the application can continue.
///
/// Stop the application first. Shards that are not in the table start at `--from`. Ctrl-C saves how
/// far each shard was read.
#[derive(Parser)]
#[command(name = "takeover")]
struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN")]
    stream: StreamId,

    /// The DynamoDB table, which has the application's name
    #[arg(long, value_name = "TABLE")]
    table: String,

    /// A DynamoDB server other than AWS, such as `http://127.0.0.1:8000`; by default the server at
    /// `--endpoint-url`
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint_url: Option<String>,

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

    // Without a URL of its own the table is on the same server: a consumer of an emulator must not
    // write to a table in AWS by accident.
    let url = args.dynamodb_endpoint_url.as_ref().or(source.endpoint_url.as_ref());
    let config = source.config(stream, url.map(String::as_str)).await?;
    let store = DynamoDbStore::new(&aws_sdk_dynamodb::Client::new(&config), &args.table);
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

    // Reads as the Java library does, so that each can continue at any record of the other.
    let options = ReadOptions::new().deaggregate_own_hash_range();
    let mut records = all_shards(&client, stream)
        .start_at(source.from) // shards without a checkpoint
        .checkpoints(&checkpoints) // the others continue at theirs
        .records(&client)
        .with_options(options)
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
