//! Copies the records of a stream into files, one for each shard, up to the tip or a time: a
//! backfill that resumes where it was stopped, with each record once.
//!
//! `cargo run --example backfill` needs no AWS account: an in-process Kinesis with 32 shards is
//! copied, and the copy is interrupted and resumed.
//!
//! `cargo run --example backfill -- --stream NAME --dir DIR` copies a stream of yours. Start it
//! again after a crash, or later for the records that have arrived since. `-- --help` lists the
//! options.

mod args;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "this program prints no error twice")]
mod common;
mod copy;
mod demo;
mod progress;
mod shard_file;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use kinesis_shards::{ReadOptions, StreamId};
use tokio::runtime::Handle;

use crate::args::Args;
use crate::common::ctrl_c::ctrl_c;
use crate::common::error::with_cause;
use crate::common::logs;
use crate::copy::Job;
use crate::progress::Progress;

#[tokio::main]
async fn main() -> ExitCode {
    // The other programs start at the latest record.
    let command = Args::command().mut_arg("from", |from| from.default_value("trim-horizon"));
    let args = Args::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let result = match &args.stream {
        None => demo::run().await.map_err(|error| with_cause(&*error)),
        Some(stream) => copy_stream(stream, &args).await.map(|()| true),
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

/// Copies a stream in the AWS account of the environment. Ctrl-C stops the copy, which the next run
/// resumes.
async fn copy_stream(stream: &StreamId, args: &Args) -> Result<(), String> {
    logs::print_warnings("kinesis_shards"); // failed listings and reads
    let job = Job {
        client: args.source.client(stream).await?,
        stream: stream.clone(),
        dir: args.dir.clone(),
        start_at: args.source.from,
        stop_at: args.until,
        // The responses are parsed on all cores.
        options: ReadOptions::new().spawn_on(Handle::current()),
        progress: Progress::new(),
    };
    tokio::select! {
        copied = job.run() => println!("{}", copied.map_err(|error| with_cause(&*error))?),
        () = ctrl_c() => println!("stopped; the next run continues"),
    }
    Ok(())
}
