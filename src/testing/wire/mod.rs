//! The protocol `awsJson1_1`: reads a JSON body, calls the model, and writes a JSON body.

mod input;
mod operations;
mod output;
mod records;
mod subject;

pub(crate) use operations::{OPERATIONS, Read, Reply, Twist, answer, has_answer};
pub(crate) use subject::{shard_of, stream_of};
