//! Random streams, faults and consumers on a paused clock, each a function of one seed, against an oracle that knows the truth.
//!
//! ```text
//! cargo test --test simulation                              2,000 seeds
//! SIMULATION_SEEDS=20000 cargo test --test simulation       what CI runs
//! SIMULATION_SEEDS=1000000 cargo test --test simulation     a soak
//! SIMULATION_SEED=4711 cargo test --test simulation         one seed, with its script
//! ```
//!
//! Runs from `Latest` are drawn only with `SIMULATION_LATEST=1`: what a shard that is handed back owes then, the oracle does not know yet.
//! `SIMULATION_FIRST` is the first seed, by default 0; `SIMULATION_THREADS` is by default the number of processors.
//!
//! A seed that fails is printed, with what was violated, and with the shortest script found that fails in the same way.

mod consumer;
mod figures;
mod ledger;
mod life;
mod oracle;
mod reader;
mod script;
mod shrink;
mod tap;
mod world;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use figures::Figures;
use script::Script;
use world::Outcome;

const SEEDS: u64 = 2_000;
/// Once so many have failed, more would say nothing new.
const MOST_FAILURES: usize = 3;
/// One seed in so many is played twice, to see that a seed says it all.
const TWICE: u64 = 50;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn play(script: &Script) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| world::play(script))).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let violation = Some(format!("panicked: {}", what.unwrap_or_default()));
        Outcome { violation, ..Outcome::default() }
    })
}

fn is_same_each_time(script: &Script, outcome: &Outcome) -> bool {
    let again = play(script);
    (again.digest, again.requests, again.violation)
        == (outcome.digest, outcome.requests, outcome.violation.clone())
}

fn report(seed: u64, script: &Script, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    println!("\nseed {seed} fails: {violation}");
    if !is_same_each_time(script, outcome) {
        println!("and it does not fail in the same way each time");
    }
    let shortest = shrink::shortest(script, |script| play(script).violation.is_some());
    println!("the shortest script that fails: {}", play(&shortest).violation.unwrap_or_default());
    println!("{shortest:#?}");
    println!("again: SIMULATION_SEED={seed} cargo test --test simulation\n");
}

fn one(seed: u64) -> bool {
    let script = Script::of_seed(seed);
    println!("{script:#?}");
    let outcome = play(&script);
    report(seed, &script, &outcome);
    println!("{outcome:#?}");
    outcome.violation.is_none()
}

/// How many passed, and which failed.
fn many(first: u64, seeds: u64) -> (u64, usize) {
    let begun = Instant::now();
    let (next, passed) = (AtomicU64::new(first), AtomicU64::new(0));
    let (figures, failed) = (Mutex::new(Figures::default()), Mutex::new(Vec::new()));
    let processors = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let threads = number_from("SIMULATION_THREADS").unwrap_or(processors);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || lock(&failed).len() >= MOST_FAILURES {
                        return;
                    }
                    let script = Script::of_seed(seed);
                    let mut outcome = play(&script);
                    if outcome.violation.is_none()
                        && seed % TWICE == 0
                        && !is_same_each_time(&script, &outcome)
                    {
                        outcome.violation = Some("it comes out differently each time".to_owned());
                    }
                    if outcome.violation.is_none() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        lock(&failed).push(seed);
                        report(seed, &script, &outcome);
                    }
                    let mut figures = lock(&figures);
                    figures.add(&outcome);
                    if figures.seeds % 5_000 == 0 {
                        println!("{} seeds in {:.1?}", figures.seeds, begun.elapsed());
                    }
                }
            });
        }
    });
    println!("{}", lock(&figures));
    (passed.into_inner(), lock(&failed).len())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> ExitCode {
    // What a test runner is asked for: `cargo test -- --list`, or tests of other names.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("simulation: test\n\n1 test, 0 benchmarks");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if !filters.is_empty() && !filters.iter().any(|filter| "simulation".contains(filter.as_str())) {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out");
        return ExitCode::SUCCESS;
    }
    // A panic of a reader is part of its script, and one of a script that is being made shorter was printed once.
    std::panic::set_hook(Box::new(|_| ()));

    let begun = Instant::now();
    let (passed, failed) = if let Some(seed) = number_from("SIMULATION_SEED") {
        let is_ok = one(seed);
        (u64::from(is_ok), usize::from(!is_ok))
    } else {
        let first = number_from("SIMULATION_FIRST").unwrap_or(0);
        many(first, number_from("SIMULATION_SEEDS").unwrap_or(SEEDS))
    };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2?}",
        begun.elapsed()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
