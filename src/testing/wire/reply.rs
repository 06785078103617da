//! The reply to a request that is carried out.

use crate::testing::model::reading::ReadBatch;
use crate::testing::model::shard::shard_id;
use crate::testing::model::subscription::Subscriber;

/// The body of a response, and the facts about a read that the request log keeps.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) body: String,
    pub(crate) read: Option<Read>,
    /// The subscription whose events are the body of the response.
    pub(crate) subscriber: Option<Subscriber>,
}

/// A successful `GetRecords`, or the events so far of a `SubscribeToShard`.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) stream_id: u64,
    pub(crate) parents: Vec<String>,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// Whether the response, or its last event, was the end of a closed shard.
    pub(crate) ended: bool,
}

impl Read {
    pub(crate) fn of(batch: &ReadBatch<'_>) -> Self {
        Self {
            stream_id: batch.stream_id,
            parents: batch.shard.parents().map(shard_id).collect(),
            records: batch.records.len(),
            bytes: batch.bytes(),
            ended: batch.ended,
        }
    }
}
