//! Random streams, faults and consumers on a paused clock, each determined by one seed, and checked
//! by an oracle.
//!
//! ```text
//! cargo test --test simulation                              2,000 seeds
//! SIMULATION_SEEDS=20000 cargo test --test simulation       as in CI
//! SIMULATION_SEEDS=1000000 cargo test --test simulation     a long run
//! SIMULATION_SEED=4711 cargo test --test simulation         one seed, printed with its script
//! ```
//!
//! `SIMULATION_FIRST` sets the first seed (default 0), and `SIMULATION_THREADS` the number of
//! threads (default: that of the processors).
//!
//! A seed that fails is printed with its violation, and with the shortest script found that has the
//! same one. `SIMULATION_SEED=4711 SIMULATION_SHORTER=3.8.20-24`, as the report has it, finds that
//! script again.
//!
//! There is one test for each way to read the shards. Two more tests measure the heap, and run
//! alone.

mod aggregate;
mod by_records;
mod consumer;
mod figures;
mod heap;
mod id;
mod latest;
mod ledger;
mod life;
mod member;
mod oracle;
mod pipeline;
mod rates;
mod reader;
mod requests;
mod script;
mod shrink;
mod tap;
mod truth;
mod world;
mod writer;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use figures::Figures;
use script::{Reading, Script};
use world::Outcome;

const SEEDS: u64 = 2_000;
/// The number of failed seeds after which the run stops.
const MAX_FAILURES: usize = 3;
/// One seed in this many is played twice, to check that a seed determines everything.
const REPEAT_INTERVAL: u64 = 50;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.replace('_', "")
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
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
        println!("it does not fail in the same way each time");
    }
    let kind = shrink::kind(violation);
    let fails_alike =
        |script: &Script| play(script).violation.is_some_and(|why| shrink::kind(&why) == kind);
    let (shortest, path) = shrink::shortest(script, |_, script| fails_alike(script));
    println!(
        "the shortest script with this violation: {}",
        play(&shortest).violation.unwrap_or_default()
    );
    println!("{shortest:#?}");
    println!("to repeat: SIMULATION_SEED={seed} cargo test --test simulation");
    println!(
        "the shortest: SIMULATION_SEED={seed} SIMULATION_SHORTER={path} cargo test --test \
         simulation\n"
    );
}

/// Plays one seed, or the shorter script that a report named. Returns whether it passes.
fn one(seed: u64) -> bool {
    let mut script = Script::of_seed(seed);
    let shorter = std::env::var("SIMULATION_SHORTER").ok();
    if let Some(path) = &shorter {
        let path = shrink::Path::parse(path)
            .unwrap_or_else(|| panic!("SIMULATION_SHORTER is not a path: {path}"));
        script = path.walk(&script);
    }
    println!("{script:#?}");
    let outcome = play(&script);
    if shorter.is_none() {
        report(seed, &script, &outcome);
    }
    println!("{outcome:#?}");
    outcome.violation.is_none()
}

/// The number of seeds played for each reader, and the seeds that failed.
type Results = BTreeMap<Reading, (u64, Vec<u64>)>;

fn many(first: u64, seeds: u64) -> Results {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let (figures, failed) = (Mutex::new(Figures::default()), AtomicUsize::new(0));
    let results = Mutex::new(Results::new());
    let processors = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let threads = number_from("SIMULATION_THREADS").unwrap_or(processors);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || failed.load(Ordering::Relaxed) >= MAX_FAILURES {
                        return;
                    }
                    let script = Script::of_seed(seed);
                    let mut outcome = play(&script);
                    if outcome.violation.is_none()
                        && seed.is_multiple_of(REPEAT_INTERVAL)
                        && !is_same_each_time(&script, &outcome)
                    {
                        outcome.violation = Some("its outcome differs each time".to_owned());
                    }
                    let has_failed = outcome.violation.is_some();
                    if has_failed {
                        failed.fetch_add(1, Ordering::Relaxed);
                        report(seed, &script, &outcome);
                    }
                    let mut results = lock(&results);
                    let (played, failures) = results.entry(script.setup.reading).or_default();
                    *played += 1;
                    failures.extend(has_failed.then_some(seed));
                    drop(results);
                    let mut figures = lock(&figures);
                    figures.add(&outcome);
                    if figures.seeds % 5_000 == 0 {
                        println!("{} seeds in {:.1?}", figures.seeds, begun.elapsed());
                    }
                }
            });
        }
    });
    let figures = figures.into_inner().unwrap_or_else(PoisonError::into_inner);
    #[expect(clippy::cast_precision_loss, reason = "the figure is approximate")]
    let rate = figures.seeds as f64 / begun.elapsed().as_secs_f64();
    println!("{figures}\n{rate:.0} seeds a second, in {threads} threads");
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> ExitCode {
    // Arguments of test runners: `--list`, and filters by name.
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
    // A panic of a reader is part of its script, and that of a failed script is in the report.
    std::panic::set_hook(Box::new(|_| ()));

    let begun = Instant::now();
    let mut tests = Vec::new();
    if let Some(seed) = number_from("SIMULATION_SEED") {
        tests.push((format!("seed_{seed}"), one(seed), String::new()));
    } else {
        let first = number_from("SIMULATION_FIRST").unwrap_or(0);
        let results = many(first, number_from("SIMULATION_SEEDS").unwrap_or(SEEDS));
        for (reading, (played, failures)) in results {
            tests.push((reading.name().to_owned(), failures.is_empty(), format!("{played} seeds")));
        }
        // These count allocations of the whole process, so nothing else may run.
        for (name, result) in [
            ("simulation_leaves_nothing_on_the_heap", heap::check()),
            ("aggregated_record_takes_bounded_memory", aggregate::check()),
        ] {
            let is_ok = result.is_ok();
            tests.push((name.to_owned(), is_ok, result.unwrap_or_else(|error| error)));
        }
    }
    println!();
    for (name, is_ok, what) in &tests {
        println!("test simulation::{name} ... {} ({what})", if *is_ok { "ok" } else { "FAILED" });
    }
    let failed = tests.iter().filter(|(_, is_ok, _)| !is_ok).count();
    let (word, passed) = (if failed == 0 { "ok" } else { "FAILED" }, tests.len() - failed);
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         0 filtered out; finished in {:.2?}",
        begun.elapsed()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
