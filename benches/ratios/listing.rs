//! All shards of a stream, from the first request to completed handles, beside the bare paging loop.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use futures::StreamExt;
use kinesis_shards::all_shards;
use tokio::runtime::{Builder, Runtime};

use crate::canned::Canned;
use crate::instructions;
use crate::measure::{allocations, count, each, ratio};
use crate::table::Table;

pub(crate) fn cases(table: &mut Table, quick: bool) {
    Table::heading("Listing: all_shards to completed handles / the SDK's bare paging loop into a Vec<Shard>");
    let runtime = runtime();
    for (shards, page, pairs) in
        [(100_000, 1_000, 15), (100_000, 10_000, 15), (1_000_000, 1_000, 5), (1_000_000, 10_000, 5)]
    {
        if quick && shards > 100_000 {
            continue;
        }
        let client = Canned::new(shards, page).client();
        let ours = || runtime.block_on(completed(&client, shards));
        let bare = || drop(runtime.block_on(listed(&client)));
        let what = format!("{shards} shards, pages of {page}");
        table.row(
            &format!("{what}: wall time"),
            1.3,
            ratio(pairs, || each(shards, ours), || each(shards, bare)),
        );
        let more = (allocations(ours) - allocations(bare)) / count(shards);
        table.row(&format!("{what}: our allocations per shard"), 2.0, more);
    }
    let counted = instructions::ratio("ours", "bare", "setup", SHARDS_COUNTED);
    table.row_if_any("20000 shards, pages of 1000: instructions", 1.3, counted);
}

const SHARDS_COUNTED: usize = 20_000;

/// The runs of which valgrind counts the instructions.
pub(crate) fn counted(case: &str, shards: usize) {
    let client = Canned::new(shards, 1_000).client();
    let runtime = runtime();
    match case {
        "setup" => {}
        "bare" => drop(runtime.block_on(listed(&client))),
        "ours" => runtime.block_on(completed(&client, shards)),
        other => panic!("no case {other}"),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

async fn completed(client: &Client, shards: usize) {
    let mut all = all_shards(client, "orders");
    for _ in 0..shards {
        all.next().await.expect("it never ends").complete();
    }
}

async fn listed(client: &Client) -> Vec<Shard> {
    let mut shards = Vec::new();
    let mut token = None;
    loop {
        let request = client.list_shards();
        let request =
            if token.is_none() { request.stream_name("orders") } else { request.set_next_token(token) };
        let page = request.send().await.expect("an answer");
        shards.extend(page.shards.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return shards;
        }
    }
}
