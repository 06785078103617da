//! A fleet that runs for long, in which shards and workers come and go: nothing grows.

use crate::lease::simulation::figures::plain;
use crate::lease::simulation::oracle::Check;
use crate::lease::simulation::setup::{Draw, KclSetup, KclStep, Setup, Step, Version};
use crate::lease::simulation::stream::{NEVER, Stream};
use crate::lease::simulation::world::World;
use crate::lease::simulation::{At, SECOND, seconds};

/// How long a run takes.
const LENGTH: At = 3 * 3_600 * SECOND;
/// The time between two changes of the shards, of the workers and of the KCL's workers.
const INTERVAL: At = 60 * SECOND;
const SHARDS: usize = 8;
const WORKERS: usize = 4;
/// Entries that are kept for some minutes: departed workers, unlisted shards.
const REMEMBERED: usize = 40;

/// Plays a long run, and checks at its end how much each worker remembers.
///
/// # Errors
///
/// A violation of an invariant, or a collection that grows.
pub fn run_lease_growth(seed: u64) -> Result<String, String> {
    let mut world = World::new(long(seed), None, false);
    world.play_until(LENGTH).map_err(|violation| format!("seed {seed}: {violation}"))?;
    world.check_growth().map_err(|violation| format!("seed {seed}: {violation}"))?;
    Ok(world.figures.to_string())
}

fn long(seed: u64) -> Setup {
    let mut draw = Draw(fastrand::Rng::with_seed(seed));
    let mut setup = plain(seed, WORKERS, 0, LENGTH);
    setup.save_interval = 10.0;
    (setup.stream, setup.expiries) = stream(&mut draw);
    // Some workers have a new id each, as in a deployment, and others have the same again.
    let has_new_ids = seed.is_multiple_of(2);
    let version = if seed.is_multiple_of(4) { Version::Two } else { Version::Three };
    let is_beside_kcl = seed % 4 < 2;
    setup.kcl = is_beside_kcl.then_some(KclSetup { version, asks_others: true, until: NEVER });
    for change in 1..LENGTH / INTERVAL {
        let at = change * INTERVAL;
        let worker = if has_new_ids { WORKERS + change as usize } else { change as usize % 4 };
        setup.steps.push((at, Step::Start(worker)));
        let late = at + seconds(5.0);
        setup.steps.push((
            late,
            if draw.chance(0.7) {
                Step::Shutdown { worker: None, limit: 25 * SECOND, back_after: None }
            } else {
                Step::Kill { worker: None, back_after: None }
            },
        ));
        if is_beside_kcl {
            let start = KclStep::Start(change as usize);
            setup.steps.push((at, Step::Kcl(start)));
            if change > 2 {
                setup.steps.push((at, Step::Kcl(KclStep::End { back_after: None })));
            }
        }
    }
    setup.steps.sort_by_key(|(at, _)| *at);
    setup
}

fn stream(draw: &mut Draw) -> (Stream, Vec<(At, usize)>) {
    let mut stream = Stream::default();
    let mut open: Vec<usize> = (0..SHARDS).map(|_| stream.add(Vec::new(), 0)).collect();
    let mut expiries = Vec::new();
    for change in 1..LENGTH / INTERVAL {
        let at = change * INTERVAL + draw.secs(0.0, 50.0);
        let mut parents = vec![open.swap_remove(draw.0.usize(..open.len()))];
        if open.len() >= SHARDS {
            parents.push(open.swap_remove(draw.0.usize(..open.len())));
            parents.sort_unstable();
        }
        for parent in &parents {
            stream.shards[*parent].closed = at;
            expiries.push((at + 60 * SECOND, *parent));
        }
        open.push(stream.add(parents.clone(), at));
        if parents.len() == 1 {
            open.push(stream.add(parents, at));
        }
    }
    for shard in &mut stream.shards {
        let until = shard.closed.min(LENGTH);
        let length = until.saturating_sub(shard.created);
        let mut records: Vec<At> =
            (0..10).map(|_| shard.created + (draw.0.f64() * length as f64) as At).collect();
        records.sort_unstable();
        shard.records = records;
    }
    (stream, expiries)
}

impl World {
    /// Each collection is bounded by the shards that are listed and the workers that are there.
    fn check_growth(&self) -> Check {
        let is_listed = |shard: &usize| self.stream.is_listed(*shard, self.now);
        let shards = (0..self.stream.shards.len()).filter(is_listed).count();
        let workers = self.processes.iter().filter(|process| !process.is_gone()).count();
        let limit = 2 * (shards + workers) + REMEMBERED;
        for (index, process) in self.processes.iter().enumerate() {
            if process.is_gone() {
                continue;
            }
            let saves = ("saves", process.saves.len());
            for (name, size) in process.machine.sizes().into_iter().chain([saves]) {
                if size > limit {
                    return Err(format!(
                        "I12: process {index} has {size} entries in {name}, with {shards} shards \
                         and {workers} workers"
                    ));
                }
            }
        }
        Ok(())
    }
}
