//! Instruction counts, which do not drift: valgrind runs this program again for a single case.

use std::process::Command;

use crate::common::measure::to_f64;

/// The argument that makes `main` run a single case: `--count CASE N`.
pub(crate) const COUNT: &str = "--count";

/// Returns how many times the instructions of `b` the case `a` takes, both without those of
/// `setup`, or `None` if valgrind is not installed.
pub(crate) fn ratio(a: &str, b: &str, setup: &str, n: usize) -> Option<f64> {
    quotient([a, setup], [b, setup], n)
}

/// Returns the instructions of the case `a` divided by those of `b`. Each comes with its setup,
/// whose instructions are subtracted.
pub(crate) fn quotient(a: [&str; 2], b: [&str; 2], n: usize) -> Option<f64> {
    let without_setup = |[case, setup]: [&str; 2]| Some(count(case, n)? - count(setup, n)?);
    Some(without_setup(a)? / without_setup(b)?)
}

/// Returns the instructions of a case, or `None` if valgrind is not installed.
pub(crate) fn count(case: &str, n: usize) -> Option<f64> {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([COUNT, case, &n.to_string()])
        .output()
        .ok()?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let Some((_, collected)) = collected else {
        panic!("valgrind failed on {case} {n}:\n{log}");
    };
    Some(to_f64(collected.trim().parse().expect("a count of instructions")))
}
