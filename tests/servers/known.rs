//! What is known to be wrong with each server: the one place where the suite expects anything else
//! than Kinesis. Of the fake, nothing is.

use crate::kind::Kind::{self, Kinesalite, KinesisLocal, Moto};

/// A way in which a server is not Kinesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    IgnoresShardFilter,
    LosesConcurrentWrites,
    MergeCopiesRecords,
    NeverEndsAShard,
    NoChildShards,
    NoStreamArn,
    NoUpdateShardCount,
    StartsEveryShardAtZero,
    TimestampsAreSeconds,
    WritesToClosedShards,
}

/// What the suite does about a quirk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instead {
    /// It does not run these scenarios: the server lacks what they are about.
    Ignores(&'static [&'static str]),
    /// The scenarios that meet it ask [`has`], and expect this.
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

const BY_CHILD_SHARDS: Instead =
    Ignores(&["complete_with_child_shards", "complete_with_both_parents_of_a_merge"]);
const NO_FILTER: Instead = Expects(
    "shards closed before the timestamp are offered too: the first of each family starts at it",
);

#[rustfmt::skip]
pub(crate) const KNOWN: &[Known] = &[
    known(KinesisLocal, Quirk::TimestampsAreSeconds, "cuts a request's timestamp down to the whole second",
        Expects("runs from a timestamp begin on a whole second")),

    known(Kinesalite, Quirk::NoStreamArn, "refuses StreamARN: it knows the API of 2019", Ignores(&["arn"])),
    known(Kinesalite, Quirk::NoUpdateShardCount, "UpdateShardCount is an unknown operation",
        Ignores(&["update_shard_count_up", "update_shard_count_down"])),
    known(Kinesalite, Quirk::NoChildShards, "GetRecords has no ChildShards", BY_CHILD_SHARDS),
    known(Kinesalite, Quirk::IgnoresShardFilter, "ListShards ignores ShardFilter", NO_FILTER),

    known(Moto, Quirk::NoChildShards, "GetRecords has no ChildShards", BY_CHILD_SHARDS),
    known(Moto, Quirk::IgnoresShardFilter, "ListShards ignores ShardFilter", NO_FILTER),
    known(Moto, Quirk::NeverEndsAShard, "GetRecords gives a next iterator for a closed shard, for ever",
        Expects("a shard with an EndingSequenceNumber in a fresh listing is at its end after two empty reads in a row")),
    known(Moto, Quirk::WritesToClosedShards,
        "PutRecord goes to the oldest shard whose range holds the key, closed or open: children stay empty",
        Expects("shards of the first generation are read until the writers are done, and children hold nothing new")),
    known(Moto, Quirk::MergeCopiesRecords, "MergeShards copies the parents' records into the child",
        Expects("a merged child gives its parents' records once more")),
    known(Moto, Quirk::LosesConcurrentWrites, "SplitShard and PutRecord renumber a shard's records without a lock",
        Expects("writes, reads and reshards of one stream take turns")),
    known(Moto, Quirk::StartsEveryShardAtZero,
        "StartingSequenceNumber is 0 until a shard has a record, and 1 from then on",
        Expects("a re-created stream is noticed if its shards had records before and have none now")),
];

/// Whether the server has the quirk.
pub(crate) fn has(server: Kind, quirk: Quirk) -> bool {
    KNOWN.iter().any(|known| known.server == server && known.quirk == quirk)
}

/// Why a scenario cannot run on a server.
pub(crate) fn why_ignored(server: Kind, scenario: &str) -> Option<&'static str> {
    let known = KNOWN.iter().find(|known| {
        known.server == server
            && matches!(known.instead, Ignores(scenarios) if scenarios.contains(&scenario))
    });
    known.map(|known| known.why)
}

/// What the suite expects of a server instead of Kinesis's ways.
pub(crate) fn expectations(server: Kind) -> String {
    let lines = KNOWN.iter().filter(|known| known.server == server).filter_map(|known| match known
        .instead
    {
        Expects(instead) => Some(format!("{:?}: {}; so {instead}", known.quirk, known.why)),
        Ignores(_) => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}
