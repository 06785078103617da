//! Processes records concurrently, and those of one key one after another.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use futures::{StreamExt, TryStream};
use pin_project::pin_project;
use rustc_hash::FxHashMap;

use crate::records::read_shard::sealed::Receive;
use crate::records::record::Record;

/// By default, this number of records per future in flight may wait for their key.
const WAITING_PER_FUTURE: usize = 10;
/// The maximum number of records that one poll takes: a stream that is always ready must not block
/// the task.
const MAX_RECORDS_A_POLL: usize = 256;

/// The hash of a record's key. `None` is a record without order. Two keys with one hash are
/// processed as if they were one, which is harmless.
type KeyHash = Option<u64>;

/// A function that hashes the partition key of a record.
pub(crate) type PartitionKey = fn(&Record, &RandomState) -> KeyHash;

fn partition_key(record: &Record, hasher: &RandomState) -> KeyHash {
    Some(hasher.hash_one(record.partition_key()?))
}

/// Turns the function of a user into one that hashes the key.
fn hash_by<K, T: Hash>(mut key: K) -> impl FnMut(&Record, &RandomState) -> KeyHash
where
    K: FnMut(&Record) -> T,
{
    move |record, hasher| Some(hasher.hash_one(key(record)))
}

/// A future that processes the records of a stream concurrently, and those of one key one after
/// another: see [`AllRecords::for_each_by_key`](super::AllRecords::for_each_by_key).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct ForEachByKey<St: TryStream<Ok: Receive>, F, Fut, K = PartitionKey> {
    #[pin]
    by_key: ByKey<St, Fut, K>,
    f: F,
}

/// A future that processes the records of a stream concurrently, those of one key one after
/// another, until the first error: see
/// [`AllRecords::try_for_each_by_key`](super::AllRecords::try_for_each_by_key).
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct TryForEachByKey<St: TryStream<Ok: Receive>, F, Fut, K = PartitionKey> {
    #[pin]
    by_key: ByKey<St, Fut, K>,
    f: F,
}

/// The setters of both futures.
macro_rules! setters {
    ($name:ident) => {
        impl<St: TryStream<Ok: Receive>, F, Fut> $name<St, F, Fut> {
            #[track_caller]
            pub(crate) fn new(records: St, limit: usize, f: F) -> Self {
                Self { by_key: ByKey::new(records, limit), f }
            }

            /// Sets the key of a record, in place of its partition key. Records with the same key
            /// are processed one after another, in the order in which they arrive.
            ///
            /// Records of different partition keys arrive in order only within a shard. If the
            /// stream is resharded, records of one such key may be in a shard and in one that is
            /// not its descendant.
            ///
            /// ```
            /// # use kinesis_shards::{ShardStreamExt, all_shards};
            /// # let client = kinesis_shards::testing::FakeKinesis::new().client();
            /// let records = all_shards(&client, "orders").records(&client);
            /// let processed = records
            ///     .for_each_by_key(16, |_| async { /* ... */ })
            ///     .key_by(|record| record.data().first().copied());
            /// # drop(processed);
            /// ```
            pub fn key_by<K, T>(
                self,
                key: K,
            ) -> $name<St, F, Fut, impl FnMut(&Record, &RandomState) -> Option<u64>>
            where
                K: FnMut(&Record) -> T,
                T: Hash,
            {
                $name { by_key: self.by_key.key_by(key), f: self.f }
            }
        }

        impl<St: TryStream<Ok: Receive>, F, Fut, K> $name<St, F, Fut, K> {
            /// Sets the maximum number of records that wait for the future of their key. Once this
            /// many wait, no further record is taken: a key that is hotter than one future can
            /// process holds up the others.
            ///
            /// # Default
            ///
            /// Ten times the number of futures in flight.
            pub fn max_waiting(mut self, records: usize) -> Self {
                self.by_key.waiting.max = records;
                self
            }
        }

        impl<St: TryStream<Ok: Receive>, F, Fut, K> fmt::Debug for $name<St, F, Fut, K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("in_flight", &self.by_key.tasks.len())
                    .field("waiting", &self.by_key.waiting.count)
                    .finish_non_exhaustive()
            }
        }
    };
}
setters!(ForEachByKey);
setters!(TryForEachByKey);

impl<St, F, Fut, K> Future for ForEachByKey<St, F, Fut, K>
where
    St: TryStream<Ok: Receive>,
    F: FnMut(Result<Record, St::Error>) -> Fut,
    Fut: Future<Output = ()>,
    K: FnMut(&Record, &RandomState) -> Option<u64>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let start = |record| Ok::<_, Infallible>((this.f)(record));
        let Ok(()) = ready!(this.by_key.poll_all(cx, start, Ok));
        Poll::Ready(())
    }
}

