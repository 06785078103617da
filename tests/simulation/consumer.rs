//! The consumer: the stream of shards under test, and a reader for each handle.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
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
use crate::reader::read;
use crate::script::{Setup, Visit};

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
    pub(crate) readers: Mutex<Vec<AbortHandle>>,
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

    fn poll_next(&mut self, cx: &mut Context<'_>, oracle: &Mutex<Oracle>) -> Poll<Option<ShardHandle>> {
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

/// One life of the consumer, as one future: all of it is dropped at once.
pub(crate) struct Pipeline {
    life: u32,
    consumer: Arc<Consumer>,
    shards: Option<Shards>,
    inline: FuturesUnordered<BoxFuture<'static, ()>>,
    tasks: JoinSet<()>,
}

impl Pipeline {
    pub(crate) fn new(life: u32, consumer: Arc<Consumer>, shards: Shards) -> Self {
        Self { life, consumer, shards: Some(shards), inline: FuturesUnordered::new(), tasks: JoinSet::new() }
    }

    fn start(&mut self, handle: ShardHandle) {
        let mut oracle = self.consumer.oracle.lock().unwrap();
        let visit = self.consumer.visits.get(oracle.offers).unwrap_or(&Visit::FAITHFUL).clone();
        let id = oracle.offer(&handle);
        drop(oracle);
        let (abort, registration) = AbortHandle::new_pair();
        self.consumer.readers.lock().unwrap().push(abort);
        let reader = read(Arc::clone(&self.consumer), self.life, id, handle, visit);
        let reader = Abortable::new(reader, registration).map(drop);
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
            let Some(shards) = &mut this.shards else { return Poll::Ready(()) };
            let next = shards.poll_next(cx, &this.consumer.oracle);
            this.consumer.oracle.lock().unwrap().tracked = shards.tracked();
            let is_idle = next.is_pending();
            match next {
                Poll::Ready(Some(handle)) => this.start(handle),
                Poll::Ready(None) => {
                    this.consumer.oracle.lock().unwrap().violate("the stream of shards ended");
                    return Poll::Ready(());
                }
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
        self.consumer.readers.lock().unwrap().clear();
        if !self.consumer.setup.handles_outlive {
            self.inline.clear();
            self.tasks.abort_all();
        }
        self.shards = None;
    }
}
