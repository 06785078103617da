//! One poll interval in which nothing happens: one request, whatever the number of shards.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::all_shards;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::common::canned::Format;
use crate::common::canned_shards::CannedShards;
use crate::common::measure::to_f64;
use crate::common::table::Table;

pub(crate) fn measure(table: &mut Table) {
    const FEW: usize = 10;
    const MANY: usize = 10_000;
    Table::heading("Steady state: one poll interval with all shards open");
    let (few, few_bytes) = requests_in_one_interval(FEW);
    let (many, many_bytes) = requests_in_one_interval(MANY);
    table.row(&format!("{FEW} shards: requests"), 1.0, to_f64(few));
    table.row(&format!("{MANY} shards: requests"), 1.0, to_f64(many));
    let what = format!("bytes of the request, {MANY} shards / {FEW} shards");
    table.row(&what, 1.0, to_f64(many_bytes) / to_f64(few_bytes));
}

/// Returns the number of requests, and the bytes of their bodies.
fn requests_in_one_interval(shards: usize) -> (usize, usize) {
    let kinesis = CannedShards::new(Format::Json, shards, 1_000);
    let client = kinesis.client();
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut all = all_shards(&client, "orders").poll_interval(Duration::from_secs(30));
        let _open: Vec<_> = all.by_ref().take(shards).collect().await;
        kinesis.take_requests();
        let offered = all.take_until(sleep(Duration::from_secs(31))).count().await;
        assert_eq!(offered, 0);
    });
    kinesis.take_requests()
}
