//! Shards with checkpoints are read as any others, with acknowledgements.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use futures::Stream;

use crate::checkpoint::acker::UnackedRecord;
use crate::checkpoint::auto_ack::AutoAck;
use crate::checkpoint::page::UnackedPage;
use crate::checkpoint::reader::Reader;
use crate::checkpoint::shard::CheckpointedShard;
use crate::checkpoint::unacked_batch::UnackedBatch;
use crate::records::all::AllRecords;
use crate::records::error::ReadError;
use crate::records::flatten::Records;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::Open;
use crate::records::readers::Readers;

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

    fn leave(records: &mut UnackedPage) {
        records.leave();
    }
}

impl Records<CheckpointedShard> {
    /// Acknowledges each record when the next one is polled for: see [`AutoAck`].
    pub fn auto_ack(mut self) -> AutoAck<Self> {
        self.reader_mut().acknowledge_in_order();
        AutoAck::new(self)
    }
}

impl<S> AllRecords<S>
where
    S: Stream<Item: ReadShard<Record = UnackedRecord>>,
{
    /// Acknowledges each record when the next one is polled for: see [`AutoAck`].
    pub fn auto_ack(self) -> AutoAck<Self> {
        AutoAck::new(self.map(Readers::acknowledging_in_order))
    }
}
