//! The streams of shards that the rest of the crate builds on.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;

use crate::lineage::parents_first::{DEFAULT_POLL_INTERVAL, ParentsFirst, parents_first};
use crate::listing::error::ListError;
use crate::listing::shard_lists::{ShardLists, shard_lists};
use crate::shard::handle::ShardHandle;
use crate::shard::outcome::OnDrop;
use crate::shard::position::{Progress, StartAt};
use crate::shard::stop_at::StopAt;
use crate::shard::stream_id::StreamId;

/// Stream of [`all_shards`] and, as [`TryAllShards`], of [`try_all_shards`]: see their examples.
///
/// The parameter `E` is the policy for failed listings: [`LogErrors`] or [`YieldErrors`].
///
/// # Filtering shards
///
/// `filter` drops the handles that it rejects. By default that closes their shards: their children
/// are offered, and may be read before another consumer has read the parents. Under
/// [`OnDrop::Reoffer`], and with [`checkpoints`](Self::checkpoints), a rejected shard is re-offered
/// for ever and its children wait; a `WARN` says so. Do not split the work of a stream by a filter.
#[must_use = "streams do nothing unless polled"]
pub struct AllShards<E = LogErrors> {
    shards: ParentsFirst<ShardLists>,
    /// The shard that [`ready`](Self::ready) took, if it took one.
    first: Option<ShardHandle>,
    errors: PhantomData<fn() -> E>,
}

/// Stream of [`try_all_shards`]: [`AllShards`] with each failed listing as one `Err`. See the
/// example there.
pub type TryAllShards = AllShards<YieldErrors>;

/// The policy of [`all_shards`]: failed listings are logged, and the items are shards. See the
/// example there.
#[derive(Clone, Copy, Debug)]
pub enum LogErrors {}

/// The policy of [`try_all_shards`]: each failed listing is an `Err`, and the items are `Result`s.
/// See the example there.
#[derive(Clone, Copy, Debug)]
pub enum YieldErrors {}

pub(crate) mod sealed {
    use super::{ListError, LogErrors, YieldErrors};

    /// A policy for failed listings.
    pub trait ErrorPolicy {
        /// The item for a shard, or for the `T` that it is mapped to.
        type Item<T>;

        /// Returns a result as an item, or the error to be logged.
        fn item<T>(result: Result<T, ListError>) -> Result<Self::Item<T>, ListError>;

        /// Returns a shard as an item.
        fn shard<T>(shard: T) -> Self::Item<T>;

        /// Splits an item into its shard, or its error as an item.
        fn split<T, U>(item: Self::Item<T>) -> Result<T, Self::Item<U>>;

        /// Applies `f` to a shard in an item.
        fn map<T, U>(item: Self::Item<T>, f: impl FnOnce(T) -> U) -> Self::Item<U>;
    }

    impl ErrorPolicy for LogErrors {
        type Item<T> = T;

        fn item<T>(result: Result<T, ListError>) -> Result<T, ListError> {
            result
        }

        fn shard<T>(shard: T) -> T {
            shard
        }

        fn split<T, U>(item: T) -> Result<T, U> {
            Ok(item)
        }

        fn map<T, U>(item: T, f: impl FnOnce(T) -> U) -> U {
            f(item)
        }
    }

    impl ErrorPolicy for YieldErrors {
        type Item<T> = Result<T, ListError>;

        fn item<T>(result: Result<T, ListError>) -> Result<Result<T, ListError>, ListError> {
            Ok(result)
        }

        fn shard<T>(shard: T) -> Result<T, ListError> {
            Ok(shard)
        }

        fn split<T, U>(item: Result<T, ListError>) -> Result<T, Result<U, ListError>> {
            item.map_err(Err)
        }

        fn map<T, U>(item: Result<T, ListError>, f: impl FnOnce(T) -> U) -> Result<U, ListError> {
            item.map(f)
        }
    }
}
use sealed::ErrorPolicy;

