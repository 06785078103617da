//! All shards of a stream, from the first request to completed handles, beside the bare paging loop.

use std::process::Command;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use futures::StreamExt;
use kinesis_shards::all_shards;
use tokio::runtime::{Builder, Runtime};

use crate::common::canned::Canned;
use crate::heap::allocations;
use crate::instructions;
use crate::measure::{count, each, ratio};
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
        let what = format!("{shards} shards, pages of {page}");
        let wall = ratio(pairs, || timed("ours", shards, page), || timed("bare", shards, page));
        table.row(&format!("{what}: wall time"), 1.3, wall);
        // Twice as many shards by as many requests: what is each request's own falls out.
        let [half, whole] = [2, 1].map(|part| more_allocations(&runtime, shards / part, page / part));
        let per_shard = (whole - half) / count(shards - shards / 2);
        table.row(&format!("{what}: our allocations per shard"), 2.0, per_shard);
        let per_request = (whole - per_shard * count(shards)) / count(shards / page);
        Table::note(&format!("{what}: our allocations per request"), per_request);
    }
    let counted = instructions::ratio("ours", "bare", "setup", SHARDS_COUNTED);
    table.row_if_any("20000 shards, pages of 1000: instructions", 1.3, counted);
}

fn more_allocations(runtime: &Runtime, shards: usize, page: usize) -> f64 {
    let client = Canned::new(shards, page).client();
    allocations(|| pass("ours", runtime, &client, shards))
        - allocations(|| pass("bare", runtime, &client, shards))
}

/// What a process of its own does for [`timed`]: `--time CASE SHARDS PAGE`.
pub(crate) const TIME: &str = "--time";

/// The seconds that each shard takes, in a process of its own: millions of strings freed by one side leave the allocator in a
/// state for which the other would pay.
fn timed(case: &str, shards: usize, page: usize) -> f64 {
    let program = std::env::current_exe().expect("this program's path");
    let args = [TIME, case, &shards.to_string(), &page.to_string()];
    let output = Command::new(program).args(args).output().expect("this program runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds")
}

pub(crate) fn time(args: &[String]) {
    let [case, shards, page] = args else { panic!("{TIME} CASE SHARDS PAGE") };
    let (shards, page) = (shards.parse().expect("a number"), page.parse().expect("a number"));
    let client = Canned::new(shards, page).client();
    let runtime = runtime();
    // The first pass is not counted.
    let seconds = [(); 2].map(|()| each(shards, || pass(case, &runtime, &client, shards)));
    println!("{}", seconds[1]);
}

const SHARDS_COUNTED: usize = 20_000;

/// The runs of which valgrind counts the instructions.
pub(crate) fn counted(case: &str, shards: usize) {
    let client = Canned::new(shards, 1_000).client();
    let runtime = runtime();
    if case != "setup" {
        pass(case, &runtime, &client, shards);
    }
}

fn pass(case: &str, runtime: &Runtime, client: &Client, shards: usize) {
    match case {
        "bare" => drop(runtime.block_on(listed(client))),
        "ours" => runtime.block_on(completed(client, shards)),
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
