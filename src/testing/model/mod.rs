//! Kinesis as a pure state machine: no async, no HTTP, no serialisation. The caller passes the
//! time.
//!
//! The rules come from AWS's API reference. Where the reference is silent, the model follows what
//! AWS has been observed to do; where no observation is known, it takes the stricter rule.

pub(crate) mod api_error;
pub(crate) mod consumer;
pub(crate) mod consumers;
#[cfg(test)]
pub(crate) mod filter_tests;
pub(crate) mod hash_range;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod listing_faults;
#[cfg(test)]
pub(crate) mod properties;
pub(crate) mod reading;
#[cfg(test)]
pub(crate) mod reading_tests;
pub(crate) mod records;
pub(crate) mod reshard;
pub(crate) mod sequence;
pub(crate) mod service;
pub(crate) mod shard;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod subscription;
pub(crate) mod time;
pub(crate) mod token;
pub(crate) mod transition;
pub(crate) mod writing;

pub use limits::Limits;
