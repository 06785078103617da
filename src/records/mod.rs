//! Reading one shard, and many.

pub(crate) mod all;
pub(crate) mod batch;
pub(crate) mod batches;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod flatten;
#[cfg(feature = "kpl")]
pub(crate) mod kpl;
pub(crate) mod merge;
pub(crate) mod options;
pub(crate) mod page_limit;
pub(crate) mod permits;
pub(crate) mod plain_reader;
pub(crate) mod read_shard;
pub(crate) mod reader_set;
pub(crate) mod record;
pub(crate) mod shard_reader;
pub(crate) mod source;

use std::sync::Arc;

use aws_sdk_kinesis::Client;

pub use all::{AllBatches, AllRecords, ShardStreamExt};
pub use batch::{Batch, BatchRecords};
pub use batches::Batches;
pub use error::{Error, ReadError};
pub use event::{EndReason, ReadEvent, ReadEventKind};
pub use flatten::Records;
pub use options::ReadOptions;
pub use read_shard::ReadShard;
pub use record::Record;

use crate::records::permits::RequestPermits;
use crate::shard::handle::ShardHandle;

impl ShardHandle {
    /// The shard's records, one by one, from its [`start`](Self::start) to its end.
    ///
    /// The stream ends when the last record of a shard that Kinesis has closed was taken, and the
    /// next was asked for: then the handle is completed, with the children that Kinesis named, and
    /// they open. A reader that is dropped before never closes its shard, whatever
    /// [`OnDrop`](crate::OnDrop) says: it [abandons](Self::abandon) the handle, so the shard is
    /// offered again from where it started.
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
    ///                 Err(error) => eprintln!("{error}"), // and the stream ends; the shard will be offered again
    ///             }
    ///         }
    ///         println!("{:?}", records.ended());
    /// #       assert!(matches!(records.ended(), Some(EndReason::EndOfShard { children }) if children.len() == 2));
    ///     })
    ///     .await;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An item is an error if the shard cannot be read until somebody does something about it:
    /// access denied, a KMS key that is disabled, a request that Kinesis calls invalid. It is the
    /// last item, and the handle is abandoned. All other failures are tried again for ever: a
    /// throttled, failed or unanswered read with the same iterator, and an expired iterator is made
    /// anew after the last record read.
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

    /// The shard's records by the page, as Kinesis gives them; empty pages are left out. All that
    /// is said of [`records`](Self::records) holds.
    ///
    /// # Errors
    ///
    /// As of [`records`](Self::records).
    ///
    /// # Panics
    ///
    /// Polling it panics outside a tokio runtime with its time driver enabled.
    pub fn batches(self, client: &Client) -> Batches {
        Batches::new(self, client)
    }
}
