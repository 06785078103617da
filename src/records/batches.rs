//! The stream of one shard's pages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use tokio::time::Duration;

use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::Read;
use crate::shard::handle::ShardHandle;

/// A stream of the pages of one shard, in order: see [`ShardHandle::batches`], whose items are
/// [`Batch`](super::Batch)es, and
/// [`CheckpointedShard::batches`](crate::checkpoint::CheckpointedShard::batches), whose items are
/// [`UnackedBatch`](crate::checkpoint::UnackedBatch)es.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream before its end abandons the handle; what
/// was acknowledged stays acknowledged.
///
/// See the example of [`records`](crate::records).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled, and a reader that is dropped abandons its shard"]
pub struct Batches<H: ReadShard = ShardHandle> {
    reader: H::Reader,
}

impl<H: ReadShard> Batches<H> {
    pub(crate) fn new(shard: H, client: &Client) -> Self {
        Self { reader: shard.open(client, Arc::default(), RequestPermits::default()) }
    }

    /// Sets the options to read with.
    ///
    /// # Panics
    ///
    /// If the stream was polled already.
    #[track_caller]
    pub fn with_options(mut self, options: ReadOptions) -> Self {
        self.reader.set_options(Arc::new(options));
        self
    }

    /// Returns `MillisBehindLatest` of the last response: how far its end was behind the tip of the
    /// shard then. It does not grow while reads fail, or while the stream is not polled. It is
    /// `None` before the first response, and if the server does not report it.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.reader.lag()
    }

    /// Returns the id of the shard, and `None` once the reader has ended.
    #[must_use]
    pub fn shard_id(&self) -> Option<&str> {
        self.reader.shard_id()
    }

    /// Returns why the reader has ended, and `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&EndReason> {
        self.reader.ended()
    }
}

impl<H: ReadShard> Unpin for Batches<H> {}

impl<H: ReadShard> Stream for Batches<H> {
    type Item = Result<H::Batch, H::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let page = match ready!(Pin::new(&mut self.reader).poll_next(cx)) {
                Some(Ok(page)) => page,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            if let Some(batch) = H::batch(page) {
                return Poll::Ready(Some(Ok(batch)));
            }
        }
    }
}

impl<H: ReadShard> FusedStream for Batches<H> {
    fn is_terminated(&self) -> bool {
        self.reader.is_terminated()
    }
}
