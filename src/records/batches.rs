use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use futures::Stream;
use futures::stream::FusedStream;
use tokio::time::Duration;

use super::event::ReadEventKind;
use super::polling::Polling;
use super::source::{Source, Stop};
use super::{Batch, ReadError, ReadEvent, ReadOptions, ReaderEnd};
use crate::ShardHandle;
use crate::client_time::now;

/// A shard's records as a stream of [`Batch`]es, in order: see [`ShardHandle::batches`].
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing. Dropping the stream before its end abandons the handle.
#[must_use = "streams do nothing unless polled, and a reader that is dropped hands its shard back"]
pub struct Batches {
    client: Client,
    options: Arc<ReadOptions>,
    state: State,
    opened: SystemTime,
    lag: Option<Duration>,
}

enum State {
    /// Not polled yet.
    New(ShardHandle),
    Reading(ShardHandle, Polling),
    /// The last page was given. Once more is asked for, it has been taken.
    AtEnd(ShardHandle, Vec<ChildShard>),
    Ended(ReaderEnd),
}

impl Batches {
    pub(super) fn new(handle: ShardHandle, client: &Client, options: Arc<ReadOptions>) -> Self {
        let (client, opened) = (client.clone(), now(client));
        Self { client, options, state: State::New(handle), opened, lag: None }
    }

    /// Reads with these options.
    ///
    /// # Panics
    ///
    /// If the stream was polled already.
    #[track_caller]
    pub fn with(mut self, options: ReadOptions) -> Self {
        assert!(matches!(self.state, State::New(_)), "set the options before the first poll");
        self.options = Arc::new(options);
        self
    }

    /// `MillisBehindLatest` of the last answer: how far what was read is behind the tip of the shard. `None` before the first answer, and if the server does not tell.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// The id of the shard; `None` once the reader has ended.
    #[must_use]
    pub fn shard_id(&self) -> Option<&str> {
        match &self.state {
            State::New(handle) | State::Reading(handle, _) | State::AtEnd(handle, _) => Some(handle.id()),
            State::Ended(_) => None,
        }
    }

    /// Why the reader has ended; `None` while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<&ReaderEnd> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Ends the handle as the reader has ended.
    fn end(&mut self, end: ReaderEnd) {
        let state = std::mem::replace(&mut self.state, State::Ended(end.clone()));
        let (State::New(handle) | State::Reading(handle, _) | State::AtEnd(handle, _)) = state else {
            return;
        };
        tracing::debug!(stream = handle.stream().name(), shard = handle.id(), ?end, "a reader has ended");
        if let Some(on_event) = &self.options.on_event {
            let kind = ReadEventKind::Ended(&end);
            on_event(&ReadEvent { stream: handle.stream(), shard_id: handle.id(), kind });
        }
        match end {
            ReaderEnd::EndOfShard { children } => handle.complete_with(children),
            ReaderEnd::Expired => handle.expire(),
            ReaderEnd::Failed | ReaderEnd::Dropped => handle.abandon(),
        }
    }

    fn begin(&mut self) {
        let dropped = State::Ended(ReaderEnd::Dropped);
        self.state = match std::mem::replace(&mut self.state, dropped) {
            State::New(handle) => {
                let offer = handle.offer();
                let polling =
                    Polling::new(self.client.clone(), offer, Arc::clone(&self.options), self.opened);
                State::Reading(handle, polling)
            }
            state => state,
        };
    }
}

impl Stream for Batches {
    type Item = Result<Batch, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let State::New(_) = this.state {
            this.begin();
        }
        let page = match &mut this.state {
            State::Reading(_, source) => ready!(source.poll_page(cx)),
            State::AtEnd(_, children) => {
                let children = std::mem::take(children);
                this.end(ReaderEnd::EndOfShard { children });
                return Poll::Ready(None);
            }
            State::New(_) | State::Ended(_) => return Poll::Ready(None),
        };
        let page = match page {
            Ok(page) => page,
            Err(Stop::Expired) => {
                this.end(ReaderEnd::Expired);
                return Poll::Ready(None);
            }
            Err(Stop::Failed(error)) => {
                this.end(ReaderEnd::Failed);
                return Poll::Ready(Some(Err(error)));
            }
        };
        this.lag = page.lag;
        let is_empty = page.records.is_empty();
        if let Some(children) = page.end {
            if is_empty {
                this.end(ReaderEnd::EndOfShard { children });
                return Poll::Ready(None);
            }
            this.state = match std::mem::replace(&mut this.state, State::Ended(ReaderEnd::Dropped)) {
                State::Reading(handle, _) => State::AtEnd(handle, children),
                state => state,
            };
        }
        let (State::Reading(handle, _) | State::AtEnd(handle, _)) = &this.state else {
            return Poll::Ready(None);
        };
        if is_empty {
            // Others have their turn, should the server have nothing but empty pages.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Batch {
            records: page.records,
            offer: handle.offer(),
            lag: page.lag,
            received_at: now(&this.client),
            #[cfg(feature = "kpl")]
            deaggregation: this.options.deaggregation,
        })))
    }
}

impl FusedStream for Batches {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.end(ReaderEnd::Dropped);
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches")
            .field("shard_id", &self.shard_id())
            .field("lag", &self.lag)
            .field("ended", &self.ended())
            .finish_non_exhaustive()
    }
}
