//! Stop it, start it, it goes on.
//!
//! `cargo run --example resume` needs nothing: a consumer of an in-process Kinesis crashes, starts again from its file, and is stopped.
//! `cargo run --example resume -- orders --file orders.checkpoints` follows a stream in your AWS account until Ctrl-C; start it again. `-- --help` tells more.

#[path = "../common/checkpointed.rs"]
mod checkpointed;
#[path = "../common/mod.rs"]
mod common;
mod demo;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kinesis_shards::{Checkpoints, FileStore, StreamId};

use crate::common::{Source, with_cause};

/// Consumes a Kinesis stream with its checkpoints in a file: stop it, start it, it goes on.
///
/// Without a stream, it shows that on an in-process Kinesis, within some seconds: a consumer crashes with records in hand, another goes on from the file across a split, and a third finds nothing left to do. It exits non-zero if anything
/// was lost.
///
/// With a stream, it prints its records until Ctrl-C, which saves how far each shard was read. One process at a time may use the file.
#[derive(Parser)]
#[command(name = "resume")]
struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN")]
    stream: Option<StreamId>,

    /// Where the checkpoints are
    #[arg(long, value_name = "PATH", default_value = "resume.checkpoints", requires = "stream")]
    file: PathBuf,

    #[command(flatten)]
    source: Source,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.stream {
        None => demo::run().await.map_err(|error| with_cause(&*error)),
        Some(stream) => follow(stream, &args).await.map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn follow(stream: &StreamId, args: &Args) -> Result<(), String> {
    let client = args.source.client(stream).await?;
    let store = FileStore::open(&args.file).map_err(|error| with_cause(&error))?;
    let checkpoints = Checkpoints::load(store, stream).await.map_err(|error| with_cause(&error))?;
    checkpointed::until_ctrl_c(&client, args.source.from, &checkpoints).await
}