impl<E> AllShards<E> {
    fn new(client: &Client, stream: StreamId) -> Self {
        Self::of(parents_first(shard_lists(client, stream, DEFAULT_POLL_INTERVAL)))
    }

    fn of(shards: ParentsFirst<ShardLists>) -> Self {
        Self { shards, first: None, errors: PhantomData }
    }

    /// Sets how often the shards are listed.
    ///
    /// Each such listing is one request, whatever the number of shards. The interval is also the
    /// longest delay between retries of a failed listing, and before an abandoned shard is
    /// re-offered. Children rarely wait for the interval: closing a shard with no known child lists
    /// the shards at once.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Panics
    ///
    /// If `interval` is zero, and after the first poll. An interval of more than 30 years counts as
    /// 30 years.
    #[must_use = "a setter returns the stream that it has set"]
    #[track_caller]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.shards.lists_mut().set_interval(interval);
        self.shards.set_max_reoffer_delay(interval);
        self
    }

    /// Sets how often a listing requests all shards instead of the new ones.
    ///
    /// A full listing catches what a partial one cannot, and lets expired shards be forgotten. It
    /// takes one request per 1,000 shards.
    ///
    /// # Default
    ///
    /// 10 minutes.
    ///
    /// # Panics
    ///
    /// If `interval` is zero, and after the first poll.
    #[must_use = "a setter returns the stream that it has set"]
    #[track_caller]
    pub fn full_listing_interval(mut self, interval: Duration) -> Self {
        self.shards.lists_mut().set_full_interval(interval);
        self
    }

    /// Sets where the run begins.
    ///
    /// # Default
    ///
    /// [`StartAt::TrimHorizon`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[must_use = "a setter returns the stream that it has set"]
    #[track_caller]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.set_start_at(start);
        self
    }

    #[track_caller]
    pub(crate) fn set_start_at(&mut self, start: StartAt) {
        self.shards.set_start_at(start);
        let from = match start {
            StartAt::Timestamp(from) => Some(from),
            _ => None,
        };
        self.shards.lists_mut().set_from(from);
    }

    /// Continues an earlier run from its progress in each shard, by shard id.
    ///
    /// The progress takes precedence over [`start_at`](Self::start_at). A named shard starts where
    /// its entry says, closed or open, or is not offered at all if it was
    /// [`Finished`](Progress::Finished). An unnamed descendant of a named shard starts at
    /// `TrimHorizon`, also under [`StartAt::Latest`]. Keep the entry of a finished shard for as
    /// long as Kinesis lists the shard.
    ///
    /// An entry applies to the first shard with its id only. A stream that was deleted and created
    /// again *between* two runs, or before the second full listing of this one, has the same shard
    /// ids, so it cannot be distinguished from the old one: start the new stream without `resume`.
    ///
    /// # Default
    ///
    /// Nothing.
    ///
    /// # Panics
    ///
    /// After the first poll.
    ///
    /// ```
    /// use kinesis_shards::shard::{Progress, StartPosition};
    /// use kinesis_shards::{StartAt, all_shards};
    ///
    /// # fn example(client: &aws_sdk_kinesis::Client) {
    /// let last = "49590338271490256608559692538361571095921575989136588898".to_owned();
    /// let shards = all_shards(client, "orders").start_at(StartAt::Latest).resume([
    ///     ("shardId-000000000000".to_owned(), Progress::Finished),
    ///     ("shardId-000000000001".to_owned(), Progress::At(StartPosition::After(last))),
    /// ]);
    /// # }
    /// ```
    #[must_use = "a setter returns the stream that it has set"]
    #[track_caller]
    pub fn resume(mut self, progress: impl IntoIterator<Item = (String, Progress)>) -> Self {
        self.set_resume(progress);
        self
    }

    #[track_caller]
    pub(crate) fn set_resume(&mut self, progress: impl IntoIterator<Item = (String, Progress)>) {
        self.shards.set_resume(progress);
        let include_closed = self.shards.is_resumed();
        self.shards.lists_mut().set_include_closed(include_closed);
    }

    /// Ends the run at the tip of the stream, or at a time: a backfill, or a batch job.
    ///
    /// The readers of this crate deliver every record that arrived before the end, whatever is
    /// split or merged meanwhile, and no record that arrived later. Then they end by themselves,
    /// and so do the streams of records, of batches and of shards. Kinesis's clock counts, not the
    /// client's.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use kinesis_shards::{ShardStreamExt, StopAt, all_shards};
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kinesis = FakeKinesis::new();
    /// # let orders = kinesis.create_stream("orders", 2);
    /// # orders.put("customer 1", "an order");
    /// # orders.split("shardId-000000000000");
    /// # orders.put("customer 2", "another");
    /// # let client = kinesis.client();
    /// let mut records = all_shards(&client, "orders").until(StopAt::Tip).records(&client);
    /// # let mut taken = 0;
    /// while let Some(record) = records.try_next().await? {
    ///     println!("{} {} bytes", record.sequence_number(), record.data().len());
    /// #   taken += 1;
    /// }
    /// println!("all records are read");
    /// # assert_eq!(taken, 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A shard whose last record arrived before the end is read to its end, and its children are
    /// read in turn. Any other shard is [left](crate::records::EndReason::Reached) at the end of
    /// the run, and its children are not read: they hold later records only. Whether an idle shard
    /// has reached the end is known from its `MillisBehindLatest`. If the end lies in the future,
    /// each idle shard is also listed once: its reader needs `kinesis:ListShards`. A reader by
    /// [fan-out](crate::records::FanOut) polls an idle shard at the end of the run, and needs
    /// `kinesis:GetRecords` for it.
    ///
    /// The stream of shards ends when no shard is left to read, according to a full list that was
    /// requested after the last one was read. A shard that cannot be read is offered again as ever,
    /// and the run does not end before it is read. A handle that you read yourself is yours to end:
    /// the stream waits for the children of a shard that you complete, once Kinesis has closed it.
    ///
    /// With [checkpoints](Self::checkpoints), a later run continues after the last acknowledged
    /// record, with or without an end: no end is stored for a shard that was left. The streams do
    /// not wait for the acknowledgements of those shards; call
    /// [`Checkpoints::shutdown`](crate::Checkpoints::shutdown) when they have ended, to save the
    /// last ones. A run of many workers (module `lease`) has no end.
    ///
    /// Kinesis does not promise that times of arrival grow within a shard. The first record that
    /// arrived at the end or later ends the reading of its shard. An aggregated record of the KPL
    /// arrives as a whole. A server that reports no times of arrival is read up to its tip.
    ///
    /// # Default
    ///
    /// No end: the stream never ends by itself.
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[must_use = "a setter returns the stream that it has set"]
    #[track_caller]
    pub fn until(mut self, stop_at: StopAt) -> Self {
        self.shards.set_ends_when_read();
        self.shards.lists_mut().set_stop_at(stop_at);
        self
    }

    /// Sets the effect of dropping an unfinished handle.
    ///
    /// # Default
    ///
    /// [`OnDrop::Close`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[must_use = "a setter returns the stream that it has set"]
    #[track_caller]
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.shards.set_on_drop(on_drop);
        self
    }

    /// Returns how many shards the stream remembers: those that wait or are out, and closed ones
    /// that may still be listed.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.shards.tracked()
    }

    pub(crate) fn shards(&self) -> &ParentsFirst<ShardLists> {
        &self.shards
    }

    pub(crate) fn shards_mut(&mut self) -> &mut ParentsFirst<ShardLists> {
        &mut self.shards
    }

    /// Polls for a shard or a failed listing, and begins a listing at once if one would help.
    fn poll_shard(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ShardHandle, ListError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let mut shards = Pin::new(&mut self.shards);
        let before = shards.get_ref().in_flight();
        loop {
            if let Poll::Ready(shard) = shards.as_mut().poll_next(cx) {
                return Poll::Ready(shard);
            }
            // One listing at a time: shards closed during it are reconsidered when it completes.
            if let Some(listing) = shards.get_ref().in_flight() {
                if before != Some(listing) {
                    shards.as_mut().listing_begins(listing.is_full);
                }
                return Poll::Pending;
            }
            match shards.as_mut().take_list_request() {
                Some(request) => shards.as_mut().get_pin_mut().list_now(request),
                None => return Poll::Pending,
            }
        }
    }

    /// Waits until the shards have been listed once, and returns the stream.
    ///
    /// An error that is not retryable ends the wait: no such stream, no permission, an invalid
    /// name. Any other error is logged and the listing retried, as without `ready`. With `ready`, a
    /// misconfigured program fails at its start instead of retrying for ever:
    ///
    /// ```
    /// use kinesis_shards::all_shards;
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// # let kinesis = FakeKinesis::new();
    /// # kinesis.create_stream("orders", 1);
    /// # let client = kinesis.client();
    /// let error = all_shards(&client, "ordres").ready().await.unwrap_err();
    /// assert!(error.to_string().contains("stream ordres was not found"), "{error}");
    /// let shards = all_shards(&client, "orders").ready().await.unwrap();
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`ListError`] that is not [retryable](ListError::is_retryable).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn ready(mut self) -> Result<Self, ListError> {
        std::future::poll_fn(|cx| self.poll_listed(cx)).await?;
        Ok(self)
    }

    /// Polls until the shards have been listed once. Logs the errors that are retryable, and keeps
    /// the first shard for the next poll of the stream.
    pub(crate) fn poll_listed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ListError>> {
        loop {
            match self.poll_shard(cx) {
                Poll::Ready(Some(Err(error))) if error.is_retryable() => self.log(&error),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(shard))) => {
                    self.first = Some(shard);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending if !self.shards.get_ref().has_listed() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Logs a failed listing: until the first one succeeds, the 1st, 2nd, 4th, 8th ... failure in a
    /// row is at level `ERROR`, since no shard is read yet.
    fn log(&self, error: &ListError) {
        let lists = self.shards.get_ref();
        let (stream, failures) = (lists.stream(), lists.failures());
        let (retryable, next_attempt_in) = (error.is_retryable(), lists.retry_in());
        if lists.has_listed() {
            tracing::warn!(
                %stream, %error, retryable, failures, ?next_attempt_in,
                "cannot list the shards; retrying, and shards already offered are not affected"
            );
        } else if failures.is_power_of_two() {
            tracing::error!(
                %stream, %error, retryable, failures, ?next_attempt_in,
                "cannot list the shards, so no shard is read yet; retrying"
            );
        } else {
            tracing::warn!(
                %stream, %error, retryable, failures, ?next_attempt_in,
                "cannot list the shards, so no shard is read yet; retrying"
            );
        }
    }
}

impl TryAllShards {
    /// Logs failed listings instead of yielding them: turns the stream into [`AllShards`].
    ///
    /// ```
    /// # fn example(client: &aws_sdk_kinesis::Client) {
    /// use kinesis_shards::{AllShards, try_all_shards};
    ///
    /// let shards: AllShards = try_all_shards(client, "orders").log_errors();
    /// # }
    /// ```
    pub fn log_errors(self) -> AllShards {
        AllShards { shards: self.shards, first: self.first, errors: PhantomData }
    }
}

impl<E: ErrorPolicy> Stream for AllShards<E> {
    type Item = E::Item<ShardHandle>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(shard) = ready!(self.poll_shard(cx)) else { return Poll::Ready(None) };
            match E::item(shard) {
                Ok(item) => return Poll::Ready(Some(item)),
                Err(error) => self.log(&error),
            }
        }
    }
}

