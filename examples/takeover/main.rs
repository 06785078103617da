//! Goes on where a Java application of the Kinesis Client Library has stopped, from its DynamoDB table.
//!
//! `cargo run --example takeover -- orders --table orders-application`

#[path = "../common/checkpointed.rs"]
mod checkpointed;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use clap::Parser;
use kinesis_shards::{Checkpoints, DynamoDbStore, StreamId};

use crate::common::{Source, with_cause};

/// Consumes a Kinesis stream from where a Java application of the Kinesis Client Library has stopped, by its lease table, and leaves the table so that the application can go on from there.
///
/// Stop the application first. What the table does not know starts at `--from`. Ctrl-C saves how far each shard was read.
#[derive(Parser)]
#[command(name = "takeover")]
struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN")]
    stream: StreamId,

    /// The DynamoDB table: the application's name
    #[arg(long, value_name = "TABLE")]
    table: String,

    /// Another DynamoDB than AWS's, such as `http://127.0.0.1:8000`
    #[arg(long, value_name = "URL")]
    dynamodb_endpoint_url: Option<String>,

    #[command(flatten)]
    source: Source,
}

#[tokio::main]
async fn main() -> ExitCode {
    match takeover(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn takeover(args: &Args) -> Result<(), String> {
    let url = args.dynamodb_endpoint_url.as_deref();
    let config = args.source.config(&args.stream, url).await?;
    let store = DynamoDbStore::new(&aws_sdk_dynamodb::Client::new(&config), &args.table);
    let checkpoints = Checkpoints::load(store, &args.stream).await.map_err(|error| with_cause(&error))?;
    let client = args.source.client(&args.stream).await?;
    checkpointed::until_ctrl_c(&client, args.source.from, &checkpoints).await
}
