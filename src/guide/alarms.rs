//! Which figure shows which trouble.
//!
//! [`Checkpoints::status`](crate::Checkpoints::status), or a
//! [`Monitor`](crate::records::Monitor) without checkpoints, can be asked from any thread at any
//! time, even while the pipeline hangs. The events of [`ReadOptions::on_event`] and
//! [`CheckpointOptions::on_event`] count what happens.
//!
//! | alarm when | it means |
//! |---|---|
//! | the greatest [`lag`](crate::records::ShardStatus::lag) is above your limit | the consumer is slow, stuck or not polled; or one shard is hot |
//! | the lag is above half of the stream's retention | records are about to expire unread |
//! | no shard has a status some minutes after the start | no list of shards has arrived |
//! | [`oldest_unacknowledged`](crate::checkpoint::CheckpointStatus) is above the time that a record may take | a record hangs, or its acknowledgement was forgotten |
//! | [`unsaved_for`](crate::checkpoint::CheckpointStatus) is above a minute | the store is down or throttles |
//! | a [`Gap`](crate::checkpoint::CheckpointEventKind::Gap) event | records may have expired unread |
//! | many [`Retry`](crate::records::ReadEventKind::Retry) events with one code | throttling, a failing network, missing permissions |
//! | [`Ended`](crate::records::ReadEventKind::Ended) with [`Failed`](crate::records::EndReason::Failed) | a person must act: a permission, a KMS key |
//! | [`is_taken_over`](crate::ReadError::is_taken_over), repeatedly | another program reads as the same consumer of enhanced fan-out |
//! | `Leases::workers` returns fewer workers than you run (feature `dynamodb`) | workers have crashed, or cannot join |
//! | `LeaseEventKind::NoRoom`, `Paused` or `WasFenced` (feature `dynamodb`) | the fleet is too small, or a worker is cut off from DynamoDB |
//!
//! [`ReadOptions::on_event`]: crate::ReadOptions::on_event
//! [`CheckpointOptions::on_event`]: crate::checkpoint::CheckpointOptions::on_event
//!
//! A service without metrics can log its lag:
//!
//! ```
//! use std::time::Duration;
//!
//! use kinesis_shards::ReadOptions;
//! use kinesis_shards::records::Monitor;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let monitor = Monitor::new();
//! let options = ReadOptions::new().monitor(&monitor); // for `.with_options(options)`
//! tokio::spawn(async move {
//!     loop {
//!         tokio::time::sleep(Duration::from_secs(30)).await;
//!         let lag = monitor.max_lag().unwrap_or_default();
//!         println!("the greatest lag of {} shards is {lag:.1?}", monitor.status().len());
//!     }
//! });
//! # tokio::time::sleep(Duration::from_secs(31)).await;
//! # drop(options);
//! # }
//! ```
//!
//! A health check that restarts the process must not fail for what a restart does not mend, such
//! as a store that is down:
//!
//! ```
//! use std::time::Duration;
//!
//! use kinesis_shards::Checkpoints;
//!
//! /// Returns whether the process makes progress. `is_new` holds for a minute after its start.
//! fn is_alive(checkpoints: &Checkpoints, is_new: bool) -> bool {
//!     const LIMIT: Duration = Duration::from_mins(5);
//!     let status = checkpoints.status();
//!     let is_stuck = status.iter().any(|shard| {
//!         let response_age = shard.reader.as_ref().and_then(|reader| reader.response_age);
//!         let waits_for_store = shard.unsaved_for.is_some_and(|unsaved| unsaved > LIMIT);
//!         let is_held = shard.oldest_unacknowledged.is_some_and(|age| age > LIMIT);
//!         is_held || (response_age.is_some_and(|age| age > LIMIT) && !waits_for_store)
//!     });
//!     is_new || (!status.is_empty() && !is_stuck)
//! }
//! # use futures::TryStreamExt;
//! # use kinesis_shards::testing::FakeKinesis;
//! # use kinesis_shards::{MemoryStore, ShardStreamExt, all_shards};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1).put("customer 1", "an order");
//! # let client = kinesis.client();
//! # let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await?;
//! # assert!(is_alive(&checkpoints, true) && !is_alive(&checkpoints, false));
//! # let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
//! # let record = records.try_next().await?.expect("an order");
//! # assert!(is_alive(&checkpoints, false));
//! # tokio::time::sleep(Duration::from_mins(6)).await;
//! # assert!(!is_alive(&checkpoints, false));
//! # record.ack();
//! # Ok(())
//! # }
//! ```
