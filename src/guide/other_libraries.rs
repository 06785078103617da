//! What the parts of other consumer libraries are called here.
//!
//! # Kinesis Client Library
//!
//! | there | here |
//! |---|---|
//! | `Scheduler`, `ConfigsBuilder` | `Leases::join(..)`, then a stream: no thread of the library runs your code |
//! | `ShardRecordProcessor` | the loop over the stream |
//! | `processRecords` | one [`Batch`](crate::records::Batch) of [`batches`](crate::ShardStreamExt::batches), or each record of [`records`](crate::ShardStreamExt::records) |
//! | `checkpointer.checkpoint()` | [`ack`](crate::checkpoint::UnackedBatch) of the batch; the save follows within the save interval |
//! | `shardEnded` and its obligatory checkpoint | nothing to write: the end is saved when all records are acknowledged |
//! | `leaseLost` | [`EndReason::LeaseLost`](crate::records::EndReason::LeaseLost); later acknowledgements have no effect |
//! | `shutdownRequested`, `startGracefulShutdown` | `Leases::shutdown`, [`Checkpoints::shutdown`](crate::Checkpoints::shutdown) |
//! | `InitialPositionInStream` | [`start_at`](crate::AllShards::start_at) |
//! | `failoverTimeMillis` | `LeaseOptions::failover_time` |
//! | `maxLeasesForWorker` | `LeaseOptions::max_leases` |
//! | `idleTimeBetweenReadsInMillis`, `maxRecords` | [`ReadOptions::idle_interval`](crate::ReadOptions::idle_interval), [`max_records`](crate::ReadOptions::max_records) |
//! | `FanOutConfig` | [`ReadOptions::fan_out`](crate::ReadOptions::fan_out) |
//! | the DynamoDB Streams Kinesis Adapter | [`parents_first`](crate::lineage::parents_first) over lists from `DescribeStream`: the example `dynamodb_streams` |
//! | the lease table | the same table: see `lease`, "Coming from the Kinesis Client Library" |
//! | `MillisBehindLatest` of its metrics | [`ShardStatus::lag`](crate::records::ShardStatus::lag) |
//!
//! A processor that writes each batch to a database becomes:
//!
//! ```
//! # use futures::TryStreamExt;
//! # use kinesis_shards::testing::FakeKinesis;
//! # use kinesis_shards::{Checkpoints, MemoryStore, Record, ShardStreamExt, all_shards};
//! # async fn write(_: &[Record]) -> Result<(), std::io::Error> { Ok(()) }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1).put("customer 1", "an order");
//! # let client = kinesis.client();
//! # let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
//! # let stop = checkpoints.clone();
//! # tokio::spawn(async move {
//! #     tokio::time::sleep(std::time::Duration::from_secs(10)).await;
//! #     assert!(stop.shutdown(std::time::Duration::from_secs(1)).await.is_complete());
//! # });
//! let shards = all_shards(&client, "orders").checkpoints(&checkpoints);
//! let mut batches = shards.batches(&client);
//! while let Some(batch) = batches.try_next().await? {
//!     write(batch.records()).await?; // the write of processRecords
//!     batch.ack();                   // its checkpoint
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Go's kinesis-consumer, zio-kinesis, a loop of your own
//!
//! | there | here |
//! |---|---|
//! | `AllGroup` | [`all_shards`](crate::all_shards()) |
//! | `consumer.Scan(ctx, fn)` | [`records`](crate::ShardStreamExt::records) and a loop |
//! | `Store` | [`CheckpointStore`](crate::checkpoint::CheckpointStore) |
//! | `Consumer.shardedStream`, one stream for each shard | [`all_shards`](crate::all_shards()): each item is a [`ShardHandle`](crate::ShardHandle) with [`records`](crate::ShardHandle::records) |
//! | `Checkpointer.stage` and `.checkpoint` | [`UnackedRecord::ack`](crate::checkpoint::UnackedRecord::ack); saves follow by themselves |
//! | positions in a database of your own | [`StoredCheckpoints::insert`](crate::checkpoint::StoredCheckpoints::insert) writes them into a store |
