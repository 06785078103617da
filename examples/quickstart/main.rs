//! Watch every shard of a live, resharding stream arrive, parents first.
//!
//! `cargo run --example quickstart` needs nothing: an in-process Kinesis is split and merged while it is written and read.
//! `cargo run --example quickstart -- --stream NAME` follows a stream in your AWS account. `-- --help` tells more.

mod args;
mod ledger;
mod producer;
mod reader;

use std::process::ExitCode;
use std::sync::Arc;

use aws_config::BehaviorVersion;
use aws_sdk_kinesis::Client;
use futures::{StreamExt, TryStreamExt};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{Error, StartAt, try_all_shards};

use crate::args::Args;
use crate::ledger::Ledger;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::get();
    let result = match &args.stream {
        None => demo().await,
        Some(stream) => follow(stream, &args).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", with_cause(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error, and what lies at the bottom of it.
fn with_cause(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    match causes.last() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// On an in-process Kinesis: whether all that was written was read, once, in order.
async fn demo() -> Result<bool, Error> {
    let kinesis = FakeKinesis::new();
    let stream = kinesis.create_stream("orders", 2);
    println!(
        "An in-process Kinesis, stream orders, 2 shards. It is written for 6 s, and split and merged meanwhile.\n"
    );

    let ledger = Arc::new(Ledger::new());
    let consumer = consume(kinesis.client(), "orders", StartAt::TrimHorizon, Arc::clone(&ledger));
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
async fn follow(stream: &str, args: &Args) -> Result<bool, Error> {
    let mut config = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &args.region {
        config = config.region(aws_sdk_kinesis::config::Region::new(region.clone()));
    }
    if let Some(url) = &args.endpoint_url {
        config = config.endpoint_url(url);
    }
    let client = Client::new(&config.load().await);
    println!("Following {stream} from {:?}. Ctrl-C ends it.\n", args.from);

    let ledger = Arc::new(Ledger::new());
    tokio::select! {
        result = consume(client, stream, args.from, Arc::clone(&ledger)) => result?,
        stop = tokio::signal::ctrl_c() => stop.expect("Ctrl-C can be listened for"),
    }
    ledger.totals();
    Ok(true)
}

/// Reads all shards at once, each after its parents.
async fn consume(client: Client, stream: &str, from: StartAt, ledger: Arc<Ledger>) -> Result<(), Error> {
    let (client, ledger) = (&client, &*ledger);
    try_all_shards(client, stream)
        .start_at(from)
        .filter_map(|shard| async move {
            match shard {
                // It is tried again by itself. What no retry will mend ends the program, if it never worked.
                Err(error) if error.is_retryable() || ledger.has_shards() => {
                    ledger.note(&format!("{}; it is tried again", with_cause(&error)));
                    None
                }
                shard => Some(shard),
            }
        })
        .try_for_each_concurrent(None, |shard| async move {
            reader::read_to_the_end(client, shard, ledger).await;
            Ok(())
        })
        .await
}
