//! Is the fake true? Random scripts on the fake and on each server, compared field by field. What differs is in one
//! [table], with who is right according to AWS's documentation; what is not in it fails.
//!
//! `DIFFERENTIAL_SEEDS=1000` runs the first thousand seeds instead of sixty, and then an entry of the table that was not met fails too;
//! `DIFFERENTIAL_SEED=7` runs only that one. With `--nocapture` it prints how often each entry was met.

mod answer;
mod call;
mod case;
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
use libtest_mimic::Failed;

use self::script::{Outcome, Script};
use self::table::{KNOWN, Known};
use crate::kind::Kind;
use crate::server::{Server, Servers};

/// So many scripts of a server run at a time.
const AT_ONCE: usize = 4;

/// In so many scripts every entry of the table is met.
const ENOUGH_FOR_ALL: u64 = 1_000;

/// The seeds to run, and whether every entry of the table is to be met.
fn seeds() -> (Range<u64>, bool) {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("DIFFERENTIAL_SEED") {
        return (seed..seed + 1, false);
    }
    let seeds = number("DIFFERENTIAL_SEEDS").unwrap_or(60);
    (0..seeds, seeds >= ENOUGH_FOR_ALL)
}

pub(crate) async fn run(kind: Kind, verbose: bool, servers: &Servers) -> Result<(), Failed> {
    let server = Server::new(servers.get(kind).await?, "differential");
    let client = server.other_client();
    let (seeds, all) = seeds();
    let (count, began) = (seeds.end - seeds.start, Instant::now());
    let scripts = seeds.map(|seed| Script::new(kind, &client, seed).run());
    let outcomes: Vec<Outcome> = futures::stream::iter(scripts).buffer_unordered(AT_ONCE).collect().await;

    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let summary = format!(
        "{kind}: {count} scripts, {} calls compared, {} left out, {} known differences, {:.1} s",
        sum(|outcome| outcome.compared),
        sum(|outcome| outcome.skipped),
        sum(|outcome| outcome.known.len()),
        began.elapsed().as_secs_f64()
    );
    let unused = if all { unused(kind, &outcomes) } else { String::new() };
    let unknown = unknown(&outcomes);
    if verbose {
        eprintln!("{summary}\n{}", met(kind, &outcomes));
    }
    if unknown.is_empty() && unused.is_empty() {
        return Ok(());
    }
    Err(format!("{summary}\n{unused}{unknown}").into())
}

/// The entries of the table, and how often each was met.
fn met(kind: Kind, outcomes: &[Outcome]) -> String {
    let mut report = String::new();
    for known in KNOWN.iter().filter(|known| known.server == kind) {
        let all = outcomes.iter().flat_map(|outcome| &outcome.known);
        let times = all.filter(|met| std::ptr::eq(**met, known)).count();
        let Known { operations, field, what, right, rule, .. } = known;
        let operations = if operations.is_empty() { "any".to_owned() } else { operations.join(", ") };
        let _ = writeln!(report, "{times:>6} {operations}: {field}: {what}. Right: {right:?} ({rule})");
    }
    report
}

/// The entries that no script met.
fn unused(kind: Kind, outcomes: &[Outcome]) -> String {
    let met = |known: &Known| {
        outcomes.iter().flat_map(|outcome| &outcome.known).any(|met| std::ptr::eq(*met, known))
    };
    let mut report = String::new();
    for known in KNOWN.iter().filter(|known| known.server == kind && !met(known)) {
        let _ = writeln!(
            report,
            "In the table, but it did not occur: {} {}, {}",
            known.operations.join(", "),
            known.field,
            known.what
        );
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
