//! What the crate costs beside what the SDK costs anyway: `cargo bench` prints one table.
//!
//! Every figure is a ratio within this run, or a count: machines differ, and wander. `cargo bench -- --check` fails if a
//! figure is over its limit; `cargo bench -- --quick` leaves out the million shards.
//!
//! Wall time is the median of interleaved runs. Instructions are counted by valgrind, if it is installed.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the benches share it, and each uses a part")]
mod common;
mod heap;
mod instructions;
mod lineage;
mod listing;
mod memory;
mod records;
mod steady;

use std::process::ExitCode;

use common::{measure, table};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use table::Table;

#[global_allocator]
static HEAP: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(case) = args.iter().position(|arg| arg == instructions::COUNT) {
        instructions::run(&args[case + 1..]);
        return ExitCode::SUCCESS;
    }
    if let Some(case) = args.iter().position(|arg| arg == listing::TIME) {
        listing::time(&args[case + 1..]);
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);

    let mut table = Table::new();
    listing::cases(&mut table, has("--quick"));
    lineage::cases(&mut table);
    steady::cases(&mut table);
    memory::cases(&mut table);
    records::cases(&mut table);
    let over = table.finish();
    if has("--check") && over > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
