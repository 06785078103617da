//! An in-process Kinesis for tests.
//!
//! [`FakeKinesis`] stands behind the real [`aws_sdk_kinesis::Client`], as its HTTP client: no socket, no server to
//! start, no credentials, and it works under [`tokio::time::pause`], so that a test of hours takes no time. It is written
//! from AWS's documentation and refuses what AWS refuses, with AWS's errors.
//!
//! ```
//! use std::time::Duration;
//!
//! use aws_sdk_kinesis::operation::list_shards::ListShardsError;
//! use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fake = FakeKinesis::builder().page_size(2).build();
//! fake.create_stream("orders", 3);
//!
//! let client = fake.client();
//! let first = client.list_shards().stream_name("orders").send().await?;
//! assert_eq!(first.shards().len(), 2);
//!
//! // Tokens live five minutes. This test does not.
//! fake.advance(Duration::from_secs(301)).await;
//! let expired = client.list_shards().set_next_token(first.next_token).send().await.unwrap_err();
//! assert!(matches!(expired.into_service_error(), ListShardsError::ExpiredNextTokenException(_)));
//! assert_eq!(fake.requests()[1].error(), Some("ExpiredNextTokenException"));
//! # Ok(())
//! # }
//! ```
//!
//! # What it knows
//!
//! `CreateStream`, `DeleteStream`, `DescribeStream`, `DescribeStreamSummary`, `ListStreams`,
//! `IncreaseStreamRetentionPeriod`, `DecreaseStreamRetentionPeriod`, `ListShards` (pages, tokens, every filter),
//! `SplitShard`, `MergeShards`, `UpdateShardCount`, `UpdateMaxRecordSize`, `PutRecord`, `PutRecords`, `GetShardIterator` and `GetRecords`.
//! Anything else is refused with `UnknownOperationException`.
//!
//! # Time
//!
//! The fake's clock is tokio's: [`FakeKinesis::now`] starts at a fixed time and moves with [`tokio::time::Instant`].
//! Retention, tokens, iterators and arrival times follow it.
//!
//! On a paused clock, let time pass with [`tokio::time::sleep`]: the clock goes from one timer to the next, and everything
//! that waits for one runs in its turn. [`FakeKinesis::advance`] is one jump, during which nothing runs: it is for tests that
//! have nothing running.
//!
//! Requests take no time, unless [`FakeKinesisBuilder::latency`] gives them some; what waits for a timer can only go on when
//! nothing else can run. A pipeline that asks again and again without a pause would keep a paused clock standing, and no
//! timeout around it would ever end.
//!
//! # Limits
//!
//! AWS's limits on reads, iterators, listings and writes hold for requests, and can be switched off: see [`Limits`].
//!
//! # Faults
//!
//! Anything may go wrong, by script ([`FakeKinesis::fail_next`] and its kin), by a function of the request
//! ([`FakeKinesis::on_request`]), or by chance and a seed ([`FakeKinesis::fail_at_random`]). [`Fault`] names what. A fault that
//! cannot befall an operation is refused with a panic.
//!
//! The timeouts of a client's configuration hold, on tokio's clock: those for connecting and for reading, those of an attempt
//! and of an operation.
//!
//! # The log
//!
//! [`FakeKinesis::requests`] is every request there was, with its time and what became of it. Beside it are counts, bodies,
//! and what a test asserts of them: [`FakeKinesis::assert_read_rate_at_most`], [`FakeKinesis::assert_parents_read_first`],
//! [`FakeKinesis::peak_rate`].
//!
//! Calls of [`FakeKinesis`] and [`FakeStream`] themselves (`create_stream`, `split`, `put`, ...) are no requests: no limit
//! and no fault applies to them, and they are not in the log.
//!
//! # Stores
//!
//! [`check_store`] and [`check_store_reopened`] check that a [`CheckpointStore`](crate::CheckpointStore) of your own keeps what it promises.
//!
#![doc = include_str!("chapter.md")]

mod clock;
mod fake;
mod fault;
mod http;
mod log;
mod model;
mod random;
mod rates;
mod script;
mod server;
mod store;
mod stream;
mod wire;

pub use fake::{FakeKinesis, FakeKinesisBuilder};
pub use fault::Fault;
pub use log::Request;
pub use model::Limits;
pub use random::RandomFaults;
pub use store::{check_store, check_store_reopened};
pub use stream::FakeStream;
