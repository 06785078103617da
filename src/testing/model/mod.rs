//! Kinesis as a pure state machine: no async, no HTTP, no serialisation. The caller passes the
//! time.
//!
//! The rules come from AWS's API reference. Where the reference is silent, the model follows what
//! AWS has been observed to do; where no observation is known, it takes the stricter rule.

mod distortion;
#[cfg(test)]
mod filter_tests;
mod hash_range;
mod limits;
mod listing;
#[cfg(test)]
mod properties;
mod reading;
#[cfg(test)]
mod reading_tests;
mod records;
mod refusal;
mod reshard;
mod sequence;
mod service;
mod shard;
mod status;
mod stream;
mod time;
mod token;
mod writing;

pub(crate) use distortion::{Distortion, mix};
pub(crate) use hash_range::{HashRange, parse_hash_key};
pub use limits::Limits;
pub(crate) use listing::{ListRequest, ShardFilter};
pub(crate) use reading::{IteratorStart, Oddity};
pub(crate) use records::Record;
pub(crate) use refusal::{Code, Refusal};
pub(crate) use sequence::SequenceNumber;
pub(crate) use service::{ON_DEMAND_SHARDS, Service, StreamRef, check_record_size};
pub(crate) use shard::{Shard, shard_id};
pub(crate) use stream::{Change, Mode, Stream};
pub(crate) use time::Millis;
pub(crate) use token::{Cursor, ListToken, StreamsToken};
pub(crate) use writing::{FailedEntries, NewRecord, Written};
