//! The protocol, `awsJson1_1`: a JSON body in, a call of the model, a JSON body out.

mod input;
mod operations;
mod output;

pub(crate) use operations::answer;
