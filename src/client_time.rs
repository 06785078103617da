//! The clock that a client goes by: real, or a test's.

use std::time::SystemTime;

use aws_sdk_kinesis::Client;

pub(crate) fn now(client: &Client) -> SystemTime {
    client.config().time_source().map_or_else(SystemTime::now, |time| time.now())
}
