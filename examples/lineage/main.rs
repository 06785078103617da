//! Draws the lineage of a stream: which shards were split and merged, what is read, what waits.
//!
//! `cargo run --example lineage` draws an in-process Kinesis. `-- --stream NAME` draws a stream of
//! yours, and `--checkpoints FILE` shows how far the consumer with that `FileStore` has read it.
//! The picture is a flowchart for Mermaid (`--mermaid`, the default: GitHub shows it in Markdown),
//! a graph for Graphviz (`--dot`), or a drawing (`--svg`).

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod common;
mod graph;
mod render;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use aws_sdk_kinesis::types::Shard;
use clap::Parser;
use futures::StreamExt;
use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, StoredCheckpoints};
use kinesis_shards::listing::shard_lists;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{Checkpoints, FileStore, MemoryStore, ShardStreamExt, StreamId, all_shards};

use crate::common::error::with_cause;
use crate::common::source::Source;

/// Draws the lineage of a stream.
#[derive(Parser)]
struct Args {
    /// The stream to draw, by name or ARN; an in-process one without
    #[arg(long, value_name = "NAME")]
    stream: Option<StreamId>,

    /// The file of a `FileStore` with the checkpoints of a consumer that does not run
    #[arg(long, value_name = "FILE", requires = "stream")]
    checkpoints: Option<PathBuf>,

    /// A flowchart for Mermaid (the default)
    #[arg(long = "mermaid", group = "format")]
    _mermaid: bool,

    /// A graph for Graphviz
    #[arg(long, group = "format")]
    dot: bool,

    /// A drawing
    #[arg(long, group = "format")]
    svg: bool,

    #[command(flatten)]
    source: Source,
}

type Stored = BTreeMap<String, Checkpoint>;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let loaded = match &args.stream {
        None => demo().await,
        Some(stream) => load(stream, &args).await,
    };
    let (shards, checkpoints) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let nodes = graph::nodes(&shards, checkpoints.as_ref());
    let picture = match args {
        Args { dot: true, .. } => render::dot(&nodes),
        Args { svg: true, .. } => render::svg(&nodes),
        _ => render::mermaid(&nodes),
    };
    print!("{picture}");
    ExitCode::SUCCESS
}

/// Lists the shards of a stream, and loads the checkpoints of its consumer.
async fn load(stream: &StreamId, args: &Args) -> Result<(Vec<Shard>, Option<Stored>), String> {
    let client = args.source.client(stream).await?;
    let mut lists = shard_lists(&client, stream.clone(), Duration::from_secs(30));
    let list = lists.next().await.ok_or("no list of shards")?;
    let list = list.map_err(|error| with_cause(&error))?;
    let shards = list.shards().cloned().collect();
    let Some(path) = &args.checkpoints else { return Ok((shards, None)) };
    let store = FileStore::open(path).map_err(|error| with_cause(&error))?;
    Ok((shards, Some(stored(store, stream).await?)))
}

/// Loads the checkpoints of a stream.
async fn stored(store: impl CheckpointStore, stream: &StreamId) -> Result<Stored, String> {
    let stored = StoredCheckpoints::load(store, stream).await;
    let stored = stored.map_err(|error| with_cause(&error))?;
    Ok(stored.iter().map(|(id, checkpoint)| (id.to_owned(), checkpoint.clone())).collect())
}

/// Splits and merges an in-process stream, and reads a part of it.
async fn demo() -> Result<(Vec<Shard>, Option<Stored>), String> {
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 3);
    let client = kinesis.client();
    let id = |number: u32| format!("shardId-{number:012}");
    for shard in 0..3 {
        orders.put_to(&id(shard), "an order");
    }
    let (low, high) = orders.split(&id(0));
    orders.put_to(&low, "an order");
    let merged = orders.merge(&high, &id(1));
    let (_, upper) = orders.split(&merged);
    orders.merge(&upper, &id(2));

    // This consumer has acknowledged all but the record of shard 1.
    let store = MemoryStore::new();
    let checkpoints = Checkpoints::load(store.clone(), "orders").await;
    let checkpoints = checkpoints.map_err(|error| error.to_string())?;
    let shards = all_shards(&client, "orders").checkpoints(&checkpoints);
    let records = shards.records(&client).take_until(tokio::time::sleep(Duration::from_secs(2)));
    let mut records = pin!(records);
    let mut held = Vec::new();
    while let Some(record) = records.next().await {
        let record = record.map_err(|error| error.to_string())?;
        if record.shard_id() == id(1) {
            held.push(record);
        } else {
            drop(record.ack());
        }
    }
    checkpoints.flush().await;
    Ok((orders.shards(), Some(stored(store, &StreamId::from("orders")).await?)))
}
