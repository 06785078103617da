//! The known quirks of each server, the one place where the suite expects a server to differ from
//! Kinesis. The fake has none.

use crate::kind::Kind::{self, Kinesalite, KinesisLocal, Moto};

/// A way in which a server differs from Kinesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    AdmitsTwoSubscriptions,
    ForgetsDisabledStreams,
    IgnoresChildShards,
    IgnoresShardFilter,
    LosesConcurrentWrites,
    MergeCopiesRecords,
    NeverEndsAShard,
    NeverEndsASubscription,
    NoChildShards,
    NoFanOut,
    NoStreamArn,
    NoTrimmedPositions,
    NoUpdateShardCount,
    StartsEveryShardAtZero,
    TimestampsAreSeconds,
    WritesToClosedShards,
}

/// How the suite handles a quirk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instead {
    /// These scenarios do not run, because the server lacks a feature they need.
    Ignores(&'static [&'static str]),
    /// Scenarios check for the quirk with [`has`], and expect this instead.
    Expects(&'static str),
}
use Instead::{Expects, Ignores};

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) server: Kind,
    pub(crate) quirk: Quirk,
    pub(crate) why: &'static str,
    pub(crate) instead: Instead,
}

const fn known(server: Kind, quirk: Quirk, why: &'static str, instead: Instead) -> Known {
    Known { server, quirk, why, instead }
}

const NEEDS_CHILD_SHARDS: Instead =
    Ignores(&["complete_with_child_shards", "complete_with_both_parents_of_a_merge"]);
const NEEDS_FAN_OUT: Instead = Ignores(&["all_records_by_fan_out", "another_subscriber"]);
const NO_SHARD_FILTER: Instead = Expects(
    "shards closed before the timestamp are offered too, and the first of each family starts at it",
);

pub(crate) const KNOWN: &[Known] = &[
    known(
        KinesisLocal,
        Quirk::TimestampsAreSeconds,
        "truncates a timestamp to the whole second",
        Expects("runs from a timestamp begin on a whole second"),
    ),
    known(
        KinesisLocal,
        Quirk::NeverEndsASubscription,
        "sends empty events to the subscribers of a closed shard for ever",
        Expects("no shard is split while it is read by fan-out"),
    ),
    known(
        KinesisLocal,
        Quirk::AdmitsTwoSubscriptions,
        "admits two subscriptions of a consumer to a shard, and neither ends",
        Expects("the second subscription succeeds at once"),
    ),
    known(
        Kinesalite,
        Quirk::NoStreamArn,
        "rejects StreamARN: it implements the API of 2019",
        Ignores(&["arn"]),
    ),
    known(
        Kinesalite,
        Quirk::NoUpdateShardCount,
        "has no UpdateShardCount",
        Ignores(&["update_shard_count_up", "update_shard_count_down"]),
    ),
    known(
        Kinesalite,
        Quirk::NoChildShards,
        "returns no ChildShards from GetRecords",
        NEEDS_CHILD_SHARDS,
    ),
    known(Kinesalite, Quirk::NoFanOut, "has no SubscribeToShard", NEEDS_FAN_OUT),
    known(
        Kinesalite,
        Quirk::IgnoresShardFilter,
        "ignores ShardFilter in ListShards",
        NO_SHARD_FILTER,
    ),
    known(Moto, Quirk::NoChildShards, "returns no ChildShards from GetRecords", NEEDS_CHILD_SHARDS),
    known(Moto, Quirk::NoFanOut, "fails in SubscribeToShard", NEEDS_FAN_OUT),
    known(Moto, Quirk::IgnoresShardFilter, "ignores ShardFilter in ListShards", NO_SHARD_FILTER),
    known(
        Moto,
        Quirk::NeverEndsAShard,
        "returns a next iterator for a closed shard forever",
        Expects("a shard that a fresh listing shows as closed ends after two empty reads in a row"),
    ),
    known(
        Moto,
        Quirk::WritesToClosedShards,
        "writes to the oldest shard whose range has the key, open or closed: children stay empty",
        Expects(
            "shards of the first generation are read until the writers are done, and children \
             have no records",
        ),
    ),
    known(
        Moto,
        Quirk::MergeCopiesRecords,
        "copies the parents' records into the child in MergeShards",
        Expects("a merged child repeats the records of its parents"),
    ),
    known(
        Moto,
        Quirk::LosesConcurrentWrites,
        "renumbers the records of a shard without a lock in SplitShard and PutRecord",
        Expects("writes, reads and reshards of one stream are serialised"),
    ),
    known(
        Moto,
        Quirk::StartsEveryShardAtZero,
        "returns StartingSequenceNumber 0 until a shard has a record, and 1 from then on",
        Expects(
            "a re-created stream is noticed if its shards had records before and have none now",
        ),
    ),
    known(
        Moto,
        Quirk::IgnoresChildShards,
        "ignores the ShardFilter of a table's stream",
        Expects("a request for the children of a shard names the shard itself"),
    ),
    known(
        Moto,
        Quirk::NoTrimmedPositions,
        "fails with status 500 after a sequence number before the first of a table's stream",
        Expects("no read begins at a trimmed position"),
    ),
    known(
        Moto,
        Quirk::ForgetsDisabledStreams,
        "fails with status 500 in DescribeStream once the stream of a table is disabled",
        Expects("the stream of the table is not disabled, so that its shard never ends"),
    ),
];

/// Returns whether the server has the quirk.
pub(crate) fn has(server: Kind, quirk: Quirk) -> bool {
    KNOWN.iter().any(|known| known.server == server && known.quirk == quirk)
}

/// Returns why a scenario cannot run on a server, if so.
pub(crate) fn why_ignored(server: Kind, scenario: &str) -> Option<&'static str> {
    let known = KNOWN.iter().find(|known| {
        known.server == server
            && matches!(known.instead, Ignores(scenarios) if scenarios.contains(&scenario))
    });
    known.map(|known| known.why)
}

/// Describes how the suite expects a server to differ from Kinesis.
pub(crate) fn expectations(server: Kind) -> String {
    let lines = KNOWN.iter().filter(|known| known.server == server).filter_map(|known| match known
        .instead
    {
        Expects(instead) => Some(format!("{:?}: {}; instead, {instead}", known.quirk, known.why)),
        Ignores(_) => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
