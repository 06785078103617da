//! Shards with checkpoints are read as any others, with acknowledgements.

use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::task::AtomicWaker;

use crate::checkpoint::acker::{Acker, UnackedRecord};
use crate::checkpoint::auto_ack::AutoAck;
use crate::checkpoint::page::UnackedPage;
use crate::checkpoint::reader::Reader;
use crate::checkpoint::shard::CheckpointedShard;
use crate::checkpoint::unacked_batch::UnackedBatch;
use crate::checkpoint::unacked_chunk::{ChunkAcks, UnackedChunk};
use crate::records::all::AllRecords;
use crate::records::error::ReadError;
use crate::records::flatten::Records;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::{Open, Receive};
use crate::records::record::Record;

impl Open for CheckpointedShard {
    type Record = UnackedRecord;
    type Page = UnackedPage;
    type Batch = UnackedBatch;
    type Error = ReadError;
    type Reader = Reader;

    fn open(self, client: &Client, options: Arc<ReadOptions>, permits: RequestPermits) -> Reader {
        Reader::new(self, client, options, permits)
    }

    fn batch(page: UnackedPage) -> Option<UnackedBatch> {
        UnackedBatch::deliver(page)
    }

    #[inline]
    fn next_in_order(records: &mut UnackedPage) -> Option<Record> {
        records.next_in_order()
    }

    fn leave(records: &mut UnackedPage) {
        records.leave();
    }
}

impl Receive for UnackedRecord {
    type Acker = Acker;
    type ChunkAcks = ChunkAcks;
    type Chunk = UnackedChunk;

    fn record(&self) -> &Record {
        &self.record
    }

    fn split(self) -> (Record, Acker) {
        self.into_parts()
    }

    fn acknowledge(acker: Acker) {
        acker.ack();
    }

    fn poll_permit(
        &self,
        waker: &mut Option<Arc<AtomicWaker>>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        self.token.poll_permit(waker, cx)
    }

    fn add_to(self, records: &mut Vec<Record>, acks: &mut ChunkAcks) {
        let Self { record, token } = self;
        records.push(record);
        acks.add(token, records.len());
    }

    fn is_chunk_awaited(acks: &ChunkAcks) -> bool {
        acks.is_awaited()
    }

    fn poll_chunk_permit(
        records: &mut Vec<Record>,
        acks: &mut ChunkAcks,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        acks.poll_permit(records, cx)
    }

    fn chunk(records: Vec<Record>, acks: ChunkAcks) -> UnackedChunk {
        UnackedChunk::new(records, acks)
    }
}

impl Records<CheckpointedShard> {
    /// Acknowledges each record when the next one is polled for: see [`AutoAck`].
    pub fn auto_ack(self) -> AutoAck<Self> {
        AutoAck::new(self)
    }
}

impl<S> AllRecords<S>
where
    S: Stream<Item: ReadShard<Record = UnackedRecord>>,
{
    /// Acknowledges each record when the next one is polled for: see [`AutoAck`].
    pub fn auto_ack(self) -> AutoAck<Self> {
        AutoAck::new(self)
    }
}
