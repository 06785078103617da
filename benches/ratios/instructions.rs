//! Instructions, which do not wander: this program again, under valgrind.

use std::process::Command;

use crate::{lineage, listing, measure};

pub(crate) const COUNT: &str = "--count";

/// What the program does under valgrind: `--count CASE N`.
pub(crate) fn run(args: &[String]) {
    let [case, n] = args else { panic!("{COUNT} CASE N") };
    let n = n.parse().expect("a number");
    if lineage::SHAPES.contains(&case.as_str()) {
        lineage::counted(case, n);
    } else {
        listing::counted(case, n);
    }
}

/// How many times the instructions of `b` does `a` take, both less those of `setup`. None without valgrind.
pub(crate) fn ratio(a: &str, b: &str, setup: &str, n: usize) -> Option<f64> {
    let setup = count(setup, n)?;
    Some((count(a, n)? - setup) / (count(b, n)? - setup))
}

/// The instructions of a case.
pub(crate) fn count(case: &str, n: usize) -> Option<f64> {
    let program = std::env::current_exe().expect("this program's path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([COUNT, case, &n.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.unwrap_or_else(|| panic!("valgrind failed on {case} {n}:\n{said}"));
    Some(measure::count(collected.trim().parse().expect("a count")))
}
