//! Copies all shards, each by a task of its own.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::records::EndReason;
use kinesis_shards::{ReadOptions, ShardHandle, StartAt, StopAt, StreamId, all_shards};
use tokio::task::JoinSet;

use crate::progress::Progress;
use crate::shard_file::{ShardFile, resume};

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What to copy, and where to.
pub(crate) struct Job {
    pub(crate) client: Client,
    pub(crate) stream: StreamId,
    pub(crate) dir: PathBuf,
    /// Where the shards start that have no file.
    pub(crate) start_at: StartAt,
    pub(crate) stop_at: StopAt,
    pub(crate) options: ReadOptions,
    pub(crate) progress: Progress,
}

/// What a run has copied.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) shards: usize,
    pub(crate) records: usize,
}

impl Job {
    /// Copies every record that arrived before the end and is in no file yet.
    pub(crate) async fn run(self) -> Result<Copied> {
        std::fs::create_dir_all(&self.dir)?;
        let mut shards = all_shards(&self.client, self.stream.clone())
            .start_at(self.start_at)
            .resume(resume(&self.dir)?)
            .until(self.stop_at)
            .ready() // a stream that does not exist is an error
            .await?;
        let (job, mut tasks, mut copied) = (Arc::new(self), JoinSet::new(), Copied::default());
        loop {
            tokio::select! {
                shard = shards.next() => match shard {
                    Some(shard) => {
                        tasks.spawn(copy(shard, Arc::clone(&job)));
                    }
                    None => break, // every shard is read up to the end
                },
                Some(records) = tasks.join_next() => copied.add(records??),
            }
        }
        while let Some(records) = tasks.join_next().await {
            copied.add(records??);
        }
        Ok(copied)
    }
}

/// Copies one shard. Returns the number of records.
async fn copy(shard: ShardHandle, job: Arc<Job>) -> Result<usize> {
    let (mut file, id) = (ShardFile::open(&job.dir, shard.id())?, shard.id().to_owned());
    let mut bar = job.progress.shard(&id);
    let mut records = 0;
    let mut batches = shard.batches(&job.client).with_options(job.options.clone());
    while let Some(batch) = batches.next().await {
        // The error is one that no retry mends. All others are retried by the reader.
        let batch = batch?;
        let lag = batch.lag();
        let written = file.write(batch).await?;
        records += written;
        bar.advance(written, lag);
    }
    if let Some(EndReason::EndOfShard { .. }) = batches.ended() {
        file.end().await?;
    }
    Ok(records)
}

impl Copied {
    fn add(&mut self, records: usize) {
        self.shards += 1;
        self.records += records;
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of {} shards were copied", self.records, self.shards)
    }
}
