//! The reader of a shard without a checkpoint.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use futures::task::AtomicWaker;
use tokio::time::Duration;

use crate::records::batch::{Batch, BatchRecords};
use crate::records::error::ReadError;
use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::sealed::{Open, Read, Receive};
use crate::records::record::Record;
use crate::records::shard_reader::{ShardReader, Step};
use crate::shard::handle::ShardHandle;
use crate::shard::position::StartPosition;

/// A reader of one shard, which ends the shard's handle when it ends.
pub struct PlainReader {
    shard_reader: ShardReader,
    state: State,
}

enum State {
    Reading(ShardHandle),
    Ended(EndReason),
}

impl PlainReader {
    pub(crate) fn new(
        handle: ShardHandle,
        client: &Client,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> Self {
        let shard_reader =
            ShardReader::new(client, handle.offer(), handle.start().clone(), options, permits);
        Self { shard_reader, state: State::Reading(handle) }
    }

    /// Ends the reader, and completes, stops, expires or abandons the handle accordingly.
    fn end(&mut self, end: EndReason) {
        let state = std::mem::replace(&mut self.state, State::Ended(end.clone()));
        let State::Reading(handle) = state else { return };
        self.shard_reader.options().emit_end(&handle, &end);
        match end {
            EndReason::EndOfShard { children } => handle.complete_with(children),
            EndReason::Expired => handle.expire(),
            EndReason::Reached => handle.stop(),
            _ => handle.abandon(),
        }
    }
}

impl Open for ShardHandle {
    type Record = Record;
    type Page = Batch;
    type Batch = Batch;
    type Error = ReadError;
    type Reader = PlainReader;

    fn open(
        self,
        client: &Client,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> PlainReader {
        PlainReader::new(self, client, options, permits)
    }

    #[inline]
    fn next_in_order(records: &mut BatchRecords) -> Option<Record> {
        // There is nothing to acknowledge.
        records.next()
    }

    fn batch(page: Batch) -> Option<Batch> {
        Some(page)
    }
}

impl Receive for Record {
    type Acker = ();
    type ChunkAcks = ();
    type Chunk = Vec<Self>;

    fn record(&self) -> &Self {
        self
    }

    fn split(self) -> (Self, ()) {
        (self, ())
    }

    fn acknowledge((): ()) {}

    fn poll_permit(&self, _: &mut Option<Arc<AtomicWaker>>, _: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(true)
    }

    fn add_to(self, records: &mut Vec<Self>, (): &mut ()) {
        records.push(self);
    }

    fn is_chunk_awaited((): &()) -> bool {
        false
    }

    fn poll_chunk_permit(_: &mut Vec<Self>, (): &mut (), _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn chunk(records: Vec<Self>, (): ()) -> Vec<Self> {
        records
    }
}

impl Read for PlainReader {
    fn set_options(&mut self, options: Arc<ReadOptions>) {
        assert!(!self.shard_reader.was_polled(), "set the options before the first poll");
        self.shard_reader.set_options(options);
    }

    fn lag(&self) -> Option<Duration> {
        self.shard_reader.lag()
    }

    fn shard_id(&self) -> Option<&str> {
        match &self.state {
            State::Reading(handle) => Some(handle.id()),
            State::Ended(_) => None,
        }
    }

    fn ended(&self) -> Option<&EndReason> {
        match &self.state {
            State::Ended(end) => Some(end),
            State::Reading(_) => None,
        }
    }
}

impl Stream for PlainReader {
    type Item = Result<Batch, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let State::Ended(_) = this.state {
            return Poll::Ready(None);
        }
        let (end, last) = match ready!(this.shard_reader.poll_next(cx)) {
            Step::Batch(batch) => return Poll::Ready(Some(Ok(batch))),
            Step::Replaced => {
                this.shard_reader = this.shard_reader.restarted_at(StartPosition::TrimHorizon);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Step::End(children) => (EndReason::EndOfShard { children }, None),
            Step::Reached => (EndReason::Reached, None),
            Step::Expired => (EndReason::Expired, None),
            Step::Failed(error) => (EndReason::Failed, Some(Err(error))),
        };
        this.end(end);
        Poll::Ready(last)
    }
}

impl FusedStream for PlainReader {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }
}

impl Drop for PlainReader {
    fn drop(&mut self) {
        self.end(EndReason::Dropped);
    }
}

impl std::fmt::Debug for PlainReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainReader")
            .field("shard_id", &self.shard_id())
            .field("lag", &self.lag())
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}