impl<St, F, Fut, K, E> Future for TryForEachByKey<St, F, Fut, K>
where
    St: TryStream<Ok: Receive>,
    F: FnMut(Record) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: From<St::Error>,
    K: FnMut(&Record, &RandomState) -> Option<u64>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let start = |record: Result<Record, St::Error>| -> Result<Fut, E> { Ok((this.f)(record?)) };
        let result = ready!(this.by_key.as_mut().poll_all(cx, start, |output| output));
        this.by_key.clear();
        Poll::Ready(result)
    }
}

/// The records of a stream, and the futures that process them.
#[pin_project]
struct ByKey<St: TryStream<Ok: Receive>, Fut, K> {
    /// `None` once it has ended. It is dropped first: the readers have ended then, so that an
    /// unacknowledged record is expected.
    #[pin]
    records: Option<St>,
    tasks: FuturesUnordered<Task<St::Ok, Fut>>,
    waiting: Waiting<St::Ok>,
    key: K,
    hasher: RandomState,
    limit: NonZeroUsize,
}

/// The records that wait for the future of their key.
struct Waiting<R> {
    /// One queue for each key with a task.
    queues: FxHashMap<u64, VecDeque<R>>,
    /// The number of records in all queues.
    count: usize,
    max: usize,
}

impl<R> Waiting<R> {
    /// Returns the record if its key has no task. Otherwise, the record waits.
    fn admit(&mut self, key: KeyHash, record: R) -> Option<R> {
        let Some(key) = key else { return Some(record) };
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.push_back(record);
            self.count += 1;
            return None;
        }
        self.queues.insert(key, VecDeque::new());
        Some(record)
    }

    /// Returns the next record of a key whose task has ended.
    fn next(&mut self, key: KeyHash) -> Option<R> {
        let key = key?;
        let next = self.queues.get_mut(&key)?.pop_front();
        if next.is_some() {
            self.count -= 1;
        } else {
            self.queues.remove(&key);
        }
        next
    }

    fn is_full(&self) -> bool {
        self.count > 0 && self.count >= self.max
    }

    fn clear(&mut self) {
        self.queues.clear();
        self.count = 0;
    }
}

/// The processing of a record, or of an error of the stream.
#[pin_project(project = TaskProjection)]
enum Task<R: Receive, Fut> {
    /// The lease of the record is paused. The record is processed once it continues, and never if
    /// it ends.
    Paused { key: KeyHash, record: Option<R>, waker: Option<Arc<AtomicWaker>> },
    Running {
        key: KeyHash,
        #[pin]
        future: Fut,
        /// `None` for an error.
        acker: Option<R::Acker>,
    },
}

/// What became of a task.
enum TaskEnd<R: Receive, T> {
    /// The lease continues, or has ended: then there is no record.
    Permitted(KeyHash, Option<R>),
    /// The future is ready.
    Finished(KeyHash, T, Option<R::Acker>),
}

impl<R: Receive, Fut: Future> Future for Task<R, Fut> {
    type Output = TaskEnd<R, Fut::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            TaskProjection::Paused { key, record, waker } => {
                let is_permitted = match &record {
                    Some(record) => ready!(record.poll_permit(waker, cx)),
                    None => false,
                };
                let record = record.take().filter(|_| is_permitted);
                Poll::Ready(TaskEnd::Permitted(*key, record))
            }
            TaskProjection::Running { key, future, acker } => {
                let output = ready!(future.poll(cx));
                Poll::Ready(TaskEnd::Finished(*key, output, acker.take()))
            }
        }
    }
}

impl<St: TryStream<Ok: Receive>, Fut> ByKey<St, Fut, PartitionKey> {
    #[track_caller]
    fn new(records: St, limit: usize) -> Self {
        let limit = NonZeroUsize::new(limit).expect("the limit is 0: no record would be processed");
        let max = limit.get().saturating_mul(WAITING_PER_FUTURE);
        Self {
            records: Some(records),
            tasks: FuturesUnordered::new(),
            waiting: Waiting { queues: FxHashMap::default(), count: 0, max },
            key: partition_key,
            hasher: RandomState::new(),
            limit,
        }
    }

    fn key_by<K, T: Hash>(
        self,
        key: K,
    ) -> ByKey<St, Fut, impl FnMut(&Record, &RandomState) -> KeyHash>
    where
        K: FnMut(&Record) -> T,
    {
        let Self { records, tasks, waiting, hasher, limit, .. } = self;
        ByKey { records, tasks, waiting, key: hash_by(key), hasher, limit }
    }
}

