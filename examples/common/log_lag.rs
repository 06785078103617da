//! The health of a service, in its log.

use std::time::Duration;

use kinesis_shards::ReadOptions;
use kinesis_shards::records::Monitor;

/// Logs every 30 s how far the slowest shard of those that are read with these options is behind.
pub(crate) fn log_lag(options: ReadOptions) -> ReadOptions {
    let monitor = Monitor::new();
    let options = options.monitor(&monitor);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let (shards, lag) = (monitor.status().len(), monitor.max_lag());
            tracing::info!("{shards} shards are read, the slowest is {lag:.1?} behind");
        }
    });
    options
}
