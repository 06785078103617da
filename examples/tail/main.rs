//! `tail -f` for a Kinesis stream that is split and merged meanwhile.
//!
//! `cargo run --example tail -- orders` prints what is written from now on to a stream in your AWS account. `-- --help` tells more.

mod args;
#[path = "../common/mod.rs"]
mod common;
mod console;
mod line;
mod output;
mod progress;
mod replay;
mod units;

use std::error::Error;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::future::{Either, ready, select};
use futures::{FutureExt, StreamExt};
use kinesis_shards::{ShardStreamExt, try_all_shards};
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval_at, timeout};

use crate::args::Args;
use crate::common::with_cause;
use crate::console::Console;
use crate::progress::Progress;
use crate::replay::Replay;

const PROGRESS_EVERY: Duration = Duration::from_secs(3);
/// How long a stdout that takes nothing may hold up the end.
const LAST_WRITE: Duration = Duration::from_secs(1);

enum End {
    CtrlC,
    /// Nobody reads stdout any more.
    Closed,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = Runtime::new().expect("a runtime with timers and signals");
    let (console, mut progress) = (Console::new(), Progress::new());
    let end = runtime.block_on(tail(&args, &console, &mut progress));
    // Not dropped: that would wait for a stdout that takes nothing.
    runtime.shutdown_background();
    match end {
        Ok(End::CtrlC) => progress.summary(&console),
        Ok(End::Closed) => console.end(),
        Err(error) => {
            console.end();
            console.say(&format!("error: {}", with_cause(&*error)));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn tail(args: &Args, console: &Console, progress: &mut Progress) -> Result<End, Box<dyn Error>> {
    let mut ctrl_c = pin!(tokio::signal::ctrl_c().map(|stop| stop.expect("Ctrl-C can be listened for")));
    let mut closed = pin!(output::closed());
    let client = tokio::select! {
        client = args.source.client(&args.stream) => client?,
        () = &mut ctrl_c => return Ok(End::CtrlC),
    };

    let shards = try_all_shards(&client, &args.stream).start_at(args.source.from).filter_map(|shard| {
        ready(shard.map_err(|error| console.say(&format!("{}; it is tried again", with_cause(&error)))).ok())
    });
    // By the page: each comes with its lag, and is one write.
    let options = progress.watched();
    let options = if args.deaggregate { options.deaggregate() } else { options };
    let mut batches = shards.batches(&client).with(options);

    let line = if args.json { line::json } else { line::text };
    let mut stdout = tokio::io::stdout();
    let mut replay = Replay::default();
    let mut ticks = interval_at(Instant::now() + PROGRESS_EVERY, PROGRESS_EVERY);
    loop {
        let batch = tokio::select! {
            // In this order: a stream that always has records must not keep the others waiting.
            biased;
            () = &mut ctrl_c => return Ok(End::CtrlC),
            () = &mut closed => return Ok(End::Closed),
            _ = ticks.tick() => {
                progress.tick(console, batches.lags());
                continue;
            }
            batch = batches.next() => batch.expect("the stream of shards never ends"),
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                replay.failed(error.shard_id());
                console.say(&format!("{}; the shard is tried again", with_cause(&error)));
                continue;
            }
        };
        let lag = batch.lag();
        let records = replay.fresh(batch);
        let lines: String = records.iter().map(|record| line(record, lag)).collect();
        console.make_room();
        let print = pin!(output::print(&mut stdout, &lines));
        let printed = match select(print, &mut ctrl_c).await {
            Either::Left((printed, _)) => printed,
            Either::Right(((), print)) => {
                let _ = timeout(LAST_WRITE, print).await;
                return Ok(End::CtrlC);
            }
        };
        match printed {
            Ok(()) => progress.read(&records),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Closed),
            Err(error) => return Err(error.into()),
        }
        console.restore();
    }
}
