//! Many workers that share the shards of a stream by leases, on virtual time: random faults, each
//! run determined by one seed, and checked by an oracle.
//!
//! ```text
//! cargo test --test lease_simulation                               2,000 seeds
//! LEASE_SIMULATION_SEEDS=20000 cargo test --test lease_simulation  a long run
//! LEASE_SIMULATION_SEED=4711 cargo test --test lease_simulation    one seed, with all that happens
//! ```
//!
//! `LEASE_SIMULATION_FIRST` sets the first seed (default 0), and `LEASE_SIMULATION_THREADS` the
//! number of threads (default: that of the processors).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kinesis_shards::lease::simulation::{Figures, Mutation, lease_figures, run_lease_simulation};

const SEEDS: u64 = 2_000;
/// The number of failed seeds after which the run stops.
const MAX_FAILURES: usize = 3;
/// One seed in this many is played twice, to check that a seed determines everything.
const REPEAT_INTERVAL: u64 = 100;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn play(seed: u64, mutation: Option<Mutation>, trace: bool) -> Result<Figures, String> {
    let play = || run_lease_simulation(seed, mutation, trace);
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("seed {seed}: panicked: {}", text.unwrap_or_default()))
    })
}

/// Plays many seeds. Returns whether all pass.
fn many(first: u64, seeds: u64, max_failures: usize) -> bool {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let results = Mutex::new((Figures::default(), Vec::new()));
    let lock = || -> MutexGuard<'_, (Figures, Vec<String>)> {
        results.lock().unwrap_or_else(PoisonError::into_inner)
    };
    let processors = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let threads = number_from("LEASE_SIMULATION_THREADS").unwrap_or(processors);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || lock().1.len() >= max_failures {
                        return;
                    }
                    let mut result = play(seed, None, false);
                    if seed.is_multiple_of(REPEAT_INTERVAL) && play(seed, None, false) != result {
                        result = Err(format!("seed {seed}: its outcome differs each time"));
                    }
                    match result {
                        Ok(figures) => lock().0.add(&figures),
                        Err(violation) => {
                            println!("{violation}");
                            lock().1.push(violation);
                        }
                    }
                }
            });
        }
    });
    let (figures, failures) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    #[expect(clippy::cast_precision_loss, reason = "the figure is approximate")]
    let rate = figures.seeds as f64 / begun.elapsed().as_secs_f64();
    println!("{figures}\n{rate:.0} seeds a second, in {threads} threads");
    failures.is_empty()
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
        let others = 0..search.unwrap_or(SEEDS);
        let mut seeds = std::iter::once(seed).chain(others);
        let caught = seeds.find_map(|seed| play(seed, Some(*mutation), false).err());
        is_ok &= caught.is_some();
        let what = caught.unwrap_or_else(|| "NOT CAUGHT".to_owned());
        println!("{:24} {what}", mutation.to_string());
    }
    is_ok
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("lease_simulation: test\n\n1 test, 0 benchmarks");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    // A panic is part of the report of its seed.
    std::panic::set_hook(Box::new(|_| ()));
    let begun = Instant::now();
    let mut tests: Vec<(String, bool)> = Vec::new();
    if let Some(seed) = number_from("LEASE_SIMULATION_SEED") {
        let result = play(seed, mutation(), true);
        println!("{result:?}");
        tests.push((format!("seed_{seed}"), result.is_ok()));
    } else if is_wanted("lease_simulation") && number_from("LEASE_SIMULATION_SEARCH").is_none() {
        let first = number_from("LEASE_SIMULATION_FIRST").unwrap_or(0);
        let seeds = number_from("LEASE_SIMULATION_SEEDS").unwrap_or(SEEDS);
        let failures = number_from("LEASE_SIMULATION_FAILURES").unwrap_or(MAX_FAILURES as u64);
        let is_ok = many(first, seeds, usize::try_from(failures).unwrap_or(usize::MAX));
        tests.push((format!("lease_simulation ({seeds} seeds)"), is_ok));
    }
    let search = number_from("LEASE_SIMULATION_SEARCH");
    if search.is_some() || (is_wanted("mutations") && mutation().is_none()) {
        tests.push(("mutations".to_owned(), mutations(search)));
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
    let (word, passed) = (if failed == 0 { "ok" } else { "FAILED" }, tests.len() - failed);
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         0 filtered out; finished in {:.2?}",
        begun.elapsed()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
