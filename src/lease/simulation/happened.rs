//! What a run notes of its shards and processes, for the figures.

/// What happened to a shard or a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// The process begins to read the shard.
    Reads {
        shard: usize,
        process: usize,
    },
    /// The process delivers no record of the shard any longer.
    Drains {
        shard: usize,
        process: usize,
    },
    Stopped {
        process: usize,
    },
}
