//! What the examples on a stream of yours have in common.

mod cause;
mod source;

pub(crate) use cause::with_cause;
pub(crate) use source::Source;
