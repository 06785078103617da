//! A consumer process that is killed (SIGKILL) at random, again and again, across splits and merges, on each store that outlives it: nothing is lost, what comes again was not known to be saved,
//! and records come in order per key.
//!
//! ```text
//! cargo test --test crashes                 12 kills on each store
//! CRASHES=200 cargo test --test crashes     so many
//! CRASHES_SEED=7 cargo test --test crashes  with other random points
//! ```
//!
//! The stream is on kinesalite; the stores are a file, the DynamoDB of ministack and that of moto, and Redis.

#[path = "../servers/client.rs"]
#[allow(dead_code, reason = "the suite of the servers counts requests")]
mod client;
mod consumer;
mod figures;
#[path = "../servers/install.rs"]
mod install;
#[path = "../servers/kind.rs"]
mod kind;
mod life;
#[path = "../servers/process.rs"]
#[allow(dead_code, reason = "the suite of the servers looks at their logs")]
mod process;
mod producer;
mod stores;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::stores::Kept;

fn main() -> ExitCode {
    // The consumer is this program too.
    if let Some(order) = consumer::Order::from_env() {
        return consumer::main(&order);
    }
    let mut args = Arguments::from_args();
    // They take turns, so that each is killed at many points and not in its start.
    args.test_threads = Some(1);
    let trials = Kept::ALL.map(|kept| {
        let name = format!("crashes::{kept}");
        match missing(kept) {
            Some(missing) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                Trial::test(name, move || Err(Failed::from(format!("{missing}, and CI=true"))))
            }
            Some(missing) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(missing))),
            None => Trial::test(name, move || {
                let runtime = tokio::runtime::Runtime::new()?;
                runtime.block_on(life::many(kept)).map(|figures| println!("{kept}: {figures}"))?;
                Ok(())
            }),
        }
    });
    libtest_mimic::run(&args, trials.into()).exit_code()
}

fn missing(kept: Kept) -> Option<String> {
    let servers = [Some(kind::Kind::Kinesalite), kept.server()];
    servers.into_iter().flatten().filter_map(kind::Kind::source).find_map(install::Source::missing)
}
