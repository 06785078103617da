//! How fast shards are read, beside the SDK's bare `GetRecords` loop: `cargo bench --bench reading`.
//!
//! Every limit is of a ratio within this run; records and bytes a second are this machine's. `-- --check` fails if a figure is over its limit.
//! It is a program of its own, since one that counts its allocations makes its threads wait for each other.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the benches share it, and each uses a part")]
mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::DateTime;
use futures::{StreamExt, future, stream};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, ShardHandle, ShardStreamExt, all_shards};
use tokio::runtime::{Builder, Handle};

use common::canned_records::CannedRecords;
use common::load::{Load, bare, by_the_page, handles, ours};
use common::measure::{count, each, ratio};
use common::table::Table;

fn main() -> ExitCode {
    let mut table = Table::new();
    cases(&mut table);
    let over = table.finish();
    let check = std::env::args().any(|arg| arg == "--check");
    if check && over > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn cases(table: &mut Table) {
    Table::heading("Reading: all records of all shards / the SDK's bare GetRecords loops, side by side");
    let one = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let small = |shards, pages| Load { shards, pages, records: 10_000, bytes: 100 };
    let large = |shards, pages| Load { shards, pages, records: 8, bytes: 1 << 20 };
    for load in [small(1, 10), small(8, 3), small(64, 1), large(1, 4), large(8, 2), large(64, 1)] {
        let client = load.client();
        let total = load.total();
        let mut best = f64::MAX;
        let ours = || {
            let seconds = each(total, || one.block_on(ours(&client, load, ReadOptions::new())));
            best = best.min(seconds);
            seconds
        };
        let wall = ratio(9, ours, || each(total, || one.block_on(bare(&client, load))));
        let Load { shards, records, bytes, .. } = load;
        let what = format!("{shards} shards, pages of {records} records of {bytes} bytes: ");
        // 0.95 of the bare loop's records per second; 0.9 where there are many shards.
        let limit = if shards == 1 { 1.0 / 0.95 } else { 1.0 / 0.9 };
        table.row(&format!("{what}wall time"), limit, wall);
        if shards == 1 {
            let pages = || each(total, || one.block_on(by_the_page(&client, load)));
            let wall = ratio(9, pages, || each(total, || one.block_on(bare(&client, load))));
            table.row(&format!("{what}wall time, by `batches`"), limit, wall);
        }
        Table::note(&format!("{what}records/s"), 1.0 / best);
        Table::note(&format!("{what}MB/s"), count(bytes) / best / 1e6);
    }
    spread(table, small(8, 8));
    idle(table);
    latency(table);
}

/// With the parsing on two threads, and on the one that takes the records.
fn spread(table: &mut Table, load: Load) {
    let client = load.client();
    let two = Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    let total = load.total();
    let run = |options: fn(&Handle) -> ReadOptions| {
        let options = options(two.handle());
        let client = client.clone();
        each(total, || two.block_on(two.spawn(async move { ours(&client, load, options).await })))
    };
    let spread = || run(|runtime| ReadOptions::new().spawn_on(runtime.clone()));
    let wall = ratio(9, spread, || run(|_| ReadOptions::new()));
    // What two threads make of it that share nothing but the allocator.
    let apart = || {
        each(total, || {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let half = Load { shards: load.shards / 2, ..load };
                        let one = Builder::new_current_thread().enable_time().build().expect("a runtime");
                        one.block_on(bare(&client, half));
                    });
                }
            });
        })
    };
    let alone = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let ceiling = ratio(9, apart, || each(total, || alone.block_on(bare(&client, load))));
    Table::note("8 shards, bare loops on two threads that share nothing / on one: wall time", ceiling);
    // 1.8 times the records per second.
    table.row("8 shards on two cores, spread / not spread: wall time", 1.0 / 1.8, wall);
}

/// Many shards in which nothing happens, on a paused clock.
fn idle(table: &mut Table) {
    const SHARDS: usize = 10_000;
    const SECONDS: usize = 30;
    let client = CannedRecords::idle().client();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        // What a bare request costs.
        let floor = || async {
            let begun = Instant::now();
            for _ in 0..SHARDS {
                client.get_records().shard_iterator("0").send().await.expect("an answer");
            }
            begun.elapsed().as_secs_f64() / count(SHARDS)
        };
        floor().await;
        let floor = floor().await;
        let shards: Vec<ShardHandle> = handles(SHARDS).take(SHARDS).collect().await;
        let mut batches = Box::pin(stream::iter(shards).chain(stream::pending()).batches(&client));
        for _ in 0..3 {
            // The first reads are at once, and not counted.
            let pause = tokio::time::sleep(Duration::from_secs(1));
            future::select(batches.next(), Box::pin(pause)).await;
        }
        let begun = Instant::now();
        let pause = tokio::time::sleep(Duration::from_secs(SECONDS as u64));
        future::select(batches.next(), Box::pin(pause)).await;
        let per_second = begun.elapsed().as_secs_f64() / count(SHARDS * SECONDS);
        // A read every 0.95 s.
        table.row(
            "10000 idle shards: processor time / bare GetRecords once a second",
            1.5,
            per_second / floor,
        );
        Table::note(
            "10000 idle shards: microseconds of processor time per shard and second",
            per_second * 1e6,
        );
    });
}

/// From a record's arrival to its delivery, at the tip of a shard, with the default settings: simulated time.
fn latency(table: &mut Table) {
    const RECORDS: usize = 5_000;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let mut waits: Vec<f64> = runtime.block_on(async {
        let kinesis = FakeKinesis::new();
        let orders = kinesis.create_stream("orders", 1);
        let client = kinesis.client();
        let mut records = Box::pin(all_shards(&client, "orders").records(&client));
        let writer = async move {
            for _ in 0..RECORDS {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..4_000))).await;
                orders.put("customer 1", "an order");
            }
            future::pending::<()>().await;
        };
        let reader = async {
            let mut waits = Vec::new();
            while waits.len() < RECORDS {
                let record = records.next().await.expect("it never ends").expect("a record");
                let arrived = record.arrival_time().expect("a time").to_millis().expect("of our time");
                let now = DateTime::from(kinesis.now()).to_millis().expect("of our time");
                waits.push(count(usize::try_from(now - arrived).expect("not before it arrived")) / 1e3);
            }
            waits
        };
        match future::select(Box::pin(reader), Box::pin(writer)).await {
            future::Either::Left((waits, _)) => waits,
            future::Either::Right(_) => unreachable!("the writer never ends"),
        }
    });
    waits.sort_by(f64::total_cmp);
    table.row("seconds from arrival to delivery at the tip, defaults: p50", 0.55, waits[RECORDS / 2]);
    table.row("seconds from arrival to delivery at the tip, defaults: p99", 1.05, waits[RECORDS * 99 / 100]);
}
