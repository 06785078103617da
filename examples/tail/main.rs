//! `tail -f` for a Kinesis stream, across splits and merges.
//!
//! `cargo run --example tail -- orders` prints the new records of a stream in your AWS account.
//! `-- --help` lists the options.

mod args;
#[path = "../common/mod.rs"]
mod common;
mod console;
mod line;
mod output;
mod progress;
mod replay;
#[path = "../common/units.rs"]
mod units;

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use futures::future::{Either, ready, select};
use kinesis_shards::records::FanOut;
use kinesis_shards::{ShardStreamExt, try_all_shards};
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval_at, timeout};

use crate::args::Args;
use crate::common::ctrl_c::ctrl_c;
use crate::common::error::{LastError, with_cause};
use crate::common::logs;
use crate::console::Console;
use crate::progress::Progress;
use crate::replay::Replay;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// How long a blocked stdout may delay the exit.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the program ends without an error.
enum End {
    CtrlC,
    /// The reader of stdout has closed it.
    Closed,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (console, mut progress) = (Console::new(), Progress::new());
    let end = Runtime::new().map_err(|error| with_cause(&error)).and_then(|runtime| {
        let end = runtime.block_on(tail(&args, &console, &mut progress));
        // Dropping the runtime would wait for a blocked stdout.
        runtime.shutdown_background();
        end
    });
    match end {
        Ok(End::CtrlC) => progress.print_summary(&console),
        Ok(End::Closed) => console.end(),
        Err(error) => {
            console.end();
            console.print(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn tail(args: &Args, console: &Console, progress: &mut Progress) -> Result<End, String> {
    let mut ctrl_c = pin!(ctrl_c());
    let mut closed = pin!(output::closed());
    let connect = async {
        let client = args.source.client(&args.stream).await?;
        let shards = try_all_shards(&client, &args.stream).start_at(args.source.from);
        let shards = shards.ready().await.map_err(|error| with_cause(&error))?;
        let consumer = match args.fan_out.as_deref() {
            None => None,
            Some(arn) if arn.starts_with("arn:") => Some(FanOut::consumer(arn)),
            Some(name) => {
                let consumer = FanOut::register(&client, args.stream.clone(), name).await;
                Some(consumer.map_err(|error| with_cause(&error))?)
            }
        };
        Ok::<_, String>((client, shards, consumer))
    };
    // Failed listings during `ready`. This program prints all other errors itself.
    logs::print_warnings("kinesis_shards::all_shards");
    let (client, shards, consumer) = tokio::select! {
        connected = connect => connected?,
        () = &mut ctrl_c => return Ok(End::CtrlC),
    };

    let last_error = LastError::default();
    let shards = shards.filter_map(|shard| {
        if let Err(error) = &shard {
            console.print(&format!("{}; retrying", last_error.describe(error)));
        }
        ready(shard.ok())
    });
    // A batch has the lag of all its records, and is written at once.
    let options = progress.read_options();
    let options = if args.deaggregate { options.deaggregate() } else { options };
    let options = match &consumer {
        Some(consumer) => options.fan_out(consumer),
        None => options,
    };
    let mut batches = shards.batches(&client).with_options(options);

    let line = if args.json { line::json } else { line::text };
    let mut stdout = tokio::io::stdout();
    let mut replay = Replay::default();
    let mut ticks = interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    loop {
        let batch = tokio::select! {
            // The branch of records is last: a busy stream must not starve the other branches.
            biased;
            () = &mut ctrl_c => return Ok(End::CtrlC),
            () = &mut closed => return Ok(End::Closed),
            _ = ticks.tick() => {
                progress.print(console, batches.lags());
                continue;
            }
            batch = batches.next() => batch.expect("a stream of shards that never ends"),
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                replay.shard_failed(error.shard_id());
                console.print(&format!("{}; retrying", last_error.describe(&error)));
                continue;
            }
        };
        let lag = batch.lag();
        let records = replay.new_records(batch);
        let lines: String = records.iter().map(|record| line(record, lag)).collect();
        console.hide_progress();
        let print = pin!(output::print(&mut stdout, &lines));
        let printed = match select(print, &mut ctrl_c).await {
            Either::Left((printed, _)) => printed,
            Either::Right(((), print)) => {
                let _ = timeout(LAST_WRITE_TIMEOUT, print).await;
                return Ok(End::CtrlC);
            }
        };
        match printed {
            Ok(()) => progress.count(&records),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Closed),
            Err(error) => return Err(format!("cannot write to stdout: {error}")),
        }
        console.show_progress();
    }
}
