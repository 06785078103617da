//! The table of the differences between the fake and the servers, and which side is right.

pub(crate) mod entry;
mod kinesalite;
mod kinesis_local;
mod moto;
mod rules;

use crate::differential::call::{Call, List, Time, Token};
use crate::differential::case::Case;
use crate::differential::table::entry::{Entry, UPDATE};
use crate::kind::Kind::{self, Kinesalite, KinesisLocal, Moto};

/// Returns the entries of a server.
pub(crate) fn entries(server: Kind) -> &'static [Entry] {
    match server {
        KinesisLocal => kinesis_local::ENTRIES,
        Kinesalite => kinesalite::ENTRIES,
        Moto => moto::ENTRIES,
        _ => &[],
    }
}

/// Returns the entry that a difference matches.
pub(crate) fn find(server: Kind, case: &Case<'_>) -> Option<&'static Entry> {
    entries(server).iter().find(|entry| {
        (entry.operations.is_empty() || entry.operations.contains(&case.call.operation()))
            && entry.field == case.difference.field
            && entry.values.is_none_or(|values| values == (case.server(), case.fake()))
            && (entry.causes.is_empty()
                || entry.causes.iter().any(|cause| case.causes.contains(cause)))
            && (entry.when)(case)
    })
}

/// Returns whether the call would crash the server.
pub(crate) fn is_skipped(server: Kind, call: &Call) -> bool {
    match call {
        Call::ListShards(List { token: Some(Token::Garbage | Token::Empty), .. }) => {
            server == Kinesalite
        }
        Call::GetShardIterator { start, .. } => {
            let past = matches!(start.time, Some(Time::HourAgo | Time::WeekAgo | Time::Mark(_)));
            server == Kinesalite && past
        }
        // This server would merge without end.
        Call::UpdateShardCount { target: ..=0, .. } => server == Moto,
        _ => false,
    }
}

/// The number of seeds to run, besides those of [`more_seeds`].
pub(crate) const SEEDS: u64 = 50;

/// Returns seeds that meet the entries that the first ones do not. With `DIFFERENTIAL_SEEDS=1000`
/// and `--nocapture`, each entry is printed with some seeds that meet it.
pub(crate) fn more_seeds(server: Kind) -> &'static [u64] {
    match server {
        KinesisLocal => &[53, 58, 68, 101, 122, 132],
        Kinesalite => &[61, 76, 89, 158, 184],
        Moto => &[51, 67, 107, 181],
        _ => &[],
    }
}

/// The minimum number of calls of an operation that both sides carry out in a hundred scripts:
/// about half of the actual number.
const AT_LEAST: &[(&str, usize)] = &[
    ("CreateStream", 80),
    ("DecreaseStreamRetentionPeriod", 6),
    ("DeleteStream", 25),
    ("DescribeStream", 20),
    ("DescribeStreamSummary", 30),
    ("GetRecords", 300),
    ("GetShardIterator", 70),
    ("IncreaseStreamRetentionPeriod", 6),
    ("ListShards", 250),
    ("ListStreams", 60),
    ("MergeShards", 25),
    ("PutRecord", 130),
    ("PutRecords", 120),
    ("SplitShard", 45),
    ("UpdateShardCount", 4),
];

pub(crate) fn at_least(server: Kind) -> impl Iterator<Item = (&'static str, usize)> {
    let unknown = move |operation: &str| server == Kinesalite && UPDATE.contains(&operation);
    AT_LEAST.iter().copied().filter(move |(operation, _)| !unknown(operation))
}
