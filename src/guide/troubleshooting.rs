//! A consumer that is silent, repeats, skips or falls behind.
//!
//! Subscribe to the logs first: the crate logs with `tracing`, target `kinesis_shards`, and says at
//! `WARN` and `ERROR` what fails and when the next attempt is. Without a subscriber,
//! [`try_all_shards`](crate::try_all_shards) yields failed listings as items.
//!
//! # No record comes
//!
//! | cause | sign | remedy |
//! |---|---|---|
//! | the stream of records is not polled | [`ShardStatus::response_age`](crate::records::ShardStatus) grows | poll it in a task of its own; never await something that depends on it in its loop |
//! | a loop reads one shard after another | one shard is read, and the others are not | [`records`](crate::ShardStreamExt::records) or `for_each_concurrent`: an open shard never ends |
//! | the stream does not exist, another region or account | `ResourceNotFoundException` in the log, or as an `Err` | the stream's ARN, a client of its region |
//! | a permission is missing | `AccessDeniedException` | [`permissions`](super::permissions) |
//! | no credentials, no route to the endpoint | the listing fails; the delay grows up to the poll interval | the SDK's configuration |
//! | the run began at [`StartAt::Latest`](crate::StartAt::Latest) and nothing was written since | empty pages, lag zero | [`StartAt::TrimHorizon`](crate::StartAt::TrimHorizon) |
//! | the checkpoints are at the tip | as above | [`StoredCheckpoints::reset`](crate::checkpoint::StoredCheckpoints::reset) |
//! | a fleet whose workers hold as many leases as they take | `NoRoom` events | more workers, or a greater `max_leases` |
//!
//! # The children of a split are not read
//!
//! A child waits until its parent is read to its end and, with checkpoints, until all records of
//! the parent are acknowledged and the end is saved. So look at the parent:
//!
//! * A record of it was dropped without [`ack`](crate::checkpoint::UnackedRecord::ack), such as by
//!   a filter. The log warns, and [`CheckpointStatus::oldest_unacknowledged`] grows while a record
//!   is only held.
//! * Its handle is kept, or was leaked, and never completed.
//! * The parent is far behind its tip: its last record may be a day of reading away.
//! * The store is down: the save of the end fails, with a `WARN` for each attempt.
//!
//! [`CheckpointStatus::oldest_unacknowledged`]: crate::checkpoint::CheckpointStatus
//!
//! # The checkpoint does not move
//!
//! The checkpoint is the last record up to which *all* records are acknowledged: one record that is
//! not acknowledged holds it, whatever follows.
//! [`ShutdownReport::held`](crate::checkpoint::ShutdownReport::held) names the shards at shutdown,
//! and [`Checkpoints::status`](crate::Checkpoints::status) at any time. A checkpoint that is not
//! saved for longer than [`store_outage_limit`] pauses its shard.
//!
//! [`store_outage_limit`]: crate::checkpoint::CheckpointOptions::store_outage_limit
//!
//! # Records come again
//!
//! Delivery is at least once. Records repeat after a crash (those that were not saved yet), after a
//! record that was dropped without acknowledgement, and after a lease that was
//! [lost](crate::records::EndReason::LeaseLost) rather than moved. If they repeat without any of
//! these, two consumers share the stream without leases, or the store is not that of the last run:
//! a `MemoryStore`, a file on a disk that a container does not keep.
//!
//! # Records are missing
//!
//! * A [gap](crate::checkpoint::CheckpointEventKind::Gap) is reported where records expired before
//!   they were read: the consumer was down for longer than the stream's retention (24 h by
//!   default), or was further behind.
//! * A run from [`StartAt::Latest`](crate::StartAt::Latest) reads what is written after it has
//!   begun, and a run with checkpoints continues from them: `start_at` counts for shards without
//!   one.
//! * `deaggregate_own_hash_range` drops user records of other shards. On a stream whose producers
//!   use `RecordDistributionStrategy=AUTO`, those are most of them.
//!
//! # The consumer falls behind
//!
//! See [`sizing`](super::sizing). `ProvisionedThroughputExceededException` in
//! [`Retry`](crate::records::ReadEventKind::Retry) events means that several applications share the
//! 2 MiB and 5 requests a second of a shard: raise the idle interval, or read by
//! [fan-out](crate::records#polling-or-fan-out). A hot shard, whose keys get more records than the
//! others', is behind alone: `cargo run --example top -- --stream NAME` marks it on the terminal.
