//! Checkpoints: a consumer that restarts continues where it stopped.
//!
//! A checkpoint says how far a shard was processed. Finished shards are not read again, half-read
//! shards continue after the last acknowledged record, and children wait only for unfinished
//! parents.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::TryStreamExt;
//! use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1).put("customer 1", "an order");
//! # let client = kinesis.client();
//! # async fn ctrl_c() { tokio::time::sleep(Duration::from_secs(10)).await }
//! let store = MemoryStore::new(); // or a FileStore, a DynamoDbStore, or your own store
//! let checkpoints = Checkpoints::load(store, "orders").await?;
//!
//! let shutdown = tokio::spawn({
//!     let checkpoints = checkpoints.clone();
//!     async move {
//!         ctrl_c().await;
//!         checkpoints.shutdown(Duration::from_secs(30)).await
//!     }
//! });
//!
//! let mut records = all_shards(&client, "orders")
//!     .checkpoints(&checkpoints) // each shard starts at its checkpoint
//!     .records(&client)          // each record has an acknowledgement
//!     .auto_ack();               // the poll for the next record acknowledges the last
//! while let Some(record) = records.try_next().await? {
//!     println!("{} {} bytes", record.sequence_number(), record.data().len());
//! }
//! println!("{}", shutdown.await?); // what was saved
//! # Ok(())
//! # }
//! ```
//!
//! Without `auto_ack`, records are acknowledged in any order and from any task, with
//! [`UnackedRecord::ack`] or with the [`Acker`] of [`UnackedRecord::into_parts`]. That is needed
//! with `for_each_concurrent`, `buffer_unordered` and `JoinSet`.
//!
//! | to process | use |
//! |---|---|
//! | one record after another | `auto_ack` |
//! | many records at a time, and those of a key in order | [`for_each_by_key`](crate::records::AllRecords::for_each_by_key), [`try_for_each_by_key`](crate::records::AllRecords::try_for_each_by_key) |
//! | pages, each with one acknowledgement | [`batches`](crate::ShardStreamExt::batches): see [Batches into a database](#batches-into-a-database) |
//! | chunks of all shards, each with one acknowledgement | [`chunks`](crate::records::AllRecords::chunks) |
//! | records that may fail | [When a record fails](#when-a-record-fails) |
//! | more than one stream | [Several streams in one program](#several-streams-in-one-program) |
//!
//! # Promises
//!
//! **At least once.** The checkpoint of a shard is the last record *up to which all records are
//! acknowledged*, so a crash at any moment loses no record. Records come again if they were not
//! acknowledged, or if their acknowledgement was not saved: by default, those of the last 5 s or
//! 1,000 records of each shard ([`CheckpointOptions`]). After a [`shutdown`](Checkpoints::shutdown)
//! that [is complete](ShutdownReport::is_complete), no record comes again; otherwise the
//! [`ShutdownReport`] says which do.
//!
//! **In order per key**, as without checkpoints, also across restarts. A child opens when all
//! records of its parents are acknowledged and the store has confirmed that.
//!
//! | step | durable before it | after a crash at this point |
//! |---|---|---|
//! | a shard is offered for the first time | the ends of its parents, if it has any | the shard is offered again |
//! | its first record is requested | its start, for `Latest` the time; if it starts at a time, as in a run from `Latest`, also the starts of all shards that the run began with | the shard is read from its start: `Latest` skips no record on restart |
//! | records are delivered | the same | they come again |
//! | a record is acknowledged | the same | it comes again, unless it was saved |
//! | the checkpoint is saved: 5 s or 1,000 records later, or at a [`flush`](Checkpoints::flush) | every record up to the checkpoint was acknowledged | the records after the checkpoint come again |
//! | the last record of a closed shard is acknowledged | the same | the records after the checkpoint come again, and then the end |
//! | the end of the shard is saved, at once | the shard is finished | the shard is not read again |
//! | its children are offered | the same | they are offered again |
//! | Kinesis stops listing the shard | the shard was finished; then the store forgets it | the store forgets it again |
//!
//! **A record that is dropped without acknowledgement** holds the checkpoint of its shard. A
//! warning is logged, and the next run repeats that record and all that follow it, acknowledged or
//! not ([`ShutdownReport::held`]). If the shard ends first, it is read again from its checkpoint at
//! once, and its children wait. So acknowledge the records that you filter out, too.
//!
//! **A store that is down** stops nothing at first. Reading continues, the newest checkpoint is
//! saved again with growing delays, and each failure is logged and reported to
//! [`on_event`](CheckpointOptions::on_event). Only shards that open and children wait, since their
//! checkpoints must be durable first. After 5 minutes
//! ([`store_outage_limit`](CheckpointOptions::store_outage_limit)) reading pauses for the shards
//! that could not be saved, until the store is back. A save without a response within 30 s
//! ([`save_timeout`](CheckpointOptions::save_timeout)) fails.
//!
//! **A checkpoint that has expired**, because its record is older than the stream's retention,
//! falls back to the oldest record that Kinesis holds, and is reported as a
//! [gap](CheckpointEventKind::Gap). The reader notices because it reads from the very record of the
//! checkpoint, and skips it. A shard that was read in part when Kinesis stops listing it is a gap,
//! too. If no record of a shard was acknowledged, records that expire before its first one go
//! unnoticed: Kinesis does not report them.
//!
//! **A checkpoint that Kinesis refuses** is requested again. If Kinesis refuses the sequence number
//! twice in a row, the shard is read from its oldest record, and the store keeps the checkpoint
//! until a record is acknowledged after that.
//!
//! **A stream that is deleted and created again** during a run is a new stream, and is read from
//! its beginning. Between two runs, or before the second full listing of a run, it cannot be
//! distinguished from the old one: its shards have the same ids, and those that the old stream had
//! finished count as finished. Remove the checkpoints together with the stream.
//!
//! **One consumer.** Two consumers that share a store overwrite each other's checkpoints. A
//! `FileStore` refuses a second process; a `DynamoDbStore` refuses the second writer of a shard. To
//! share a stream among processes, use `lease` (feature `dynamodb`): each shard has one worker at a
//! time, and its checkpoint moves with it.
//!
//! # Stores
//!
//! | store | where checkpoints are kept |
//! |---|---|
//! | [`MemoryStore`] | in memory, for tests |
//! | `FileStore`, feature `file` | in one file, for several streams and one process at a time |
//! | `DynamoDbStore`, feature `dynamodb` | in a table of the Kinesis Client Library: a Rust consumer takes over from a Java application where it stopped, and back |
//! | your own | [`CheckpointStore`] has three methods, some 30 lines; `testing::check_store` checks them, and `examples/redis` is one |
//!
//! Each [`Checkpoints`] has one task that saves, and that ends with it. The task saves the newest
//! checkpoint of a shard, with one save of a shard in flight, and up to 16 in all.
//!
//! [`StoredCheckpoints`] lists, sets and forgets the checkpoints in any store from a program that
//! does not consume: to rewind to a time, to skip, or to take over from another library.
//!
//! # Logs
//!
//! The target is `kinesis_shards`. A save that fails, a record that is dropped without
//! acknowledgement and a checkpoint that has expired are logged at `WARN`, a shard whose reading
//! pauses at `ERROR`.
#![doc = include_str!("batches_into_a_database.md")]
#![doc = include_str!("when_a_record_fails.md")]
#![doc = include_str!("several_streams.md")]

