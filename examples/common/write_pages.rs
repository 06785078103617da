//! Writes the pages of a stream to a database, and acknowledges each once it is committed.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::{Stream, StreamExt};
use kinesis_shards::checkpoint::{StoreError, UnackedBatch};
use kinesis_shards::{Checkpoints, Error, Record};

use super::common::error::{LastError, with_cause};
use super::stop_signal::stop_signal;

/// How long a shutdown waits for the page in flight and for the store.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);
/// How long one try to write a page may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The delays while the database is down: reading waits, and nothing is lost.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(10))
    .with_jitter()
    .without_max_times();

/// A database that pages are written to.
pub(crate) trait WritePage: Send + Sync + 'static {
    /// Writes a page in one transaction. A page that is written again changes nothing.
    fn write(&self, page: &[Record]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Writes every page until Ctrl-C or SIGTERM. Returns whether everything was saved.
pub(crate) async fn write_pages(
    batches: impl Stream<Item = Result<UnackedBatch, Error>> + Unpin + Send + 'static,
    database: Arc<impl WritePage>,
    checkpoints: &Checkpoints,
) -> Result<bool, String> {
    let result = tokio::select! {
        // An error that no retry mends.
        ended = tokio::spawn(consume(batches, database)) => {
            ended.unwrap_or_else(|panic| Err(panic.to_string()))
        }
        // The task continues without its handle, and writes the page in flight.
        () = stop_signal() => Ok(()),
    };
    // This ends the stream of pages, then waits for the last acknowledgement and save. If the
    // database is down, the limit ends the wait, and the next run writes the page.
    let report = checkpoints.shutdown(SHUTDOWN_LIMIT).await;
    println!("\n{report}");
    result.map(|()| report.is_complete())
}

/// Writes each page, and acknowledges it once it is committed.
async fn consume(
    mut batches: impl Stream<Item = Result<UnackedBatch, Error>> + Unpin + Send,
    database: Arc<impl WritePage>,
) -> Result<(), String> {
    let (last_read_error, last_write_error) = (LastError::default(), LastError::default());
    while let Some(batch) = batches.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            // The shard is offered again, and the others continue.
            Err(error) if error.is_retryable() => {
                eprintln!("{}; retrying", last_read_error.describe(&error));
                continue;
            }
            Err(error) => return Err(with_cause(&error)),
        };
        let write = || async {
            tokio::time::timeout(WRITE_TIMEOUT, database.write(batch.records())).await?
        };
        let written = write.retry(BACKOFF).notify(|error, delay| {
            eprintln!("{}; retrying in {delay:.1?}", last_write_error.describe(&**error));
        });
        written.await.map_err(|error: StoreError| with_cause(&*error))?;
        println!("{}: {} records", batch.shard_id(), batch.records().len());
        batch.ack();
    }
    Ok(())
}
