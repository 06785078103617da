//! Shared by the examples that follow a real stream.

pub(crate) mod error;
pub(crate) mod listed;
pub(crate) mod source;