impl<E: ErrorPolicy> FusedStream for AllShards<E> {
    fn is_terminated(&self) -> bool {
        self.first.is_none() && self.shards.is_terminated()
    }
}

impl<E> fmt::Debug for AllShards<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AllShards").field(&self.shards).finish()
    }
}

/// Returns every shard of a stream, each one once and after its parents, with each failed listing
/// as one `Err`.
///
/// Keep polling after an `Err`: the stream retries on the schedule of [`shard_lists`], and ends
/// only at the [end](AllShards::until) of the run, if it has one. [`ListError::is_retryable`]
/// distinguishes transient failures from a mistyped name or a revoked permission.
///
/// ```no_run
/// use futures::StreamExt;
/// use kinesis_shards::{ListError, try_all_shards};
///
/// # async fn example(client: &aws_sdk_kinesis::Client) -> Result<(), ListError> {
/// let mut shards = try_all_shards(client, "ordres");
/// while let Some(shard) = shards.next().await {
///     match shard {
///         Ok(shard) => {
///             tokio::spawn(async move {
///                 // ... read it ...
///                 shard.complete();
///             });
///         }
///         Err(error) if error.is_retryable() => eprintln!("{error}"), // the stream retries
///         Err(error) => return Err(error), // no such stream, no permission, ...
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// See [`ListError`]. No error affects a handle that was already offered.
///
/// # Panics
///
/// Polling it panics outside a tokio runtime with its time driver enabled.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: all state lives in the stream.
pub fn try_all_shards(client: &Client, stream: impl Into<StreamId>) -> TryAllShards {
    AllShards::new(client, stream.into())
}

