//! Workers that share the shards of a stream: one is killed, one joins, a shard is split, one shuts
//! down.
//!
//! `cargo run --example fleet` needs no AWS account, but Node.js and Python. It starts a Kinesis
//! and a DynamoDB on this machine, which it installs the first time, and runs each worker as a
//! process.
//!
//! `cargo run --example fleet -- --stream NAME --application NAME` joins a fleet of yours.

mod args;
mod board;
#[path = "../../tests/servers/client.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod client;
#[path = "../common/mod.rs"]
mod common;
mod consume;
mod demo;
#[path = "../../tests/stores/dynamodb.rs"]
mod dynamodb;
mod fleet;
#[path = "../../tests/servers/install.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod install;
mod join;
#[path = "../../tests/servers/kind.rs"]
mod kind;
mod message;
#[path = "../../tests/servers/process.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod process;
mod producer;
mod servers;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::worker::Order;

#[tokio::main]
async fn main() -> ExitCode {
    let result = if let Some(order) = Order::from_env() {
        worker::run(&order).await.map(|()| true)
    } else {
        let args = Args::parse();
        match (&args.stream, &args.application) {
            (Some(stream), Some(application)) => join::run(stream, application, &args).await,
            _ => demo::run().await,
        }
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
