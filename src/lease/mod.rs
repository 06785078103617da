//! Many workers share the shards of one stream, by leases in DynamoDB.
#![allow(dead_code)]

pub(crate) mod event;
pub(crate) mod machine;
pub(crate) mod table;
