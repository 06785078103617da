//! When each shard may be read: parents before children.
//!
//! [`parents_first`] takes any stream of [`ShardList`]s and offers each shard as a [`ShardHandle`]
//! once all its parents have been processed. [`all_shards`](crate::all_shards) and
//! [`try_all_shards`](crate::try_all_shards) feed it with the lists of a real stream
//! ([`shard_lists`](crate::listing::shard_lists())); feed it yourself if you list shards another
//! way.
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
//! all_shards(&client, "orders")
//! # .take(4)
//!     .for_each_concurrent(None, |shard| async move {
//!         println!("{} opens at {:?}", shard.id(), shard.start());
//!         // ... read it to its end ...
//!         shard.complete(); // its children may start now
//!     })
//!     .await;
//! # }
//! ```
//!
//! # The ordering contract
//!
//! ```text
//!             time ──────────────────────────────────────────────▶
//!
//! Kinesis     0 ──────────┬── split ──▶ 2 ─────────────────────────
//!                         └───────────▶ 3 ──────┐
//!             1 ────────────────────────────────┴─ merge ──▶ 4 ────
//!
//! offered     0 1            0 done: 2 3           3 done, 1 done: 4
//!             at once        in the very next      only when both
//!                            poll                  are closed
//! ```
//!
//! 1. **Order.** A shard is offered when every parent (`ParentShardId` and `AdjacentParentShardId`)
//!    is closed, or is missing from a *complete* listing: AWS stops listing a shard once its
//!    records have expired. A known parent is waited for even if a later listing omits it.
//! 2. **Once.** Each shard is offered exactly once for as long as the stream value lives, whatever
//!    the listings repeat, misorder or omit. It is re-offered only after
//!    [`abandon`](crate::ShardHandle::abandon) or a drop under [`OnDrop::Reoffer`], and then after
//!    a delay that grows from 100 ms to the poll interval while the same shard keeps being
//!    abandoned.
//! 3. **Nothing is skipped** that was written after the run began, or after the position that an
//!    earlier run reached. [`StartAt`] says where each shard starts, and
//!    [`resume`](crate::AllShards::resume) how a run continues an earlier one.
//! 4. **No timer between parent and child.** Closing the last parent of a known child makes the
//!    child ready in the very next poll. Closing a shard with no known child starts a listing at
//!    once; one listing is in flight at a time, and a burst of closings shares one.
//! 5. **Cheap when idle.** After the first listing, each poll requests only newer shards: one
//!    request, whatever the number of shards. A [full
//!    listing](crate::AllShards::full_listing_interval) every 10 minutes, and after
//!    `ResourceNotFoundException`, catches what a partial one cannot.
//! 6. **Bounded memory.** A shard is forgotten when it is closed, no shard waits for it, and two
//!    full listings in a row have omitted it.
//! 7. **A re-created stream is a new stream.** Its shards have the ids of the old stream's shards,
//!    but other `StartingSequenceNumber`s, and are offered as new.
//! 8. **Nothing is detached.** The crate spawns no task unless you ask for it
//!    ([`spawn_on`](crate::ReadOptions::spawn_on), [`Checkpoints`](crate::Checkpoints)), and such a
//!    task ends with the value it works for. No lock is held across an await, and there is no
//!    `unsafe`. All state lives in the stream value: dropping `next()` loses nothing, dropping the
//!    stream frees everything, and handles that outlive it close without effect.
//! 9. **Malformed input is an error, not a panic.**
//!
//! # Polling
//!
//! Shards are listed, and children offered, only while the stream is polled:
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
//! Read shards concurrently instead, with [`records`](crate::ShardStreamExt::records),
//! `for_each_concurrent`, or tasks:
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
//! # One `StreamExt` per module
//!
//! `futures::StreamExt` and `tokio_stream::StreamExt` share method names. A call of one is
//! ambiguous in a module that imports both, even if one is renamed:
//!
//! ```compile_fail,E0034
//! use futures::StreamExt;
//! use tokio_stream::StreamExt as _;
//!
//! # async fn example(mut shards: kinesis_shards::AllShards) {
//! let shard = shards.next().await; // error: multiple applicable items in scope
//! # }
//! ```
//!
//! Import one of them, and call the methods of the other by their path:
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::StreamExt;
//! # use kinesis_shards::{ShardStreamExt, all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1).put("customer 1", "an order");
//! # let client = kinesis.client();
//! # let records = all_shards(&client, "orders").records(&client);
//! let chunks = tokio_stream::StreamExt::chunks_timeout(records, 100, Duration::from_secs(1));
//! let mut chunks = std::pin::pin!(chunks);
//! while let Some(chunk) = chunks.next().await {
//!     println!("{} records", chunk.len());
//! #   break;
//! }
//! # }
//! ```
//!
//! # Another API, the same order
//!
//! [`parents_first`] takes lists from any source. Make each a
//! [`ShardList::full`](crate::listing::ShardList::full) of all pages together, since a child may be
//! on an earlier page than its parent; ids need not ascend, and shards need neither sequence
//! numbers nor ranges of hash keys. After a poll that was `Pending`,
//! [`take_list_request`](ParentsFirst::take_list_request) says whether a list would help now. If the
//! API names the children of a shard at its end, pass them to
//! [`complete_with`](crate::ShardHandle::complete_with).
//!
//! The example `dynamodb_streams` reads the changes of a DynamoDB table in this way, with lists
//! from `DescribeStream`. The [`StreamId`](crate::StreamId) of such a list is the ARN of the
//! table's stream. The ARN differs when the stream is created again, so that rule 7 does not
//! compare `StartingSequenceNumber`s there.
//!
//! A run from [`StartAt::Latest`](crate::StartAt::Latest) re-offers an abandoned shard at a
//! [`Timestamp`](crate::shard::StartPosition::Timestamp). If the API cannot start at a time, read
//! such a shard from its oldest record and skip what is older.
//!
//! # Filtering shards
//!
//! Do not split the work of a stream by a filter on its shards: see
//! [`AllShards`](crate::AllShards#filtering-shards).
//!
//! # When a reader fails
//!
//! By default a handle that is dropped closes its shard as if it had been completed, so that the
//! simplest program cannot hang. The children can tell: their
//! [`parents`](crate::ShardHandle::parents) say [`Dropped`](crate::shard::ParentOutcome::Dropped).
//! Set [`OnDrop::Reoffer`] if your readers may fail half-way: then only
//! [`complete`](crate::ShardHandle::complete) closes a shard, and a handle that `?`, a panic or an
//! aborted task drops is re-offered. The crate's own readers always re-offer.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::{OnDrop, ShardHandle, all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! async fn read(shard: ShardHandle) -> Result<(), &'static str> {
//! #   static FAILED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
//! #   if !FAILED.swap(true, std::sync::atomic::Ordering::SeqCst) {
//!     Err("the database is down")?; // drops the handle: the shard is re-offered after 100 ms
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
//! [`AllShards`](crate::AllShards) never ends by itself, unless the run has an
//! [end](crate::AllShards::until). With checkpoints,
//! [`Checkpoints::shutdown`](crate::Checkpoints::shutdown) ends the stream, waits for records in
//! flight, and saves. Without checkpoints, `take_until` ends the stream and lets the readers in
//! flight finish; dropping the whole pipeline stops the readers too. A stream of [`parents_first`]
//! ends when its lists and all handles have ended.
//!
//! # Requests and permissions
//!
//! Offering shards needs `kinesis:ListShards` and nothing else. In steady state the stream sends
//! one `ListShards` request per [poll interval](crate::AllShards::poll_interval) (30 s); AWS allows
//! 1,000 per second and stream. A failed listing is retried after 500 ms, then with a delay that
//! doubles up to the poll interval; each delay is shortened at random by up to a half. The SDK's
//! own retries come before that. A request that gets no response within 60 s of being polled fails:
//! the SDK alone would wait for ever.
//!
//! # Logs
//!
//! The crate logs with `tracing`, target `kinesis_shards`:
//!
//! | level | event |
//! |---|---|
//! | `ERROR` | the 1st, 2nd, 4th, 8th ... failed listing in a row, while none has succeeded yet |
//! | `WARN` | any other failed listing, with the delay until the next attempt |
//! | `WARN` | a shard that Kinesis lists although its reader got `ResourceNotFoundException` |
//! | `WARN` | a shard that was abandoned unread for the 8th, 16th, 32nd ... time in a row |
//! | `INFO` | a stream that was deleted and created again |
//! | `DEBUG` | each listing |
//!
//! [`OnDrop::Reoffer`]: crate::OnDrop::Reoffer
//! [`ShardHandle`]: crate::ShardHandle
//! [`ShardList`]: crate::listing::ShardList
//! [`StartAt`]: crate::StartAt

mod cycles;
mod final_list;
mod graph;
mod key;
mod late_parents;
mod node;
mod reader_reports;
mod sequential_hasher;
mod start_policy;
mod wait;

pub(crate) mod parents_first;
#[cfg(test)]
mod tests;

pub use parents_first::{ParentsFirst, parents_first};
