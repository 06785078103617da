//! Reading shards beside the bare `GetRecords` loop.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{Error, ReadOptions, ShardHandle, ShardList, ShardStreamExt, all_shards, parents_first};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::canned_records::CannedRecords;
use crate::measure::{allocations, count, each, heap, ratio};
use crate::table::Table;

/// What one run reads.
#[derive(Clone, Copy)]
struct Load {
    shards: usize,
    pages: usize,
    records: usize,
    bytes: usize,
}

pub(crate) fn cases(table: &mut Table) {
    Table::heading("Reading: all records of all shards / the SDK's bare GetRecords loops, side by side");
    let one = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let small = |shards, pages| Load { shards, pages, records: 10_000, bytes: 100 };
    let large = |shards, pages| Load { shards, pages, records: 8, bytes: 1 << 20 };
    for load in [small(1, 10), small(8, 3), small(64, 1), large(1, 4), large(8, 2), large(64, 1)] {
        let client = CannedRecords::new(load.pages, load.records, load.bytes).client();
        let total = load.shards * load.pages * load.records;
        let mut best = f64::MAX;
        let ours = || {
            let seconds = each(total, || one.block_on(ours(&client, load, ReadOptions::new())));
            best = best.min(seconds);
            seconds
        };
        let wall = ratio(9, ours, || each(total, || one.block_on(bare(&client, load))));
        let Load { shards, records, bytes, .. } = load;
        let what = format!("{shards} shards, pages of {records} records of {bytes} bytes: ");
        // 0.95 of the bare loop's records per second.
        table.row(&format!("{what}wall time"), 1.0 / 0.95, wall);
        Table::note(&format!("{what}records/s"), 1.0 / best);
        Table::note(&format!("{what}MB/s"), count(bytes) / best / 1e6);
    }
    per_record(table, &one, small(1, 10));
    spread(table, small(8, 3));
    idle(table);
    latency(table);
}

fn per_record(table: &mut Table, runtime: &Runtime, load: Load) {
    let client = CannedRecords::new(load.pages, load.records, load.bytes).client();
    let ours = || runtime.block_on(ours(&client, load, ReadOptions::new()));
    let bare = || runtime.block_on(bare(&client, load));
    let more = allocations(ours) - allocations(bare);
    table.row("our allocations per record", 0.0, more / count(load.pages * load.records));
}

/// With the parsing on two threads, and on the one that takes the records.
fn spread(table: &mut Table, load: Load) {
    let client = CannedRecords::new(load.pages, load.records, load.bytes).client();
    let two = Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    let total = load.shards * load.pages * load.records;
    let run = |options: fn(&Handle) -> ReadOptions| {
        let options = options(two.handle());
        let client = client.clone();
        each(total, || two.block_on(two.spawn(async move { ours(&client, load, options).await })))
    };
    let spread = || run(|runtime| ReadOptions::new().spawn_on(runtime.clone()));
    let wall = ratio(9, spread, || run(|_| ReadOptions::new()));
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
        let shards: Vec<ShardHandle> = handles(SHARDS).collect().await;
        let before = heap();
        let mut batches = Box::pin(stream::iter(shards).chain(stream::pending()).batches(&client));
        for _ in 0..3 {
            // The first reads are at once, and not counted.
            let pause = tokio::time::sleep(Duration::from_secs(1));
            future::select(batches.next(), Box::pin(pause)).await;
        }
        let kept = (heap() - before) / count(SHARDS);
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
        table.row("10000 idle shards: heap bytes per shard, at rest", 2_000.0, kept);
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

fn handles(shards: usize) -> impl Stream<Item = ShardHandle> {
    let shard = |n| aws_sdk_kinesis::types::Shard::builder().shard_id(format!("shardId-{n:012}")).build();
    let list = ShardList::full("orders", (0..shards).map(|n| shard(n).expect("a shard")).collect());
    parents_first(stream::iter([list])).map(|shard: Result<_, Error>| shard.expect("a shard"))
}

/// Without pauses: the canned Kinesis has no limits.
async fn ours(client: &Client, load: Load, options: ReadOptions) {
    let options = options.min_read_interval(Duration::ZERO).max_bytes_per_second(None);
    // A lineage ends only once its handles have.
    let shards = handles(load.shards).take(load.shards);
    let mut records = Box::pin(shards.records(client).with(options));
    let (mut seen, mut bytes) = (0, 0);
    while let Some(record) = records.next().await {
        seen += 1;
        bytes += record.expect("a record").data().len();
    }
    assert_eq!(seen, load.shards * load.pages * load.records);
    assert!(bytes >= seen * load.bytes);
}

async fn bare(client: &Client, load: Load) {
    let shards: FuturesUnordered<_> = (0..load.shards).map(|_| bare_shard(client).boxed()).collect();
    let seen: usize = shards.fold(0, |sum, seen| future::ready(sum + seen)).await;
    assert_eq!(seen, load.shards * load.pages * load.records);
}

async fn bare_shard(client: &Client) -> usize {
    let (mut iterator, mut seen, mut bytes) = (Some("0".to_owned()), 0, 0);
    while let Some(current) = iterator {
        let page =
            client.get_records().shard_iterator(current).limit(10_000).send().await.expect("an answer");
        for record in page.records {
            seen += 1;
            bytes += record.data.as_ref().len();
        }
        iterator = page.next_shard_iterator;
    }
    assert!(bytes > 0);
    seen
}
