//! The changes of a DynamoDB table, from another API in the same order: parents before children.
//!
//! DynamoDB Streams replaces the shards of a table about every four hours, and the changes of an
//! item continue in the child of its shard. The combinator `parents_first` of the crate orders the
//! shards; this program makes the lists for it and reads the shards.
//!
//! `cargo run --example dynamodb_streams` needs no AWS account: an in-process model of a table is
//! written while its shards are replaced.
//!
//! `cargo run --example dynamodb_streams -- --table NAME` prints the changes of a table of yours.
//! `-- --help` lists the options.

mod args;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "this program reads no Kinesis stream")]
mod common;
mod demo;
mod follow;
mod lists;
mod model;
mod print;
mod read;
mod retry;
mod table_stream;

use std::process::ExitCode;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_dynamodbstreams::config::Builder;
use clap::{CommandFactory, FromArgMatches};
use kinesis_shards::{StartAt, StreamId};
use tokio::runtime;

use crate::args::Args;
use crate::common::ctrl_c::ctrl_c;
use crate::common::error::with_cause;
use crate::common::logs;
use crate::follow::follow;
use crate::print::print_event;
use crate::table_stream::{BoxError, TableStream};

fn main() -> ExitCode {
    // The other programs start at the latest record.
    let command = Args::command().mut_arg("from", |from| from.default_value("trim-horizon"));
    let args = Args::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    // The model's clock is that of tokio.
    let mut runtime = runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(args.table.is_none()).build();
    let result = runtime.map_err(Into::into).and_then(|runtime| match &args.table {
        None => runtime.block_on(demo::run()),
        Some(table) => runtime.block_on(follow_table(table, &args)).map(|()| true),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", with_cause(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Prints the changes of a table in the AWS account of the environment.
async fn follow_table(table: &str, args: &Args) -> Result<(), BoxError> {
    logs::print_warnings("kinesis_shards");
    if let StartAt::Timestamp(_) = args.source.from {
        return Err("DynamoDB Streams has no start at a time: pass latest or trim-horizon".into());
    }
    let given = StreamId::from(table);
    let config = args.source.config(&given, args.source.endpoint_url.as_deref()).await?;
    let stream: StreamId = match given.arn() {
        Some(arn) if arn.contains(":kinesis:") => {
            return Err("a Kinesis stream is no table: the example tail prints its records".into());
        }
        Some(arn) => arn.parse()?,
        None => latest_stream(&config, table).await?,
    };
    println!("Reading {stream}. Ctrl-C ends it.\n");
    let stream = Arc::new(TableStream::new(Builder::from(&config), stream.as_str()));
    tokio::select! {
        ended = follow(stream, args.source.from, |shard, event| print_event(shard, &event)) => {
            ended?;
            println!("\nThe stream was disabled, and all its changes are read.");
        }
        () = ctrl_c() => {}
    }
    Ok(())
}

/// Returns the stream that the table has, or had last.
async fn latest_stream(config: &SdkConfig, table: &str) -> Result<StreamId, BoxError> {
    let client = aws_sdk_dynamodb::Client::new(config);
    let described = client.describe_table().table_name(table).send().await;
    let described = described.map_err(aws_sdk_dynamodb::Error::from)?.table;
    let arn = described.and_then(|table| table.latest_stream_arn);
    let arn = arn.ok_or_else(|| format!("table {table} has no stream: enable one"))?;
    Ok(arn.parse()?)
}
