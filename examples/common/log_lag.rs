//! The health of a service, in its log.

use std::time::Duration;

use kinesis_shards::ReadOptions;
use kinesis_shards::records::Monitor;

/// Logs the greatest lag of the shards that are read with these options, every 30 s.
pub(crate) fn log_lag(options: ReadOptions) -> ReadOptions {
    let monitor = Monitor::new();
    let options = options.monitor(&monitor);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let lag = monitor.max_lag().unwrap_or_default();
            tracing::info!("the greatest lag of {} shards is {lag:.1?}", monitor.status().len());
        }
    });
    options
}
