//! Collects the records of a stream into chunks.

use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::FusedStream;
use futures::{Stream, TryStream};
use pin_project::pin_project;
use tokio::time::Duration;

use crate::records::read_shard::sealed::Receive;
use crate::records::record::Record;
use crate::util::runtime::Timer;

/// A stream of chunks of records: see [`AllRecords::chunks`](super::AllRecords::chunks).
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: the records of an incomplete chunk stay in this stream. If the
/// stream is dropped, they were not acknowledged, and come again.
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct Chunks<St: TryStream<Ok: Receive>> {
    /// Dropped first: the readers have ended then, so that an unacknowledged record is expected.
    #[pin]
    records: St,
    chunk: Vec<Record>,
    acks: <St::Ok as Receive>::ChunkAcks,
    /// The error that follows the chunk.
    error: Option<St::Error>,
    has_ended: bool,
    /// Whether the chunk is complete, and is not delivered because its lease is paused.
    is_due: bool,
    /// The time since the first record of the chunk.
    timer: Timer,
    max: NonZeroUsize,
    wait: Duration,
}

impl<St: TryStream<Ok: Receive>> Chunks<St> {
    #[track_caller]
    pub(crate) fn new(records: St, max: usize, wait: Duration) -> Self {
        Self {
            records,
            chunk: Vec::new(),
            acks: <St::Ok as Receive>::ChunkAcks::default(),
            error: None,
            has_ended: false,
            is_due: false,
            timer: Timer::default(),
            max: NonZeroUsize::new(max).expect("max is 0: a chunk would hold no record"),
            wait,
        }
    }

    /// Returns the stream of records inside, such as for its lag.
    pub fn get_ref(&self) -> &St {
        &self.records
    }

    /// Adds records to the chunk until it is complete.
    fn poll_fill(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while this.chunk.len() < this.max.get() && this.error.is_none() && !*this.has_ended {
            match this.records.as_mut().try_poll_next(cx) {
                Poll::Ready(Some(Ok(record))) => record.add_to(this.chunk, this.acks),
                Poll::Ready(Some(Err(error))) => *this.error = Some(error),
                Poll::Ready(None) => *this.has_ended = true,
                Poll::Pending if this.chunk.is_empty() => return Poll::Pending,
                // The children of a shard wait for the acknowledgement of its last records.
                Poll::Pending if St::Ok::is_chunk_awaited(this.acks) => break,
                Poll::Pending if this.wait.is_zero() => break,
                Poll::Pending => {
                    ready!(this.timer.poll(cx, *this.wait));
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}

impl<St: TryStream<Ok: Receive>> Stream for Chunks<St> {
    type Item = Result<<St::Ok as Receive>::Chunk, St::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.is_due {
                ready!(self.as_mut().poll_fill(cx));
                let this = self.as_mut().project();
                *this.is_due = true;
                *this.timer = Timer::default();
            }
            let this = self.as_mut().project();
            ready!(St::Ok::poll_chunk_permit(this.chunk, this.acks, cx));
            if !this.chunk.is_empty() {
                *this.is_due = false;
                let (records, acks) = (std::mem::take(this.chunk), std::mem::take(this.acks));
                return Poll::Ready(Some(Ok(St::Ok::chunk(records, acks))));
            }
            if let Some(error) = this.error.take() {
                *this.is_due = false;
                return Poll::Ready(Some(Err(error)));
            }
            if *this.has_ended {
                return Poll::Ready(None);
            }
            *this.is_due = false;
        }
    }
}

impl<St: TryStream<Ok: Receive>> FusedStream for Chunks<St> {
    fn is_terminated(&self) -> bool {
        self.has_ended && self.chunk.is_empty() && self.error.is_none()
    }
}

impl<St: TryStream<Ok: Receive>> fmt::Debug for Chunks<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("records", &self.chunk.len()).finish_non_exhaustive()
    }
}
