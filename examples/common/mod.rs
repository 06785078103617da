//! Modules that the examples share.

pub(crate) mod ctrl_c;
pub(crate) mod error;
pub(crate) mod logs;
pub(crate) mod source;
