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

/// What pages of many records take more than pages of few, of which there are as many; the rest is each request's.
fn per_record(table: &mut Table) {
    const PAGES: usize = 10;
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let more = |records| {
        let load = Load { shards: 1, pages: PAGES, records, bytes: 100 };
        let client = load.client();
        let ours = || runtime.block_on(ours(&client, load, ReadOptions::new()));
        let bare = || runtime.block_on(bare(&client, load));
        allocations(ours) - allocations(bare)
    };
    let (few, many) = (10, 10_000);
    let (of_few, of_many) = (more(few), more(many));
    let per_record = (of_many - of_few) / count((many - few) * PAGES);
    table.row("our allocations per record, on pages of 10000", 0.0, per_record);
    Table::note("our allocations per page", (of_many - per_record * count(many * PAGES)) / count(PAGES));
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
