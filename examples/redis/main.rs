//! Checkpoints in a store of one's own: `store.rs` keeps them in Redis.
//!
//! `cargo run --example redis -- orders --redis redis://127.0.0.1/` follows a stream in your AWS account until Ctrl-C; start it again, and it goes on.

#[path = "../common/checkpointed.rs"]
mod checkpointed;
#[path = "../common/mod.rs"]
mod common;
mod store;

use std::process::ExitCode;

use clap::Parser;
use kinesis_shards::{Checkpoints, StreamId};

use crate::common::{Source, with_cause};
use crate::store::RedisStore;

/// Consumes a Kinesis stream with its checkpoints in Redis: stop it, start it, it goes on.
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
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn follow(args: &Args) -> Result<(), String> {
    let client = args.source.client(&args.stream).await?;
    let store = RedisStore::connect(&args.redis).await;
    let store = store.map_err(|error| format!("{}: {}", args.redis, with_cause(&*error)))?;
    let checkpoints = Checkpoints::load(store, &args.stream).await.map_err(|error| with_cause(&error))?;
    checkpointed::until_ctrl_c(&client, args.source.from, &checkpoints).await
}
