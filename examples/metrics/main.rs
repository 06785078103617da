//! Shows the figures of a consumer to Prometheus.
//!
//! `cargo run --example metrics` reads an in-process Kinesis for some seconds, and prints the page
//! that Prometheus would scrape. `cargo run --example metrics -- --stream NAME --port 9100` reads a
//! stream of yours, and serves the page until Ctrl-C. `dashboard.json` is a dashboard for Grafana,
//! and `alerts.yml` holds rules for Prometheus.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod common;
mod exporter;

use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use clap::Parser;
use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, StreamId, all_shards};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::common::ctrl_c::ctrl_c;
use crate::common::logs;
use crate::common::source::Source;

/// Shows the figures of a consumer to Prometheus.
#[derive(Parser)]
struct Args {
    /// The stream to read, by name or ARN; an in-process one without
    #[arg(long, value_name = "NAME")]
    stream: Option<StreamId>,

    /// The port of the page on 127.0.0.1; 0 takes any
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    #[command(flatten)]
    source: Source,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), String> {
    logs::print_warnings("kinesis_shards");
    let figures = exporter::builder().install_recorder().map_err(|error| error.to_string())?;
    kinesis_shards::metrics::describe();
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await;
    let listener = listener.map_err(|error| format!("port {}: {error}", args.port))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("http://{address}/metrics");
    tokio::spawn(exporter::serve(listener, figures.clone()));
    match &args.stream {
        Some(stream) => {
            let client = args.source.client(stream).await?;
            tokio::select! {
                result = consume(&client, stream) => result,
                () = ctrl_c() => Ok(()),
            }
        }
        None => demo(&figures).await,
    }
}

/// Reads an in-process Kinesis for some seconds, and prints the figures.
async fn demo(figures: &PrometheusHandle) -> Result<(), String> {
    const TIME: Duration = Duration::from_secs(6);
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 2);
    let produce = async {
        for n in 0_u32.. {
            orders.put(&format!("customer {}", n % 10), format!("order {n}"));
            if n == 100 {
                orders.split("shardId-000000000000");
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let client = kinesis.client();
    let stream = StreamId::from("orders");
    tokio::select! {
        result = consume(&client, &stream) => result?,
        () = produce => {}
        () = sleep(TIME) => {}
    }
    println!("{}", figures.render());
    Ok(())
}

/// Reads a stream, and keeps its gauges up to date. Ends with an error, or not at all.
async fn consume(client: &Client, stream: &StreamId) -> Result<(), String> {
    let checkpoints = Checkpoints::load(MemoryStore::new(), stream.clone()).await;
    let checkpoints = checkpoints.map_err(|error| error.to_string())?;
    let shards = all_shards(client, stream.clone()).checkpoints(&checkpoints);
    let mut records = shards.records(client).auto_ack();
    let read = async {
        while let Some(record) = records.next().await {
            drop(record.map_err(|error| error.to_string())?);
        }
        Ok(())
    };
    // The gauges are also set while no record comes.
    let set_gauges = async {
        loop {
            checkpoints.record_metrics();
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        result = read => result,
        never = set_gauges => never,
    }
}
