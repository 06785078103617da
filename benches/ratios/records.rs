//! What reading takes of the heap, beside the bare `GetRecords` loop.

use std::time::Duration;

use futures::{StreamExt, future, stream};
use kinesis_shards::{ReadOptions, ShardHandle, ShardStreamExt};
use tokio::runtime::Builder;

use crate::common::canned_records::CannedRecords;
use crate::common::load::{Load, bare, handles, ours};
use crate::heap::{allocations, heap};
use crate::measure::count;
use crate::table::Table;

const IDLE: usize = 10_000;

pub(crate) fn cases(table: &mut Table) {
    Table::heading("Reading: the heap");
    per_record(table);
    idle(table);
}

fn per_record(table: &mut Table) {
    let load = Load { shards: 1, pages: 10, records: 10_000, bytes: 100 };
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let client = load.client();
    let ours = || runtime.block_on(ours(&client, load, ReadOptions::new()));
    let bare = || runtime.block_on(bare(&client, load));
    let more = allocations(ours) - allocations(bare);
    table.row("our allocations per record, of 100000 on 10 pages", 0.0, more / count(load.total()));
}

fn idle(table: &mut Table) {
    let client = CannedRecords::idle().client();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let shards: Vec<ShardHandle> = handles(IDLE).take(IDLE).collect().await;
        let before = heap();
        let mut batches = Box::pin(stream::iter(shards).chain(stream::pending()).batches(&client));
        let pause = tokio::time::sleep(Duration::from_secs(3));
        future::select(batches.next(), Box::pin(pause)).await;
        let kept = (heap() - before) / count(IDLE);
        table.row("heap bytes per idle shard, of 10000", 2_000.0, kept);
    });
}
