//! The example `backfill`, killed at random and resumed: each record is in one file once.
//!
//! `BACKFILL_RUNS=20 cargo test --test backfill` repeats it.

#[path = "../../examples/services/backfill.rs"]
#[allow(dead_code, unused_imports, reason = "the example has a `main`")]
mod backfill;
mod orders;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::orders::{Result, check};

/// The environment variable that makes this program a copy into the directory it names.
const DIR: &str = "BACKFILL_DIR";

fn main() -> ExitCode {
    if let Some(dir) = std::env::var_os(DIR) {
        return copy(&PathBuf::from(dir));
    }
    let trials = vec![
        Trial::test("a_copy_that_is_killed_and_resumed_has_each_record_once", || {
            let runs = std::env::var("BACKFILL_RUNS").ok().and_then(|runs| runs.parse().ok());
            for _ in 0..runs.unwrap_or(1_u32) {
                in_new_dir(killed_and_resumed)?;
            }
            Ok(())
        }),
        Trial::test("a_line_of_which_a_part_was_written_is_written_again", || {
            in_new_dir(torn_lines)
        }),
        Trial::test("a_complete_copy_is_not_touched_by_another_run", || in_new_dir(again)),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn copy(dir: &Path) -> ExitCode {
    match Runtime::new().expect("a runtime").block_on(orders::copy(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn in_new_dir(run: impl FnOnce(&Path) -> Result<()>) -> Result<(), Failed> {
    let name = format!("kinesis-shards-backfill-{}-{}", std::process::id(), fastrand::u64(..));
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&dir).map_err(Failed::from)?;
    let result = run(&dir);
    let _ = std::fs::remove_dir_all(&dir);
    result.map_err(|error| Failed::from(error.to_string()))
}

/// Kills copies until one is complete. Each one has more time than the one before.
fn killed_and_resumed(dir: &Path) -> Result<()> {
    let (mut kills, mut lines) = (0_u64, BTreeSet::new());
    loop {
        let mut child = Command::new(std::env::current_exe()?)
            .env(DIR, dir)
            .stderr(Stdio::inherit())
            .spawn()?;
        let until = 50 + 40 * kills;
        let wait = Duration::from_millis(fastrand::u64(until / 2..until));
        let mut waited = Duration::ZERO;
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if waited >= wait {
                break None;
            }
            sleep(Duration::from_millis(5));
            waited += Duration::from_millis(5);
        };
        if let Some(status) = ended {
            assert!(status.success(), "the copy failed: {status}");
            break;
        }
        child.kill()?;
        child.wait()?;
        kills += 1;
        assert!(kills < 200, "a copy does not end, though it had {wait:?}");
        lines.insert(count_lines(dir)?);
    }
    println!("{kills} kills, at {} different numbers of records", lines.len());
    check(dir)
}

fn count_lines(dir: &Path) -> Result<usize> {
    let mut lines = 0;
    for entry in std::fs::read_dir(dir)? {
        lines += String::from_utf8_lossy(&std::fs::read(entry?.path())?).lines().count();
    }
    Ok(lines)
}

/// Cuts the files of a complete copy at random, even within a line, and resumes.
fn torn_lines(dir: &Path) -> Result<()> {
    complete(dir)?;
    for entry in std::fs::read_dir(dir)? {
        let file = std::fs::OpenOptions::new().write(true).open(entry?.path())?;
        file.set_len(fastrand::u64(..=file.metadata()?.len()))?;
    }
    complete(dir)?;
    check(dir)
}

fn again(dir: &Path) -> Result<()> {
    complete(dir)?;
    let contents = || -> Result<Vec<_>> {
        let mut contents = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            contents.push((std::fs::read(&path)?, path));
        }
        contents.sort();
        Ok(contents)
    };
    let before = contents()?;
    complete(dir)?;
    assert!(contents()? == before, "the files differ");
    check(dir)
}

fn complete(dir: &Path) -> Result<()> {
    Ok(Runtime::new()?.block_on(orders::copy(dir))?)
}
