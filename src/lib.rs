//! Every shard of an Amazon Kinesis data stream as a [`futures::Stream`], parents before children.

mod all_shards;
mod error;
mod handle;
mod lineage;
mod shard_list;
mod shard_lists;
mod start;
mod stream_id;
#[cfg(feature = "testing")]
pub mod testing;

pub use all_shards::{AllShards, TryAllShards, all_shards, try_all_shards};
pub use error::Error;
pub use handle::{OnDrop, ParentOutcome, ShardHandle};
pub use lineage::{Lineage, WantedList, parents_first};
pub use shard_list::ShardList;
pub use shard_lists::{ShardLists, shard_lists};
pub use start::{Progress, StartAt, StartPosition};
pub use stream_id::StreamId;