impl<St, Fut, K> ByKey<St, Fut, K>
where
    St: TryStream<Ok: Receive>,
    Fut: Future,
    K: FnMut(&Record, &RandomState) -> KeyHash,
{
    /// Takes records, and polls the futures that `start` makes of them, until the stream has ended
    /// and all are ready. A record whose future is ready is acknowledged, unless `finish` turns the
    /// output into an error, which ends this.
    fn poll_all<E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut start: impl FnMut(Result<Record, St::Error>) -> Result<Fut, E>,
        finish: impl Fn(Fut::Output) -> Result<(), E>,
    ) -> Poll<Result<(), E>> {
        let mut this = self.project();
        let mut taken = 0;
        loop {
            while let Poll::Ready(Some(end)) = this.tasks.poll_next_unpin(cx) {
                let (key, next) = match end {
                    TaskEnd::Permitted(key, record) => (key, record),
                    TaskEnd::Finished(key, output, acker) => {
                        if let Err(error) = finish(output) {
                            // The readers end before the record is dropped, which is expected then.
                            this.records.set(None);
                            return Poll::Ready(Err(error));
                        }
                        if let Some(acker) = acker {
                            St::Ok::acknowledge(acker);
                        }
                        (key, None)
                    }
                };
                if let Some(record) = next.or_else(|| this.waiting.next(key)) {
                    begin(this.tasks, this.waiting, cx, &mut start, key, record)?;
                }
            }
            // Every task was polled since it was made, so that each wakes this.
            let Some(records) = this.records.as_mut().as_pin_mut() else {
                return if this.tasks.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            };
            if this.tasks.len() >= this.limit.get() || this.waiting.is_full() {
                return Poll::Pending;
            }
            if taken == MAX_RECORDS_A_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            taken += 1;
            match ready!(records.try_poll_next(cx)) {
                Some(Ok(record)) => {
                    let key = (this.key)(record.record(), this.hasher);
                    if let Some(record) = this.waiting.admit(key, record) {
                        begin(this.tasks, this.waiting, cx, &mut start, key, record)?;
                    }
                }
                Some(Err(error)) => {
                    let future = start(Err(error))?;
                    this.tasks.push(Task::Running { key: None, future, acker: None });
                }
                None => this.records.set(None),
            }
        }
    }

    /// Drops the stream, then all futures and records.
    fn clear(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.records.set(None);
        this.tasks.clear();
        this.waiting.clear();
    }
}

/// Begins to process a record whose key has no task. If this worker has lost the shard of the
/// record, the record is dropped, and the next one of its key begins.
fn begin<R: Receive, Fut, E, T>(
    tasks: &FuturesUnordered<Task<R, Fut>>,
    waiting: &mut Waiting<R>,
    cx: &mut Context<'_>,
    start: &mut impl FnMut(Result<Record, E>) -> Result<Fut, T>,
    key: KeyHash,
    record: R,
) -> Result<(), T> {
    let mut next = Some(record);
    while let Some(record) = next {
        let mut waker = None;
        next = match record.poll_permit(&mut waker, cx) {
            Poll::Ready(true) => {
                let (record, acker) = record.split();
                let future = start(Ok(record))?;
                tasks.push(Task::Running { key, future, acker: Some(acker) });
                None
            }
            Poll::Ready(false) => waiting.next(key),
            Poll::Pending => {
                tasks.push(Task::Paused { key, record: Some(record), waker });
                None
            }
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_a_key_wait_for_one_another_and_those_without_one_do_not() {
        let mut waiting = Waiting { queues: FxHashMap::default(), count: 0, max: 2 };
        assert_eq!(waiting.admit(Some(7), 'a'), Some('a'));
        assert_eq!(waiting.admit(Some(7), 'b'), None);
        assert_eq!(waiting.admit(Some(8), 'c'), Some('c'));
        assert_eq!((waiting.admit(None, 'd'), waiting.admit(None, 'e')), (Some('d'), Some('e')));
        assert!(!waiting.is_full());
        assert_eq!(waiting.admit(Some(8), 'f'), None);
        assert!(waiting.is_full());
        assert_eq!((waiting.next(Some(7)), waiting.next(None)), (Some('b'), None));
        assert_eq!((waiting.next(Some(7)), waiting.next(Some(7))), (None, None));
        assert_eq!(waiting.admit(Some(7), 'g'), Some('g'));
        assert_eq!((waiting.count, waiting.queues.len()), (1, 2));
    }
}
