//! A chunk of records with one acknowledgement.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::task::AtomicWaker;

use crate::checkpoint::acker::{AckToken, Acker};
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease::Lease;
#[cfg(feature = "dynamodb")]
use crate::checkpoint::lease_lost::LeaseLost;
use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
use crate::records::record::Record;

/// A chunk of the records of all shards with one acknowledgement, as
/// [`chunks`](crate::records::AllRecords::chunks) yields it.
///
/// A chunk holds at least one record. The records of each shard are in their order. The checkpoint
/// of each of these shards moves past the chunk when it and all earlier records of the shard are
/// acknowledged. A chunk that is dropped without acknowledgement holds these checkpoints, as an
/// [`UnackedRecord`](super::UnackedRecord) does.
///
/// See the example of [`chunks`](crate::records::AllRecords::chunks).
#[must_use = "a chunk that is dropped without `ack` holds the checkpoints of its shards"]
pub struct UnackedChunk {
    records: Vec<Record>,
    acks: ChunkAcks,
}

/// The acknowledgements of the records of a chunk.
#[derive(Default)]
pub struct ChunkAcks {
    runs: Vec<Run>,
    /// The wait for the lease of a run to continue.
    waker: Option<Arc<AtomicWaker>>,
}

/// Records in a row that one session delivered in a row.
struct Run {
    token: AckToken,
    /// The index after the last record of the run in the chunk.
    end: usize,
}

impl ChunkAcks {
    /// Adds the token of the record before the index `end`.
    pub(crate) fn add(&mut self, token: AckToken, end: usize) {
        let rest = match self.runs.last_mut() {
            Some(last) => {
                let rest = last.token.join(token);
                if rest.is_none() {
                    last.end = end;
                }
                rest
            }
            None => Some(token),
        };
        self.runs.extend(rest.map(|token| Run { token, end }));
    }

    /// Returns whether a shard waits for one of the acknowledgements.
    pub(crate) fn is_awaited(&self) -> bool {
        self.runs.iter().any(|run| run.token.is_awaited())
    }

    /// Waits until no lease is paused, and removes the records whose lease has ended.
    pub(crate) fn poll_permit(
        &mut self,
        records: &mut Vec<Record>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut has_lost = false;
        for run in &self.runs {
            has_lost |= !ready!(run.token.poll_permit(&mut self.waker, cx));
            self.waker = None;
        }
        if has_lost {
            self.remove_lost(records, cx);
        }
        Poll::Ready(())
    }

    fn remove_lost(&mut self, records: &mut Vec<Record>, cx: &mut Context<'_>) {
        let mut all = std::mem::take(records).into_iter();
        let mut first = 0;
        self.runs.retain_mut(|run| {
            let run_records: Vec<_> = all.by_ref().take(run.end - first).collect();
            first = run.end;
            let is_held = run.token.poll_permit(&mut None, cx) != Poll::Ready(false);
            if is_held {
                records.extend(run_records);
                run.end = records.len();
            }
            is_held
        });
    }

    /// Acknowledges all records.
    fn acknowledge(self, records: &[Record]) {
        for Run { token, end } in self.runs {
            token.acknowledge(ExtendedSequenceNumber::of(&records[end - 1]));
        }
    }
}

impl UnackedChunk {
    pub(crate) fn new(records: Vec<Record>, acks: ChunkAcks) -> Self {
        Self { records, acks }
    }

    /// Returns the records: at least one.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Acknowledges all records of the chunk, and returns them: they were processed and need not
    /// come again.
    ///
    /// An acknowledgement sends no request and does not wait. The checkpoints are saved later: see
    /// [`CheckpointOptions`](super::CheckpointOptions).
    #[expect(clippy::must_use_candidate, reason = "a consumer is often done with the records")]
    pub fn ack(self) -> Vec<Record> {
        let Self { records, acks } = self;
        acks.acknowledge(&records);
        records
    }

    /// Acknowledges all records of the chunk as [`ack`](Self::ack) does, and reports if that has no
    /// effect for the records of a shard: see
    /// [`UnackedRecord::try_ack`](super::UnackedRecord::try_ack).
    ///
    /// # Errors
    ///
    /// [`LeaseLost`] with all records, if the lease of one of the shards has ended. The records of
    /// the other shards are acknowledged.
    #[cfg(feature = "dynamodb")]
    pub fn try_ack(self) -> Result<Vec<Record>, LeaseLost<Vec<Record>>> {
        let lost = self.leases().find(|lease| lease.end_reason().is_some()).cloned();
        LeaseLost::check(lost, self.ack())
    }

    /// Returns the leases of the shards, where many workers share the stream: see
    /// [`UnackedRecord::lease`](super::UnackedRecord::lease). A lease comes once for each run of
    /// records of its shard.
    #[cfg(feature = "dynamodb")]
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.acks.runs.iter().filter_map(|run| run.token.lease())
    }

    /// Splits the chunk into its records and their acknowledgement, which may go to different
    /// tasks.
    pub fn into_parts(self) -> (Vec<Record>, ChunkAcker) {
        let Self { records, acks } = self;
        let acker = |Run { token, end }| Acker::new(&records[end - 1], token);
        let ackers = acks.runs.into_iter().map(acker).collect();
        (records, ChunkAcker { ackers })
    }
}

impl fmt::Debug for UnackedChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnackedChunk").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

/// The acknowledgement of a chunk: see [`UnackedChunk::into_parts`].
///
/// See the example of [`chunks`](crate::records::AllRecords::chunks).
#[derive(Debug)]
#[must_use = "a chunk whose acknowledgement is dropped holds the checkpoints of its shards"]
pub struct ChunkAcker {
    ackers: Vec<Acker>,
}

impl ChunkAcker {
    /// Acknowledges all records of the chunk: they were processed and need not come again.
    pub fn ack(self) {
        for acker in self.ackers {
            acker.ack();
        }
    }

    /// Acknowledges all records of the chunk as [`ack`](Self::ack) does, and reports if that has no
    /// effect for the records of a shard: see
    /// [`UnackedRecord::try_ack`](super::UnackedRecord::try_ack).
    ///
    /// # Errors
    ///
    /// [`LeaseLost`], if the lease of one of the shards has ended. The records of the other shards
    /// are acknowledged.
    #[cfg(feature = "dynamodb")]
    pub fn try_ack(self) -> Result<(), LeaseLost<()>> {
        let mut results = self.ackers.into_iter().map(Acker::try_ack);
        let first_lost = results.find(Result::is_err);
        results.for_each(drop);
        first_lost.unwrap_or(Ok(()))
    }
}
