//! Many workers that share the shards of a stream by leases, on virtual time: random faults, each
//! run determined by one seed, and checked by an oracle.
//!
//! ```text
//! cargo test --test lease_simulation                               500 seeds
//! LEASE_SIMULATION_SEEDS=20000 cargo test --test lease_simulation  a long run
//! LEASE_SIMULATION_SEED=4711 cargo test --test lease_simulation    one seed, with all that happens
//! ```
//!
//! `LEASE_SIMULATION_FIRST` sets the first seed (default 0), and `LEASE_SIMULATION_THREADS` the
//! number of threads (default: that of the processors).

#[path = "../simulation/program.rs"]
mod program;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kinesis_shards::lease::simulation::{
    Figures, Mutation, lease_figures, run_lease_growth, run_lease_simulation,
};

use crate::program::{filters, is_wanted, number_from, panicked, play_all, summary, threads};

const SEEDS: u64 = 500;
/// The seeds that are searched for a mutation that its own seed no longer catches.
const SEARCHED_SEEDS: u64 = 2_000;
/// The seeds of the long runs.
const GROWTH_SEEDS: u64 = 4;
/// The number of failed seeds after which the run stops.
const MAX_FAILURES: usize = 3;
/// One seed in this many is played twice, to check that a seed determines everything.
const REPEAT_INTERVAL: u64 = 100;

fn play(seed: u64, mutation: Option<Mutation>, trace: bool) -> Result<Figures, String> {
    let play = || run_lease_simulation(seed, mutation, trace);
    catch_unwind(AssertUnwindSafe(play))
        .unwrap_or_else(|panic| Err(format!("seed {seed}: {}", panicked(&*panic))))
}

/// Plays many seeds. Returns whether all pass.
fn many(first: u64, seeds: u64, max_failures: usize) -> bool {
    let begun = Instant::now();
    let total = Mutex::new(Figures::default());
    let threads = threads("LEASE_SIMULATION_THREADS");
    let failed = play_all(first..first + seeds, threads, max_failures, |seed| {
        let mut result = play(seed, None, false);
        if seed.is_multiple_of(REPEAT_INTERVAL) && play(seed, None, false) != result {
            result = Err(format!("seed {seed}: its outcome differs each time"));
        }
        match &result {
            Ok(figures) => total.lock().unwrap_or_else(PoisonError::into_inner).add(figures),
            Err(violation) => println!("{violation}"),
        }
        result.is_ok()
    });
    let figures = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    #[expect(clippy::cast_precision_loss, reason = "the figure is approximate")]
    let rate = figures.seeds as f64 / begun.elapsed().as_secs_f64();
    println!("{figures}\n{rate:.0} seeds a second, in {threads} threads");
    failed == 0
}

/// Returns the mutation that the environment names.
fn mutation() -> Option<Mutation> {
    let name = std::env::var("LEASE_SIMULATION_MUTATION").ok()?;
    let found = Mutation::ALL.iter().find(|(mutation, _)| mutation.to_string() == name);
    Some(found.unwrap_or_else(|| panic!("no mutation is called {name}")).0)
}

/// Plays each mutation with the seed that catches it, and with others if that one does not: after a
/// change of the machine, another may. With `search`, finds the first seed among so many. Returns
/// whether all are caught.
fn mutations(search: Option<u64>) -> bool {
    let mut is_ok = true;
    for (mutation, seed) in Mutation::ALL {
        if std::env::var("LEASE_SIMULATION_MUTATION").is_ok_and(|name| name != mutation.to_string())
        {
            continue;
        }
        let Some(seed) = search.map(|_| 0).or(*seed) else { continue };
        let others = 0..search.unwrap_or(SEARCHED_SEEDS);
        let mut seeds = std::iter::once(seed).chain(others);
        let caught = seeds.find_map(|seed| play(seed, Some(*mutation), false).err());
        is_ok &= caught.is_some();
        let what = caught.unwrap_or_else(|| "NOT CAUGHT".to_owned());
        println!("{:24} {what}", mutation.to_string());
    }
    is_ok
}

/// Plays long runs in which shards and workers come and go. Returns whether nothing grows.
fn growth() -> bool {
    let is_ok = |seed| {
        let result = catch_unwind(|| run_lease_growth(seed))
            .unwrap_or_else(|panic| Err(format!("seed {seed}: {}", panicked(&*panic))));
        println!("{}", result.as_ref().unwrap_or_else(|violation| violation));
        result.is_ok()
    };
    play_all(0..GROWTH_SEEDS, threads("LEASE_SIMULATION_THREADS"), 1, is_ok) == 0
}

fn main() -> ExitCode {
    let Some(filters) = filters("lease_simulation") else { return ExitCode::SUCCESS };
    // A panic is part of the report of its seed.
    std::panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let mut tests: Vec<(String, bool)> = Vec::new();
    if let Some(seed) = number_from("LEASE_SIMULATION_SEED") {
        let result = play(seed, mutation(), true);
        println!("{result:?}");
        tests.push((format!("seed_{seed}"), result.is_ok()));
    } else if is_wanted(&filters, "lease_simulation")
        && number_from("LEASE_SIMULATION_SEARCH").is_none()
    {
        let first = number_from("LEASE_SIMULATION_FIRST").unwrap_or(0);
        let seeds = number_from("LEASE_SIMULATION_SEEDS").unwrap_or(SEEDS);
        let failures = number_from("LEASE_SIMULATION_FAILURES").unwrap_or(MAX_FAILURES as u64);
        let is_ok = many(first, seeds, usize::try_from(failures).unwrap_or(usize::MAX));
        tests.push((format!("lease_simulation ({seeds} seeds)"), is_ok));
    }
    let search = number_from("LEASE_SIMULATION_SEARCH");
    if search.is_some() || (is_wanted(&filters, "mutations") && mutation().is_none()) {
        tests.push(("mutations".to_owned(), mutations(search)));
    }
    let is_one = number_from("LEASE_SIMULATION_SEED").is_some() || search.is_some();
    if !is_one && is_wanted(&filters, "growth") {
        tests.push(("growth".to_owned(), growth()));
    }
    if filters.iter().any(|filter| *filter == "figures") {
        let figures = lease_figures();
        println!("{}", figures.as_ref().unwrap_or_else(|violation| violation));
        tests.push(("figures".to_owned(), figures.is_ok()));
    }
    println!();
    for (name, is_ok) in &tests {
        println!("test {name} ... {}", if *is_ok { "ok" } else { "FAILED" });
    }
    let failed = tests.iter().filter(|(_, is_ok)| !is_ok).count();
    summary(tests.len() - failed, failed, 0, begun)
}
