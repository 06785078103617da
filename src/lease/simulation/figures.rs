//! What a fleet takes when nothing fails: times to read again, moves, requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use tokio::time::Duration;

use crate::lease::simulation::happened::Happened;
use crate::lease::simulation::setup::{Expiry, Setup, Step};
use crate::lease::simulation::stream::Stream;
use crate::lease::simulation::world::World;
use crate::lease::simulation::{At, MILLISECOND, SECOND, seconds};

/// The runs of each scenario.
const RUNS: u64 = 60;

/// Returns a table of the figures.
///
/// # Errors
///
/// A violation of an invariant.
pub fn lease_figures() -> Result<String, String> {
    let mut text = String::new();
    let mut line = |name: &str, what: &str| {
        let _ = writeln!(text, "{name:58} {what}");
    };
    line("graceful stop (6 workers, 60 shards): drained -> read", &read_again(false, true)?);
    line("graceful stop: request -> read", &read_again(false, false)?);
    line("SIGKILL -> read", &read_again(true, false)?);
    for (workers, shards) in [(1, 10), (1, 100), (20, 1_000)] {
        let name = format!("worker {} joins, {shards} shards -> balanced", workers + 1);
        line(&name, &joined(workers, shards)?);
    }
    for (gap, lag) in [(15.0, 5 * SECOND), (60.0, 5 * SECOND), (15.0, JUST_JOINED)] {
        let name = format!(
            "surge deploy of 10 workers, 200 shards, one each {gap} s, {} s after",
            lag as f64 / SECOND as f64
        );
        let (moves, gaps) = deploy(10, 200, gap, lag)?;
        let (least, most) = (moves.iter().min().unwrap_or(&0), moves.iter().max().unwrap_or(&0));
        line(&name, &format!("{least} to {most} moves; gaps {}", distribution(gaps)));
    }
    for (shards, workers, contract) in [
        (10, 2, "3,660 W + 1,920 R"),
        (1_000, 20, "36 k W + 45 k R"),
        (20_000, 200, "360 k W + 676 k R"),
    ] {
        let name = format!("units in an idle hour, {shards} shards, {workers} workers");
        line(&name, &format!("{} (contract: {contract})", idle_hour(shards, workers)?));
    }
    Ok(text)
}

/// A fleet in which nothing fails, with the defaults.
pub(super) fn plain(seed: u64, workers: usize, shards: usize, end: At) -> Setup {
    let mut stream = Stream::default();
    for _ in 0..shards {
        stream.add(Vec::new(), 0);
    }
    let start = |worker: usize| (worker as At * 3 * SECOND / workers as At, Step::Start(worker));
    Setup {
        seed,
        workers,
        stream,
        failover: Duration::from_secs(10),
        settle: Duration::from_secs(30),
        rest: Duration::from_mins(1),
        move_timeout: Duration::from_secs(30),
        max_leases: None,
        chaos: end,
        end,
        fault_rate: 0.0,
        late_copies: 0.0,
        has_slow_requests: false,
        skew: 0.0,
        slow_records: 0.0,
        save_interval: 30.0,
        list_interval: 30 * SECOND,
        steps: (0..workers).map(start).collect(),
        expiries: Vec::new(),
        expiry: Expiry::Processed,
        is_smooth: false,
        polls_late: true,
        only_first_lists: shards > 5_000,
        kcl: None,
    }
}

fn read_again(is_kill: bool, from_drain: bool) -> Result<String, String> {
    let mut lengths = Vec::new();
    for seed in 0..RUNS {
        let mut setup = plain(seed, 6, 60, 180 * SECOND);
        let at = 120 * SECOND + seed * 137_000;
        let worker = Some(seed as usize % 6);
        let step = if is_kill {
            Step::Kill { worker, back_after: None }
        } else {
            Step::Shutdown { worker, limit: 25 * SECOND, back_after: None }
        };
        setup.steps.push((at, step));
        let mut world = World::new(setup, None, false);
        world.play()?;
        let mut since = BTreeMap::new();
        let mut stopped = None;
        for (when, what) in world.happened() {
            match *what {
                Happened::Stopped { process } => stopped = Some(process),
                Happened::Drains { shard, .. } if from_drain => {
                    since.insert(shard, *when);
                }
                Happened::Reads { shard, process } => {
                    if *when < at {
                        since.insert(shard, process as At);
                    } else if from_drain {
                        lengths.extend(since.remove(&shard).map(|from| when - from));
                    } else if since.remove(&shard) == stopped.map(|process| process as At) {
                        lengths.push(when - at);
                    }
                }
                Happened::Drains { .. } => {}
            }
        }
    }
    Ok(distribution(lengths))
}

