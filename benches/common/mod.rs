//! What the benches share.

pub(crate) mod canned;
pub(crate) mod canned_records;
pub(crate) mod load;
pub(crate) mod measure;
pub(crate) mod table;
