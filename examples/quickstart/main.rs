//! Watches every shard of a live stream open, parents before children, across splits and merges.
//!
//! `cargo run --example quickstart` needs no AWS account: an in-process Kinesis is split and merged
//! while it is written and read.
//!
//! `cargo run --example quickstart -- --stream NAME` follows a stream of yours. `-- --help` lists
//! the options.

mod args;
#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod producer;
mod reader;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use clap::Parser;
use futures::StreamExt;
use kinesis_shards::records::ReadEventKind;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, StreamId, TryAllShards, try_all_shards};

use crate::args::Args;
use crate::common::ctrl_c::ctrl_c;
use crate::common::error::{LastError, with_cause};
use crate::common::logs;
use crate::common::source::Source;
use crate::ledger::Ledger;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.stream {
        None => Ok(demo().await),
        Some(stream) => follow(stream, &args.source).await.map(|()| true),
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

/// Runs on an in-process Kinesis. Returns whether every record was read once and in order.
async fn demo() -> bool {
    let kinesis = FakeKinesis::new();
    let stream = kinesis.create_stream("orders", 2);
    println!("An in-process Kinesis has the stream orders with 2 shards.");
    println!("It is written for 6 s, and split and merged meanwhile.\n");

    let ledger = Arc::new(Ledger::new());
    // Shorter than the default of one second, to show more: no other program reads the stream.
    let options = ReadOptions::new().idle_interval(Duration::from_millis(250));
    let client = kinesis.client();
    let shards = try_all_shards(&client, "orders");
    let consumer = consume(&client, shards, options, Arc::clone(&ledger));
    let producer = async {
        producer::write_and_reshard(&kinesis.client(), &stream, &ledger).await;
        ledger.wait_until_read().await;
    };
    // The stream of shards never ends by itself: the producer ends the program.
    tokio::select! {
        () = consumer => {}
        () = producer => {}
    }
    ledger.print_summary()
}

/// Follows a stream in the AWS account of the environment until Ctrl-C.
async fn follow(stream: &StreamId, source: &Source) -> Result<(), String> {
    let client = source.client(stream).await?;
    // Failed listings during `ready`. This program prints all other errors itself.
    logs::print_warnings("kinesis_shards::all_shards");
    let shards = try_all_shards(&client, stream).start_at(source.from);
    let shards = shards.ready().await.map_err(|error| with_cause(&error))?;
    println!("Following {stream}. Ctrl-C ends it.\n");

    let ledger = Arc::new(Ledger::new());
    tokio::select! {
        () = consume(&client, shards, ReadOptions::new(), Arc::clone(&ledger)) => {}
        () = ctrl_c() => {}
    }
    ledger.print_shards();
    Ok(())
}

/// Reads all open shards concurrently, each after its parents.
async fn consume(client: &Client, shards: TryAllShards, options: ReadOptions, ledger: Arc<Ledger>) {
    let options = options.on_event({
        let (ledger, last_error) = (Arc::clone(&ledger), LastError::default());
        move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                ledger.note(&format!("{}; retrying", last_error.describe(error)));
            }
        }
    });
    let (options, ledger) = (&options, &*ledger);
    let last_error = &LastError::default();
    shards
        .for_each_concurrent(None, |shard| async move {
            match shard {
                Ok(shard) => {
                    reader::read_shard_to_end(client, shard, options.clone(), ledger).await;
                }
                // The stream retries the listing itself.
                Err(error) => ledger.note(&format!("{}; retrying", last_error.describe(&error))),
            }
        })
        .await;
}