fn distribution(mut lengths: Vec<At>) -> String {
    lengths.sort_unstable();
    let at = |share: f64| {
        let index = (lengths.len().saturating_sub(1) as f64 * share) as usize;
        lengths.get(index).map_or(0.0, |length| *length as f64 / SECOND as f64)
    };
    format!(
        "min {:.2} s, p50 {:.2} s, p99 {:.2} s, max {:.2} s ({} shards)",
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0),
        lengths.len()
    )
}

/// Returns who reads each shard after each event.
fn owners(world: &World, shards: usize) -> Vec<(At, Vec<Option<usize>>)> {
    let mut owners = vec![None; shards];
    let mut all = Vec::new();
    for (at, what) in world.happened() {
        if let Happened::Reads { shard, process } = *what {
            owners[shard] = Some(process);
            all.push((*at, owners.clone()));
        }
    }
    all
}

fn joined(workers: usize, shards: usize) -> Result<String, String> {
    let (mut lengths, mut moves) = (Vec::new(), BTreeSet::new());
    for seed in 0..RUNS / 3 {
        let mut setup = plain(seed, workers, shards, 360 * SECOND);
        let at = 150 * SECOND + seed * 137_000;
        setup.steps.push((at, Step::Start(workers)));
        let mut world = World::new(setup, None, false);
        world.play()?;
        let states = owners(&world, shards);
        let is_balanced = |owners: &[Option<usize>]| {
            let mut counts = vec![0_usize; workers + 1];
            owners.iter().flatten().for_each(|owner| counts[*owner] += 1);
            counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref()
        };
        let last = states.iter().rposition(|(_, owners)| !is_balanced(owners));
        let from = last.and_then(|last| states.get(last + 1)).map_or(0, |(when, _)| *when);
        lengths.push(from.saturating_sub(at));
        moves.insert(states.iter().filter(|(when, _)| *when > at).count());
    }
    let moves: Vec<_> = moves.into_iter().collect();
    Ok(format!("{}, {moves:?} moves", distribution(lengths)))
}

/// A time after the start of a worker at which it has joined, and may take no leases yet.
const JUST_JOINED: At = 250 * MILLISECOND;

/// Replaces all workers, one each `gap` seconds. An old one is stopped `lag` after a new one is
/// started. Returns the moves of each run, and how long each shard was not read.
fn deploy(workers: usize, shards: usize, gap: f64, lag: At) -> Result<(Vec<u64>, Vec<At>), String> {
    let (mut gaps, mut moves) = (Vec::new(), Vec::new());
    for seed in 0..RUNS / 3 {
        let first = 150 * SECOND;
        let end = first + seconds(gap * workers as f64) + 200 * SECOND;
        let mut setup = plain(seed, workers, shards, end);
        for pod in 0..workers {
            let at = first + seconds(gap * pod as f64);
            setup.steps.push((at, Step::Start(workers + pod)));
            let stop = Step::Shutdown { worker: Some(pod), limit: 25 * SECOND, back_after: None };
            setup.steps.push((at + lag, stop));
        }
        let mut world = World::new(setup, None, false);
        world.play()?;
        let mut drained = BTreeMap::new();
        let mut count = 0_u64;
        for (at, what) in world.happened() {
            match *what {
                Happened::Drains { shard, .. } => {
                    drained.insert(shard, *at);
                }
                Happened::Reads { shard, .. } if *at > first => {
                    count += 1;
                    gaps.extend(drained.remove(&shard).map(|from| at - from));
                }
                _ => {}
            }
        }
        moves.push(count);
    }
    Ok((moves, gaps))
}

fn idle_hour(shards: usize, workers: usize) -> Result<String, String> {
    let (warm_up, length) = (300 * SECOND, 600 * SECOND);
    let mut world = World::new(plain(1, workers, shards, warm_up + length), None, false);
    let before = world.play_until(warm_up)?;
    let after = world.play_until(warm_up + length)?;
    let hours = length as f64 / (3_600 * SECOND) as f64;
    Ok(format!(
        "{:.0} W + {:.0} R",
        (after.writes - before.writes) / hours,
        (after.reads - before.reads) / hours
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surge_deploy_moves_each_shard_once() {
        for lag in [JUST_JOINED, SECOND, 5 * SECOND] {
            let (moves, _) = deploy(3, 30, 5.0, lag).expect("no violation");
            assert_eq!(moves, [30; RUNS as usize / 3], "stopped {lag} us after the start");
        }
    }
}
