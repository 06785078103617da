//! The crate against servers that others wrote, and against its own fake: each scenario on each
//! server is one test, such as `moto::split`.
//!
//! The servers install themselves on the first run, which takes a minute and needs `node`, `npm`
//! and `python3`; without these their tests are ignored, or fail if the environment has `CI=true`.
//! `--nocapture` shows what each scenario saw, as a failure does.

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
mod throttled;
mod writers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::kind::Kind;
use crate::known::{Instead, KNOWN};
use crate::scenarios::{Scenario, ScenarioServer};
use crate::server::{ALL, Running, Server, Servers};

/// A test that takes longer hangs. It takes some seconds.
const TIMEOUT: Duration = Duration::from_mins(10);
/// They wait more than they work.
const TEST_THREADS: usize = 8;

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    args.test_threads = args.test_threads.or(Some(TEST_THREADS));
    let runtime = Arc::new(Runtime::new().expect("a tokio runtime"));
    let servers = Arc::new(Servers::default());

    // The servers take turns: those that are slow get no burst of tests.
    let mut trials: Vec<Trial> = scenarios::ALL
        .iter()
        .flat_map(|scenario| ALL.map(|kind| (kind, scenario)))
        .map(|(kind, scenario)| trial(kind, scenario, args.nocapture, &runtime, &servers))
        .collect();
    let others = ALL.into_iter().filter(|kind| *kind != Kind::Fake);
    trials.extend(others.map(|kind| differential(kind, args.nocapture, &runtime, &servers)));
    trials.push(Trial::test("known::names_scenarios", known_names_scenarios));
    trials.push(Trial::test("throttled::requests_are_sent_again", {
        let runtime = Arc::clone(&runtime);
        move || runtime.block_on(throttled::requests_are_sent_again())
    }));

    let conclusion = libtest_mimic::run(&args, trials);
    // The trials are gone, and with this their last server.
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
    needing(kind, format!("{kind}::{}", scenario.name), known, move || {
        runtime.block_on(run(kind, scenario, verbose, &servers))
    })
}

/// A test that is ignored, or fails, where the server cannot be installed.
fn needing(
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

/// The fake against another server.
fn differential(
    kind: Kind,
    verbose: bool,
    runtime: &Arc<Runtime>,
    servers: &Arc<Servers>,
) -> Trial {
    let (runtime, servers) = (Arc::clone(runtime), Arc::clone(servers));
    needing(kind, format!("{kind}::differential"), None, move || {
        runtime.block_on(differential::run(kind, verbose, &servers))
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
    // A task, since that catches a panic; it is printed where it happens.
    let mut task = tokio::spawn((scenario.run)(server));
    let failure = match tokio::time::timeout(TIMEOUT, &mut task).await {
        Ok(Ok(())) => {
            if verbose {
                eprintln!("{kind}::{} saw:\n{seen}", scenario.name);
            }
            return Ok(());
        }
        Ok(Err(panic)) => panic.to_string(),
        Err(_) => {
            task.abort();
            format!("not done after {TIMEOUT:?}")
        }
    };
    let (known, log) = (known::expectations(kind), running.log_tail());
    Err(format!("{failure}\nseen so far:\n{seen}\nknown of {kind}:\n{known}\n{log}").into())
}

/// A scenario that was renamed would run where it cannot.
fn known_names_scenarios() -> Result<(), Failed> {
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
