//! The crate against independent servers and its own fake. Each scenario on each server is one
//! test, such as `moto::split`.
//!
//! The first run installs the servers, which takes a minute and needs `node`, `npm` and `python3`.
//! Without these the tests of the servers are ignored, or fail if the environment has `CI=true`. A
//! failed scenario prints its events; with `--nocapture`, every scenario does.

mod client;
mod differential;
mod install;
mod kind;
mod known;
mod offers;
mod process;
mod reader;
mod scenarios;
mod server;
mod stream;
mod table_streams;
mod throttled;
mod writers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::kind::Kind;
use crate::known::{Instead, KNOWN};
use crate::scenarios::{Scenario, ScenarioServer};
use crate::server::{ALL, Running, Server, Servers};

/// The limit for a scenario that hangs. Scenarios take seconds.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Scenarios mostly wait, so there are more threads than processors.
const TEST_THREADS: usize = 8;

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    args.test_threads = args.test_threads.or(Some(TEST_THREADS));
    let runtime = Arc::new(Runtime::new().expect("a tokio runtime"));
    let servers = Arc::new(Servers::default());

    // Neighbouring tests run on different servers, so that a slow one gets no burst of tests.
    let mut trials: Vec<Trial> = scenarios::ALL
        .iter()
        .flat_map(|scenario| ALL.map(|kind| (kind, scenario)))
        .map(|(kind, scenario)| trial(kind, scenario, args.nocapture, &runtime, &servers))
        .collect();
    let independent = ALL.into_iter().filter(|kind| *kind != Kind::Fake);
    trials.extend(independent.map(|kind| differential(kind, args.nocapture, &runtime, &servers)));
    trials.extend(ministack(&runtime));
    trials.extend(ALL.map(|kind| formats(kind, &runtime, &servers)));
    trials.push(formats(Kind::Ministack, &runtime, &servers));
    trials.extend([Kind::Ministack, Kind::Moto].map(|kind| table_streams(kind, &runtime)));
    trials.push(Trial::test("known::scenarios_exist", known_scenarios_exist));
    trials.push(Trial::test("throttled::requests_are_retried", {
        let runtime = Arc::clone(&runtime);
        move || runtime.block_on(throttled::requests_are_retried())
    }));

    let conclusion = libtest_mimic::run(&args, trials);
    // The trials have dropped their servers: this is the last reference.
    drop(servers);
    conclusion.exit_code()
}

fn trial(
    kind: Kind,
    scenario: &'static Scenario,
    verbose: bool,
    runtime: &Arc<Runtime>,
    servers: &Arc<Servers>,
) -> Trial {
    let (runtime, servers) = (Arc::clone(runtime), Arc::clone(servers));
    let known = known::why_ignored(kind, scenario.name);
    server_trial(kind, format!("{kind}::{}", scenario.name), known, move || {
        runtime.block_on(run(kind, scenario, verbose, &servers))
    })
}

/// Creates a test that is ignored, or fails, if the server cannot be installed.
fn server_trial(
    kind: Kind,
    name: String,
    known: Option<&str>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let missing = kind.source().and_then(install::Source::missing);
    let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let reason = match (known, missing) {
        (Some(why), _) => Some(format!("{kind}: {why}")),
        (None, Some(missing)) if must_run => {
            return Trial::test(name, move || Err(Failed::from(format!("{missing}, and CI=true"))));
        }
        (None, missing) => missing,
    };
    if let Some(reason) = reason {
        return Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)));
    }
    Trial::test(name, test)
}

/// Creates the test of the fake against an independent server.
fn differential(
    kind: Kind,
    verbose: bool,
    runtime: &Arc<Runtime>,
    servers: &Arc<Servers>,
) -> Trial {
    let (runtime, servers) = (Arc::clone(runtime), Arc::clone(servers));
    server_trial(kind, format!("{kind}::differential"), None, move || {
        runtime.block_on(differential::run(kind, verbose, &servers))
    })
}

/// Creates the tests of subscriptions to ministack. Its Kinesis is of use for nothing else: a split
/// deletes the shard with its records.
fn ministack(runtime: &Arc<Runtime>) -> [Trial; 2] {
    let trial = |name: &'static str, scenario: fn(Server) -> BoxFuture<'static, ()>| {
        let runtime = Arc::clone(runtime);
        server_trial(Kind::Ministack, format!("ministack::{name}"), None, move || {
            runtime.block_on(async {
                let server = Server::new(Running::start(Kind::Ministack).await?, name);
                let test = tokio::time::timeout(TIMEOUT, scenario(server));
                test.await.map_err(|_| "timed out".into())
            })
        })
    };
    [
        trial("fan_out", |server| scenarios::records_by_fan_out_without_reshards(server).boxed()),
        trial("another_subscriber", |server| scenarios::another_subscriber(server).boxed()),
    ]
}

/// Creates the test of a server's CBOR against its JSON.
fn formats(kind: Kind, runtime: &Arc<Runtime>, servers: &Arc<Servers>) -> Trial {
    let (runtime, servers) = (Arc::clone(runtime), Arc::clone(servers));
    server_trial(kind, format!("{kind}::formats"), None, move || {
        runtime.block_on(async {
            let running = match kind {
                Kind::Ministack => Running::start(kind).await?,
                _ => servers.get(kind).await?,
            };
            differential::formats::run(kind, running).await
        })
    })
}

/// Creates the test of the example `dynamodb_streams`.
fn table_streams(kind: Kind, runtime: &Arc<Runtime>) -> Trial {
    let runtime = Arc::clone(runtime);
    server_trial(kind, format!("{kind}::table_streams"), None, move || {
        runtime.block_on(async {
            let test = tokio::time::timeout(TIMEOUT, table_streams::run(kind));
            test.await.map_err(|_| format!("timed out after {TIMEOUT:?}"))?
        })
    })
}

async fn run(
    kind: Kind,
    scenario: &'static Scenario,
    verbose: bool,
    servers: &Servers,
) -> Result<(), Failed> {
    let running = match scenario.server {
        ScenarioServer::Shared => servers.get(kind).await,
        ScenarioServer::Own => Running::start(kind).await,
    }?;
    let server = Server::new(Arc::clone(&running), scenario.name);
    let seen = server.seen.clone();
    // A task catches a panic. The panic hook has printed it by then.
    let mut task = tokio::spawn((scenario.run)(server));
    let failure = match tokio::time::timeout(TIMEOUT, &mut task).await {
        Ok(Ok(())) => {
            if verbose {
                eprintln!("events of {kind}::{}:\n{seen}", scenario.name);
            }
            return Ok(());
        }
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => {
            task.abort();
            format!("timed out after {TIMEOUT:?}")
        }
    };
    let (known, log) = (known::expectations(kind), running.log_tail());
    Err(format!("{failure}\nevents:\n{seen}\nknown quirks of {kind}:\n{known}\n{log}").into())
}

/// Checks that [`KNOWN`] has no stale names: a renamed scenario would run on a server that fails
/// it.
fn known_scenarios_exist() -> Result<(), Failed> {
    for known in KNOWN {
        if let Instead::Ignores(names) = known.instead {
            for name in names {
                if !scenarios::ALL.iter().any(|scenario| scenario.name == *name) {
                    return Err(format!("{known:?}: there is no scenario {name}").into());
                }
            }
        }
    }
    Ok(())
}
