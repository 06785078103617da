//! The parts of a record that the Kinesis Producer Library has aggregated with others.

use bytes::Bytes;

/// One user record of an aggregated record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserRecord {
    pub(crate) partition_key: String,
    pub(crate) sub_sequence_number: u64,
    pub(crate) explicit_hash_key: Option<String>,
    /// A slice of the aggregated record's data, not a copy.
    pub(crate) data: Bytes,
}
