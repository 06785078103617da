//! Many workers share the shards of one stream, by leases in DynamoDB.

pub(crate) mod machine;
pub(crate) mod table;
