//! Random streams, faults and consumers on a paused clock, each determined by one seed, and checked
//! by an oracle.
//!
//! ```text
//! cargo test --test simulation                              500 seeds
//! SIMULATION_SEEDS=20000 cargo test --test simulation       as in CI
//! SIMULATION_SEEDS=1000000 cargo test --test simulation     a long run
//! SIMULATION_SEED=4711 cargo test --test simulation         one seed, printed with its script
//! cargo test --test simulation runs_with_an_end             only the runs with an end
//! ```
//!
//! `SIMULATION_FIRST` sets the first seed (default 0), and `SIMULATION_THREADS` the number of
//! threads (default: that of the processors).
//!
//! A seed that fails is printed with its violation, and with the shortest script found that has the
//! same one. `SIMULATION_SEED=4711 SIMULATION_SHORTER=3.8.20-24`, as the report has it, finds that
//! script again.
//!
//! There is one test for each way to read the shards, and one for runs with an end, which has every
//! fourth seed. Two more tests measure the heap, and run alone.

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
mod paused;
mod pipeline;
mod program;
mod rates;
mod reader;
mod requests;
mod script;
mod shrink;
mod subscriptions;
mod tap;
mod truth;
mod until;
mod wire_format;
mod world;
mod writer;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use figures::Figures;
use program::{filters, is_wanted, number_from, panicked, play_all, summary, threads};
use script::{Reading, Script};
use world::Outcome;

const SEEDS: u64 = 500;
/// The number of failed seeds after which the run stops.
const MAX_FAILURES: usize = 3;
/// One seed in this many is played twice, to check that a seed determines everything.
const REPEAT_INTERVAL: u64 = 50;
/// One seed in this many has a run with an end, too.
const BOUNDED_INTERVAL: u64 = 4;

fn play(script: &Script) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| world::play(script))).unwrap_or_else(|panic| {
        let violation = Some(panicked(&*panic));
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

/// Plays the run with an end of one seed. Returns whether it passes.
fn bounded(seed: u64) -> bool {
    let script = Script::of_seed(seed);
    let play = |script: &Script| {
        let played = catch_unwind(AssertUnwindSafe(|| until::play(script)));
        played.unwrap_or_else(|panic| Some(panicked(&*panic)))
    };
    let Some(violation) = play(&script) else { return true };
    let kind = shrink::kind(&violation);
    let fails_alike =
        |script: &Script| play(script).is_some_and(|violation| shrink::kind(&violation) == kind);
    let (shortest, _) = shrink::shortest(&script, |_, script| fails_alike(script));
    println!("\nseed {seed} fails with an end: {violation}\n{shortest:#?}");
    false
}

/// Plays the runs with an end of every fourth seed. Returns how many failed.
fn many_bounded(first: u64, seeds: u64) -> (u64, usize) {
    let threads = threads("SIMULATION_THREADS");
    let failed = play_all(0..seeds / BOUNDED_INTERVAL, threads, MAX_FAILURES, |number| {
        bounded(first + number * BOUNDED_INTERVAL + number % BOUNDED_INTERVAL)
    });
    (seeds / BOUNDED_INTERVAL, failed)
}

/// The number of seeds played for each reader, and the seeds that failed.
type Results = BTreeMap<Reading, (u64, Vec<u64>)>;

fn many(first: u64, seeds: u64) -> Results {
    let begun = Instant::now();
    let (figures, results) = (Mutex::new(Figures::default()), Mutex::new(Results::new()));
    let threads = threads("SIMULATION_THREADS");
    play_all(first..first + seeds, threads, MAX_FAILURES, |seed| {
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
        !has_failed
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
    let begun = Instant::now();
    let Some(filters) = filters("simulation") else { return ExitCode::SUCCESS };
    let is_whole = is_wanted(&filters, "simulation");
    if !is_whole && !is_wanted(&filters, "runs_with_an_end") {
        return summary(0, 0, 1, begun);
    }
    // A panic of a reader is part of its script, and that of a failed script is in the report.
    std::panic::set_hook(Box::new(|_| ()));

    let mut tests = Vec::new();
    if let Some(seed) = number_from("SIMULATION_SEED") {
        tests.push((format!("seed_{seed}"), one(seed), String::new()));
        tests.push((format!("seed_{seed}_with_an_end"), bounded(seed), String::new()));
    } else {
        let first = number_from("SIMULATION_FIRST").unwrap_or(0);
        let seeds = number_from("SIMULATION_SEEDS").unwrap_or(SEEDS);
        let results = if is_whole { many(first, seeds) } else { Results::new() };
        let (played, failed) = many_bounded(first, seeds);
        tests.push(("runs_with_an_end".to_owned(), failed == 0, format!("{played} seeds")));
        for (reading, (played, failures)) in results {
            tests.push((reading.name().to_owned(), failures.is_empty(), format!("{played} seeds")));
        }
        if is_whole {
            // These count allocations of the whole process, so nothing else may run.
            for (name, result) in [
                ("simulation_leaves_nothing_on_the_heap", heap::check()),
                ("aggregated_record_takes_bounded_memory", aggregate::check()),
            ] {
                let is_ok = result.is_ok();
                tests.push((name.to_owned(), is_ok, result.unwrap_or_else(|error| error)));
            }
        }
    }
    println!();
    for (name, is_ok, what) in &tests {
        println!("test simulation::{name} ... {} ({what})", if *is_ok { "ok" } else { "FAILED" });
    }
    let failed = tests.iter().filter(|(_, is_ok, _)| !is_ok).count();
    summary(tests.len() - failed, failed, 0, begun)
}
