//! Many workers: processes that share the shards of one stream.
//!
//! Each worker joins the same application, and reads the shards whose *lease* it holds. A shard has
//! one lease, and a lease has one owner at a time. Workers may join, leave and crash at any time:
//! the shards move to the others, and each is read from its checkpoint. The workers need two tables
//! in DynamoDB, and know nothing of each other beyond them.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::TryStreamExt;
//! use kinesis_shards::lease::Leases;
//! use kinesis_shards::{ShardStreamExt, all_shards};
//! # use kinesis_shards::testing::{FakeKinesis, LeaseBoard};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let kinesis = FakeKinesis::new();
//! # let orders = kinesis.create_stream("orders", 2);
//! # orders.put("customer 1", "an order");
//! # orders.put("customer 2", "another");
//! # let client = kinesis.client();
//! # let dynamodb = LeaseBoard::new();
//! # let mut read = 0;
//! # async fn sigterm() { tokio::time::sleep(Duration::from_secs(10)).await }
//! // `dynamodb` is an `aws_sdk_dynamodb::Client`.
//! let leases = Leases::join(&dynamodb, "orders-application", "orders").await?;
//!
//! let shutdown = tokio::spawn({
//!     let leases = leases.clone();
//!     async move {
//!         sigterm().await;
//!         leases.shutdown(Duration::from_secs(25)).await
//!     }
//! });
//!
//! let mut records = all_shards(&client, "orders")
//!     .leased(&leases)  // the shards whose lease this worker holds, each from its checkpoint
//!     .records(&client) // each record has an acknowledgement
//!     .auto_ack();      // the poll for the next record acknowledges the last
//! while let Some(record) = records.try_next().await? {
//!     println!("{} {} bytes", record.shard_id(), record.data().len());
//! #   read += 1;
//! }
//! println!("{}", shutdown.await?); // the checkpoints that went with the leases
//! # assert_eq!(read, 2);
//! # Ok(())
//! # }
//! ```
//!
//! The program needs the feature `dynamodb` of this crate, and `aws-sdk-dynamodb = "1"` in its
//! `Cargo.toml`. Start it as often as you like: `cargo run --example fleet` shows what happens. The
//! example `examples/services/replicas.rs` is such a program as a whole.
//!
//! [`leased`](crate::AllShards::leased) yields shards as
//! [`checkpoints`](crate::AllShards::checkpoints) does, so everything that
//! [`checkpoint`](crate::checkpoint) says about records, batches and acknowledgements applies here,
//! too.
//!
//! # Promises
//!
//! * **At least once.** A crash, a pause or a network failure at any moment loses no record. The
//!   next owner of a shard starts at the checkpoint in its lease, which is never past a record that
//!   was not acknowledged.
//! * **A checkpoint never goes back.** Each write of a lease is conditional on its owner and on its
//!   counter, and each write moves the counter. A write by a former owner fails, however late it
//!   arrives.
//! * **Parents before children, across workers.** A shard is granted once the ends of all its
//!   parents are stored, whichever workers read them.
//! * **An orderly move repeats nothing.** If a worker shuts down
//!   ([completely](crate::checkpoint::ShutdownReport::is_complete)), or gives a lease away for balance, the records in
//!   flight are acknowledged first. The last checkpoint and the new owner are one write. No record
//!   comes twice, the order per key holds, and two workers never deliver the shard at the same
//!   time.
//! * **One worker delivers.** A worker that could not prove for 4/5 of the [failover
//!   time](LeaseOptions::failover_time) that it lives delivers no record, and no other worker takes
//!   its leases before the whole failover time has passed. This holds while the monotonic clocks of
//!   the machines run at the same speed within 20 %; the wall clock is not used. The two exceptions
//!   are in the [table of troubles](#troubles).
//! * **After a loss, acknowledgements do nothing.** The checkpoint belongs to the next owner.
//!   [`try_ack`](crate::checkpoint::UnackedRecord::try_ack) reports the loss, and so do
//!   [`Lease::is_held`], [`Lease::ended`] and [`LeaseEventKind::Ended`].
//!
//! Only an owner gives a lease away. No worker takes a lease from one that lives.
//!
//! # What is not promised
//!
//! * **Exactly once.** After a crash, the records since the last save come again: by default, those
//!   of [the last 30 s](#the-save-interval). A record that was delivered before a pause of the
//!   process is still in the consumer's hands afterwards, and its effect may come after those of
//!   the next owner. [Fencing](#fencing) prevents that.
//! * **A consumer that hangs keeps its leases.** The proof of life comes from a task of
//!   [`Leases`], not from the consumer: slow processing costs no lease. A shard whose reader is not
//!   polled for a minute is reported as [`Stalled`](LeaseEventKind::Stalled). Watch the
//!   [status](crate::Checkpoints::status) of [`Leases::checkpoints`], too, and restart a process
//!   that is stuck.
//! * **[`OnDrop`](crate::OnDrop) has no effect.** A shard that is abandoned or dropped, or whose
//!   reader fails, is offered again by the same worker, which keeps the lease.
#![doc = include_str!("many_workers.md")]

pub(crate) mod driver;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod leases;
pub(crate) mod machine;
pub(crate) mod options;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod simulation;
pub(crate) mod stalls;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod worker;

pub use error::LeaseError;
pub use event::{LeaseEvent, LeaseEventKind};
pub use leases::{LeaseBackend, Leases};
pub use options::LeaseOptions;
pub use status::WorkerStatus;
pub use stream::LeasedShards;

pub use crate::checkpoint::lease::{Lease, LeaseEnd};
pub use crate::checkpoint::lease_lost::LeaseLost;

pub(crate) mod sealed {
    use std::sync::Arc;

    use crate::lease::table::LeaseTables;
    use crate::shard::stream_id::StreamId;

    /// A place of the tables of a fleet.
    pub trait IntoTables {
        fn into_tables(self, leases: String, workers: String, stream: &StreamId) -> Tables;
    }

    /// The tables of a fleet.
    pub struct Tables(pub(crate) Arc<dyn LeaseTables>);
}
