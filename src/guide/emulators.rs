//! Tests and development without AWS.
//!
//! # In the process
//!
//! `testing::FakeKinesis` (feature `testing`) is the quickest: it needs no port, splits and merges
//! on command, injects faults, and keeps AWS's limits. On tokio's paused clock, a day passes in no
//! time.
//!
//! ```
//! use futures::StreamExt;
//! use kinesis_shards::testing::FakeKinesis;
//! use kinesis_shards::{ShardStreamExt, all_shards};
//!
//! # #[allow(unused, reason = "the test is called below")] mod shown {
//! #[tokio::test(start_paused = true)]
//! # async fn an_order_is_read_after_a_split() {}
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() { an_order_is_read_after_a_split().await }
//! async fn an_order_is_read_after_a_split() {
//!     let kinesis = FakeKinesis::new();
//!     let orders = kinesis.create_stream("orders", 1);
//!     orders.split("shardId-000000000000");
//!     orders.put("customer 1", "an order");
//!     let client = kinesis.client();
//!     let mut records = all_shards(&client, "orders").records(&client);
//!     assert_eq!(records.next().await.unwrap().unwrap().data(), b"an order");
//! }
//! ```
//!
//! # A server beside it
//!
//! The SDK takes another endpoint from the environment, so that the program stays as it is:
//!
//! ```sh
//! export AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4567 AWS_REGION=us-east-1
//! export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x
//! ```
//!
//! `AWS_ENDPOINT_URL` sets it for all services, which is right for a server that imitates several.
//! This crate is tested against kinesis-local, kinesalite, moto and ministack. None of them is
//! Kinesis: some name no children at the end of a shard, some forget closed shards at once, some
//! lose their data at a restart. The crate reads from all of them; do not measure times or limits
//! there.
//!
//! A server in a container that restarts empty gives a new stream the ids of the old one. Remove
//! the checkpoints with it.
