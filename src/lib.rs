//! Every shard of an Amazon Kinesis data stream as a [`futures::Stream`], parents before children.
//!
//! A Kinesis stream is made of shards, and its shards change while it is read: they are split and merged, by hand, by
//! `UpdateShardCount`, or by AWS in on-demand mode. A record's order is kept only if a shard's children are read after the shard
//! itself. This crate does that, and only that: it tells you which shard to read, when, and from where; what you do with it is an ordinary `Stream` pipeline.
//!
//! # Quick start
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::all_shards;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 2).split("shardId-000000000000");
//! # let client = kinesis.client();
//! # if false {
//! use aws_config::BehaviorVersion;
//!
//! let client = aws_sdk_kinesis::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
//! # }
//!
//! all_shards(&client, "orders")
//! # .take(4)
//!     .for_each_concurrent(None, |shard| async move {
//!         println!("{} opens at {:?}", shard.id(), shard.start());
//!         // ... read it, to its end ...
//!         shard.complete(); // its children may start now
//!     })
//!     .await;
//! # }
//! ```
//!
//! [`all_shards`] yields a [`ShardHandle`] for each shard: [where to read it from](ShardHandle::start), [its parents and how each
//! ended](ShardHandle::parents), [a ready-made `GetShardIterator` request](ShardHandle::get_shard_iterator). Completing the handle, or
//! dropping it, closes the shard. [`try_all_shards`] yields failed listings too.
//!
//! # The ordering contract
//!
//! 1. **Order.** A shard is offered when every parent (`ParentShardId` and `AdjacentParentShardId`) is closed, or is not in a *complete* listing: it has
//!    expired, and AWS no longer lists it. A parent that is known stays a parent when it drops out of a later listing.
//! 2. **Once.** Each shard is offered exactly once for as long as the stream value lives, whatever the listings repeat, misorder or omit. Again only after
//!    [`abandon`](ShardHandle::abandon), or a drop under [`OnDrop::Reoffer`], and then after a delay that grows from 100 ms to the poll interval while the same shard keeps coming back.
//! 3. **Nothing is skipped** that was written after the run began, or after the position that an earlier run reached. See [`StartAt`] for where each shard starts
//!    and [`resume`](AllShards::resume) for going on.
//! 4. **No timer between parent and child.** Closing the last parent of a known child makes the child ready in the very next poll. Closing a shard with no known
//!    child lists the shards at once: one request at a time, many closings in a burst are one listing.
//! 5. **Cheap when nothing happens.** After the first listing, a poll asks only for what is new: one request, whatever the number of shards. A
//!    [full listing](AllShards::full_listing_interval) every 10 minutes, and after `ResourceNotFoundException`, catches what that cannot.
//! 6. **Bounded memory.** A shard is forgotten when it is closed, nobody waits for it, and two full listings in a row did not name it.
//! 7. **A re-created stream is a new stream.** Its shards have the ids of the old one's, but other `StartingSequenceNumber`s: they are offered as new.
//! 8. **Nothing is detached.** No task is spawned, no lock is held across an await, there is no `unsafe`. All state lives in the stream value: dropping `next()` loses nothing, dropping the stream
//!    frees everything, and handles that outlive it close into the void.
//! 9. **Malformed input is an error, not a panic.**
//!
//! # It works only while it is polled
//!
//! ```no_run
//! # use futures::StreamExt;
//! # async fn read(shard: kinesis_shards::ShardHandle) {}
//! # async fn wrong(mut shards: kinesis_shards::AllShards) {
//! while let Some(shard) = shards.next().await {
//!     read(shard).await; // WRONG: never leaves the first open shard
//! }
//! # }
//! ```
//!
//! The shards are listed, and children offered, only while the stream is polled. So read shards concurrently with polling for the next: with `for_each_concurrent`, as above, or in tasks:
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::{ShardHandle, all_shards};
//! use tokio::task::JoinSet;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! async fn read(shard: ShardHandle) {
//!     // ...
//!     shard.complete();
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 2).split("shardId-000000000000");
//! # let client = kinesis.client();
//! let mut readers = JoinSet::new();
//! let mut shards = all_shards(&client, "orders");
//! # let mut shards = shards.take(4);
//! while let Some(shard) = shards.next().await {
//!     readers.spawn(read(shard));
//!     while readers.try_join_next().is_some() {}
//! }
//! # }
//! ```
//!
//! # When a reader fails
//!
//! By default a handle that is dropped closes its shard, as if it had been completed: the simplest program cannot hang. The children are told: their
//! [`parents`](ShardHandle::parents) say [`Dropped`](ParentOutcome::Dropped). A consumer whose readers may fail half-way sets [`OnDrop::Reoffer`]: then only `complete` closes a shard,
//! and what is dropped by `?`, a panic or an aborted task is offered again.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::{OnDrop, ShardHandle, all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! async fn read(shard: ShardHandle) -> Result<(), &'static str> {
//! #   static FAILED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
//! #   if !FAILED.swap(true, std::sync::atomic::Ordering::SeqCst) {
//!     Err("the database is away")?; // the handle is dropped: the shard comes back after 100 ms
//! #   }
//!     shard.complete();
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1);
//! # let client = kinesis.client();
//! all_shards(&client, "orders")
//!     .on_drop(OnDrop::Reoffer)
//! # .take(2)
//!     .for_each_concurrent(None, |shard| async move {
//!         if let Err(error) = read(shard).await {
//!             eprintln!("{error}");
//!         }
//!     })
//!     .await;
//! # }
//! ```
//!
//! # Stopping
//!
//! The stream never ends by itself. `take_until` ends it, and lets the readers that are under way finish; dropping the whole pipeline stops them too.
//!
//! # Without `ListShards`
//!
//! [`parents_first`] is the combinator under it all: it takes any stream of [`ShardList`]s. [`shard_lists`](shard_lists()) is the one that [`all_shards`] feeds it with.
//!
//! # Permissions, requests, limits
//!
//! `kinesis:ListShards` is all that this crate needs. In steady state it sends one `ListShards` request per [poll interval](AllShards::poll_interval) (30 s), far from
//! AWS's limit of 1,000 a second and stream. A failed listing is tried again after half a second, then with a delay that doubles up to the poll interval, each shortened by a
//! random part of up to a half; the SDK's own retries come before that.
//!
//! # Logs
//!
//! Events of `tracing`, target `kinesis_shards`: `WARN` for a listing that failed, with the stream and the next attempt; `INFO` for a stream that was deleted and created
//! again; `DEBUG` for each listing.
//!
//! # Features
//!
//! None by default. The SDK comes without its default features: TLS and the HTTP stack are chosen by the crate that makes the [`Client`](aws_sdk_kinesis::Client), which is yours.
//!
//! * `testing`: `kinesis_shards::testing`, an in-process Kinesis to test a pipeline on.

mod all_shards;
mod cell;
mod ending;
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
pub use ending::{OnDrop, ParentOutcome};
pub use error::Error;
pub use handle::ShardHandle;
pub use lineage::{Lineage, WantedList, parents_first};
pub use shard_list::ShardList;
pub use shard_lists::{ShardLists, shard_lists};
pub use start::{Progress, StartAt, StartPosition};
pub use stream_id::StreamId;
