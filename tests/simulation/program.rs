//! The parts that the test programs of the simulations share: their settings, the threads that play
//! seeds, and the lines of a test runner.

use std::any::Any;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Returns the number in an environment variable.
pub(crate) fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

/// Returns the number of threads that an environment variable sets, or that of the processors.
pub(crate) fn threads(variable: &str) -> u64 {
    let processors = || std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    number_from(variable).unwrap_or_else(processors)
}

/// Returns the violation of a run that has panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    format!("panicked: {}", text.unwrap_or_default())
}

/// Plays seeds until all were played, or `max_failures` have failed, and returns how many failed.
/// `play` returns whether a seed passes.
pub(crate) fn play_all(
    seeds: Range<u64>,
    threads: u64,
    max_failures: usize,
    play: impl Fn(u64) -> bool + Sync,
) -> usize {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.load(Ordering::Relaxed) >= max_failures {
                        return;
                    }
                    if !play(seed) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    failed.into_inner()
}

/// Returns the names that the command line asks for, or `None` after it has listed the program's
/// one test for `--list`.
pub(crate) fn filters(name: &str) -> Option<Vec<String>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{name}: test\n\n1 test, 0 benchmarks");
        return None;
    }
    Some(arguments.into_iter().filter(|argument| !argument.starts_with('-')).collect())
}

/// Returns whether the command line asks for a test.
pub(crate) fn is_wanted(filters: &[String], name: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
}

/// Prints the line with which a test runner ends.
pub(crate) fn summary(passed: usize, failed: usize, filtered: usize, begun: Instant) -> ExitCode {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         {filtered} filtered out; finished in {:.2?}",
        begun.elapsed()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
