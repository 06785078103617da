//! What happens in a worker of the KCL, and what it writes.

use crate::lease::table::LeaseRow;

/// What happens in a worker of the KCL.
#[derive(Clone, Debug)]
pub(crate) enum KclEvent {
    /// Version 2 looks for leases to take; the leader of version 3 assigns leases.
    Round,
    Renew,
    /// Version 3 looks for leases that it was assigned.
    Discover,
    /// The rows of the parents are read.
    Begin {
        shard: usize,
        life: u64,
    },
    Read {
        shard: usize,
        life: u64,
    },
    Acked {
        shard: usize,
        life: u64,
        record: usize,
    },
    Save {
        shard: usize,
        life: u64,
    },
    CleanUp {
        shard: usize,
    },
    /// A write comes to the table. If its response is lost, the worker does not know its result.
    Write {
        write: Box<KclWrite>,
        is_response_lost: bool,
    },
    Resume,
}

/// A write of a worker of the KCL to the table.
#[derive(Clone, Debug)]
pub(crate) enum KclWrite {
    Renew {
        shard: usize,
        life: u64,
    },
    Save {
        shard: usize,
        life: u64,
    },
    CreateChildren {
        shard: usize,
        life: u64,
    },
    End {
        shard: usize,
        life: u64,
    },
    /// The checkpoint is saved, and the lease is left to the worker that the leader has named.
    HandOver {
        shard: usize,
        life: u64,
    },
    /// Version 2: on condition of the counter.
    Take {
        row: LeaseRow,
        is_expired: bool,
    },
    /// The leader of version 3: on condition of the owner, with any counter.
    Assign {
        row: LeaseRow,
        to: String,
        is_expired: bool,
    },
    /// The leader of version 3 asks the owner to hand the lease over. The counter stays.
    AskHandOver {
        row: LeaseRow,
        to: String,
    },
}
