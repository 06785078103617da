//! Shared by the benches.

pub(crate) mod canned;
pub(crate) mod canned_records;
pub(crate) mod canned_shards;
pub(crate) mod instructions;
pub(crate) mod loopback;
pub(crate) mod measure;
pub(crate) mod parked;
pub(crate) mod subscriptions;
pub(crate) mod table;
pub(crate) mod workload;
