//! The consumer: the stream of shards under test, and a reader for each handle.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{AllShards, ShardHandle, TryAllShards};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::oracle::Oracle;
use crate::script::{Reading, Setup, Visit};
use crate::{by_records, reader};

/// What all readers of all lives share.
pub(crate) struct Consumer {
    pub(crate) setup: Setup,
    pub(crate) visits: Vec<Visit>,
    pub(crate) kinesis: FakeKinesis,
    /// Without the SDK's retries: a reader is polite by itself.
    pub(crate) client: Client,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    /// The script is over: read on to the end.
    pub(crate) draining: Draining,
    /// Those that are not finished, in the order in which they began.
    pub(crate) readers: Mutex<BTreeMap<usize, AbortHandle>>,
}

/// Not tokio's `watch`, which wakes in an order of its own, another one each time.
#[derive(Default)]
pub(crate) struct Draining {
    has_begun: AtomicBool,
    begins: Notify,
}

impl Draining {
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.begins.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    pub(crate) async fn begun(&self) {
        let begins = self.begins.notified();
        if !self.has_begun() {
            begins.await;
        }
    }
}

pub(crate) enum Shards {
    All(AllShards),
    Try(TryAllShards),
}

impl Shards {
    fn tracked(&self) -> usize {
        match self {
            Self::All(shards) => shards.tracked(),
            Self::Try(shards) => shards.tracked(),
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        oracle: &Mutex<Oracle>,
    ) -> Poll<Option<ShardHandle>> {
        loop {
            let polled = match self {
                Self::All(shards) => return Pin::new(shards).poll_next(cx),
                Self::Try(shards) => ready!(Pin::new(shards).poll_next(cx)),
            };
            match polled {
                Some(Ok(handle)) => return Poll::Ready(Some(handle)),
                Some(Err(_)) => oracle.lock().unwrap().errors += 1,
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The stream of shards under test, watched.
pub(crate) struct Offers {
    shards: Shards,
    consumer: Arc<Consumer>,
}

impl Stream for Offers {
    type Item = ShardHandle;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ShardHandle>> {
        let Self { shards, consumer } = &mut *self;
        let next = shards.poll_next(cx, &consumer.oracle);
        let mut oracle = consumer.oracle.lock().unwrap();
        oracle.tracked = shards.tracked();
        match &next {
            Poll::Ready(Some(handle)) => {
                let id = oracle.offer(handle);
                if consumer.setup.reading.is_of_all() {
                    // Its reader is made at once, if it has to wait for its turn or not.
                    oracle.open(id, handle.start(), consumer.kinesis.now());
                }
            }
            Poll::Ready(None) => oracle.violate("the stream of shards ended"),
            Poll::Pending => {}
        }
        drop(oracle);
        next
    }
}

/// One life of the consumer, as one future: all of it is dropped at once.
pub(crate) struct Pipeline {
    life: u32,
    consumer: Arc<Consumer>,
    offers: Option<Offers>,
    /// Reads all shards, and takes the stream of them.
    of_all: Option<BoxFuture<'static, ()>>,
    inline: FuturesUnordered<BoxFuture<'static, ()>>,
    tasks: JoinSet<()>,
}

/// Takes a reader off the list when it is over, however that is.
struct Listed {
    consumer: Arc<Consumer>,
    number: usize,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.consumer.readers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

impl Pipeline {
    pub(crate) fn new(life: u32, consumer: Arc<Consumer>, shards: Shards) -> Self {
        let offers = Offers { shards, consumer: Arc::clone(&consumer) };
        let (offers, of_all) = if consumer.setup.reading.is_of_all() {
            (None, Some(by_records::read_all(Arc::clone(&consumer), life, offers).boxed()))
        } else {
            (Some(offers), None)
        };
        Self {
            life,
            consumer,
            offers,
            of_all,
            inline: FuturesUnordered::new(),
            tasks: JoinSet::new(),
        }
    }

    fn start(&mut self, handle: ShardHandle) {
        let oracle = self.consumer.oracle.lock().unwrap();
        let number = oracle.offers() - 1;
        let id = oracle.last_offered;
        drop(oracle);
        let visit = self.consumer.visits.get(number).unwrap_or(&Visit::FAITHFUL).clone();
        let (abort, registration) = AbortHandle::new_pair();
        self.consumer.readers.lock().unwrap().insert(number, abort);
        let listed = Listed { consumer: Arc::clone(&self.consumer), number };
        let consumer = Arc::clone(&self.consumer);
        let reader = if consumer.setup.reading == Reading::EachShard {
            by_records::read(consumer, self.life, id, handle, visit).boxed()
        } else {
            reader::read(consumer, self.life, id, handle, visit).boxed()
        };
        let reader = Abortable::new(reader, registration).map(move |_| drop(listed));
        if self.consumer.setup.tasks {
            self.tasks.spawn(reader);
        } else {
            self.inline.push(reader.boxed());
        }
    }

    /// Whether this is the poll after which nothing of it is left.
    fn is_cut(&self) -> bool {
        let mut oracle = self.consumer.oracle.lock().unwrap();
        let Some(polls) = &mut oracle.cut_in else { return false };
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
            if let Some(of_all) = &mut this.of_all {
                return of_all.poll_unpin(cx);
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
        self.consumer.oracle.lock().unwrap().is_over = true;
        if !self.consumer.setup.handles_outlive {
            self.inline.clear();
            self.tasks.abort_all();
        }
        self.offers = None;
        self.of_all = None;
    }
}