pub(crate) mod ack_run;
pub(crate) mod ack_window;
pub(crate) mod acker;
pub(crate) mod active_saver;
pub(crate) mod auto_ack;
pub(crate) mod checkpoints;
pub(crate) mod children;
pub(crate) mod claims;
pub(crate) mod consumer;
pub(crate) mod deadline;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
pub(crate) mod event;
#[cfg(feature = "file")]
pub(crate) mod file;
pub(crate) mod in_flight;
#[cfg_attr(
    not(feature = "dynamodb"),
    allow(dead_code, unreachable_pub, reason = "leases need DynamoDB")
)]
pub(crate) mod lease;
#[cfg(feature = "dynamodb")]
pub(crate) mod lease_lost;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod page;
pub(crate) mod page_contents;
pub(crate) mod reader;
pub(crate) mod records;
pub(crate) mod registry;
pub(crate) mod resume;
pub(crate) mod save_queue;
pub(crate) mod save_task;
pub(crate) mod sequence_number;
pub(crate) mod shard;
pub(crate) mod shard_state;
pub(crate) mod shards;
pub(crate) mod shared;
pub(crate) mod start_barrier;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod stored;
pub(crate) mod unacked_batch;
pub(crate) mod unacked_chunk;
pub(crate) mod value;
pub(crate) mod waiters;

pub use acker::{Acker, UnackedRecord};
pub use auto_ack::AutoAck;
pub use checkpoints::{Checkpoints, LoadError, ShutdownReport};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoDbStore, DynamoDbStoreError};
pub use event::{CheckpointEvent, CheckpointEventKind};
#[cfg(feature = "file")]
pub use file::{FileStore, FileStoreError};
pub use memory::MemoryStore;
pub use options::CheckpointOptions;
pub use shard::CheckpointedShard;
pub use shards::CheckpointedShards;
pub use status::CheckpointStatus;
pub use store::{CheckpointStore, Save, StoreError};
pub use stored::{SetCheckpointError, StoredCheckpoints};
pub use unacked_batch::UnackedBatch;
pub use unacked_chunk::{ChunkAcker, UnackedChunk};
pub use value::{Checkpoint, ParseCheckpointError};
