//! How many shards, cores, workers and bytes; what AWS charges for.
//!
//! # Shards set the pace
//!
//! A shard takes in at most 1 MB and 1,000 records a second, and gives out 2 MB a second to all
//! applications that poll it. So a shard that was written at full speed for 24 h takes 12 h to read
//! again, whatever the cores, and twice that if another application polls it as well. To catch up
//! faster, read by [fan-out](crate::records#polling-or-fan-out), which has 2 MB/s of its own, or
//! split shards before the backlog builds up: a child waits for its parent's last record.
//!
//! # Cores
//!
//! One core parses some hundred thousand to some million small records a second: see
//! [Speed](crate::records#speed). That is more than a hundred busy shards. If the processing takes
//! the time, move it to tasks; if parsing does, use the feature `cbor` first, and then
//! [`spawn_on`](crate::ReadOptions::spawn_on).
//!
//! # Memory
//!
//! An idle shard takes about a kilobyte. A busy one holds one page: up to 10,000 records or 10 MiB,
//! fewer with [`max_records`](crate::ReadOptions::max_records). With `spawn_on`, each shard reads
//! one page ahead. 100 busy shards with large records may hold a gigabyte: bound them by
//! `max_records` and by `max_concurrent_reads`.
//!
//! # Workers
//!
//! One process with checkpoints is the simplest consumer, and reads hundreds of shards. Use many
//! workers (`lease`, feature `dynamodb`) if one machine is too small, or if a shard must not wait
//! for the restart of a process. More workers than shards leave some idle.
//!
//! # What AWS charges for
//!
//! | what | how much |
//! |---|---|
//! | `GetRecords`, `ListShards`, `GetShardIterator` | nothing: they are part of the shard's price |
//! | enhanced fan-out | by consumer, shard and hour, and by the GB |
//! | extended retention | by shard and hour, and by the GB beyond 7 days |
//! | checkpoints in DynamoDB | one write unit each save: 720 an hour for a busy shard with the defaults of one process |
//! | leases | see `lease`: 3,600 write units an hour for two workers, whatever their shards |
//! | traffic between zones and regions | as any other |
