//! Random streams and consumers with checkpoints, on a paused clock. Each simulation is a function
//! of one seed.
//!
//! The consumers crash at any poll and start again. Their stores fail, respond late or never, and
//! keep or lose the saves that they did not confirm.
//!
//! ```text
//! # 250 seeds
//! cargo test --test checkpoint_simulation
//! # a soak
//! CHECKPOINT_SIMULATION_SEEDS=100000 cargo test --test checkpoint_simulation
//! # one seed, with its script
//! CHECKPOINT_SIMULATION_SEED=4711 cargo test --test checkpoint_simulation
//! ```
//!
//! Kinesis refuses the positions of checkpoints, once or for some time, and the `Date` header may
//! be ahead of its clock. In some seeds the consumer reads by fan-out: its subscriptions fail, end
//! and are taken over, and the consumer is deregistered. A pipeline is dropped and rebuilt on the
//! same checkpoints, `on_event` panics, and the stream is deleted and created again.
//!
//! These rules must hold:
//!
//! * No owed record is lost, and none comes again whose acknowledgement is in the store.
//! * No checkpoint is saved past a record that was not acknowledged, nor over a later one.
//! * No shard is read before its start is saved, nor in a run from `Latest` before the starts of
//!   all shards that the run began with are, nor a child before the ends of its parents are.
//! * Records come in order per key. Where they are processed by key, one of a key is in flight.
//! * No delivered record comes again after a complete shutdown.
//! * The store keeps no checkpoint of an unlisted shard.
//! * No task is leaked.
//!
//! Every fourth seed also has runs with an end: see `until`.

mod consumer;
mod oracle;
#[path = "../simulation/paused.rs"]
mod paused;
#[path = "../simulation/program.rs"]
mod program;
mod refusals;
mod script;
mod store;
#[path = "../simulation/subscriptions.rs"]
mod subscriptions;
mod until;
#[path = "../simulation/wire_format.rs"]
mod wire_format;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use program::{filters, is_wanted, number_from, panicked, play_all, summary, threads};
use script::Script;
use world::Outcome;

const SEEDS: u64 = 250;
const MAX_FAILURES: usize = 3;
/// One in this many seeds is played twice: the second time must not differ.
const REPLAY_INTERVAL: u64 = 50;
/// One seed in this many has runs with an end, too.
const BOUNDED_INTERVAL: u64 = 4;

fn play(script: &Script) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| world::play(script))).unwrap_or_else(|panic| {
        let violation = Some(panicked(&*panic));
        Outcome { violation, ..Outcome::default() }
    })
}

/// Plays the runs with an end of one seed. Returns whether it passes.
fn bounded(seed: u64) -> bool {
    let play = |script: &Script| {
        let played = catch_unwind(AssertUnwindSafe(|| until::play(script)));
        played.unwrap_or_else(|panic| Some(panicked(&*panic)))
    };
    let script = Script::of_seed(seed);
    let Some(violation) = play(&script) else { return true };
    let shortest = script.shortest(|script| play(script).is_some());
    println!("\nseed {seed} fails with an end: {violation}\n{shortest:#?}");
    false
}

/// Plays the runs with an end of every fourth seed. Returns how many passed, and how many failed.
fn many_bounded(first: u64, seeds: u64) -> (u64, usize) {
    let threads = threads("CHECKPOINT_SIMULATION_THREADS");
    let seeds = seeds / BOUNDED_INTERVAL;
    let failed = play_all(0..seeds, threads, MAX_FAILURES, |number| {
        bounded(first + number * BOUNDED_INTERVAL + number % BOUNDED_INTERVAL)
    });
    println!("{seeds} seeds have runs with an end");
    (seeds - failed as u64, failed)
}

fn report(script: &Script, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    println!("\nseed {} fails: {violation}", script.seed);
    let shortest = script.shortest(|script| play(script).violation.is_some());
    println!("the shortest failing script: {}", play(&shortest).violation.unwrap_or_default());
    println!("{shortest:#?}");
    println!(
        "to repeat: CHECKPOINT_SIMULATION_SEED={} cargo test --test checkpoint_simulation\n",
        script.seed
    );
}

