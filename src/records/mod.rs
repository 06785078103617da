//! Readers of one shard, and of all shards.
//!
//! [`ShardHandle::records`] and [`ShardHandle::batches`] read one shard to its end.
//! [`ShardStreamExt::records`] and [`ShardStreamExt::batches`] read all shards that a stream of
//! shards offers, concurrently, each after its parents. A shard with a
//! [checkpoint](crate::checkpoint) or a lease (module `lease`) is read in the same way, and its
//! records are acknowledged.
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
//!         Err(error) => eprintln!("{error}"), // that shard is offered again; the others continue
//!     }
//! #   if taken == 3 { break }
//! }
//! # }
//! ```
//!
//! By default a reader polls. By [enhanced fan-out](FanOut), Kinesis pushes the records: see
//! [polling or fan-out](#polling-or-fan-out).
//!
//! # Guarantees
//!
//! * **Order.** A reader yields the records of a shard in order, and omits and repeats none. A
//!   shard ends when its last record was taken and the reader is polled for the next one: its
//!   handle is completed, and its children open. They may open while you still process that last
//!   record. If that matters, process one record of a key at a time, as
//!   [`for_each_by_key`](AllRecords::for_each_by_key) does, or acknowledge in the loop with
//!   [checkpoints](crate::checkpoint).
//! * **Retries.** Throttled requests, 5xx responses and timeouts are retried without limit, with
//!   the same iterator. After a broken connection or an expired iterator, a new iterator starts
//!   *at* the last record, which is read again and dropped. If the record is missing, the reader
//!   searches the shard from its oldest record. If the last record has expired, the reader
//!   continues with the first newer one. If the server has lost its data, as an emulator that
//!   restarts may, the shard is read from its beginning, with a `WARN`.
//! * **Failures.** An error that a person must resolve (a missing permission, a disabled KMS key)
//!   is one `Err`, the last item of that shard's reader. The reader abandons its handle: the shard
//!   is offered again from its [`start`](ShardHandle::start), and its records repeat, unless there
//!   are checkpoints. They also repeat if a reader is dropped before its end.
//! * **Back-pressure.** A reader that is not polled sends no request. A shard holds at most one
//!   page: 10,000 records or 10 MiB, fewer with [`max_records`](ReadOptions::max_records). A slow
//!   consumer delays all its shards, and loses nothing that the stream retains.
//! * **Cores.** All work happens in the task that polls. With [`spawn_on`](ReadOptions::spawn_on),
//!   each read is a task of a runtime: its cores parse responses in parallel, and each shard reads
//!   one page ahead.
//! * **Lag.** [`Records::lag`], [`AllRecords::lags`] and [`Batch::lag`] return
//!   `MillisBehindLatest`, which is the lag of the end of a page, not of the consumer. A
//!   [`Monitor`] shows the lag of the consumer, even while the consumer does not poll.
//!   [`on_event`](ReadOptions::on_event) reports every page, retry and end, for metrics.
//!
//! # Requests and permissions
//!
//! Reading needs `kinesis:GetShardIterator` and `kinesis:GetRecords`, and `kms:Decrypt` on the key
//! of an encrypted stream. AWS allows 5 `GetRecords` requests and 2 MiB a second for each shard,
//! shared by all applications that read it. A reader that has caught up sends one request per [idle
//! interval](ReadOptions::idle_interval) (1 s). A reader that is behind sends up to 5 requests and
//! reads up to 2 MiB a second, unless [`ReadOptions`] set other limits. N shards that have caught
//! up cost N requests a second: raise the idle interval if many shards are idle.
//!
//! The SDK's retries are off for both requests, whatever the client's configuration: each attempt
//! is one request, and each failure a [`Retry`](ReadEventKind::Retry) event. A failed read is
//! retried after 400 ms, then with a delay that doubles up to 10 s. Each delay is shortened at
//! random by up to a half. A request fails if it gets no response within 60 s, counted while the
//! reader is polled. A page that does not arrive in time is requested with half the limit, and a
//! single record with twice the timeout, up to 16 minutes, so that a slow connection makes
//! progress. The client's own timeouts apply as well, and also count while the reader is
//! not polled. When many shards open together, at most 256 iterator requests are in flight.
//!
//! # Logs
//!
//! A failed read is logged at `WARN` with the shard and the delay until the next attempt, and the
//! end of each reader at `DEBUG`, target `kinesis_shards`. The requests of a read, and what the SDK
//! logs about them, are within a span `read_shard` at `DEBUG` with the fields `stream` and `shard`.
#![doc = include_str!("backfill.md")]
#![doc = include_str!("polling_or_fan_out.md")]
#![doc = include_str!("speed.md")]

