//! Workers that share the shards of a stream: one is killed, one joins, a shard is split, one shuts
//! down.
//!
//! `cargo run --example fleet` needs no AWS account, but Node.js and Python. It starts a Kinesis
//! and a DynamoDB on this machine, which it installs the first time, and runs each worker as a
//! process.
//!
//! The example `replicas` is such a worker for a stream of yours.

mod board;
#[path = "../../tests/servers/client.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod client;
mod consume;
mod demo;
#[path = "../../tests/stores/dynamodb.rs"]
mod dynamodb;
#[path = "../common/error.rs"]
mod error;
mod fleet;
#[path = "../../tests/servers/install.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod install;
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

use crate::worker::Order;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Order::from_env() {
        Some(order) => worker::run(&order).await.map(|()| true),
        None => demo::run().await,
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
