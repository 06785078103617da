//! Writes the pages of a stream to a database, and acknowledges each once it is committed.

use std::time::Duration;

use anyhow::Context as _;
use backon::{ExponentialBuilder, Retryable};
use futures::{Stream, TryStreamExt};
use kinesis_shards::checkpoint::UnackedBatch;
use kinesis_shards::{Checkpoints, ReadError, Record};
use tokio::time::timeout;

use super::stop_signal::stop_signal;

/// How long a shutdown waits for the page in flight and for the store.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);
/// How long one try to write a page may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes every page until Ctrl-C or SIGTERM, and saves the checkpoints. `write` is one
/// transaction, and changes nothing if it is called again with a page that it has written.
#[expect(clippy::future_not_send, reason = "`main` awaits it")]
pub(crate) async fn write_pages(
    mut batches: impl Stream<Item = Result<UnackedBatch, ReadError>> + Unpin,
    checkpoints: &Checkpoints,
    write: impl AsyncFn(&[Record]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // While the database is down, reading waits, and nothing is lost.
    let backoff = ExponentialBuilder::new().with_jitter().without_max_times();
    let consume = async {
        while let Some(batch) = batches.try_next().await? {
            let write = async || {
                timeout(WRITE_TIMEOUT, write(batch.records()))
                    .await
                    .context("no response in time")?
            };
            let written = write.retry(backoff).notify(|error, delay| {
                let shard = batch.shard_id();
                tracing::warn!("cannot write a page of {shard}: {error:#}; retry in {delay:.1?}");
            });
            written.await?;
            tracing::debug!("{}: {} records", batch.shard_id(), batch.records().len());
            batch.ack();
        }
        anyhow::Ok(())
    };
    let shutdown = async {
        stop_signal().await?;
        // The pages end, and the last one is written meanwhile. If the database is down, the limit
        // ends the wait, and the next run writes the page.
        let report = checkpoints.shutdown(SHUTDOWN_LIMIT).await;
        tracing::info!("{report}");
        anyhow::ensure!(report.is_complete(), "the next run writes the last records again");
        Ok(())
    };
    let ended = tokio::select! {
        ended = consume => ended, // with an error that no retry mends, or at the end of the run
        result = shutdown => return result,
    };
    // The checkpoints of the pages before are saved.
    tracing::info!("{}", checkpoints.shutdown(SHUTDOWN_LIMIT).await);
    ended
}