pub(crate) mod all;
pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod by_key;
pub(crate) mod chunks;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod fan_out;
pub(crate) mod flatten;
#[cfg(feature = "kpl")]
pub(crate) mod kpl;
pub(crate) mod merge;
pub(crate) mod monitor;
pub(crate) mod options;
pub(crate) mod page_limit;
pub(crate) mod permits;
pub(crate) mod plain_reader;
pub(crate) mod read_shard;
pub(crate) mod reader_set;
pub(crate) mod readers;
pub(crate) mod record;
pub(crate) mod shard_reader;
pub(crate) mod source;
pub(crate) mod subscription_error;
#[cfg(feature = "kpl")]
pub(crate) mod user_record;

use aws_sdk_kinesis::Client;

pub use all::{AllBatches, AllRecords, ShardStreamExt};
pub use batch::{Batch, BatchRecords};
pub use batches::Batches;
pub use by_key::{ForEachByKey, TryForEachByKey};
pub use chunks::Chunks;
pub use error::{Error, ReadError};
pub use event::{EndReason, ReadEvent, ReadEventKind};
pub use fan_out::{FanOut, FanOutError};
pub use flatten::Records;
pub use monitor::{Monitor, ShardStatus};
pub use options::ReadOptions;
pub use read_shard::ReadShard;
pub use record::Record;

use crate::shard::handle::ShardHandle;

impl ShardHandle {
    /// Returns a stream of the shard's records, from its [`start`](Self::start) to its end.
    ///
    /// The stream ends when the last record of a closed shard was taken and the stream is polled
    /// again. The handle is then completed with the children that Kinesis names, and they open. A
    /// reader that is dropped before its end [abandons](Self::abandon) the handle, even with
    /// [`OnDrop::Close`](crate::OnDrop::Close): the shard is offered again from its start.
    ///
    /// ```
    /// use futures::{StreamExt, TryStreamExt};
    /// use kinesis_shards::{ReadError, all_shards};
    /// use kinesis_shards::records::EndReason;
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// # let kinesis = FakeKinesis::new();
    /// # let stream = kinesis.create_stream("orders", 1);
    /// # stream.put("customer 1", "an order");
    /// # stream.split("shardId-000000000000");
    /// # let client = &kinesis.client();
    /// all_shards(client, "orders")
    /// # .take(1)
    ///     .for_each_concurrent(None, |shard| async move {
    ///         let mut records = shard.records(client);
    ///         while let Some(record) = records.next().await {
    ///             match record {
    ///                 Ok(record) => println!("{} {:?}", record.sequence_number(), records.lag()),
    ///                 Err(error) => eprintln!("{error}"), // the last item: the reader has ended
    ///             }
    ///         }
    ///         println!("{:?}", records.ended());
    /// #       let Some(EndReason::EndOfShard { children }) = records.ended() else { panic!() };
    /// #       assert_eq!(children.len(), 2);
    ///     })
    ///     .await;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An item is an error if the shard cannot be read without intervention: access denied, a
    /// disabled KMS key, or a request that Kinesis rejects as invalid. The error is the last item,
    /// and the handle is abandoned. All other failures are retried without limit.
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping `next()` loses nothing.
    pub fn records(self, client: &Client) -> Records {
        Records::new(self, client)
    }

    /// Returns a stream of the shard's pages, without empty ones. Each page is a response of
    /// Kinesis. Otherwise, the stream behaves like that of [`records`](Self::records).
    ///
    /// # Errors
    ///
    /// The same as those of [`records`](Self::records).
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    pub fn batches(self, client: &Client) -> Batches {
        Batches::new(self, client)
    }
}