/// Returns every shard of a stream, each one once and after its parents.
///
/// The stream lists the shards every 30 seconds, and at once when a shard with no known child is
/// closed. It offers a shard as a [`ShardHandle`] when all its parents are closed; completing or
/// dropping the handle closes the shard. The stream never ends by itself, unless the run has an
/// [end](AllShards::until): stop with `take_until`, or by dropping it.
///
/// A failed listing is logged with `tracing` and retried. Its level is `WARN`; until the first
/// listing succeeds, it is `ERROR` for the 1st, 2nd, 4th, 8th ... failure in a row.
/// [`try_all_shards`] yields the error instead, and [`ready`](AllShards::ready) fails at once on an
/// error that is not retryable.
///
/// ```no_run
/// use aws_config::BehaviorVersion;
/// use aws_sdk_kinesis::Client;
/// use futures::StreamExt;
/// use kinesis_shards::all_shards;
///
/// # async fn example() {
/// let client = Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
///
/// all_shards(&client, "orders")
///     .for_each_concurrent(None, |shard| async move {
///         println!("{} opens at {:?}", shard.id(), shard.start());
///         // ... read it ...
///         shard.complete(); // its children may start now
///     })
///     .await;
/// # }
/// ```
///
/// # Polling
///
/// Nothing runs in the background: the stream spawns no task and lists shards only while it is
/// polled. `while let Some(shard) = shards.next().await { read(shard).await }` never leaves the
/// first open shard. Read shards concurrently, with `for_each_concurrent` as above, a
/// [`JoinSet`](tokio::task::JoinSet), or [`records`](crate::ShardStreamExt::records).
///
/// # Panics
///
/// Polling it panics outside a tokio runtime with its time driver enabled.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: all state lives in the stream. Dropping the stream frees
/// everything; handles that outlive it close without effect.
pub fn all_shards(client: &Client, stream: impl Into<StreamId>) -> AllShards {
    try_all_shards(client, stream).log_errors()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_are_send_static_and_unpin() {
        fn check<T: Send + Unpin + 'static>() {}
        check::<AllShards>();
        check::<TryAllShards>();
    }
}
