//! Is the fake true? Random scripts on the fake and on each server, compared field by field. What
//! differs is in one [table], with who is right according to AWS's documentation; what is not in it
//! fails. So does an entry of the table that no script meets, and an operation that too few calls
//! carry out: a fake that refuses it all would meet nothing.
//!
//! `DIFFERENTIAL_SEEDS=1000` runs the first thousand seeds instead of some sixty that meet it all;
//! `DIFFERENTIAL_SEED=7` runs only that one. With `--nocapture` it prints how often each entry was
//! met, and by which seeds.

mod answer;
mod call;
mod case;
mod cause;
mod compare;
mod generate;
mod records;
mod script;
mod shards;
mod side;
mod table;
mod wrong;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::time::Instant;

use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use libtest_mimic::Failed;

use self::script::{Outcome, Script};
use self::table::{KNOWN, Known};
use crate::TIMEOUT;
use crate::kind::Kind;
use crate::server::{Server, Servers};

/// So many scripts of a server run at a time.
const AT_ONCE: usize = 6;

/// What is to be met: nothing by one seed, every entry of the table that is not rare by those that
/// CI runs, and by more every cause of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    Nothing,
    Entries,
    Causes,
}

/// In so many scripts every cause is met.
const ENOUGH_FOR_ALL: u64 = 1_000;

/// The seeds to run.
fn seeds(kind: Kind) -> (Vec<u64>, Met) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("DIFFERENTIAL_SEED") {
        return (vec![seed], Met::Nothing);
    }
    match number("DIFFERENTIAL_SEEDS") {
        Some(seeds @ ENOUGH_FOR_ALL..) => ((0..seeds).collect(), Met::Causes),
        Some(seeds) => ((0..seeds).collect(), Met::Nothing),
        None => (
            (0..table::SEEDS).chain(table::more_seeds(kind).iter().copied()).collect(),
            Met::Entries,
        ),
    }
}

pub(crate) async fn run(kind: Kind, verbose: bool, servers: &Servers) -> Result<(), Failed> {
    let server = Server::new(servers.get(kind).await?, "differential");
    let client = server.other_client();
    let (seeds, to_be_met) = seeds(kind);
    let (count, began) = (seeds.len(), Instant::now());
    let scripts = seeds.into_iter().map(async |seed| {
        let script = tokio::time::timeout(TIMEOUT, Script::new(kind, &client, seed).run());
        script.await.unwrap_or_else(|_| Outcome::of_one_that_hangs(seed))
    });
    let outcomes: Vec<Outcome> =
        futures::stream::iter(scripts).buffer_unordered(AT_ONCE).collect().await;

    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let mut report = format!(
        "{kind}: {count} scripts, {} calls compared, {} left out, {} known differences, {:.1} s\n",
        sum(|outcome| outcome.compared),
        sum(|outcome| outcome.skipped),
        sum(|outcome| outcome.known.len()),
        began.elapsed().as_secs_f64()
    );
    let mut failures = unknown(&outcomes);
    if to_be_met >= Met::Entries {
        failures += &unused(kind, to_be_met, &outcomes);
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

/// The differences between the fake and such a server as is the fake itself, in the scripts of
/// these seeds.
pub(crate) async fn from_itself(server: &FakeKinesis, seeds: Range<u64>) -> String {
    let client = server.client();
    let scripts = seeds.map(|seed| Script::new(Kind::Fake, &client, seed).run());
    unknown(&futures::future::join_all(scripts).await)
}

/// The seeds that met an entry, once for each time.
fn meetings(known: &Known, outcomes: &[Outcome]) -> Vec<u64> {
    let of_one = |outcome: &Outcome| {
        let times = outcome.known.iter().filter(|(met, _)| std::ptr::eq(*met, known)).count();
        std::iter::repeat_n(outcome.seed, times)
    };
    outcomes.iter().flat_map(of_one).collect()
}

fn describe(known: &Known) -> String {
    let Known { operations, field, values, what, right, rule, .. } = known;
    let operations = if operations.is_empty() { "any".to_owned() } else { operations.join(", ") };
    let values = values.map(|(server, fake)| format!(" ({server} for {fake})")).unwrap_or_default();
    format!("{operations}: {field}{values}: {what}. Right: {right:?} ({rule})")
}

/// The entries of the table, and how often each was met.
fn met(kind: Kind, outcomes: &[Outcome]) -> String {
    let mut report = String::new();
    for known in KNOWN.iter().filter(|known| known.server == kind) {
        let mut seeds = meetings(known, outcomes);
        let times = seeds.len();
        seeds.sort_unstable();
        seeds.dedup();
        seeds.truncate(5);
        let _ = writeln!(report, "{times:>6} {} by {seeds:?}", describe(known));
    }
    report
}

/// The entries that no script met, and the causes of others.
fn unused(kind: Kind, to_be_met: Met, outcomes: &[Outcome]) -> String {
    let mut report = String::new();
    for known in KNOWN.iter().filter(|known| known.server == kind) {
        if meetings(known, outcomes).is_empty() && (to_be_met == Met::Causes || !known.rare) {
            let _ = writeln!(report, "In the table, but it did not occur: {}", describe(known));
        }
        for cause in known.causes.iter().filter(|_| to_be_met == Met::Causes) {
            let all = outcomes.iter().flat_map(|outcome| &outcome.known);
            if !all
                .into_iter()
                .any(|(met, causes)| std::ptr::eq(*met, known) && causes.contains(cause))
            {
                let _ = writeln!(report, "Not for {cause:?}: {}", describe(known));
            }
        }
    }
    report
}

/// How many calls of each operation both sides carried out.
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
                "{operation}: {found} calls were carried out by both, at least {least} are to be"
            );
        }
    }
    report
}

/// Each kind of difference once, with how often it was met.
fn unknown(outcomes: &[Outcome]) -> String {
    let mut kinds: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for unknown in outcomes.iter().flat_map(|outcome| &outcome.unknown) {
        kinds.entry(&unknown.what).or_insert((0, &unknown.where_)).0 += 1;
    }
    let mut report = String::new();
    for (what, (times, where_)) in kinds {
        let _ = writeln!(report, "\nNot in the table ({times} times): {what}\n{where_}");
    }
    report
}
