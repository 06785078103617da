//! Every shard of an Amazon Kinesis data stream as a [`futures::Stream`], parents before children.
//!
//! A Kinesis stream is made of shards, and its shards change while it is read: they are split and
//! merged, by hand, by `UpdateShardCount`, or by AWS in on-demand mode. A record's order is kept
//! only if a shard's children are read after the shard itself. This crate does that: it tells you
//! which shard to read, when, and from where, and reads it if you like; what you do with it is an
//! ordinary `Stream` pipeline.
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
//! [`all_shards`] yields a [`ShardHandle`] for each shard: [where to read it
//! from](ShardHandle::start), [its parents and how each ended](ShardHandle::parents), [a ready-made
//! `GetShardIterator` request](ShardHandle::get_shard_iterator). Completing the handle, or dropping
//! it, closes the shard. [`try_all_shards`] yields failed listings too. [`ShardHandle::records`]
//! reads the shard, and completes it at its end: see [Reading records](#reading-records).
//!
//! # The ordering contract
//!
//! 1. **Order.** A shard is offered when every parent (`ParentShardId` and `AdjacentParentShardId`)
//!    is closed, or is not in a *complete* listing: it has expired, and AWS no longer lists it. A
//!    parent that is known stays a parent when it drops out of a later listing.
//! 2. **Once.** Each shard is offered exactly once for as long as the stream value lives, whatever
//!    the listings repeat, misorder or omit. Again only after [`abandon`](ShardHandle::abandon), or
//!    a drop under [`OnDrop::Reoffer`], and then after a delay that grows from 100 ms to the poll
//!    interval while the same shard keeps coming back.
//! 3. **Nothing is skipped** that was written after the run began, or after the position that an
//!    earlier run reached. See [`StartAt`] for where each shard starts and
//!    [`resume`](AllShards::resume) for going on.
//! 4. **No timer between parent and child.** Closing the last parent of a known child makes the
//!    child ready in the very next poll. Closing a shard with no known child lists the shards at
//!    once: one request at a time, many closings in a burst are one listing.
//! 5. **Cheap when nothing happens.** After the first listing, a poll asks only for what is new:
//!    one request, whatever the number of shards. A [full
//!    listing](AllShards::full_listing_interval) every 10 minutes, and after
//!    `ResourceNotFoundException`, catches what that cannot.
//! 6. **Bounded memory.** A shard is forgotten when it is closed, nobody waits for it, and two full
//!    listings in a row did not name it.
//! 7. **A re-created stream is a new stream.** Its shards have the ids of the old one's, but other
//!    `StartingSequenceNumber`s: they are offered as new.
//! 8. **Nothing is detached.** No task is spawned, unless you ask for it
//!    ([`spawn_on`](ReadOptions::spawn_on), [`Checkpoints`]), and then it ends with what it works
//!    for; no lock is held across an await, there is no `unsafe`. All state lives in the stream
//!    value: dropping `next()` loses nothing, dropping the stream frees everything, and handles
//!    that outlive it close into the void.
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
//! The shards are listed, and children offered, only while the stream is polled. So read shards
//! concurrently with polling for the next: with `for_each_concurrent`, as above, or in tasks:
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
//! # Reading records
//!
//! [`ShardHandle::records`] and [`batches`](ShardHandle::batches) read one shard;
//! [`ShardStreamExt::records`] and [`batches`](ShardStreamExt::batches) read all that a stream of
//! shards gives, side by side, each after its parents:
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::StreamExt;
//! use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! # let kinesis = FakeKinesis::new();
//! # let stream = kinesis.create_stream("orders", 2);
//! # stream.put("customer 1", "an order");
//! # stream.split("shardId-000000000000");
//! # stream.put("customer 1", "another");
//! # stream.put("customer 2", "a third");
//! # let client = kinesis.client();
//! let options = ReadOptions::new().idle_interval(Duration::from_millis(500)).max_records(1_000);
//! let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
//! # let mut batches = batches;
//! # let mut taken = 0;
//! while let Some(batch) = batches.next().await {
//!     match batch {
//!         Ok(batch) => {
//!             println!("{} is {:?} behind", batch.shard_id(), batch.lag());
//!             for record in batch {
//!                 println!("  {:?} {} bytes", record.partition_key(), record.data().len());
//! #               taken += 1;
//!             }
//!         }
//!         Err(error) => eprintln!("{error}"), // that shard is offered again; the others go on
//!     }
//! #   if taken == 3 { break }
//! }
//! # }
//! ```
//!
//! * **Order.** The records of a shard come in their order, none left out and none twice for as
//!   long as its reader lives. A shard ends when its last record was taken and the next is asked
//!   for: its handle is completed, and its children open. So they may open while you still work on
//!   that last record; where that matters, take one record of a key at a time, or acknowledge in
//!   the loop, as above.
//! * **Errors.** Throttling, 5xx, timeouts, requests that are never answered and broken connections
//!   are tried again for ever, with the same iterator; one that has expired is made anew after the
//!   last record. What a person has to mend (a missing permission, a KMS key that is disabled) is
//!   one `Err`, the last item of that shard's reader. Its handle is abandoned: the shard is offered
//!   again from its [`start`](ShardHandle::start), and records of it that you had are repeated,
//!   unless there are [checkpoints](#checkpoints). So they are when a reader is dropped half-way. A
//!   shard that Kinesis does not know any more [has expired](EndReason::Expired), and counts as
//!   read, unless Kinesis still lists it: then it is offered again.
//! * **Back-pressure.** A reader that is not polled does not read. A shard takes the memory of one
//!   page: 10,000 records or 10 MiB, less with [`max_records`](ReadOptions::max_records). A
//!   consumer of all shards that takes long for a record keeps them all waiting, and loses nothing
//!   that the stream still holds.
//! * **Cores.** All happens in the task that polls. With [`spawn_on`](ReadOptions::spawn_on) each
//!   read is a task of a runtime: answers are parsed on all its cores, and each shard reads one
//!   page ahead.
//! * **Lag.** [`lag`](Records::lag), [`lags`](AllRecords::lags) and [`Batch::lag`] give
//!   `MillisBehindLatest`; [`on_event`](ReadOptions::on_event) shows every page, retry and end, for
//!   metrics.
//!
#![doc = include_str!("checkpoint/promises.md")]
//!
//! # When a reader fails
//!
//! By default a handle that is dropped closes its shard, as if it had been completed: the simplest
//! program cannot hang. The children are told: their [`parents`](ShardHandle::parents) say
//! [`Dropped`](ParentOutcome::Dropped). A consumer whose readers may fail half-way sets
//! [`OnDrop::Reoffer`]: then only `complete` closes a shard, and what is dropped by `?`, a panic or
//! an aborted task is offered again. The crate's own readers do so in any case.
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
//! The stream never ends by itself. With checkpoints, [`Checkpoints::shutdown`] ends it, waits for
//! what is in flight, and saves. Otherwise `take_until` ends it, and lets the readers that are
//! under way finish; dropping the whole pipeline stops them too.
//!
//! # Without `ListShards`
//!
//! [`parents_first`] is the combinator under it all: it takes any stream of [`ShardList`]s, and
//! ends when they have ended and every handle too. [`shard_lists`](shard_lists()) is the one that
//! [`all_shards`] feeds it with.
//!
//! # Permissions, requests, limits
//!
//! `kinesis:ListShards` is all that is needed to be offered shards. In steady state it sends one
//! `ListShards` request per [poll interval](AllShards::poll_interval) (30 s), far from AWS's limit
//! of 1,000 a second and stream. A failed listing is tried again after half a second, then with a
//! delay that doubles up to the poll interval, each shortened by a random part of up to a half; the
//! SDK's own retries come before that. A request that is not answered within 60 s of being polled
//! has failed: the SDK by itself would wait for ever.
//!
//! Reading needs `kinesis:GetShardIterator` and `kinesis:GetRecords` as well, and `kms:Decrypt` on
//! the key of an encrypted stream. AWS allows 5 `GetRecords` requests and 2 MiB a second and shard,
//! for all applications that read it. At the tip, a shard is asked once per [idle
//! interval](ReadOptions::idle_interval) (1 s); behind it, at most 5 times and for 2 MiB a second,
//! or what [`ReadOptions`] say. `GetShardIterator` is asked once for each shard, and again when an
//! iterator has expired. A failed read is tried again after 400 ms, then with a delay that doubles
//! up to 10 s, each shortened by a random part of up to a half. These two requests are sent with
//! the SDK's retries off, whatever the client's configuration: each attempt is one request, with a
//! [`Retry`](ReadEventKind::Retry) event if it fails. One that is not answered within 60 s, counted
//! while the reader is polled, has failed. The client's own timeouts, if any are set, hold as well,
//! and count also while nobody polls. Of shards that are opened together, 256 ask for their
//! iterators at a time. N shards at the tip are N requests a second: for many idle shards, raise
//! the idle interval.
//!
//! # Logs
//!
//! Events of `tracing`, target `kinesis_shards`: `WARN` for a listing that failed, with the stream
//! and the next attempt, and for a shard that is listed though its reader was told that there is
//! none; `INFO` for a stream that was deleted and created again; `DEBUG` for each listing. Of
//! checkpoints, `WARN` for a save that failed, a record dropped without acknowledgement and a
//! checkpoint that has expired, `ERROR` for a shard that pauses since nothing can be saved. Of
//! readers, `WARN` for a read that failed, with the shard and the wait until the next; `DEBUG` for
//! how each ended.
//!
//! # Features
//!
//! None by default. The SDK comes without its default features: TLS and the HTTP stack are chosen
//! by the crate that makes the [`Client`](aws_sdk_kinesis::Client), which is yours.
//!
//! * `file`: `FileStore`, checkpoints in a file. It brings in `redb`, which has no dependencies of
//!   its own.
//! * `dynamodb`: `DynamoDbStore`, checkpoints in a table of the Kinesis Client Library. It brings
//!   in `aws-sdk-dynamodb`.
//! * `kpl`: [`ReadOptions::deaggregate`](ReadOptions) splits the records that the Kinesis Producer
//!   Library packs into one.
//! * `testing`: `kinesis_shards::testing`, an in-process Kinesis to test a pipeline on.

mod all_shards;
pub mod checkpoint;
pub mod lineage;
pub mod listing;
pub mod records;
pub mod shard;
#[cfg(feature = "testing")]
pub mod testing;
mod util;

pub use all_shards::{AllShards, LogErrors, TryAllShards, YieldErrors, all_shards, try_all_shards};
#[cfg(feature = "dynamodb")]
pub use checkpoint::DynamoDbStore;
#[cfg(feature = "file")]
pub use checkpoint::FileStore;
pub use checkpoint::{Checkpoints, MemoryStore};
pub use listing::ListError;
pub use records::{Error, ReadError, ReadOptions, Record, ShardStreamExt};
pub use shard::{OnDrop, ShardHandle, StartAt, StreamId};
