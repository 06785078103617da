//! Workers beside the real Kinesis Client Library (KCL), in one lease table, on kinesis-local and
//! the DynamoDB of ministack. Needs Java 17 and Maven, and takes some 20 minutes:
//!
//! ```text
//! KCL=1 cargo test --test kcl                              all scenarios, with each version
//! KCL=1 cargo test --test kcl together::2.7.2              one of them
//! KCL=1 KCL_SECONDS=600 cargo test --test kcl together     ten minutes of both kinds together
//! ```
//!
//! * `turns`: Java workers stop and Rust workers start, and back.
//! * `together`: two Java workers and two Rust workers at the same time, while shards split and
//!   merge and the KCL deletes the rows of ended ones; then the Java workers leave one by one, and
//!   then a Rust worker.
//! * `crash`: Rust workers are killed (SIGKILL), and a Java worker takes their leases.
//! * `hand_over`: a KCL 3.x hands a lease over to a Rust worker, and back. The request is written
//!   by hand, as a leader does.
//!
//! Each checks that no record is lost, that the records of each key are in order, that no record of
//! a shard comes before all of its parents', that no checkpoint in the table goes back, and that no
//! Java worker logs an exception, unless Java workers alone had the lease that it lost. Records may
//! come again; how many is printed.

mod application;
#[path = "../servers/client.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod client;
#[path = "../stores/dynamodb.rs"]
mod dynamodb;
#[path = "../servers/install.rs"]
mod install;
mod java;
#[path = "../servers/kind.rs"]
mod kind;
#[path = "../lease_processes/lines.rs"]
mod lines;
mod log;
#[path = "../servers/process.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod process;
#[path = "../stores/producer.rs"]
mod producer;
mod scenarios;
mod table;
#[path = "../servers/trial.rs"]
mod trial;
#[path = "../lease_processes/wait.rs"]
mod wait;
mod worker;
#[path = "../lease_processes/worker_process.rs"]
mod worker_process;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::kind::Kind;
use crate::trial::trial;

const VERSIONS: [&str; 2] = ["2.7.2", "3.5.1"];

fn main() -> ExitCode {
    // The workers run this program too.
    if let Some(order) = worker::Order::from_env() {
        return worker::main(&order);
    }
    let mut args = Arguments::from_args();
    // A Java worker needs a processor.
    args.test_threads.get_or_insert(1);
    let mut trials = Vec::new();
    for version in VERSIONS {
        trials.push(with_kcl("turns", version, scenarios::turns));
        trials.push(with_kcl("together", version, scenarios::together));
        trials.push(with_kcl("crash", version, scenarios::crash));
    }
    // It differs from 3.5.1 in what it does with unknown rows.
    trials.push(with_kcl("turns", "3.4.2", scenarios::turns));
    // KCL 2.x has no hand-over.
    trials.push(with_kcl("hand_over", "3.5.1", scenarios::hand_over));
    libtest_mimic::run(&args, trials).exit_code()
}

fn with_kcl(
    name: &'static str,
    version: &'static str,
    run: impl AsyncFn(&mut application::Application) -> Result<(), String> + Send + 'static,
) -> Trial {
    let full_name = format!("{name}::{version}");
    if std::env::var_os("KCL").is_none() {
        let reason = "only with KCL=1: Java workers take minutes";
        return Trial::ignorable_test(full_name, move || Ok(Completion::ignored_with(reason)));
    }
    if let Some(missing) = java::missing() {
        return Trial::test(full_name, move || Err(missing.into()));
    }
    trial(full_name, &[Kind::KinesisLocal, Kind::Ministack], move |runtime| {
        runtime.block_on(async {
            let mut application = application::Application::new(name, version).await?;
            let result = match run(&mut application).await {
                Ok(()) => application.finish().await,
                Err(error) => Err(error),
            };
            result.map_err(|error| application.failure(&error))
        })
    })
}
