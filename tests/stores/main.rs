//! The stores, each with the real thing behind it: a file, the DynamoDB of ministack and that of
//! moto, and Redis.
//!
//! * `conformance`: the suite that any store passes.
//! * `takeover`: from a table of the Java library, and back.
//! * `crashes`: a consumer process is killed (SIGKILL) at random, again and again, across splits
//!   and merges of a stream on kinesalite: nothing is lost, what is saved was done, what comes
//!   again was not known to be saved, and records come in order per key.
//!
//! ```text
//! cargo test --test stores                          25 kills on each store
//! CRASHES=200 cargo test --test stores crashes      so many
//! CRASHES_SEED=7 cargo test --test stores crashes   with other random points
//! ```

#[path = "../servers/client.rs"]
#[allow(dead_code, reason = "the suite of the servers counts requests")]
mod client;
mod conformance;
mod consumer;
mod figures;
#[path = "../servers/install.rs"]
mod install;
#[path = "../servers/kind.rs"]
mod kind;
mod life;
mod place;
#[path = "../servers/process.rs"]
#[allow(dead_code, reason = "the suite of the servers looks at their logs")]
mod process;
mod producer;
mod proxy;
mod stores;
mod takeover;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::stores::Kept;

fn main() -> ExitCode {
    // The consumer is this program too.
    if let Some(order) = consumer::Order::from_env() {
        return consumer::main(&order);
    }
    let mut args = Arguments::from_args();
    // They take turns, so that each is killed at many points and not in its start.
    args.test_threads = Some(1);
    let mut trials = Vec::new();
    for kept in Kept::ALL {
        // moto checks a condition and writes in two steps, so that a write whose condition no
        // longer holds may land: what the suite looks for.
        if kept != Kept::Moto {
            trials.push(trial("conformance", kept, move |runtime| {
                runtime.block_on(conformance::run(kept))
            }));
        }
        if matches!(kept, Kept::Ministack | Kept::Moto) {
            trials.push(trial("takeover", kept, move |runtime| {
                runtime.block_on(takeover::run(kept))
            }));
        }
        trials.push(trial("crashes", kept, move |runtime| {
            runtime.block_on(life::many(kept)).map(|figures| println!("{kept}: {figures}"))
        }));
    }
    libtest_mimic::run(&args, trials).exit_code()
}

/// A test that is ignored, or fails, where its servers cannot be installed.
fn trial(
    what: &str,
    kept: Kept,
    run: impl FnOnce(&Runtime) -> Result<(), String> + Send + 'static,
) -> Trial {
    let name = format!("{what}::{kept}");
    match missing(kept) {
        Some(missing) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            Trial::test(name, move || Err(Failed::from(format!("{missing}, and CI=true"))))
        }
        Some(missing) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(missing))),
        None => Trial::test(name, move || Ok(run(&Runtime::new()?)?)),
    }
}

fn missing(kept: Kept) -> Option<String> {
    let servers = [Some(kind::Kind::Kinesalite), kept.server()];
    servers.into_iter().flatten().filter_map(kind::Kind::source).find_map(install::Source::missing)
}
