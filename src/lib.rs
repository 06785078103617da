//! Consumes an Amazon Kinesis data stream as a [`futures::Stream`]: every shard, parents before
//! children, across every split and merge.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::{ShardStreamExt, try_all_shards};
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), kinesis_shards::Error> {
//! # let kinesis = FakeKinesis::new();
//! # let orders = kinesis.create_stream("orders", 2);
//! # orders.put("customer 1", "an order");
//! # orders.put("customer 2", "another");
//! # let client = kinesis.client();
//! let mut records = try_all_shards(&client, "orders").records(&client);
//! # let mut records = records.take(2);
//! while let Some(record) = records.next().await {
//!     match record {
//!         Ok(record) => println!("{} {} bytes", record.shard_id(), record.data().len()),
//!         Err(error) if error.is_retryable() => eprintln!("{error}"), // the stream tries again
//!         Err(error) => return Err(error), // no such stream, no permission, ...
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | the root | [`all_shards`] and [`try_all_shards`], the streams of shards that the rest builds on |
//! | [`shard`] | [`ShardHandle`]: the right to read one shard, and where to read it from |
//! | [`records`] | readers of one shard and of all shards, their options, errors and events |
//! | [`checkpoint`] | [`Checkpoints`]: a consumer that restarts continues where it stopped |
//! | `lease` | many workers: processes that share the shards of a stream (feature `dynamodb`) |
//! | `cbor` | Kinesis's CBOR instead of JSON (feature `cbor`) |
//! | [`lineage`] | the combinator that orders the shards of any stream of shard lists; the rules in full |
//! | [`listing`] | the interval stream of shard lists |
//! | `testing` | an in-process Kinesis for tests (feature `testing`) |
//! | `metrics` | figures for the facade of the crate `metrics` (feature `metrics`) |
//! | [`guide`] | how to run a consumer: troubleshooting, alarms, sizing, permissions |
//!
//! # The rules
//!
//! 1. **Order.** A shard is offered when all its parents are closed or expired.
//! 2. **Once.** Each shard is offered once, whatever the listings repeat, misorder or omit.
//! 3. **Nothing is skipped** that was written after the run began: a child never starts at
//!    `LATEST`.
//! 4. **No timer between parent and child.** Closing the last parent makes its children ready.
//! 5. **Cheap when idle.** One `ListShards` request per poll interval, whatever the number of
//!    shards.
//! 6. **Bounded memory.** A shard that is closed and no longer listed is forgotten.
//! 7. **A re-created stream is a new stream**, although its shards have the ids of the old one.
//! 8. **Nothing is detached.** The streams work only while they are polled, and free everything on
//!    drop.
//! 9. **Malformed input is an error, not a panic.**
//!
//! [`lineage`] states the rules in full, and explains how to poll, stop, and handle failing
//! readers.
//!
//! # Features
//!
//! No feature is on by default, and the SDK comes without its default features: the crate that
//! creates the [`Client`](aws_sdk_kinesis::Client) chooses the TLS and HTTP stack.
//!
//! | feature | adds | depends on |
//! |---|---|---|
//! | `cbor` | this crate's requests in CBOR, which is read in half the time; `cbor::CborProtocol` for others | `aws-smithy-json` and other smithy crates of the SDK |
//! | `file` | `FileStore`: checkpoints in a file | `redb` |
//! | `dynamodb` | `lease`: many workers; `DynamoDbStore`: checkpoints in a table of the Kinesis Client Library | `aws-sdk-dynamodb` |
//! | `metrics` | figures for any exporter of the crate `metrics` | `metrics` |
//! | `kpl` | `ReadOptions::deaggregate`: splits records of the Kinesis Producer Library | `bytes`, `md-5` |
//! | `testing` | `testing::FakeKinesis`; with `dynamodb` also `testing::LeaseBoard` | `serde_json`, `base64`, `md-5`, smithy crates, `tokio/test-util` |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod all_shards;
#[cfg(feature = "cbor")]
pub mod cbor;
pub mod checkpoint;
pub mod guide;
#[cfg(feature = "dynamodb")]
pub mod lease;
pub mod lineage;
pub mod listing;
#[cfg(feature = "metrics")]
pub mod metrics;
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
pub use shard::{OnDrop, ShardHandle, StartAt, StopAt, StreamId};
