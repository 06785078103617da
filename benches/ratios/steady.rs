//! One poll when nothing happens: the same one request, whatever the number of shards.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::all_shards;
use tokio::runtime::Builder;

use crate::common::canned::Canned;
use crate::measure::count;
use crate::table::Table;

pub(crate) fn cases(table: &mut Table) {
    Table::heading("Steady state: one poll interval with all shards open");
    let (few, few_bytes) = one_interval(10);
    let (many, many_bytes) = one_interval(10_000);
    table.row("10 shards: requests", 1.0, count(few));
    table.row("10000 shards: requests", 1.0, count(many));
    table.row("bytes of the request, 10000 shards / 10 shards", 1.0, count(many_bytes) / count(few_bytes));
}

/// The requests, and the bytes of their bodies.
fn one_interval(shards: usize) -> (usize, usize) {
    let kinesis = Canned::new(shards, 1_000);
    let client = kinesis.client();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut all = all_shards(&client, "orders").poll_interval(Duration::from_secs(30));
        let _open: Vec<_> = all.by_ref().take(shards).collect().await;
        kinesis.take_requests();
        let none = all.take_until(tokio::time::sleep(Duration::from_secs(31))).count().await;
        assert_eq!(none, 0);
    });
    kinesis.take_requests()
}
