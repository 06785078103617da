//! How far each shard was processed: a consumer that restarts continues where it stopped.
//!
//! Finished shards are not read again, half-read shards continue after the last acknowledged
//! record, and children wait only for what is truly unfinished.
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
//! let store = MemoryStore::new(); // or a FileStore, a DynamoDbStore, or your own
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
//!     .checkpoints(&checkpoints) // each shard from where the last run left it
//!     .records(&client)          // each record with an acknowledgement
//!     .auto_ack();               // acknowledges a record when the next one is asked for
//! while let Some(record) = records.try_next().await? {
//!     println!("{} {} bytes", record.sequence_number(), record.data().len());
//! }
//! println!("{}", shutdown.await?); // what was saved
//! # Ok(())
//! # }
//! ```
//!
//! Without `auto_ack`, acknowledge each record by itself, in any order, from any task: with
//! [`UnackedRecord::ack`], or with the [`Acker`] of [`UnackedRecord::into_parts`]. Do so with
//! `for_each_concurrent`, `buffer_unordered` and `JoinSet`. A consumer that writes pages to a
//! database reads [`batches`](crate::ShardStreamExt::batches): each [`UnackedBatch`] has one
//! acknowledgement.
//!
//! # What is promised
//!
//! **At least once.** A shard's checkpoint is the last record *before which all are acknowledged*.
//! No crash, at whatever moment, loses a record. What comes again is what was not acknowledged, and
//! what was acknowledged but not saved yet: by default, that of the last 5 s or 1,000 records of
//! each shard ([`CheckpointOptions`]). After a [`shutdown`](Checkpoints::shutdown) that [is
//! complete](ShutdownReport::is_complete), nothing comes again; otherwise the [`ShutdownReport`]
//! says what does.
//!
//! **In order per key**, as without checkpoints, and across restarts: a child opens when all
//! records of its parents are acknowledged and the store has confirmed that.
//!
//! | step | what the store has confirmed by then | after a crash here |
//! |---|---|---|
//! | a shard is offered for the first time | its parents' ends, if it has parents | it is offered again |
//! | its first record is asked for | where it starts; for `Latest`, the time. If it starts at a time, as in a run from `Latest`, the starts of all shards the run began with | it is read from there: `Latest` skips nothing on restart |
//! | records are delivered | the same | they come again |
//! | a record is acknowledged | the same | it comes again, unless it was saved |
//! | the checkpoint is saved: 5 s or 1,000 records later, or at a [`flush`](Checkpoints::flush) | every record up to the checkpoint was acknowledged | what follows the checkpoint comes again |
//! | the last record of a closed shard is acknowledged | the same | what follows the checkpoint comes again, and then the end |
//! | its end is saved, at once | that it is finished | it is not read again |
//! | its children are offered | the same | they are offered again |
//! | Kinesis stops listing it | that it was finished; then the store forgets it | the store forgets it again |
//!
//! **A record that is dropped without acknowledgement** holds its shard's checkpoint. The crate
//! logs it, and the next run repeats it and all that follows it, also what was acknowledged
//! ([`ShutdownReport::held`]). If the shard ends meanwhile, that happens at once: the shard is read
//! again from its checkpoint, and its children wait. So acknowledge also what you filter out.
//!
//! **A store that is down** stops nothing for a while. Reading continues, the newest checkpoint is
//! saved again and again with growing delays, and each failure is logged and reported to
//! [`on_event`](CheckpointOptions::on_event). Only what must be durable first waits: shards that
//! open, and children. After 5 minutes
//! ([`store_outage_limit`](CheckpointOptions::store_outage_limit)) the shards that could not be
//! saved pause until the store is back. A save that gets no response within 30 s
//! ([`save_timeout`](CheckpointOptions::save_timeout)) fails.
//!
//! **A checkpoint that has expired**, because its record is older than the stream's retention,
//! falls back to the oldest record that is left and is reported as a
//! [gap](CheckpointEventKind::Gap). The reader notices it because it reads on from the very record
//! of the checkpoint, which it then passes over. A shard that was read in part and that Kinesis
//! lists no more is a gap, too. Where no record was acknowledged yet, Kinesis does not say what
//! expired before the first record that comes.
//!
//! **A checkpoint that Kinesis refuses** is asked for again. If Kinesis refuses its sequence number
//! twice in a row, the shard is read from its oldest record, and the stored checkpoint stays until
//! a record is acknowledged after that.
//!
//! **A stream that was deleted and created again** while the consumer runs is a new stream, and is
//! read from its beginning. Between two runs, or before the second full listing of a run, it cannot
//! be told from the old one: its shards have the same ids, and those that the old one had finished
//! count as finished. Remove its checkpoints with it.
//!
//! **One consumer.** Two consumers that share a store overwrite each other's checkpoints. A
//! `FileStore` refuses a second process; a `DynamoDbStore` refuses whoever writes second.
//!
//! # Stores
//!
//! | store | what it keeps |
//! |---|---|
//! | [`MemoryStore`] | checkpoints in memory, for tests |
//! | `FileStore`, feature `file` | one file, several streams, one process at a time; on the disk once confirmed |
//! | `DynamoDbStore`, feature `dynamodb` | the table layout of the Kinesis Client Library: takes over from a Java application where it stopped, and back |
//! | your own | [`CheckpointStore`]: three methods, some 30 lines; `testing::check_store` checks it, and `examples/redis` is one |
//!
//! One task for each [`Checkpoints`] saves, and ends with it: the newest checkpoint of a shard, one
//! save of a shard at a time, up to 16 shards concurrently.
//!
//! # Logs
//!
//! The crate logs a save that failed, a record that was dropped without acknowledgement and a
//! checkpoint that has expired at `WARN`, and a shard that pauses because nothing can be saved at
//! `ERROR`, target `kinesis_shards`.

pub(crate) mod ack_window;
pub(crate) mod acker;
pub(crate) mod auto_ack;
pub(crate) mod checkpoints;
pub(crate) mod children;
pub(crate) mod claims;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
pub(crate) mod event;
#[cfg(feature = "file")]
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod reader;
pub(crate) mod records;
pub(crate) mod resume;
pub(crate) mod save_task;
pub(crate) mod shard_state;
pub(crate) mod shards;
pub(crate) mod shared;
pub(crate) mod store;
pub(crate) mod unacked_batch;
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
pub use shards::{CheckpointedShard, CheckpointedShards};
pub use store::{CheckpointStore, Save, StoreError};
pub use unacked_batch::UnackedBatch;
pub use value::{Checkpoint, ParseCheckpointError};
