//! Lists of a stream's shards, and the interval stream of such lists.
//!
//! [`shard_lists`] lists the shards of a stream once per interval, and
//! [`parents_first`](crate::lineage::parents_first) offers the listed shards in order.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::{StreamExt, TryStreamExt};
//! use kinesis_shards::lineage::parents_first;
//! use kinesis_shards::listing::shard_lists;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), kinesis_shards::ListError> {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 2);
//! # let client = kinesis.client();
//! let lists = shard_lists(&client, "orders", Duration::from_secs(10));
//! let lists = lists.inspect_ok(|list| println!("{} shards", list.shards().count()));
//! let mut shards = parents_first(lists);
//! while let Some(shard) = shards.next().await {
//!     println!("{} opens", shard?.id());
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```

pub(crate) mod error;
pub(crate) mod fetch;
pub(crate) mod shard_list;
pub(crate) mod shard_lists;

pub use error::ListError;
pub use shard_list::ShardList;
pub use shard_lists::{ListRequest, ShardLists, shard_lists};
