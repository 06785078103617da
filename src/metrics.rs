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
//! Counters and durations are recorded as they happen, for all streams of the process. The gauges
//! are set by [`Checkpoints::record_metrics`](crate::Checkpoints::record_metrics), or by
//! [`Monitor::record_metrics`](crate::records::Monitor::record_metrics) without checkpoints: call
//! it at an interval, also while the pipeline is not polled. Nothing is recorded for each single
//! record: a request costs some ten small allocations, with or without a recorder.
//!
//! All figures have the label `stream`, its name.
//!
//! | name | kind, unit | labels | figure of the KCL | figure of a Kafka consumer |
//! |---|---|---|---|---|
//! | `kinesis_shards.lag.max` | gauge, s | | `MillisBehindLatest` | `records-lag-max` |
//! | `kinesis_shards.lag` | gauge, s; only by `record_shard_metrics` | `shard` | `MillisBehindLatest` of a shard | `records-lag` |
//! | `kinesis_shards.records` | counter | | `RecordsProcessed` | `records-consumed-total` |
//! | `kinesis_shards.bytes` | counter, bytes | | `DataBytesProcessed` | `bytes-consumed-total` |
//! | `kinesis_shards.requests` | counter | `operation`, `outcome`: `ok`, a code of AWS, `timeout`, `failure` | `KinesisDataFetcher.getRecords.Success` | `fetch-total` |
//! | `kinesis_shards.request.duration` | histogram, s | `operation` | `KinesisDataFetcher.getRecords.Time` | `fetch-latency-avg` |
//! | `kinesis_shards.retries` | counter | `code` | | |
//! | `kinesis_shards.iterators.expired` | counter | | `ExpiredIterator` | |
//! | `kinesis_shards.readers.ended` | counter | `reason` | | |
//! | `kinesis_shards.hand_over.duration` | histogram, s | | | |
//! | `kinesis_shards.shards` | gauge | `state`: `reading`, `finished`, `waiting` | `CurrentLeases` | `assigned-partitions` |
//! | `kinesis_shards.unacknowledged` | gauge | | | |
//! | `kinesis_shards.unacknowledged.age` | gauge, s | | | |
//! | `kinesis_shards.checkpoint.saves` | counter | `outcome`: `ok`, `failure` | `UpdateLease.Success` | `commit-total` |
//! | `kinesis_shards.checkpoint.unsaved.age` | gauge, s | | | |
//! | `kinesis_shards.checkpoint.gaps` | counter | | | |
//! | `kinesis_shards.checkpoint.pauses` | counter | | | |
//! | `kinesis_shards.lease.events` | counter | `worker`, `kind` | `LostLeases`, `LeasesToTake` | `rebalance-total` |
//!
//! Alarm on the figures of [`guide::alarms`](crate::guide::alarms).

pub use crate::util::metrics::describe;
