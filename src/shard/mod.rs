//! A shard, as its consumer sees it: its stream, its handle, its start position, and its end.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::shard::{ParentOutcome, StartPosition};
//! use kinesis_shards::all_shards;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1).split("shardId-000000000000");
//! # let client = kinesis.client();
//! let mut shards = all_shards(&client, "orders");
//!
//! let parent = shards.next().await.expect("a stream of shards never ends");
//! assert_eq!(parent.start(), &StartPosition::TrimHorizon);
//! let parent_id = parent.id().to_owned();
//! parent.complete();
//!
//! let child = shards.next().await.expect("a stream of shards never ends");
//! let parents: Vec<_> = child.parents().collect();
//! assert_eq!(parents, [(parent_id.as_str(), ParentOutcome::Completed)]);
//! child.abandon(); // re-offered after 100 ms
//! # }
//! ```

pub(crate) mod completion;
pub(crate) mod end_claim;
#[cfg(feature = "metrics")]
pub(crate) mod hand_overs;
pub(crate) mod handle;
pub(crate) mod offer;
pub(crate) mod outcome;
pub(crate) mod position;
pub(crate) mod sequence_number;
pub(crate) mod stop_at;
pub(crate) mod stream_context;
pub(crate) mod stream_id;
pub(crate) mod wire_format;

pub use handle::ShardHandle;
pub use outcome::{OnDrop, ParentOutcome};
pub use position::{Progress, StartAt, StartPosition};
pub use stop_at::StopAt;
pub use stream_id::StreamId;
