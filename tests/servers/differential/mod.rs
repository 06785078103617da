//! Compares the fake with each server: random scripts run on both, and their responses are compared
//! field by field.
//!
//! The known differences are in one [table], each with the side that is right according to AWS's
//! documentation. The test fails on any other difference, on an entry of the table that no script
//! meets, and on an operation that too few calls carry out: a fake that rejects everything would
//! meet no difference.
//!
//! `DIFFERENTIAL_SEEDS=1000` runs the first thousand seeds instead of some sixty that meet every
//! entry; `DIFFERENTIAL_SEED=7` runs one seed. With `--nocapture` the test prints how often each
//! entry was met, and by which seeds.

mod call;
mod case;
mod cause;
mod compare;
pub(crate) mod formats;
mod generate;
mod records;
mod response;
mod script;
mod shards;
mod side;
mod table;
mod world;
mod wrong;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::time::Instant;

use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use libtest_mimic::Failed;

use self::script::{Outcome, Script};
use self::table::entries;
use self::table::entry::Entry;
use crate::TIMEOUT;
use crate::kind::Kind;
use crate::server::{Server, Servers};

/// The number of scripts that run on a server at a time.
const MAX_CONCURRENT: usize = 6;

/// The part of the table that the scripts must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coverage {
    Nothing,
    /// Every entry that is not rare.
    Entries,
    /// Every cause of every entry.
    Causes,
}

/// The number of scripts that meet every cause.
const SEEDS_FOR_CAUSES: u64 = 1_000;

/// Returns the seeds to run, and the part of the table that they must meet.
fn seeds(kind: Kind) -> (Vec<u64>, Coverage) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("DIFFERENTIAL_SEED") {
        return (vec![seed], Coverage::Nothing);
    }
    match number("DIFFERENTIAL_SEEDS") {
        Some(seeds @ SEEDS_FOR_CAUSES..) => ((0..seeds).collect(), Coverage::Causes),
        Some(seeds) => ((0..seeds).collect(), Coverage::Nothing),
        None => (
            (0..table::SEEDS).chain(table::more_seeds(kind).iter().copied()).collect(),
            Coverage::Entries,
        ),
    }
}

pub(crate) async fn run(kind: Kind, verbose: bool, servers: &Servers) -> Result<(), Failed> {
    let server = Server::new(servers.get(kind).await?, "differential");
    let client = server.other_client();
    let (seeds, coverage) = seeds(kind);
    let (count, began) = (seeds.len(), Instant::now());
    let scripts = seeds.into_iter().map(async |seed| {
        let script = tokio::time::timeout(TIMEOUT, Script::new(kind, &client, seed).run());
        script.await.unwrap_or_else(|_| Outcome::timed_out(seed))
    });
    let outcomes: Vec<Outcome> =
        futures::stream::iter(scripts).buffer_unordered(MAX_CONCURRENT).collect().await;

    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let mut report = format!(
        "{kind}: {count} scripts, {} calls compared, {} skipped, {} known differences, {:.1} s\n",
        sum(|outcome| outcome.compared),
        sum(|outcome| outcome.skipped),
        sum(|outcome| outcome.known.len()),
        began.elapsed().as_secs_f64()
    );
    let mut failures = unknown(&outcomes);
    if coverage >= Coverage::Entries {
        failures += &unused(kind, coverage, &outcomes);
        failures += &too_few(kind, count, &outcomes);
    }
    if verbose {
        eprintln!("{report}{}{}", accepted(&outcomes), met(kind, &outcomes));
    }
    if failures.is_empty() {
        return Ok(());
    }
    report += &failures;
    Err(report.into())
}

/// Returns the differences between the fake and `server`, another fake, in the scripts of these
/// seeds.
pub(crate) async fn from_itself(server: &FakeKinesis, seeds: Range<u64>) -> String {
    let client = server.client();
    let scripts = seeds.map(|seed| Script::new(Kind::Fake, &client, seed).run());
    unknown(&futures::future::join_all(scripts).await)
}

