//! Figures for the facade of the crate `metrics`: any of its exporters shows them.
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
//! // An exporter is installed here, such as metrics-exporter-prometheus.
//! kinesis_shards::metrics::describe();
//!
//! let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
//! tokio::spawn({
//!     let checkpoints = checkpoints.clone();
//!     async move {
//!         loop {
//!             checkpoints.record_metrics(); // lag, states, ages: as of now
//!             tokio::time::sleep(Duration::from_secs(10)).await;
//!         }
//!     }
//! });
//! let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
//! # let record = records.try_next().await?.expect("an order");
//! # record.ack();
//! # Ok(())
//! # }
//! ```
//!
//! Counters and durations are recorded as they happen, for all streams of the process, and so are
//! the gauges of subscriptions and leases. The other gauges are set by
//! [`Checkpoints::record_metrics`](crate::Checkpoints::record_metrics), or by
//! [`Monitor::record_metrics`](crate::records::Monitor::record_metrics) without checkpoints: call
//! it at an interval, also while the pipeline is not polled. A gauge becomes 0 when its readers,
//! its worker, or the checkpoints that have set it are dropped.
//!
//! Nothing is recorded for each single record. Labels are made once for each stream, so a page
//! costs no allocation here. An exporter that is installed late gets the later figures, but a
//! subscription that was open before is never counted as open: install the exporter first.
//!
//! All figures but those of DynamoDB have the label `stream`, its name. The gauges of checkpoints
//! and of monitors have one owner for each name of a stream: with two in one process, the last call
//! wins, and dropping one sets them to 0.
//!
//! | name | kind, unit | labels | figure of the KCL | figure of a Kafka consumer |
//! |---|---|---|---|---|
//! | `kinesis_shards.lag.max` | gauge, s | | `MillisBehindLatest` | `records-lag-max` |
//! | `kinesis_shards.lag` | gauge, s; only by `record_shard_metrics` | `shard` | `MillisBehindLatest` of a shard | `records-lag` |
//! | `kinesis_shards.records` | counter | | `RecordsProcessed` | `records-consumed-total` |
//! | `kinesis_shards.bytes` | counter, bytes | | `DataBytesProcessed` | `bytes-consumed-total` |
//! | `kinesis_shards.requests` | counter | `operation`, `outcome`: `ok`, a code of AWS, `timeout`, `failure` | `KinesisDataFetcher.getRecords.Success` | `fetch-total` |
//! | `kinesis_shards.request.duration` | histogram, s; for `SubscribeToShard`, until the first frame | `operation` | `KinesisDataFetcher.getRecords.Time` | `fetch-latency-avg` |
//! | `kinesis_shards.retries` | counter | `code` | | |
//! | `kinesis_shards.iterators.expired` | counter | | `ExpiredIterator` | |
//! | `kinesis_shards.subscriptions` | gauge: open ones | | | |
//! | `kinesis_shards.subscriptions.ended` | counter | `reason`: see below | | |
//! | `kinesis_shards.readers.ended` | counter | `reason` | | |
//! | `kinesis_shards.hand_over.duration` | histogram, s | | | |
//! | `kinesis_shards.shards` | gauge | `state`: `reading`, `finished`, `waiting` | | `assigned-partitions` |
//! | `kinesis_shards.unacknowledged` | gauge | | | |
//! | `kinesis_shards.unacknowledged.age` | gauge, s | | | |
//! | `kinesis_shards.checkpoint.saves` | counter | `outcome`: `ok`, `failure` | `UpdateLease.Success` | `commit-total` |
//! | `kinesis_shards.checkpoint.unsaved.age` | gauge, s | | | |
//! | `kinesis_shards.checkpoint.gaps` | counter | | | |
//! | `kinesis_shards.checkpoint.pauses` | counter | | | |
//! | `kinesis_shards.leases` | gauge: those that the worker holds | `application`, `worker` | `CurrentLeases` | `assigned-partitions` |
//! | `kinesis_shards.lease.workers` | gauge: live ones that the worker sees | `application`, `worker` | `NumWorkers` | |
//! | `kinesis_shards.lease.events` | counter | `application`, `worker`, `kind`: such as `granted`, `moved`, `lost`, `fenced`, `was_fenced` | `LostLeases`, `LeasesToTake` | `rebalance-total` |
//! | `kinesis_shards.dynamodb.requests` | counter | `table`, `operation`, `outcome` as above | `UpdateLease.Success`, `RenewLease.Success` | `commit-total` |
//! | `kinesis_shards.dynamodb.request.duration` | histogram, s | `table`, `operation` | `UpdateLease.Time`, `RenewLease.Time` | `commit-latency-avg` |
//!
//! A write whose condition does not hold has the outcome `ConditionalCheckFailedException`, and a
//! few of them are normal where workers share leases.
//!
//! A subscription by [enhanced fan-out](crate::records::FanOut) ends for one of these reasons:
//!
//! | `reason` | it means |
//! |---|---|
//! | `ended` | Kinesis has ended it, as it does after 5 minutes |
//! | `shard_end` | the shard has ended |
//! | `closed` | the reader has closed it: it was dropped, gives the shard away, or polls once |
//! | `taken_over` | another subscriber reads the shard as the same consumer |
//! | `error` | Kinesis has sent an exception |
//! | `silence` | no event came for 40 s |
//! | `cut` | the connection broke, or an event was damaged |
//!
//! Alarm on the figures of [`guide::alarms`](crate::guide::alarms).

pub use crate::util::metrics::describe;
