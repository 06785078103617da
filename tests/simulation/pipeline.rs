//! One life of the consumer: the stream of shards, and a reader for each handle.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use kinesis_shards::ShardHandle;
use tokio::task::JoinSet;

use crate::consumer::{Consumer, Offers, Shards};
use crate::script::{Reading, Visit};
use crate::{by_records, reader};

/// One life of the consumer as one future, which is dropped as a whole.
pub(crate) struct Pipeline {
    consumer: Arc<Consumer>,
    offers: Option<Offers>,
    /// The future that reads all shards, if one reader does so.
    all_readers: Option<BoxFuture<'static, ()>>,
    inline: FuturesUnordered<BoxFuture<'static, ()>>,
    tasks: JoinSet<()>,
}

/// Removes a reader from the list when it is dropped.
struct Registration {
    consumer: Arc<Consumer>,
    number: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.consumer.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Pipeline {
    pub(crate) fn new(life: u32, consumer: Arc<Consumer>, shards: Shards) -> Self {
        let offers = Offers::new(shards, Arc::clone(&consumer));
        let (offers, all_readers) = if consumer.setup.reading.reads_all() {
            (None, Some(by_records::read_all(Arc::clone(&consumer), life, offers).boxed()))
        } else {
            (Some(offers), None)
        };
        Self {
            consumer,
            offers,
            all_readers,
            inline: FuturesUnordered::new(),
            tasks: JoinSet::new(),
        }
    }

    fn start(&mut self, handle: ShardHandle) {
        let offered = self.consumer.oracle.lock().unwrap().last_offered;
        let number = offered.number;
        let visit = self.consumer.visits.get(number).unwrap_or(&Visit::FAITHFUL).clone();
        let (abort, registration) = AbortHandle::new_pair();
        self.consumer.readers.lock().unwrap().insert(number, abort);
        let registered = Registration { consumer: Arc::clone(&self.consumer), number };
        let consumer = Arc::clone(&self.consumer);
        let reader = if consumer.setup.reading == Reading::EachShard {
            by_records::read(consumer, offered, handle, visit).boxed()
        } else {
            reader::read(consumer, offered, handle, visit).boxed()
        };
        let reader = Abortable::new(reader, registration).map(move |_| drop(registered));
        if self.consumer.setup.tasks {
            self.tasks.spawn(reader);
        } else {
            self.inline.push(reader.boxed());
        }
    }

    /// Returns whether the life ends with this poll.
    fn is_cut(&self) -> bool {
        let mut oracle = self.consumer.oracle.lock().unwrap();
        let Some(polls) = &mut oracle.polls_left else { return false };
        let is_cut = *polls == 0;
        *polls = polls.saturating_sub(1);
        is_cut
    }
}

impl Future for Pipeline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.is_cut() {
                return Poll::Ready(());
            }
            if let Some(all_readers) = &mut this.all_readers {
                return all_readers.poll_unpin(cx);
            }
            let Some(offers) = &mut this.offers else { return Poll::Ready(()) };
            let next = offers.poll_next_unpin(cx);
            let is_idle = next.is_pending();
            match next {
                Poll::Ready(Some(handle)) => this.start(handle),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            let mut has_ended = false;
            while let Poll::Ready(Some(())) = this.inline.poll_next_unpin(cx) {
                has_ended = true;
            }
            while let Poll::Ready(Some(_)) = this.tasks.poll_join_next(cx) {
                has_ended = true;
            }
            if is_idle && !has_ended {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.consumer.oracle.lock().unwrap().is_between_lives = true;
        if !self.consumer.setup.handles_outlive {
            self.inline.clear();
            self.tasks.abort_all();
        }
        self.offers = None;
        self.all_readers = None;
    }
}
