//! A job that copies the records of a stream into files, one for each shard, up to the tip of the
//! stream: on all cores, with a progress bar for each shard, and with each record once.
//!
//! `cargo run --example backfill -- orders backfill` copies a stream of yours into a directory, and
//! ends by itself. The next run continues after the last line of each file, with the records that
//! have arrived since. That also holds for a run that was killed, so Ctrl-C and SIGTERM, which end
//! the process at once, need no handler. The environment says which AWS account and region, or with
//! `AWS_ENDPOINT_URL` which other server.
//!
//! The section "Backfills and batch jobs" of `kinesis_shards::records` says more.

#[path = "../common/log_lag.rs"]
mod log_lag;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, IsTerminal, Read, Seek, SeekFrom, Write as _, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aws_config::BehaviorVersion;
use aws_sdk_kinesis::Client;
use aws_smithy_types::base64;
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kinesis_shards::records::{Batches, EndReason};
use kinesis_shards::shard::{Progress, StartPosition};
use kinesis_shards::{ReadOptions, StopAt, StreamId, all_shards};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tracing::Level;

use log_lag::log_lag;

/// The maximum length of a complete line and a part of the next one: a record is up to 10 MiB, here
/// in base64.
const TAIL: u64 = 32 << 20;

/// Copies the records of a Kinesis stream into files, one for each shard, and ends at its tip.
#[derive(Parser)]
pub(crate) struct Args {
    /// The stream's name or ARN
    pub(crate) stream: StreamId,
    /// The directory of the files, which is created if it does not exist. Each line is a record as
    /// JSON, with `SequenceNumber`, `PartitionKey` and `Data` in base64
    pub(crate) dir: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    // On a terminal, the bars show the lag.
    let level = if stderr().is_terminal() { Level::WARN } else { Level::INFO };
    tracing_subscriber::fmt().with_writer(stderr).with_max_level(level).init();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    backfill(&Client::new(&config), Args::parse(), log_lag(ReadOptions::new())).await
}

/// Copies every record that the stream holds and that is in no file yet.
pub(crate) async fn backfill(client: &Client, args: Args, options: ReadOptions) -> Result<()> {
    std::fs::create_dir_all(&args.dir)?;
    let lock = File::create(args.dir.join(".lock"))?;
    lock.try_lock().context("another run writes to this directory")?;
    let mut starts = Vec::new();
    for file in std::fs::read_dir(&args.dir)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let shard = name.strip_suffix(".jsonl").filter(|name| name.starts_with("shardId-"));
        let Some(shard) = shard else { continue };
        let last = last_record(&path).with_context(|| format!("cannot resume {name}"))?;
        starts.extend(last.map(|last| (shard.to_owned(), Progress::At(last))));
    }
    let bars = MultiProgress::new();
    let shards = all_shards(client, args.stream).resume(starts).until(StopAt::Tip).ready().await?;
    let copied = shards.map(Ok).try_for_each_concurrent(None, |shard| {
        let path = args.dir.join(shard.id()).with_extension("jsonl");
        let bar = bars.add(ProgressBar::new(0).with_prefix(shard.id().to_owned()));
        // A task for each shard: its pages are parsed and written on any core.
        let copy = copy(shard.batches(client).with_options(options.clone()), path, bar);
        async { tokio::spawn(copy).await? }
    });
    copied.await
}

async fn copy(mut batches: Batches, path: PathBuf, bar: ProgressBar) -> Result<()> {
    bar.set_style(ProgressStyle::with_template("{prefix} {bar:40} {eta} left")?);
    let mut file = File::options().append(true).create(true).open(path)?;
    while let Some(batch) = batches.try_next().await? {
        let lag = batch.lag().unwrap_or_default().as_secs();
        let mut lines = String::new();
        for record in batch {
            let (number, key) = (record.sequence_number(), record.partition_key());
            let data = base64::encode(record.data());
            let line = json!({ "SequenceNumber": number, "PartitionKey": key, "Data": data });
            writeln!(lines, "{line}")?;
        }
        block_in_place(|| file.write_all(lines.as_bytes()))?;
        let length = lag.max(bar.length().unwrap_or_default());
        bar.set_length(length);
        bar.set_position(length - lag);
    }
    // Any other reason offers the shard again, from where this run has begun it.
    let ended = batches.ended();
    let is_read = matches!(ended, Some(EndReason::EndOfShard { .. } | EndReason::Reached));
    anyhow::ensure!(is_read, "a shard was not read to its end: {ended:?}; the next run continues");
    bar.finish_and_clear();
    Ok(())
}

/// Returns the position after the last line of a file, and cuts off what a killed run has
/// written of another. A file without a complete line has no last record.
fn last_record(path: &Path) -> Result<Option<StartPosition>> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    anyhow::ensure!(start == 0 || end > 0, "no complete line within the last {TAIL} bytes");
    file.set_len(start + end as u64)?;
    let Some(line) = tail[..end].lines().last() else { return Ok(None) };
    let line: Value = serde_json::from_str(&line?)?;
    let number = line["SequenceNumber"].as_str().context("the last line is not a record")?;
    Ok(Some(StartPosition::After(number.to_owned())))
}
