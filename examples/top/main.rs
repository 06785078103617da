//! `top` for a Kinesis stream: the rates of each shard, the lag of its reader, and who holds it.
//!
//! `cargo run --example top` watches an in-process Kinesis with a moving load. `-- --stream NAME`
//! watches a stream of yours, `--leases TABLE` shows the workers of its application, and `--once`
//! prints one frame as plain text. `-- --help` lists the options and the keys.

mod args;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod common;
mod demo;
mod feed;
mod lease_table;
mod model;
mod program;
mod screen;
#[path = "../common/stop_signal.rs"]
mod stop_signal;
#[path = "../common/units.rs"]
#[expect(dead_code, reason = "the example `tail` uses the rest")]
mod units;
mod view;

use std::future::pending;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::demo::Demo;

// One thread: a panic anywhere ends the program, and the demonstration can pause the clock.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(frame) => {
            print!("{frame}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the frame to print. There is none where the view was on the terminal.
async fn run(args: &Args) -> Result<String, String> {
    let once = args.once || !stdout().is_terminal();
    if let Some(stream) = &args.stream {
        let feed = program::connect(stream, args).await?;
        return program::show(feed, pending(), once).await;
    }
    // The minutes that the backlog spans are skipped.
    tokio::time::pause();
    let demo = Demo::new().await;
    tokio::time::resume();
    program::show(demo.feed(), demo.run(), once).await
}
