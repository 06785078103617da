//! Tests that need servers, and numbers from the environment.

use libtest_mimic::{Completion, Failed, Trial};
use tokio::runtime::Runtime;

use crate::install::Source;
use crate::kind::Kind;

/// Creates a test that is ignored, or fails if the environment has `CI=true`, if its servers cannot
/// be installed.
pub(crate) fn trial(
    name: String,
    servers: &[Kind],
    run: impl FnOnce(&Runtime) -> Result<(), String> + Send + 'static,
) -> Trial {
    let missing = servers.iter().filter_map(|server| server.source()).find_map(Source::missing);
    match missing {
        Some(missing) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            Trial::test(name, move || Err(Failed::from(format!("{missing}, and CI=true"))))
        }
        Some(missing) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(missing))),
        None => Trial::test(name, move || Ok(run(&Runtime::new()?)?)),
    }
}

/// Returns the number that an environment variable holds, if it is set.
pub(crate) fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}
