//! The stores on real back ends: a file, the DynamoDB of ministack and of moto, and Redis.
//!
//! * `conformance`: the checks that every store passes.
//! * `takeover`: a consumer continues from a table of the Java library, and the library from its.
//! * `crashes`: a consumer process is killed (SIGKILL) at random points, again and again, across
//!   splits and merges of a stream on kinesalite. No record is lost, only processed records are
//!   saved, only unsaved records are repeated, and the records of each key are in order.
//! * `lease_tables`: the tables of a fleet respond as the model of them does, with which the
//!   simulation of leases runs.
//! * `orders`: the example of that name is killed, loses its connections, and writes each record to
//!   PostgreSQL once, and those that are not JSON to its dead letters.
//! * `effectively_once`: the example of that name is killed and loses its connections in the same
//!   way. Each record is in its sums once.
//!
//! ```text
//! cargo test --test stores                          10 kills on each store
//! CRASHES=200 cargo test --test stores crashes      200 kills
//! CRASHES_SEED=7 cargo test --test stores crashes   other random points
//! ```

mod backend;
#[path = "../servers/client.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod client;
mod conformance;
mod consumer;
mod consumer_process;
mod database_example;
mod dynamodb;
mod effectively_once;
mod figures;
#[path = "../servers/install.rs"]
mod install;
#[path = "../servers/kind.rs"]
mod kind;
mod lease_tables;
mod life;
mod location;
mod orders;
#[path = "../servers/process.rs"]
#[allow(dead_code, reason = "the tests of the servers use the rest")]
mod process;
mod producer;
mod proxy;
mod takeover;
#[path = "../servers/trial.rs"]
mod trial;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use crate::backend::Backend;

fn main() -> ExitCode {
    // The consumer processes run this program too.
    if let Some(order) = consumer::Order::from_env() {
        return consumer::main(&order);
    }
    if let Some(exit) = orders::consumer().or_else(effectively_once::consumer) {
        return exit;
    }
    let mut args = Arguments::from_args();
    // One test at a time, so that kills also hit a consumer long after its start.
    args.test_threads = Some(1);
    let mut trials = Vec::new();
    for backend in Backend::ALL {
        // moto checks a condition and writes in two steps, so a write whose condition no longer
        // holds may land. The checks would find that.
        if backend != Backend::Moto {
            trials.push(on_backend("conformance", backend, move |runtime| {
                runtime.block_on(conformance::run(backend))
            }));
        }
        if matches!(backend, Backend::Ministack | Backend::Moto) {
            trials.push(on_backend("takeover", backend, move |runtime| {
                runtime.block_on(takeover::run(backend))
            }));
            trials.push(on_backend("lease_tables", backend, move |runtime| {
                runtime.block_on(lease_tables::run(backend))
            }));
        }
        trials.push(on_backend("crashes", backend, move |runtime| {
            runtime.block_on(life::many(backend)).map(|figures| println!("{backend}: {figures}"))
        }));
    }
    let servers = [kind::Kind::Kinesalite, kind::Kind::Postgres];
    trials.push(trial::trial("orders".to_owned(), &servers, |runtime| {
        runtime.block_on(orders::run())
    }));
    trials.push(trial::trial("effectively_once".to_owned(), &servers, |runtime| {
        runtime.block_on(effectively_once::run())
    }));
    libtest_mimic::run(&args, trials).exit_code()
}

fn on_backend(
    what: &str,
    backend: Backend,
    run: impl FnOnce(&Runtime) -> Result<(), String> + Send + 'static,
) -> Trial {
    let servers: Vec<_> =
        [Some(kind::Kind::Kinesalite), backend.server()].into_iter().flatten().collect();
    trial::trial(format!("{what}::{backend}"), &servers, run)
}
