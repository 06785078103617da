//! An in-process Kinesis for tests.
//!
//! [`FakeKinesis`] serves the real [`aws_sdk_kinesis::Client`] as its HTTP client, so a test needs
//! no socket, no server and no credentials. It runs on tokio's clock: under
//! [`tokio::time::pause`], no test waits for time to pass. The fake is written from AWS's
//! documentation and rejects what AWS rejects, with AWS's errors.
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
//! // A pagination token lives for five minutes.
//! fake.advance(Duration::from_secs(301)).await;
//! let expired = client.list_shards().set_next_token(first.next_token).send().await.unwrap_err();
//! assert!(matches!(expired.into_service_error(), ListShardsError::ExpiredNextTokenException(_)));
//! assert_eq!(fake.requests()[1].error(), Some("ExpiredNextTokenException"));
//! # Ok(())
//! # }
//! ```
//!
//! # Operations
//!
//! The fake implements `CreateStream`, `DeleteStream`, `DescribeStream`, `DescribeStreamSummary`,
//! `ListStreams`, `IncreaseStreamRetentionPeriod`, `DecreaseStreamRetentionPeriod`, `ListShards`
//! (pages, tokens, every filter), `SplitShard`, `MergeShards`, `UpdateShardCount`,
//! `UpdateMaxRecordSize`, `PutRecord`, `PutRecords`, `GetShardIterator` and `GetRecords`, and those
//! of [enhanced fan-out](#enhanced-fan-out). It rejects every other operation with
//! `UnknownOperationException`.
//!
//! It speaks both formats of Kinesis, JSON and CBOR: a response has the format of its request.
//! [`FakeKinesisBuilder::cbor`] makes a server that knows no CBOR, or whose CBOR is that of
//! kinesalite.
//!
//! # Time
//!
//! The fake reads tokio's clock: [`FakeKinesis::now`] starts at a fixed time and advances with
//! [`tokio::time::Instant`]. Retention, tokens, iterators and arrival times follow it.
//!
//! On a paused clock, let time pass with [`tokio::time::sleep`]: tokio advances the clock from one
//! timer to the next, and each task runs when its timer fires. [`FakeKinesis::advance`] is a single
//! jump, during which no task runs, so it is for tests in which nothing else is running.
//!
//! A request takes no time unless [`FakeKinesisBuilder::latency`] gives it some. Tokio advances a
//! paused clock only while every task waits. A pipeline that sends requests without a pause
//! therefore stops the clock, and a timeout around that pipeline never fires. A latency prevents
//! this.
//!
//! # Enhanced fan-out
//!
//! The fake implements `RegisterStreamConsumer`, `DescribeStreamConsumer`, `ListStreamConsumers`,
//! `DeregisterStreamConsumer`, and `SubscribeToShard` with its event stream:
//!
//! * A record arrives 70 ms after its write. An event has up to 10,000 records and 2 MiB.
//! * A subscription without news sends an empty event every 5 seconds. The continuation advances
//!   with it.
//! * The last event of a closed shard has child shards and no continuation.
//! * A subscription ends after 5 minutes, and when the client drops the response.
//! * A `ResourceInUseException` ends it when another subscription takes over (see
//!   [`Limits::subscriptions`]), and a `ResourceNotFoundException` when its stream, its consumer or
//!   its shard is gone.
//!
//! An event is made when the client polls the response, so a slow client gets fewer and larger
//! ones. [`FakeKinesisBuilder::streams_per_connection`] limits the subscriptions of a client.
//! Methods such as [`FakeStream::register_consumer`] make no request.
//!
//! # Limits
//!
//! AWS's limits on reads, iterators, listings, writes, consumers and subscriptions apply to
//! requests. [`Limits`] switches each of them off.
//!
//! # Faults
//!
//! A [`Fault`] makes a request fail. A test chooses the requests by a script
//! ([`FakeKinesis::fail_next`], [`fail_nth`](FakeKinesis::fail_nth),
//! [`fail_times`](FakeKinesis::fail_times), [`fail_always`](FakeKinesis::fail_always)), by a
//! function of the request ([`FakeKinesis::on_request`]), or at random from a seed
//! ([`FakeKinesis::fail_at_random`]). A fault that cannot apply to an operation panics.
//!
//! The timeouts in a client's configuration run on tokio's clock: those for connecting, for
//! reading, for an attempt and for an operation.
//!
//! # The request log
//!
//! [`FakeKinesis::requests`] returns every request, with its time and its outcome. Other methods
//! return counts and bodies, and assert rates and order: [`FakeKinesis::assert_read_rate_at_most`],
//! [`FakeKinesis::assert_parents_read_first`], [`FakeKinesis::peak_rate`]. The events of a
//! subscription belong to its `SubscribeToShard`: see [`Request::records_read`].
//!
//! Methods of [`FakeKinesis`] and [`FakeStream`] (`create_stream`, `split`, `put`, ...) are not
//! requests: no limit and no fault applies to them, and the log does not contain them.
//!
//! # Stores
//!
//! [`check_store`] and [`check_store_reopened`] check that your own
//! [`CheckpointStore`](crate::checkpoint::CheckpointStore) keeps the promises of the trait.
//!
//! # Many workers
//!
//! `LeaseBoard` (with the feature `dynamodb`) keeps the tables of leases in memory, so that a test
//! runs several workers in one process: see the section on testing of `lease`.
//!
#![doc = include_str!("chapter.md")]

pub(crate) mod cbor_support;
pub(crate) mod clock;
pub(crate) mod event_stream;
pub(crate) mod fake;
pub(crate) mod fault;
pub(crate) mod http;
#[cfg(feature = "dynamodb")]
pub(crate) mod lease_board;
#[cfg(feature = "dynamodb")]
pub(crate) mod lease_tables;
pub(crate) mod log;
pub(crate) mod model;
pub(crate) mod random;
pub(crate) mod request;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod wire;

pub use cbor_support::CborSupport;
pub use fake::stream::FakeStream;
pub use fake::{FakeKinesis, FakeKinesisBuilder};
pub use fault::Fault;
#[cfg(feature = "dynamodb")]
pub use lease_board::{BoardLease, LeaseBoard};
#[cfg(feature = "dynamodb")]
#[doc(hidden)]
pub use lease_tables::compare_lease_tables;
pub use model::Limits;
pub use random::RandomFaults;
pub use request::Request;
pub use store::{check_store, check_store_reopened};
#[doc(hidden)]
pub use wire::cbor::json_of;