/// Returns the seed of each time that a script met an entry.
fn meetings(entry: &Entry, outcomes: &[Outcome]) -> Vec<u64> {
    let of_one = |outcome: &Outcome| {
        let times = outcome.known.iter().filter(|(met, _)| std::ptr::eq(*met, entry)).count();
        std::iter::repeat_n(outcome.seed, times)
    };
    outcomes.iter().flat_map(of_one).collect()
}

fn describe(entry: &Entry) -> String {
    let Entry { operations, field, values, what, right, rule, .. } = entry;
    let operations = if operations.is_empty() { "any".to_owned() } else { operations.join(", ") };
    let values = values.map(|(server, fake)| format!(" ({server} for {fake})")).unwrap_or_default();
    format!("{operations}: {field}{values}: {what}. Right: {right:?} ({rule})")
}

/// Lists the entries of the table, and how often each was met.
fn met(kind: Kind, outcomes: &[Outcome]) -> String {
    let mut report = String::new();
    for entry in entries(kind) {
        let mut seeds = meetings(entry, outcomes);
        let times = seeds.len();
        seeds.sort_unstable();
        seeds.dedup();
        seeds.truncate(5);
        let _ = writeln!(report, "{times:>6} {} by {seeds:?}", describe(entry));
    }
    report
}

/// Lists the entries that no script met, and the causes for which no script met the others.
fn unused(kind: Kind, coverage: Coverage, outcomes: &[Outcome]) -> String {
    let mut report = String::new();
    for entry in entries(kind) {
        if meetings(entry, outcomes).is_empty() && (coverage == Coverage::Causes || !entry.rare) {
            let _ = writeln!(report, "in the table, but not met: {}", describe(entry));
        }
        for cause in entry.causes.iter().filter(|_| coverage == Coverage::Causes) {
            let all = outcomes.iter().flat_map(|outcome| &outcome.known);
            if !all
                .into_iter()
                .any(|(met, causes)| std::ptr::eq(*met, entry) && causes.contains(cause))
            {
                let _ = writeln!(report, "not met for {cause:?}: {}", describe(entry));
            }
        }
    }
    report
}

/// Returns the number of calls of each operation that both sides carried out.
fn accepted_by_operation(outcomes: &[Outcome]) -> BTreeMap<&'static str, usize> {
    let mut sums = BTreeMap::new();
    for (operation, times) in outcomes.iter().flat_map(|outcome| &outcome.accepted) {
        *sums.entry(*operation).or_default() += times;
    }
    sums
}

fn accepted(outcomes: &[Outcome]) -> String {
    let mut report = String::new();
    for (operation, times) in accepted_by_operation(outcomes) {
        let _ = writeln!(report, "{times:>6} {operation} carried out by both");
    }
    report
}

fn too_few(kind: Kind, scripts: usize, outcomes: &[Outcome]) -> String {
    let sums = accepted_by_operation(outcomes);
    let mut report = String::new();
    for (operation, per_hundred) in table::at_least(kind) {
        let (least, found) =
            (per_hundred * scripts / 100, sums.get(operation).copied().unwrap_or_default());
        if found < least {
            let _ = writeln!(
                report,
                "{operation}: both sides carried out {found} calls, fewer than {least}"
            );
        }
    }
    report
}

/// Lists each kind of unknown difference once, with how often it was met.
fn unknown(outcomes: &[Outcome]) -> String {
    let mut kinds: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for unknown in outcomes.iter().flat_map(|outcome| &outcome.unknown) {
        kinds.entry(&unknown.what).or_insert((0, &unknown.context)).0 += 1;
    }
    let mut report = String::new();
    for (what, (times, context)) in kinds {
        let _ = writeln!(report, "\nnot in the table ({times} times): {what}\n{context}");
    }
    report
}
