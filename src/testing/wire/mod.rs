//! The protocol, `awsJson1_1`: a JSON body in, a call of the model, a JSON body out.

mod input;
mod operations;
mod output;
mod records;
mod subject;

pub(crate) use operations::{OPERATIONS, Read, Reply, Twist, answer, has_answer};
pub(crate) use subject::{shard_of, stream_of};
