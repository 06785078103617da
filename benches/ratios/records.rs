//! The heap that reading takes, compared with the bare loop over `GetRecords`.

use std::time::Duration;

use futures::{StreamExt, future, stream};
use kinesis_shards::{ReadOptions, ShardHandle, ShardStreamExt};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::common::canned_records::CannedRecords;
use crate::common::measure::to_f64;
use crate::common::parked::{PARKED, Workers};
use crate::common::subscriptions::{idle_stream, spawn_bare_subscriptions};
use crate::common::table::Table;
use crate::common::workload::{Workload, handles, read_bare, read_records};
use crate::heap::{allocated_bytes, allocations};

pub(crate) fn measure(table: &mut Table) {
    Table::heading("Reading: the heap");
    measure_allocations(table);
    measure_idle_shards(table);
    measure_idle_subscriptions(table);
    measure_parked_shards(table);
}

/// Compares large and small pages, as many of each: the difference has no share of the requests.
fn measure_allocations(table: &mut Table) {
    const PAGES: usize = 10;
    const SMALL: usize = 10;
    const LARGE: usize = 10_000;
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let extra_allocations = |records| {
        let workload = Workload { shards: 1, pages: PAGES, records, bytes: 100 };
        let client = workload.client();
        let ours = || runtime.block_on(read_records(&client, workload, ReadOptions::new()));
        let bare = || runtime.block_on(read_bare(&client, workload));
        allocations(ours) - allocations(bare)
    };
    let (of_small, of_large) = (extra_allocations(SMALL), extra_allocations(LARGE));
    let per_record = (of_large - of_small) / to_f64((LARGE - SMALL) * PAGES);
    table.row(&format!("our allocations per record, on pages of {LARGE}"), 0.0, per_record);
    let per_page = (of_large - per_record * to_f64(LARGE * PAGES)) / to_f64(PAGES);
    Table::note("our allocations per page", per_page);
}

fn measure_idle_shards(table: &mut Table) {
    const SHARDS: usize = 10_000;
    let client = CannedRecords::idle().client();
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let shards: Vec<ShardHandle> = handles(SHARDS).take(SHARDS).collect().await;
        let before = allocated_bytes();
        let shards = stream::iter(shards).chain(stream::pending());
        let mut batches = Box::pin(shards.batches(&client));
        future::select(batches.next(), Box::pin(sleep(Duration::from_secs(3)))).await;
        let per_shard = (allocated_bytes() - before) / to_f64(SHARDS);
        table.row(&format!("heap bytes per idle shard, of {SHARDS}"), 2_000.0, per_shard);
    });
}

/// Compares idle subscriptions with those of the SDK alone. What the fake keeps of each counts in
/// both.
fn measure_idle_subscriptions(table: &mut Table) {
    const SHARDS: usize = 1_000;
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let ((client, consumer), pause) = (idle_stream(SHARDS), Duration::from_secs(12));
        let shards: Vec<ShardHandle> = handles(SHARDS).take(SHARDS).collect().await;
        let before = allocated_bytes();
        let shards = stream::iter(shards).chain(stream::pending());
        let options = ReadOptions::new().fan_out(&consumer);
        let mut batches = Box::pin(shards.batches(&client).with_options(options));
        future::select(batches.next(), Box::pin(sleep(pause))).await;
        let ours = (allocated_bytes() - before) / to_f64(SHARDS);
        drop(batches);

        let before = allocated_bytes();
        let _subscriptions = spawn_bare_subscriptions(&client, &consumer, SHARDS);
        sleep(pause).await;
        let bare = (allocated_bytes() - before) / to_f64(SHARDS);
        let what = format!("heap bytes per idle subscription, of {SHARDS}");
        table.row(&format!("{what} / those of the SDK alone"), 1.5, ours / bare);
        Table::note(&what, ours);
    });
}

/// Measures the shards that a worker is offered, and whose leases another worker holds.
fn measure_parked_shards(table: &mut Table) {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let workers = Workers::new();
        workers.start_first().await;
        let before = allocated_bytes();
        workers.start_second().await;
        let per_shard = (allocated_bytes() - before) / to_f64(PARKED);
        table.row(&format!("heap bytes per parked shard, of {PARKED}"), 1_500.0, per_shard);
    });
}
