//! Workers that share a stream as processes, over the DynamoDB of ministack and of moto.
//!
//! Each worker writes a line to its file for each record. By these lines, no record is lost, the
//! records of each key are in order, and no shard is delivered under a token after it was under a
//! greater one.
//!
//! * `deploys`: workers come and go in peace. Nothing is repeated.
//! * `faults`: workers are killed, stopped, restarted and cut off from their tables at random.
//! * `takeover`: workers are killed, over each DynamoDB.
//! * `bad_input`: workers that cannot join, and tables that are deleted.
//! * `replicas`: the example of that name. One replica gets SIGTERM, one SIGKILL.
//! * `figures`: how long workers take, and how many requests they send.
//!
//! ```text
//! LEASE_SEED=7 cargo test --test lease_processes faults        other random faults
//! LEASE_SECONDS=600 cargo test --test lease_processes faults   for ten minutes
//! LEASE_RUNS=20 cargo test --test lease_processes figures -- --nocapture
//!                                     20 runs with the defaults of the crate, in 10 minutes
//! ```

mod bad_input;
#[path = "../servers/client.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod client;
#[path = "../stores/consumer_process.rs"]
#[allow(dead_code, reason = "the tests of the stores use the rest")]
mod consumer_process;
mod deploys;
#[path = "../stores/dynamodb.rs"]
mod dynamodb;
mod faults;
mod figures;
mod fleet;
#[path = "../servers/install.rs"]
mod install;
#[path = "../servers/kind.rs"]
mod kind;
mod lines;
mod log;
#[path = "../servers/process.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod process;
#[path = "../stores/producer.rs"]
mod producer;
#[path = "../stores/proxy.rs"]
mod proxy;
mod replicas;
mod takeover;
#[path = "../servers/trial.rs"]
mod trial;
mod wait;
mod worker;
mod worker_process;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use crate::kind::Kind;
use crate::trial::trial;

/// Workers mostly wait, so there are more threads than processors.
const TEST_THREADS: usize = 4;

fn main() -> ExitCode {
    // The workers run this program too.
    if let Some(order) = worker::Order::from_env() {
        return worker::main(&order);
    }
    if let Some(exit) = replicas::replica() {
        return exit;
    }
    let mut args = Arguments::from_args();
    args.test_threads = args.test_threads.or(Some(TEST_THREADS));
    let mut trials = Vec::new();
    for kinesis in [Kind::Kinesalite, Kind::KinesisLocal] {
        let servers = [kinesis, Kind::Ministack];
        trials.push(trial(format!("deploys::{kinesis}"), &servers, move |runtime| {
            runtime.block_on(deploys::run(kinesis))
        }));
        trials.push(trial(format!("faults::{kinesis}"), &servers, move |runtime| {
            runtime.block_on(faults::run(kinesis, 1))
        }));
    }
    let servers = [Kind::Kinesalite, Kind::Ministack];
    trials
        .push(trial("replicas".to_owned(), &servers, |runtime| runtime.block_on(replicas::run())));
    trials.push(trial("figures".to_owned(), &servers, |runtime| runtime.block_on(figures::run())));
    trials.push(trial("bad_input::table_of_another_application".to_owned(), &servers, |runtime| {
        runtime.block_on(bad_input::table_of_another_application())
    }));
    trials.push(trial("bad_input::workers_that_do_not_fit".to_owned(), &servers, |runtime| {
        runtime.block_on(bad_input::workers_that_do_not_fit())
    }));
    trials.push(trial("bad_input::tables_out_of_reach".to_owned(), &servers, |runtime| {
        runtime.block_on(bad_input::tables_out_of_reach())
    }));
    trials.push(trial("bad_input::tables_that_are_deleted".to_owned(), &servers, |runtime| {
        runtime.block_on(bad_input::tables_that_are_deleted())
    }));
    for dynamodb in [Kind::Ministack, Kind::Moto] {
        let servers = [Kind::Kinesalite, dynamodb];
        trials.push(trial(format!("takeover::{dynamodb}"), &servers, move |runtime| {
            runtime.block_on(takeover::run(dynamodb))
        }));
    }
    libtest_mimic::run(&args, trials).exit_code()
}