fn many(first: u64, seeds: u64) -> (u64, usize) {
    let sum = Mutex::new((0, Outcome::default()));
    let threads = threads("CHECKPOINT_SIMULATION_THREADS");
    let failed = play_all(first..first + seeds, threads, MAX_FAILURES, |seed| {
        let script = Script::of_seed(seed);
        let mut outcome = play(&script);
        if outcome.violation.is_none() && seed % REPLAY_INTERVAL == 0 {
            let again = play(&script);
            if again.digest != outcome.digest {
                outcome.violation = Some("the second play of the seed differs".to_owned());
            }
        }
        let has_passed = outcome.violation.is_none();
        if !has_passed {
            report(&script, &outcome);
        }
        let mut sum = sum.lock().unwrap();
        sum.0 += u64::from(has_passed);
        sum.1.add(&outcome);
        has_passed
    });
    let (passed, sum) = sum.into_inner().unwrap();
    let Outcome {
        records,
        deliveries,
        redeliveries,
        by_key,
        chunks,
        saves,
        confirmed_saves,
        lives,
        crashes,
        shutdowns,
        complete_shutdowns,
        rebuilds,
        recreations,
        refused_requests,
        started_over,
        shards,
        limited_seeds,
        spawned_seeds,
        date_ahead_seeds,
        cbor_seeds,
        fan_out_seeds,
        subscription_faults,
        five_minute_ends,
        takeovers,
        deregistrations,
        ..
    } = sum;
    println!(
        "{lives} lives: {crashes} crashed, {shutdowns} shut down, {complete_shutdowns} of them \
         completely; {shards} shards"
    );
    println!("{limited_seeds} seeds limit concurrent reads, {spawned_seeds} read in tasks");
    println!("{date_ahead_seeds} seeds have a Date header that is ahead");
    println!("{cbor_seeds} seeds read in CBOR");
    println!(
        "{fan_out_seeds} seeds read by fan-out: {subscription_faults} subscriptions met a fault, \
         {five_minute_ends} ended after five minutes, {takeovers} takeovers, {deregistrations} \
         deregistrations"
    );
    println!("{rebuilds} pipelines were rebuilt, {recreations} streams were created again");
    println!("{refused_requests} positions were refused, {started_over} shards started over");
    println!("{records} records, {deliveries} deliveries, {redeliveries} of them again, none lost");
    println!("{by_key} records were processed by key, {chunks} chunks were delivered");
    println!("{saves} saves, {confirmed_saves} of them confirmed");
    (passed, failed)
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.deliveries += other.deliveries;
        self.redeliveries += other.redeliveries;
        self.by_key += other.by_key;
        self.chunks += other.chunks;
        self.saves += other.saves;
        self.confirmed_saves += other.confirmed_saves;
        self.lives += other.lives;
        self.crashes += other.crashes;
        self.shutdowns += other.shutdowns;
        self.complete_shutdowns += other.complete_shutdowns;
        self.rebuilds += other.rebuilds;
        self.recreations += other.recreations;
        self.refused_requests += other.refused_requests;
        self.started_over += other.started_over;
        self.shards += other.shards;
        self.limited_seeds += other.limited_seeds;
        self.spawned_seeds += other.spawned_seeds;
        self.date_ahead_seeds += other.date_ahead_seeds;
        self.cbor_seeds += other.cbor_seeds;
        self.fan_out_seeds += other.fan_out_seeds;
        self.subscription_faults += other.subscription_faults;
        self.five_minute_ends += other.five_minute_ends;
        self.takeovers += other.takeovers;
        self.deregistrations += other.deregistrations;
    }
}

fn main() -> ExitCode {
    let begun = Instant::now();
    let Some(filters) = filters("checkpoint_simulation") else { return ExitCode::SUCCESS };
    if !is_wanted(&filters, "checkpoint_simulation") {
        return summary(0, 0, 1, begun);
    }
    // The panics of stores and of `on_event` are scripted.
    std::panic::set_hook(Box::new(|_| ()));
    let (passed, failed) = if let Some(seed) = number_from("CHECKPOINT_SIMULATION_SEED") {
        let script = Script::of_seed(seed);
        println!("{script:#?}");
        let outcome = play(&script);
        report(&script, &outcome);
        println!("{outcome:#?}");
        let failed = usize::from(outcome.violation.is_some()) + usize::from(!bounded(seed));
        (u64::from(failed == 0), failed)
    } else {
        let first = number_from("CHECKPOINT_SIMULATION_FIRST").unwrap_or(0);
        let seeds = number_from("CHECKPOINT_SIMULATION_SEEDS").unwrap_or(SEEDS);
        let (passed, failed) = many(first, seeds);
        let (passed_bounded, failed_bounded) = many_bounded(first, seeds);
        (passed + passed_bounded, failed + failed_bounded)
    };
    println!("{passed} seeds passed, {failed} failed");
    // All seeds count as one test.
    let failed = usize::from(failed > 0);
    summary(1 - failed, failed, 0, begun)
}
