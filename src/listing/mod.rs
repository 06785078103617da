//! Lists of a stream's shards, and the interval stream of such lists.

pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod shard_list;
pub(crate) mod shard_lists;

pub use error::ListError;
pub use shard_list::ShardList;
pub use shard_lists::{ListRequest, ShardLists, shard_lists};
