//! A service of which any number of replicas run, and share the shards of a stream.
//!
//! `cargo run --example replicas -- orders orders-application` prints the records of the shards
//! that this replica has the leases of, until Ctrl-C or SIGTERM. Replicas may start, stop and crash
//! at any time. The environment says which AWS account and region, or with `AWS_ENDPOINT_URL` which
//! other server.
//!
//! The documentation of `kinesis_shards::lease` says what happens in a deploy, and in a crash.

#[path = "../common/log_lag.rs"]
mod log_lag;
#[path = "../common/stop_signal.rs"]
mod stop_signal;

use std::time::Duration;

use aws_config::BehaviorVersion;
use clap::Parser;
use futures::{TryFutureExt, TryStreamExt};
use kinesis_shards::lease::Leases;
use kinesis_shards::{ReadOptions, ShardStreamExt, StreamId, all_shards};

use log_lag::log_lag;
use stop_signal::stop_signal;

/// Prints the records of a Kinesis stream, together with all other replicas of the application.
#[derive(Parser)]
struct Args {
    /// The stream's name or ARN
    stream: StreamId,
    /// The application: the name of its table of leases in DynamoDB. The table of its workers has
    /// this name and `-workers`. Missing tables are created
    application: String,
}

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Args { stream, application } = Args::parse();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = aws_sdk_kinesis::Client::new(&config);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let leases = Leases::join(&dynamodb, &application, stream.clone()).await?;

    // A stream that does not exist, or a missing permission, ends the program.
    let shards = all_shards(&client, stream).leased(&leases).ready().await?;
    let records = shards.records(&client).with_options(log_lag(ReadOptions::new()));
    // A record is acknowledged when the next one is polled for: after it was printed.
    let consume = records.auto_ack().try_for_each(async |record| {
        println!("{} {}", record.shard_id(), String::from_utf8_lossy(record.data()));
        Ok(())
    });
    let shutdown = async {
        stop_signal().await?;
        // Within the 30 s that Kubernetes grants, all leases are given away. Meanwhile, the last
        // records are processed.
        let report = leases.shutdown(Duration::from_secs(25)).await;
        anyhow::ensure!(report.is_complete(), "{report}: others handle the last records again");
        Ok(())
    };
    // An error that no retry mends ends the program at once. A shutdown ends the records first.
    tokio::try_join!(consume.map_err(Into::into), shutdown)?;
    Ok(())
}
