//! The state that all lives of the consumer share, and the stream of shards under test.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::future::AbortHandle;
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{AllShards, ShardHandle, TryAllShards};
use tokio::sync::Notify;

use crate::oracle::Oracle;
use crate::script::{Setup, Visit};

/// The state that all readers of all lives share.
pub(crate) struct Consumer {
    pub(crate) setup: Setup,
    pub(crate) visits: Vec<Visit>,
    pub(crate) kinesis: FakeKinesis,
    /// A client without the SDK's retries, because readers retry themselves.
    pub(crate) client: Client,
    /// The consumer of fan-out, if the readers subscribe.
    pub(crate) fan_out: Mutex<Option<FanOut>>,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    /// The signal to read every shard to its end, because the script is over.
    pub(crate) draining: Draining,
    /// The running readers, in the order in which they began.
    pub(crate) readers: Mutex<BTreeMap<usize, AbortHandle>>,
}

/// A signal that wakes its waiters in the same order each time, unlike tokio's `watch`.
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

/// The stream of shards under test, observed by the oracle.
pub(crate) struct Offers {
    shards: Shards,
    consumer: Arc<Consumer>,
}

impl Offers {
    pub(crate) fn new(shards: Shards, consumer: Arc<Consumer>) -> Self {
        Self { shards, consumer }
    }
}

impl Stream for Offers {
    type Item = ShardHandle;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ShardHandle>> {
        let Self { shards, consumer } = &mut *self;
        let next = shards.poll_next(cx, &consumer.oracle);
        let mut oracle = consumer.oracle.lock().unwrap();
        oracle.tracked_shards = shards.tracked();
        match &next {
            Poll::Ready(Some(handle)) => {
                let id = oracle.offer(handle);
                if consumer.setup.reading.reads_all() {
                    // Its reader is created at once, even if it has to wait for a permit.
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
