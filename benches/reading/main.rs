//! The speed of reading, compared with the SDK's bare `GetRecords` loop: `cargo bench --bench
//! reading`.
//!
//! Every limit is for a ratio within one run; records and bytes per second depend on the machine.
//! Instructions are counted by valgrind, if it is installed. `-- --check` fails if a figure is over
//! its limit. `-- PART` measures one part, such as `acknowledgements`. `-- --count CASE PAGES`
//! reads a workload once, for a profiler, such as `cbor-auto_ack 3`.
//!
//! This is a program of its own, without the counting allocator of `ratios`, on whose counters
//! threads contend.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the benches share it, and each uses a part")]
mod common;
mod fan_out;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use kinesis_shards::checkpoint::{CheckpointOptions, CheckpointedShard};
use kinesis_shards::lease::Leases;
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::{FakeKinesis, FakeStream, LeaseBoard};
use kinesis_shards::{
    Checkpoints, MemoryStore, ReadOptions, ShardHandle, ShardStreamExt, all_shards,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{interval, sleep};

use crate::common::canned::Format;
use crate::common::canned_records::CannedRecords;
use crate::common::instructions;
use crate::common::loopback::serve_idle_shards;
use crate::common::measure::{
    median, processor_seconds, processor_seconds_per_item, ratio, seconds_per_item, to_f64,
};
use crate::common::parked::{PARKED, Workers};
use crate::common::table::Table;
use crate::common::workload::{
    Workload, handles, read_acknowledged, read_and_ack, read_and_ack_batches, read_auto_ack,
    read_bare, read_batches, read_records,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // This is how the program calls itself.
    if let Some(at) = args.iter().position(|arg| arg == instructions::COUNT) {
        run_counted(&args[at + 1..]);
        return ExitCode::SUCCESS;
    }
    let is_named = |name: &str| args.iter().any(|arg| arg == name);
    let runs = |part: &str| is_named(part) || !PARTS.iter().any(|part| is_named(part));
    let mut table = Table::new();
    let what = "all records of all shards / the SDK's bare GetRecords loops, side by side";
    Table::heading(&format!("Reading: {what}"));
    let small = |shards, pages| Workload { shards, pages, records: 10_000, bytes: 100 };
    let large = |shards, pages| Workload { shards, pages, records: 8, bytes: 1 << 20 };
    if runs("throughput") {
        let small_pages = [small(1, 10), small(8, 3), small(64, 1)];
        let large_pages = [large(1, 4), large(8, 2), large(64, 1)];
        for workload in small_pages.into_iter().chain(large_pages) {
            measure_throughput(&mut table, workload);
        }
        measure_spawn_on(&mut table, small(8, 8));
    }
    if runs("formats") {
        measure_formats(&mut table);
    }
    if runs("acknowledgements") {
        measure_acknowledgements(&mut table, small(8, 1));
    }
    if runs("leases") {
        measure_leases(&mut table, small(8, 2));
    }
    if runs("idle") {
        measure_idle_shards(&mut table);
        measure_wake_ups(&mut table);
        measure_parked_shards(&mut table);
    }
    if runs("latency") {
        measure_latency(&mut table);
    }
    if runs("fan_out") {
        fan_out::measure(&mut table);
    }

    let over_limit = table.finish();
    if is_named("--check") && over_limit > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The parts that can be measured alone.
const PARTS: [&str; 7] =
    ["throughput", "formats", "acknowledgements", "leases", "idle", "latency", "fan_out"];

/// Reads a workload once, so that valgrind counts its instructions, or for a profiler: `--count
/// CASE PAGES`. A case is a format and what reads it, such as `cbor-auto_ack`. Listed shards, of
/// `checkpoints` and `leases`, are read in JSON.
fn run_counted(args: &[String]) {
    let [case, pages] = args else { panic!("usage: {} CASE PAGES", instructions::COUNT) };
    let (format, case) = case.split_once('-').expect("a format and what reads it");
    let format = if format == "json" { Format::Json } else { Format::Cbor };
    let pages = pages.parse().expect("a number of pages");
    let workload = Workload { shards: 8, pages, records: 10_000, bytes: 100 };
    let client = match case {
        "checkpoints" | "leases" => {
            assert!(format == Format::Json, "the shards are listed in JSON");
            workload.client_with_list()
        }
        _ => workload.client_in(format),
    };
    runtime().block_on(async {
        match case {
            "setup" => {}
            "bare" => read_bare(&client, workload).await,
            "records" => read_records(&client, workload, ReadOptions::new()).await,
            "batches" => read_batches(&client, workload).await,
            "auto_ack" => read_auto_ack(&client, workload).await,
            "ack" => read_and_ack(&client, workload).await,
            "ack_batches" => read_and_ack_batches(&client, workload).await,
            "checkpoints" => {
                read_with_checkpoints(&client, workload).await;
            }
            "leases" => {
                read_with_leases(&client, workload).await;
            }
            _ => panic!("no such case: {case}"),
        }
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn paused_runtime() -> Runtime {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().expect("a runtime")
}

fn measure_throughput(table: &mut Table, workload: Workload) {
    let runtime = runtime();
    let client = workload.client();
    let total = workload.total_records();
    let bare = || seconds_per_item(total, || runtime.block_on(read_bare(&client, workload)));
    let mut best = f64::MAX;
    let ours = || {
        let options = ReadOptions::new();
        let seconds = seconds_per_item(total, || {
            runtime.block_on(read_records(&client, workload, options));
        });
        best = best.min(seconds);
        seconds
    };
    let wall = ratio(9, ours, bare);
    let Workload { shards, records, bytes, .. } = workload;
    let what = format!("{shards} shards, pages of {records} records of {bytes} bytes: ");
    // 0.95 of the records per second of the bare loop; 0.9 of many loops.
    let limit = if shards == 1 { 1.0 / 0.95 } else { 1.0 / 0.9 };
    table.row(&format!("{what}wall time"), limit, wall);
    if shards == 1 {
        let ours = || seconds_per_item(total, || runtime.block_on(read_batches(&client, workload)));
        let wall = ratio(9, ours, bare);
        table.row(&format!("{what}wall time, by `batches`"), limit, wall);
    }
    Table::note(&format!("{what}records/s"), 1.0 / best);
    Table::note(&format!("{what}MB/s"), to_f64(bytes) / best / 1e6);
}

/// Compares parsing on two threads with parsing on the thread that takes the records.
fn measure_spawn_on(table: &mut Table, workload: Workload) {
    let client = workload.client();
    let total = workload.total_records();
    let mut two = Builder::new_multi_thread();
    let two = two.worker_threads(2).enable_time().build().expect("a runtime");
    let run = |options: fn(&Handle) -> ReadOptions| {
        let options = options(two.handle());
        let client = client.clone();
        let read = async move { read_records(&client, workload, options).await };
        seconds_per_item(total, || two.block_on(two.spawn(read)))
    };
    let spawned = || run(|runtime| ReadOptions::new().spawn_on(runtime.clone()));
    let wall = ratio(9, spawned, || run(|_| ReadOptions::new()));

    // The bound: two threads that share nothing but the allocator.
    let read_half = || {
        let half = Workload { shards: workload.shards / 2, ..workload };
        runtime().block_on(read_bare(&client, half));
    };
    let on_two = || {
        seconds_per_item(total, || {
            std::thread::scope(|scope| {
                scope.spawn(read_half);
                scope.spawn(read_half);
            });
        })
    };
    let one = runtime();
    let on_one = || seconds_per_item(total, || one.block_on(read_bare(&client, workload)));
    let what = "8 shards, bare loops on two threads that share nothing / on one: wall time";
    Table::note(what, ratio(9, on_two, on_one));
    // 1.8 times the records per second.
    table.row("8 shards on two cores, `spawn_on` / without it: wall time", 1.0 / 1.8, wall);
}

/// Compares reading in CBOR with the bare loop in JSON, by processor time.
fn measure_formats(table: &mut Table) {
    let runtime = runtime();
    for (pages, records, bytes, limit) in [
        (3, 10_000, 100, 0.55),
        (1, 10_000, 1_000, 0.55),
        (6, 1_000, 1_000, 0.35),
        (6, 10, 1_000_000, 0.15),
    ] {
        let workload = Workload { shards: 8, pages, records, bytes };
        let timed = |read: LocalBoxFuture<'_, ()>| {
            processor_seconds_per_item(workload.total_records(), || runtime.block_on(read))
        };
        let json = workload.client_in(Format::Json);
        let cbor = workload.client_in(Format::Cbor);
        let ours = |client| {
            move || timed(read_records(client, workload, ReadOptions::new()).boxed_local())
        };
        let bare = |client| move || timed(read_bare(client, workload).boxed_local());
        let what = format!("8 shards, pages of {records} records of {bytes} bytes");
        let floor = format!("{what}: processor time / the bare loop in JSON");
        table.row(&format!("{floor}, in CBOR"), limit, ratio(9, ours(&cbor), bare(&json)));
        Table::note(&format!("{floor}, in JSON"), ratio(9, ours(&json), bare(&json)));
        Table::note(&format!("{floor}, the bare loop in CBOR"), ratio(9, bare(&cbor), bare(&json)));
        let seconds = median((0..5).map(|_| bare(&json)()).collect());
        Table::note(&format!("{what}: microseconds, the bare loop in JSON"), seconds * 1e6);
    }
}

/// Compares reading with acknowledgements with plain reading, by processor time.
fn measure_acknowledgements(table: &mut Table, workload: Workload) {
    let runtime = runtime();
    let timed = |read: LocalBoxFuture<'_, ()>| {
        processor_seconds_per_item(workload.total_records(), || runtime.block_on(read))
    };
    for format in [Format::Json, Format::Cbor] {
        let client = workload.client_in(format);
        let records = || timed(read_records(&client, workload, ReadOptions::new()).boxed_local());
        let batches = || timed(read_batches(&client, workload).boxed_local());
        let auto_ack = || timed(read_auto_ack(&client, workload).boxed_local());
        let ack_batches = || timed(read_and_ack_batches(&client, workload).boxed_local());
        let ack = || timed(read_and_ack(&client, workload).boxed_local());
        let what = format!("8 shards in {format:?}, with checkpoints / without: ");
        table.row(&format!("{what}`auto_ack`"), 1.1, ratio(41, auto_ack, records));
        let (batches, ack) = (ratio(41, ack_batches, batches), ratio(41, ack, records));
        if format == Format::Json {
            table.row(&format!("{what}`batches`"), 1.1, batches);
            table.row(&format!("{what}`ack`"), 1.3, ack);
        } else {
            // A vector of all records of a page, and the locks of each record, show beside parsing
            // that takes a fifth of the time.
            Table::note(&format!("{what}`batches`"), batches);
            Table::note(&format!("{what}`ack`"), ack);
        }
        let name = if format == Format::Json { "json" } else { "cbor" };
        let [with, without, setup] =
            ["auto_ack", "records", "setup"].map(|case| format!("{name}-{case}"));
        let counted = instructions::ratio(&with, &without, &setup, 1);
        table.valgrind_row(&format!("{what}`auto_ack`, instructions"), 1.1, counted);
        let per_second = 1.0 / median((0..5).map(|_| records()).collect());
        Table::note(&format!("8 shards in {format:?}: records per second of a core"), per_second);
    }
}

/// Compares reading under leases with reading with checkpoints, both with `auto_ack`.
///
/// Under a lease, a coarse clock is read for each record: a process that was stopped must not
/// deliver the rest of its page once another worker may own the shard.
fn measure_leases(table: &mut Table, workload: Workload) {
    let client = workload.client_with_list();
    let runtime = runtime();
    let checkpoints = || runtime.block_on(read_with_checkpoints(&client, workload));
    let leases = || runtime.block_on(read_with_leases(&client, workload));
    let what = "8 shards with `auto_ack`, under leases / with checkpoints";
    table.row(&format!("{what}: processor time"), 1.02, ratio(161, leases, checkpoints));
    let counted = instructions::ratio("json-leases", "json-checkpoints", "json-setup", 1);
    table.valgrind_row(&format!("{what}: instructions"), 1.02, counted);
}

/// Reads listed shards with checkpoints and `auto_ack`. Returns the seconds of processor time.
async fn read_with_checkpoints(client: &Client, workload: Workload) -> f64 {
    // Leases save so by default.
    let options = CheckpointOptions::new().save_interval(Duration::from_secs(30));
    let options = options.save_records(u32::MAX);
    let checkpoints = Checkpoints::load_with(MemoryStore::new(), "orders", options).await;
    let shards = all_shards(client, "orders").checkpoints(&checkpoints.expect("none"));
    seconds_after_opening(client, workload, shards).await
}

/// Reads listed shards under leases with `auto_ack`. Returns the seconds of processor time.
async fn read_with_leases(client: &Client, workload: Workload) -> f64 {
    let board = LeaseBoard::new();
    board.set_latency(Duration::ZERO);
    let leases = Leases::join(&board, "bench", "orders").await.expect("a worker");
    let shards = all_shards(client, "orders").leased(&leases);
    seconds_after_opening(client, workload, shards).await
}

/// Returns the seconds of processor time in which the workload is read. The time until its shards
/// are offered does not count.
async fn seconds_after_opening<S>(client: &Client, workload: Workload, mut shards: S) -> f64
where
    S: Stream<Item = CheckpointedShard> + Unpin,
{
    let mut opened = Vec::new();
    while opened.len() < workload.shards {
        opened.push(shards.next().await.expect("a shard"));
    }
    let start = processor_seconds();
    read_acknowledged(client, workload, stream::iter(opened).chain(shards)).await;
    processor_seconds() - start
}

/// Returns the seconds of processor time that a bare `GetRecords` request takes.
async fn seconds_per_get_records(client: &Client) -> f64 {
    const REQUESTS: usize = 10_000;
    let mut seconds = 0.0;
    for _ in 0..2 {
        // The first round is a warm-up.
        let start = Instant::now();
        for _ in 0..REQUESTS {
            client.get_records().shard_iterator("0").send().await.expect("a response");
        }
        seconds = start.elapsed().as_secs_f64();
    }
    seconds / to_f64(REQUESTS)
}

/// Reads many shards without records, on a paused clock.
fn measure_idle_shards(table: &mut Table) {
    const SHARDS: usize = 10_000;
    const SECONDS: usize = 30;
    let client = CannedRecords::idle().client();
    paused_runtime().block_on(async {
        let floor = seconds_per_get_records(&client).await;
        let shards: Vec<ShardHandle> = handles(SHARDS).take(SHARDS).collect().await;
        let shards = stream::iter(shards).chain(stream::pending());
        let mut batches = Box::pin(shards.batches(&client));
        for _ in 0..3 {
            // The first reads come at once and do not count.
            future::select(batches.next(), Box::pin(sleep(Duration::from_secs(1)))).await;
        }
        let start = Instant::now();
        let pause = sleep(Duration::from_secs(SECONDS as u64));
        future::select(batches.next(), Box::pin(pause)).await;
        let per_second = start.elapsed().as_secs_f64() / to_f64(SHARDS * SECONDS);
        let what = format!("{SHARDS} idle shards: ");
        let ratio = per_second / floor;
        table.row(&format!("{what}processor time / bare GetRecords once a second"), 1.5, ratio);
        let micros = per_second * 1e6;
        Table::note(&format!("{what}microseconds of processor time per shard and second"), micros);
    });
}

/// Measures the processor time of 64 idle shards in one task of a current-thread runtime, over
/// loopback HTTP and in real time. It depends on how often the task wakes up: at the time of each
/// shard, or once for several shards.
fn measure_wake_ups(table: &mut Table) {
    const SHARDS: u32 = 64;
    const SECONDS: u32 = 20;
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = serve_idle_shards();
    // Returns the seconds of processor time of a minute.
    let measure = |read: LocalBoxFuture<'_, ()>| {
        runtime.block_on(async {
            let mut read = read;
            // The connections and the first reads do not count.
            future::select(&mut read, Box::pin(sleep(Duration::from_secs(3)))).await;
            let start = processor_seconds();
            let pause = sleep(Duration::from_secs(SECONDS.into()));
            future::select(&mut read, Box::pin(pause)).await;
            (processor_seconds() - start) * 60.0 / f64::from(SECONDS)
        })
    };
    let read_bare = async |delay| {
        sleep(delay).await;
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let request = client.get_records().shard_iterator("0").limit(10_000);
            request.send().await.expect("a response");
        }
    };
    let bare = |spread: Duration| {
        let loops: FuturesUnordered<_> = (0..SHARDS).map(|n| read_bare(spread * n)).collect();
        measure(loops.collect::<()>().boxed_local())
    };
    let spread = bare(Duration::from_secs(1) / SHARDS);
    let together = bare(Duration::ZERO);
    let shards = handles(SHARDS as usize).take(SHARDS as usize).chain(stream::pending());
    let mut batches = Box::pin(shards.batches(&client));
    let ours = measure(async { while batches.next().await.is_some() {} }.boxed_local());
    let what = format!("{SHARDS} idle shards over loopback HTTP: processor time");
    table.row(&format!("{what} / bare loops, spread"), 1.0, ours / spread);
    Table::note(&format!("{what} / bare loops, together"), ours / together);
    Table::note(&format!("{what}, seconds a minute"), ours);
}

/// Measures the shards that a worker is offered, and whose leases another worker holds, on a paused
/// clock.
fn measure_parked_shards(table: &mut Table) {
    const MINUTES: usize = 20;
    /// Returns the seconds of processor time that one simulated minute takes.
    async fn seconds_per_minute() -> f64 {
        let mut seconds = Vec::new();
        for _ in 0..MINUTES {
            let start = Instant::now();
            sleep(Duration::from_mins(1)).await;
            seconds.push(start.elapsed().as_secs_f64());
        }
        median(seconds)
    }
    let client = CannedRecords::idle().client();
    let (per_shard, floor) = paused_runtime().block_on(async {
        let floor = seconds_per_get_records(&client).await;
        let workers = Workers::new();
        workers.start_first().await;
        let without = seconds_per_minute().await;
        workers.start_second().await;
        // The difference is small beside the work of the first worker.
        let added = (seconds_per_minute().await - without).max(0.0);
        (added / to_f64(PARKED), floor)
    });
    let what = format!("{PARKED} parked shards: ");
    let ratio = per_shard / floor;
    table.row(&format!("{what}processor time / a bare GetRecords once a minute"), 0.05, ratio);
    let micros = per_shard * 1e6;
    Table::note(&format!("{what}microseconds of processor time per shard and minute"), micros);
}

/// Measures the simulated time from a record's arrival to its delivery, at the tip of a shard: with
/// the default options, and by fan-out. The fake sends an event 70 ms after its record.
fn measure_latency(table: &mut Table) {
    let what = "seconds from arrival to delivery at the tip";
    let [p50, p99] = latencies(|_| ReadOptions::new());
    table.row(&format!("{what}, defaults: p50"), 0.55, p50);
    table.row(&format!("{what}, defaults: p99"), 1.05, p99);
    let [p50, p99] = latencies(|orders| {
        ReadOptions::new().fan_out(&FanOut::consumer(orders.register_consumer("bench")))
    });
    table.row(&format!("{what}, fan-out: p50"), 0.07, p50);
    table.row(&format!("{what}, fan-out: p99"), 0.07, p99);
}

/// Returns the median of the latencies, and the 99th percentile.
fn latencies(options: impl FnOnce(&FakeStream) -> ReadOptions) -> [f64; 2] {
    const RECORDS: usize = 5_000;
    let mut latencies: Vec<f64> = paused_runtime().block_on(async {
        let kinesis = FakeKinesis::new();
        let orders = kinesis.create_stream("orders", 1);
        let client = kinesis.client();
        let records = all_shards(&client, "orders").records(&client);
        let mut records = Box::pin(records.with_options(options(&orders)));
        let writer = async move {
            for _ in 0..RECORDS {
                sleep(Duration::from_millis(fastrand::u64(..4_000))).await;
                orders.put("customer 1", "an order");
            }
            future::pending::<()>().await;
        };
        let millis = |time: DateTime| time.to_millis().expect("a time in range");
        let reader = async {
            let mut latencies = Vec::new();
            while latencies.len() < RECORDS {
                let record = records.next().await.expect("a stream that never ends");
                let record = record.expect("a record");
                let arrival = millis(record.arrival_time().expect("an arrival time"));
                let latency = millis(DateTime::from(kinesis.now())) - arrival;
                let latency = usize::try_from(latency).expect("a delivery after the arrival");
                latencies.push(to_f64(latency) / 1e3);
            }
            latencies
        };
        match future::select(Box::pin(reader), Box::pin(writer)).await {
            future::Either::Left((latencies, _)) => latencies,
            future::Either::Right(_) => unreachable!("the writer never ends"),
        }
    });
    latencies.sort_by(f64::total_cmp);
    [latencies[RECORDS / 2], latencies[RECORDS * 99 / 100]]
}
