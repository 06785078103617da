//! The protocol `awsJson1_1`: reads a JSON body, calls the model, and writes a JSON body.

pub(crate) mod input;
pub(crate) mod operations;
pub(crate) mod output;
pub(crate) mod records;
pub(crate) mod reply;
pub(crate) mod subject;
