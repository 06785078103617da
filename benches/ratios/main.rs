//! The cost of the crate compared with the SDK alone: `cargo bench` prints one table.
//!
//! Every figure is a count or a ratio within one run, since the speed of machines differs and
//! drifts. Wall times are medians of interleaved runs; instructions are counted by valgrind, if it
//! is installed.
//!
//! `cargo bench -- --check` fails if a figure is over its limit. `cargo bench -- --quick` leaves
//! out the streams of a million shards.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the benches share it, and each uses a part")]
mod common;
mod heap;
mod lineage;
mod listing;
mod memory;
mod records;
mod steady;

use std::process::ExitCode;

use crate::common::instructions;
use crate::common::table::Table;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // These two are how the program calls itself.
    if let Some(at) = args.iter().position(|arg| arg == instructions::COUNT) {
        run_counted(&args[at + 1..]);
        return ExitCode::SUCCESS;
    }
    if let Some(at) = args.iter().position(|arg| arg == listing::TIME) {
        listing::run_timed(&args[at + 1..]);
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);

    let mut table = Table::new();
    listing::measure(&mut table, has("--quick"));
    lineage::measure(&mut table);
    steady::measure(&mut table);
    memory::measure(&mut table);
    records::measure(&mut table);
    let over_limit = table.finish();
    if has("--check") && over_limit > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the case whose instructions valgrind counts: `--count CASE N`.
fn run_counted(args: &[String]) {
    let [case, n] = args else { panic!("usage: {} CASE N", instructions::COUNT) };
    let n = n.parse().expect("a number");
    if lineage::SHAPES.contains(&case.as_str()) {
        lineage::run_counted(case, n);
    } else {
        listing::run_counted(case, n);
    }
}
