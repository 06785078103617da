//! All shards of a stream, from the first request to completed handles, compared with a bare
//! paging loop.

use std::process::Command;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use futures::StreamExt;
use kinesis_shards::all_shards;
use tokio::runtime::{Builder, Runtime};

use crate::common::canned::Format;
use crate::common::canned_shards::CannedShards;
use crate::common::instructions;
use crate::common::measure::{ratio, seconds_per_item, to_f64};
use crate::common::table::Table;
use crate::heap::allocations;

/// The shards of a run under valgrind, which is slow.
const COUNTED: usize = 20_000;

pub(crate) fn measure(table: &mut Table, is_quick: bool) {
    let what = "all_shards to completed handles / the SDK's bare paging loop into a Vec<Shard>";
    Table::heading(&format!("Listing: {what}"));
    let runtime = runtime();
    for (shards, page, pairs) in
        [(100_000, 1_000, 15), (100_000, 10_000, 15), (1_000_000, 1_000, 5), (1_000_000, 10_000, 5)]
    {
        if is_quick && shards > 100_000 {
            continue;
        }
        let what = format!("{shards} shards, pages of {page}");
        let beside_bare =
            |case| ratio(pairs, || timed(case, shards, page), || timed("bare", shards, page));
        table.row(&format!("{what}: wall time"), 1.3, beside_bare("ours"));
        let in_cbor = beside_bare("ours in CBOR");
        table.row(&format!("{what}: in CBOR / the bare loop in JSON: wall time"), 0.85, in_cbor);
        let bare_in_cbor = beside_bare("bare in CBOR");
        Table::note(&format!("{what}: the bare loop in CBOR / in JSON: wall time"), bare_in_cbor);
        // Twice the shards in as many requests: the difference has no share of the requests.
        let half = extra_allocations(&runtime, shards / 2, page / 2);
        let whole = extra_allocations(&runtime, shards, page);
        let per_shard = (whole - half) / to_f64(shards - shards / 2);
        table.row(&format!("{what}: our allocations per shard"), 2.0, per_shard);
        let client = CannedShards::new(Format::Cbor, shards, page).client();
        let in_cbor = allocations(|| run("ours", &runtime, &client, shards)) / to_f64(shards);
        table.row(&format!("{what}: allocations per shard in CBOR, in all"), 3.0, in_cbor);
        let per_request = (whole - per_shard * to_f64(shards)) / to_f64(shards / page);
        Table::note(&format!("{what}: our allocations per request"), per_request);
    }
    // In JSON, the crate adds an entry in the graph, a handle and a wait for each shard: two
    // allocations that the bare loop does not make.
    let what = format!("{COUNTED} shards, pages of 1000");
    let counted = instructions::ratio("ours", "bare", "setup", COUNTED);
    table.valgrind_row(&format!("{what}: instructions"), 1.3, counted);
    let counted =
        instructions::quotient(["ours in CBOR", "setup in CBOR"], ["bare", "setup"], COUNTED);
    let row = format!("{what}: in CBOR / the bare loop in JSON: instructions");
    table.valgrind_row(&row, 0.55, counted);
}

/// Returns the number of allocations that the crate adds to those of the bare loop.
fn extra_allocations(runtime: &Runtime, shards: usize, page: usize) -> f64 {
    let client = CannedShards::new(Format::Json, shards, page).client();
    let ours = allocations(|| run("ours", runtime, &client, shards));
    ours - allocations(|| run("bare", runtime, &client, shards))
}

/// The argument that makes `main` time a single case: `--time CASE SHARDS PAGE`.
pub(crate) const TIME: &str = "--time";

/// Returns the seconds per shard of a case, which runs in a process of its own: one case frees
/// millions of strings, and would leave a slower allocator to the other.
fn timed(case: &str, shards: usize, page: usize) -> f64 {
    let program = std::env::current_exe().expect("the path of this program");
    let args = [TIME, case, &shards.to_string(), &page.to_string()];
    let output = Command::new(program).args(args).output().expect("this program runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds")
}

/// Times a case and prints the seconds per shard.
pub(crate) fn run_timed(args: &[String]) {
    let [case, shards, page] = args else { panic!("usage: {TIME} CASE SHARDS PAGE") };
    let (shards, page) = (shards.parse().expect("a number"), page.parse().expect("a number"));
    let (case, format) = split(case);
    let client = CannedShards::new(format, shards, page).client();
    let runtime = runtime();
    run(case, &runtime, &client, shards); // a warm-up
    println!("{}", seconds_per_item(shards, || run(case, &runtime, &client, shards)));
}

/// Splits a case into its name and the format of the responses.
fn split(case: &str) -> (&str, Format) {
    match case.strip_suffix(" in CBOR") {
        Some(case) => (case, Format::Cbor),
        None => (case, Format::Json),
    }
}

/// Runs a case whose instructions valgrind counts.
pub(crate) fn run_counted(case: &str, shards: usize) {
    let (case, format) = split(case);
    let client = CannedShards::new(format, shards, 1_000).client();
    let runtime = runtime();
    if case != "setup" {
        run(case, &runtime, &client, shards);
    }
}

fn run(case: &str, runtime: &Runtime, client: &Client, shards: usize) {
    match case {
        "bare" => drop(runtime.block_on(list_bare(client))),
        "ours" => runtime.block_on(complete_all(client, shards)),
        other => panic!("no case {other}"),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

async fn complete_all(client: &Client, shards: usize) {
    let mut all = all_shards(client, "orders");
    for _ in 0..shards {
        all.next().await.expect("a stream that never ends").complete();
    }
}

async fn list_bare(client: &Client) -> Vec<Shard> {
    let mut shards = Vec::new();
    let mut token = None;
    loop {
        let request = match token {
            None => client.list_shards().stream_name("orders"),
            Some(token) => client.list_shards().next_token(token),
        };
        let page = request.send().await.expect("a response");
        shards.extend(page.shards.unwrap_or_default());
        token = page.next_token;
        if token.is_none() {
            return shards;
        }
    }
}
