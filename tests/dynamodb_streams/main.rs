//! The change stream of a DynamoDB table: lists as `DescribeStream` makes them, in the order of
//! the crate, and the example that reads such a stream, with scripted faults.
//!
//! The tests of the servers (`tests/servers`) run the example on independent servers.

#[allow(dead_code, reason = "the tests use a part of it")]
mod example;
mod faults;
mod lineage;
mod random;
mod run;

use run::{Run, Seen};
