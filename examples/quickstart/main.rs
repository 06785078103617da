//! Watch every shard of a live, resharding stream arrive, parents first.
//!
//! `cargo run --example quickstart` needs nothing: an in-process Kinesis is split and merged while it is written and read.
//! `cargo run --example quickstart -- --stream NAME` follows a stream in your AWS account. `-- --help` tells more.

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
use futures::{StreamExt, TryStreamExt};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadEventKind, ReadOptions, StartAt, StreamId, try_all_shards};

use crate::args::Args;
use crate::common::{Source, with_cause};
use crate::ledger::Ledger;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.stream {
        None => demo().await,
        Some(stream) => follow(stream, &args.source).await,
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

/// On an in-process Kinesis: whether all that was written was read, once, in order.
async fn demo() -> Result<bool, String> {
    let kinesis = FakeKinesis::new();
    let stream = kinesis.create_stream("orders", 2);
    println!(
        "An in-process Kinesis, stream orders, 2 shards. It is written for 6 s, and split and merged meanwhile.\n"
    );

    let ledger = Arc::new(Ledger::new());
    // More often than once a second: there is something to see, and nobody else reads.
    let options = ReadOptions::new().idle_interval(Duration::from_millis(250));
    let orders = StreamId::from("orders");
    let consumer = consume(kinesis.client(), &orders, StartAt::TrimHorizon, options, Arc::clone(&ledger));
    let producer = async {
        producer::write_and_reshard(&kinesis.client(), &stream, &ledger).await;
        ledger.all_read_or_late().await;
    };
    // The stream of shards never ends by itself: what ends it is that all has been read.
    tokio::select! {
        result = consumer => result?,
        () = producer => {}
    }
    Ok(ledger.summary())
}

/// On a stream of the AWS account that the environment names, until Ctrl-C.
async fn follow(stream: &StreamId, source: &Source) -> Result<bool, String> {
    let client = source.client(stream).await?;
    println!("Following {stream} from {:?}. Ctrl-C ends it.\n", source.from);

    let ledger = Arc::new(Ledger::new());
    tokio::select! {
        result = consume(client, stream, source.from, ReadOptions::new(), Arc::clone(&ledger)) => result?,
        stop = tokio::signal::ctrl_c() => stop.expect("Ctrl-C can be listened for"),
    }
    ledger.totals();
    Ok(true)
}

/// Reads all shards at once, each after its parents.
async fn consume(
    client: Client,
    stream: &StreamId,
    from: StartAt,
    options: ReadOptions,
    ledger: Arc<Ledger>,
) -> Result<(), String> {
    let options = options.on_event({
        let ledger = Arc::clone(&ledger);
        move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                ledger.note(&format!("{}; it is tried again", with_cause(error)));
            }
        }
    });
    let (client, options, ledger) = (&client, &options, &*ledger);
    try_all_shards(client, stream)
        .start_at(from)
        .filter_map(|shard| async move {
            match shard {
                Ok(shard) => Some(Ok(shard)),
                // It is tried again by itself. What no retry will mend ends the program, if it never worked.
                Err(error) if error.is_retryable() || ledger.has_shards() => {
                    ledger.note(&format!("{}; it is tried again", with_cause(&error)));
                    None
                }
                Err(error) => Some(Err(with_cause(&error))),
            }
        })
        .try_for_each_concurrent(None, |shard| async move {
            reader::read_to_the_end(client, shard, options.clone(), ledger).await;
            Ok(())
        })
        .await
}
